"""The laws that every layer obeys, for layers of your own too."""

import json
from collections.abc import Callable, Sequence
from copy import copy
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lenetjax.core import Layer, LayerError, PyTree
from lenetjax.specs import shapes_text, spec_of

__all__ = ["LawError", "check_layer"]

KEY = 0  # the seed of params and of random layers in every law
STEP = 1e-6  # of finite differences, in float64
HALF = {"bfloat16": 0.1, "float16": 0.02}  # how far rounding may move an output


class LawError(AssertionError):
    """A layer breaks a law; the message names each law that it breaks, and how."""


def check_layer(layer: Layer, x: PyTree, *, skip: Sequence[str] = ()) -> None:
    """Asserts that a layer obeys the laws that all layers of the library obey.

    The laws, by name:

    - "shapes": `plan` foretells the shapes and dtypes of output, params and state.
    - "init": init reads x's shape and dtype, never its values.
    - "params": params and state are plain dicts of arrays, none of them empty.
    - "jit": compiled, the layer computes what it computes otherwise.
    - "batch": in evaluation, each example's output depends on that example alone.
    - "gradients": first and second derivatives with respect to params and input agree
      with finite differences, forwards and backwards, in float64.
    - "keys": no random key is used twice.
    - "pure": equal arguments give equal results, whatever was called in between.
    - "evaluation": evaluation needs no key, ignores a given one, and keeps the state.
    - "numpy": NumPy arrays serve as well as JAX's, and are left as they were.
    - "half": bfloat16 and float16 input gives params and output of that dtype, with
      numbers that are close.
    - "description": settings are plain data, and printing names every child.

    Args:
      layer: any layer.
      x: an example input, an array or a tree of them, with a batch of two or more;
        float32 where it is floating. Choose random values: zeros hide errors, and at
        the corner of a function such as relu it has no derivative.
      skip: names of laws that the layer need not obey, such as "batch" for one that
        mixes the examples.

    Raises:
      LawError: the layer breaks a law.
      LayerError: skip names an unknown law.

    Example:
      >>> import jax, jax.numpy as jnp, lenetjax as nn
      >>> x = jax.random.normal(jax.random.key(0), (2, 3))
      >>> nn.testing.check_layer(nn.linear(4), x)
      >>> centred = nn.layer("centred", nn.no_params, lambda params, x: x - x.mean(0))
      >>> nn.testing.check_layer(centred, x)
      Traceback (most recent call last):
      lenetjax.testing.LawError: centred breaks 1 of 12 laws:
        batch: an example's output changes with the others in its batch
    """
    if unknown := [name for name in skip if name not in LAWS]:
        raise LayerError(f"there is no law {unknown[0]!r}; the laws: {', '.join(LAWS)}")
    subject = Subject(layer, x)
    broken = []
    for name, law in LAWS.items():
        if name not in skip:
            try:
                law(subject)
            except Exception as error:
                problem = str(error)
                if not isinstance(error, LawError):
                    problem = f"raised {type(error).__name__}: {problem}"
                broken.append(f"  {name}: {problem}")
    if broken:
        laws = f"{len(broken)} of {len(LAWS) - len(set(skip))} laws"
        raise LawError("\n".join([f"{layer.text} breaks {laws}:", *broken]))


class Subject:
    """A layer under test, with its params, state and input, and what it computes."""

    def __init__(self, layer: Layer, x: PyTree) -> None:
        self.layer = layer
        self.x = jax.tree.map(jnp.asarray, x)
        self.params, self.state = layer.init_with_state(jax.random.key(KEY), self.x)

    def run(
        self, params: Any, state: Any, x: PyTree, train: bool, seed: int = 2
    ) -> Any:
        """The output and the new state."""
        key = jax.random.key(seed)
        return self.layer.apply_with_state(params, state, x, key=key, train=train)

    @cached_property
    def compiled(self) -> Callable[[Any, Any, PyTree, bool], Any]:
        """The same, compiled once for each mode and shape."""
        return jax.jit(self.run, static_argnums=3)

    @cached_property
    def results(self) -> dict[bool, Any]:
        """What an eager call returns, in evaluation and in training."""
        params, state, x = self.params, self.state, self.x
        return {train: self.run(params, state, x, train) for train in self.modes}

    @property
    def modes(self) -> tuple[bool, ...]:
        """Evaluation, and training where anything inside asks for more than that."""
        needs = frozenset().union(*(layer.needs for _, layer in self.layer.walk()))
        return (False, True) if needs else (False,)


def _shapes(subject: Subject) -> None:
    plan = subject.layer.plan(subject.x)
    _same_specs("params", plan.params, subject.params)
    _same_specs("state", plan.state, subject.state)
    for y, state in subject.results.values():
        _same_specs("output", plan.y, y)
        _same_specs("new state", plan.state, state)


def _init(subject: Subject) -> None:
    made = subject.params, subject.state
    specs = jax.tree.map(spec_of, subject.x)
    if _differ(subject.layer.init_with_state(jax.random.key(KEY), specs), made):
        raise LawError("from a ShapeDtypeStruct it makes other params than from x")
    init = jax.jit(subject.layer.init_with_state)
    compiled = init(jax.random.key(KEY), subject.x)
    _close("params made under jax.jit", compiled, made, 1e-6)


def _params(subject: Subject) -> None:
    def check(what: str, tree: Any) -> None:
        if type(tree) is not dict:
            raise LawError(f"{what} should be a dict, not {type(tree).__name__}")
        for name, entry in tree.items():
            if isinstance(entry, jax.Array):
                continue
            check(f"{what}[{name!r}]", entry)
            if not entry:
                raise LawError(f"{what}[{name!r}] is empty; leave it out")

    check("params", subject.params)
    check("state", subject.state)


def _jit(subject: Subject) -> None:
    for train, want in subject.results.items():
        got = subject.compiled(subject.params, subject.state, subject.x, train)
        _close(f"the result under jax.jit ({_mode(train)})", got, want, 1e-5)


def _batch(subject: Subject) -> None:
    def one(x: PyTree) -> PyTree:
        alone = jax.tree.map(lambda array: array[None], x)
        return subject.layer.apply(subject.params, alone, state=subject.state)

    apart = jax.tree.map(lambda y: y[:, 0], jax.jit(jax.vmap(one))(subject.x))
    together, _ = subject.results[False]
    if _distance(apart, together) > 1e-5:
        raise LawError("an example's output changes with the others in its batch")


def _gradients(subject: Subject) -> None:
    with jax.enable_x64(True):
        wide = copy(subject)
        values = wide.params, wide.state, wide.x
        wide.params, wide.state, wide.x = _cast(values, "float64")
        for train in wide.modes:
            _derivatives(wide, train)


def _derivatives(subject: Subject, train: bool) -> None:
    """Derivatives along one random direction, all in one compiled program."""
    arrays, structure = jax.tree.flatten((subject.params, subject.x))
    rebuild: Callable[[list[jax.Array]], Any] = structure.unflatten  # type: ignore[attr-defined]
    point = [array for array in arrays if _floats(array)]
    if not point:
        return
    rng = np.random.default_rng(0)
    direction = [jnp.asarray(rng.normal(size=p.shape), p.dtype) for p in point]

    def value(point: list[jax.Array]) -> jax.Array:
        moved = iter(point)
        params, x = rebuild(
            [next(moved) if _floats(array) else array for array in arrays]
        )
        y, _ = subject.run(params, subject.state, x, train)
        weights = np.random.default_rng(1)
        total = jnp.zeros(())
        for leaf in jax.tree.leaves(y):
            if _floats(leaf):  # the sine bends what would have no second derivative
                total += (jnp.sin(leaf) * weights.normal(size=leaf.shape)).sum()
        return total

    def forwards(f: Callable[[Any], jax.Array]) -> Callable[[Any], jax.Array]:
        return lambda point: jax.jvp(f, (point,), (direction,))[1]

    def backwards(f: Callable[[Any], jax.Array]) -> Callable[[Any], jax.Array]:
        def slope(point: Any) -> jax.Array:
            parts = zip(jax.grad(f)(point), direction, strict=True)
            return jnp.stack([(g * d).sum() for g, d in parts]).sum()

        return slope

    def differences(f: Callable[[Any], jax.Array]) -> Callable[[Any], jax.Array]:
        def moved(point: list[jax.Array], by: float) -> list[jax.Array]:
            return [p + by * d for p, d in zip(point, direction, strict=True)]

        return lambda point: (
            (f(moved(point, STEP)) - f(moved(point, -STEP))) / (2 * STEP)
        )

    def numbers(point: list[jax.Array]) -> dict[str, tuple[jax.Array, jax.Array]]:
        slope, slope_backwards = forwards(value), backwards(value)
        first, second = differences(value)(point), differences(slope)(point)
        return {
            "forwards": (slope(point), first),
            "backwards": (slope_backwards(point), first),
            "forwards twice": (forwards(slope)(point), second),
            "forwards, then backwards": (backwards(slope)(point), second),
            "backwards, then forwards": (forwards(slope_backwards)(point), second),
        }

    for name, (got, want) in jax.jit(numbers)(point).items():
        if not abs(got - want) <= 1e-5 * (1 + abs(want)):
            raise LawError(
                f"differentiated {name} ({_mode(train)}) it gives {got:.8g} along a "
                f"random direction, and finite differences give {want:.8g}"
            )


def _keys(subject: Subject) -> None:
    layer, x = subject.layer, subject.x

    def everything(key: jax.Array) -> Any:
        init_key, train_key = jax.random.split(key)
        params, state = layer.init_with_state(init_key, x)
        return layer.apply_with_state(params, state, x, key=train_key, train=True)

    try:
        with jax.debug_key_reuse(True):
            jax.jit(everything).lower(jax.random.key(KEY))
    except jax.errors.KeyReuseError as error:
        raise LawError(f"a key is used twice: {error}".splitlines()[0]) from None


def _pure(subject: Subject) -> None:
    params, state, x = subject.params, subject.state, subject.x
    other = jax.tree.map(lambda a: a + 1 if _floats(a) else a, x)
    for train, first in subject.results.items():
        subject.run(params, state, other, not train, seed=7)
        if _differ(subject.run(params, state, x, train), first):
            raise LawError(f"called again ({_mode(train)}), it gives another result")
    again = subject.layer.init_with_state(jax.random.key(KEY), x)
    if _differ(again, (params, state)):
        raise LawError("init with an equal key makes other params")


def _evaluation(subject: Subject) -> None:
    params, state, x = subject.params, subject.state, subject.x
    y, new_state = subject.layer.apply_with_state(params, state, x, train=False)
    if _differ(y, subject.results[False][0]):
        raise LawError("the output depends on the key")
    if _differ(y, subject.layer.apply(params, x, state=state)):
        raise LawError("apply and apply_with_state give different outputs")
    if _differ(new_state, state):
        raise LawError("the state changes")


def _numpy(subject: Subject) -> None:
    given = jax.tree.map(np.array, (subject.params, subject.state, subject.x))
    before = jax.tree.map(np.copy, given)
    params, state, x = given
    for train, want in subject.results.items():
        got = subject.run(params, state, x, train)
        _close(f"the result from NumPy arrays ({_mode(train)})", got, want, 1e-6)
        if _differ(given, before):
            raise LawError(f"it writes into its arguments ({_mode(train)})")


def _half(subject: Subject) -> None:
    if not any(_floats(array) for array in jax.tree.leaves(subject.x)):
        return
    for dtype, tolerance in HALF.items():
        small = Subject(subject.layer, _cast(subject.x, dtype))
        params, state, x = _cast((small.params, small.state, small.x), "float32")
        for train in small.modes:
            y, _ = small.compiled(small.params, small.state, small.x, train)
            for what, tree in (("params", small.params), ("output", y)):
                for array in jax.tree.leaves(tree):
                    if _floats(array) and array.dtype != dtype:
                        raise LawError(
                            f"from {dtype} input the {what} are {shapes_text(tree)}; "
                            "make params with x.dtype"
                        )
            if train and _draws(subject.layer):
                continue  # other numbers may be drawn for another dtype
            want, _ = subject.compiled(params, state, x, train)
            _close(f"the output in {dtype} ({_mode(train)})", y, want, tolerance)


def _description(subject: Subject) -> None:
    text = repr(subject.layer)
    for path, layer in subject.layer.walk():
        try:
            json.dumps(dict(layer.settings), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise LawError(f"the settings of {layer.text}: {error}") from None
        name = path.rpartition("/")[2]
        if layer is not subject.layer and f"{layer.kind}" not in text:
            raise LawError(f"printing does not show {name} = {layer.text}")


LAWS: dict[str, Callable[[Subject], None]] = {
    "shapes": _shapes,
    "init": _init,
    "params": _params,
    "jit": _jit,
    "batch": _batch,
    "gradients": _gradients,
    "keys": _keys,
    "pure": _pure,
    "evaluation": _evaluation,
    "numpy": _numpy,
    "half": _half,
    "description": _description,
}


def _mode(train: bool) -> str:
    return "training" if train else "evaluation"


def _draws(layer: Layer) -> bool:
    return any("key" in inner.needs for _, inner in layer.walk())


def _floats(array: Any) -> bool:
    return bool(jnp.issubdtype(array.dtype, jnp.floating))


def _cast(tree: PyTree, dtype: str) -> PyTree:
    def cast(array: jax.Array) -> jax.Array:
        # by NumPy: JAX would compile a program for each shape
        return jax.device_put(np.asarray(array, dtype)) if _floats(array) else array

    return jax.tree.map(cast, tree)


def _same_specs(what: str, foretold: PyTree, got: PyTree) -> None:
    foretold, got = (
        shapes_text(jax.tree.map(spec_of, tree)) for tree in (foretold, got)
    )
    if foretold != got:
        raise LawError(f"plan foretells the {what} {foretold}, and it is {got}")


def _alike(one: PyTree, other: PyTree) -> bool:
    structures: list[Any] = [jax.tree.structure(tree) for tree in (one, other)]
    return bool(structures[0] == structures[1])


def _differ(one: PyTree, other: PyTree) -> bool:
    """Whether two trees of arrays differ in structure, dtype or any value."""
    if not _alike(one, other):
        return True
    return not all(
        a.dtype == b.dtype and np.array_equal(a, b, equal_nan=_floats(a))
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    )


def _distance(one: PyTree, other: PyTree) -> float:
    """The largest difference between two trees, relative where values are above 1."""
    largest = 0.0
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        wide = np.asarray(a, "float64"), np.asarray(b, "float64")
        gap = np.abs(wide[0] - wide[1]) / np.maximum(1, np.abs(wide[1]))
        gap = np.where(wide[0] == wide[1], 0, gap)  # inf
        gap = np.where(np.isnan(wide[0]) & np.isnan(wide[1]), 0, gap)
        largest = max(largest, float(np.nan_to_num(gap, nan=np.inf).max(initial=0)))
    return largest


def _close(what: str, got: PyTree, want: PyTree, tolerance: float) -> None:
    if not _alike(got, want):
        raise LawError(f"{what} has another structure: {shapes_text(got)}")
    if (distance := _distance(got, want)) > tolerance:
        raise LawError(f"{what} is off by {distance:.2g}")
