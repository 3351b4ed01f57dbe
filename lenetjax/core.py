"""What a layer is: two pure functions, `init` and `apply`, over plain dicts of arrays.

Every call walks the net twice. `plan` walks it with shapes alone (`jax.eval_shape`)
and finds which params and state each layer needs for this input; bad shapes and
foreign params are refused here. Then `run` computes. Plans are remembered per input
shape, and under `jax.jit` both walks happen only while tracing.
"""

import contextlib
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import jax
import jax.numpy as jnp

from lenetjax import listing
from lenetjax.checks import LayerError as LayerError
from lenetjax.checks import (
    check_key,
    check_tree,
    python_bool,
    refuse_misfits,
    refuse_new_structure,
    refuse_non_arrays,
)
from lenetjax.signatures import (
    asked_for,
    call_text,
    function_kind,
    is_plain,
    plain,
)
from lenetjax.specs import key_spec, shapes_text, spec_of

PyTree = Any  # an array, or nested tuples, lists and dicts of arrays
Params = dict[str, Any]  # nested dicts of arrays, keyed by child name
State = dict[str, Any]

PLANS_KEPT = 64  # per net; inputs of ever new shapes must not fill the memory


@dataclass(frozen=True)
class Call:
    """How far into the net one call has come, and what it carries along."""

    path: str = ""
    key: jax.Array | None = None
    train: bool = False
    shapes: list[str] = field(default_factory=list)  # what each layer made so far
    taps: frozenset[str] = frozenset()  # the layers whose outputs are wanted
    stand_in: Callable[..., tuple[PyTree, State]] | None = None  # for a layer's apply

    def child(self, name: str) -> "Call":
        """The same call, one layer further in; a child has a key of its own."""
        path = f"{self.path}/{name}" if self.path else name
        key = None if self.key is None else child_key(self.key, name)
        return replace(self, path=path, key=key)

    @contextlib.contextmanager
    def inside(
        self, layer: "Layer", x: PyTree, params: Params | None
    ) -> Iterator[None]:
        """Names the layer in profiles and graphs, and in any error raised inside it."""
        name = self.path.rpartition("/")[2]
        scope = name if layer.children else f"{name}/{layer.text}"
        try:
            with jax.named_scope(scope) if scope else contextlib.nullcontext():
                yield
        except Exception as error:
            if isinstance(error, LayerError) and error.path is not None:
                raise
            name = f"layer '{self.path}' = {layer.text}" if self.path else layer.text
            lines = [f"{name}: {error}", f"  input:  {shapes_text(x)}"]
            if params is not None:
                lines.append(f"  params: {shapes_text(params) or 'none'}")
            lines.append(f"  shapes: {' -> '.join([*self.shapes, 'here'])}")
            raise LayerError("\n".join(lines), path=self.path) from error


@dataclass(frozen=True)
class Plan:
    """What a layer does to inputs of one shape: specs in place of arrays.

    `x`, `y`, `params` and `state` hold a `jax.ShapeDtypeStruct` for each array.
    `init(key)` makes the real params and state. `children` are the plans of the
    layers inside, in the order of their calls (a shared layer stands there once per
    call). `shapes` says in words what each layer makes. `copies` is how many there are
    of each layer inside, each with its own params.
    """

    layer: "Layer"
    path: str
    x: PyTree
    y: PyTree
    params: Params
    state: State
    init: Callable[[jax.Array], tuple[Params, State]]
    children: tuple["Plan", ...] = ()
    shapes: tuple[str, ...] = ()
    copies: int = 1


@dataclass(frozen=True, eq=False)
class Layer:
    """A pair of pure functions, `init` and `apply`, and a description of itself.

    Make one with `layer`, or from others with `serial` and `compose`; take it apart
    with ``init, apply = net``. A layer holds no arrays: params and state go in and
    come out as plain nested dicts. `apply` returns the output alone; the
    `*_with_state` verbs work on every net and carry its state along.

    Attributes:
      kind: the name of the function that made it, such as "conv2d".
      settings: what that function was given, as plain data.
      children: the layers inside, by name; the one inside a wrapper such as `repeat`,
        which adds nothing to its path, has the empty name.
      needs: which of `key`, `state` and `train` its own apply asks for.
      text: the layer on one line, such as "conv2d(6, kernel_size=3)".
    """

    kind: str
    settings: Mapping[str, Any]
    children: Mapping[str, "Layer"]
    needs: frozenset[str]
    text: str
    plan_call: Callable[[PyTree, Call], Plan]
    run_call: Callable[[Params, State, PyTree, Call], tuple[PyTree, State]]
    _plans: dict[Any, Plan] = field(default_factory=dict)

    def init(self, key: jax.Array, x: PyTree) -> Params:
        """Draws the params for inputs of x's shape and dtype.

        Args:
          key: a `jax.random.key`.
          x: an example input, or its `jax.ShapeDtypeStruct`; values are not read.

        Returns:
          Nested dicts of arrays, keyed by child name; a layer without params leaves
          no entry.

        Raises:
          LayerError: x does not fit the net, or the net has state.
        """
        self._refuse_state("init(key, x)", "init_with_state(key, x)")
        return self.init_with_state(key, x)[0]

    def init_with_state(self, key: jax.Array, x: PyTree) -> tuple[Params, State]:
        """Draws the params and makes the first state; works on every net.

        Raises:
          LayerError: x does not fit the net.
        """
        check_key(key)
        return self.plan(x).init(key)

    def apply(
        self,
        params: Params,
        x: PyTree,
        *,
        state: State | None = None,
        key: jax.Array | None = None,
        train: bool = False,
    ) -> PyTree:
        """Computes the output, and returns nothing else.

        Args:
          params: what `init` returned.
          x: the input.
          state: what `init_with_state` returned, if the net has state; it is only read.
          key: a `jax.random.key`, if the net has random layers and trains.
          train: a Python bool: whether to behave as in training.

        Raises:
          LayerError: x, params or state do not fit; the net has state and none is
            given, or `train=True` would throw its new state away; a random layer has
            no key.
          TypeError: `train` is not a Python bool.
        """
        train = python_bool(train)
        if train:
            verb = "apply_with_state(params, state, x, key=key, train=True)"
            self._refuse_state("apply(..., train=True)", verb)
        elif state is None:
            self._refuse_state("apply without state", "apply(params, x, state=state)")
        state = {} if state is None else state
        return self.apply_with_state(params, state, x, key=key, train=train)[0]

    def apply_with_state(
        self,
        params: Params,
        state: State,
        x: PyTree,
        *,
        key: jax.Array | None = None,
        train: bool,
    ) -> tuple[PyTree, State]:
        """Computes the output and the new state; works on every net (state `{}`).

        Raises:
          LayerError: x, params or state do not fit, or a random layer has no key.
          TypeError: `train` is not a Python bool.
        """
        train = python_bool(train)
        check_tree("params", params)
        check_tree("state", state)
        x = jax.tree.map(jnp.asarray, x)
        plan = self.plan(x)
        refuse_misfits("params", params, plan.params, plan)
        refuse_misfits("state", state, plan.state, plan)
        params, state = jax.tree.map(jnp.asarray, (params, state))
        if key is None:
            self._refuse_missing_key(train)
        else:
            check_key(key)
        call = Call(key=key, train=train, shapes=[f"input {shapes_text(x)}"])
        return self.run_call(params, state, x, call)

    def plan(self, x: PyTree) -> Plan:
        """Finds each layer's shapes for an input, without computing anything.

        Raises:
          LayerError: x does not fit the net.
        """
        x = jax.tree.map(spec_of, x)
        leaves, structure = jax.tree.flatten(x)
        question = (structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves))
        if question not in self._plans:
            call = Call(shapes=[f"input {shapes_text(x)}"])
            plan = replace(self.plan_call(x, call), shapes=tuple(call.shapes))
            if len(self._plans) >= PLANS_KEPT:
                self._plans.clear()
            self._plans[question] = plan
        return self._plans[question]

    def walk(self, path: str = "") -> Iterator[tuple[str, "Layer"]]:
        """Yields this layer and all layers inside it, with their paths."""
        yield path, self
        for name, child in self.children.items():
            yield from child.walk(f"{path}/{name}" if path and name else path or name)

    def _refuse_state(self, verb: str, use: str) -> None:
        owners = names_of(self, lambda layer: "state" in layer.needs)
        if owners:
            raise LayerError(f"{verb}: this net has state, in {owners}. Use {use}.")

    def _refuse_missing_key(self, train: bool) -> None:
        # A layer that asks for the mode too is random in training only.
        random = names_of(
            self,
            lambda layer: (
                "key" in layer.needs and (train or "train" not in layer.needs)
            ),
        )
        if random:
            raise LayerError(
                f"{random} needs randomness, and no key was given. "
                "Pass key=jax.random.key(...), another one at each step."
            )

    def __iter__(self) -> Iterator[Callable[..., Any]]:
        return iter((self.init, self.apply))

    def __repr__(self) -> str:
        return listing.text(self)

    def _repr_html_(self) -> str:
        return listing.html(self)


def layer(
    kind: str | Callable[..., Layer],
    init: Callable[..., Any],
    apply: Callable[..., Any],
    *,
    settings: Mapping[str, Any] | None = None,
) -> Layer:
    """Makes a layer of your own from two functions.

    `apply(params, x)` may ask for more by keyword-only name: `key` (a random key of
    its own), `train` (a Python bool) and `state`. A layer that asks for `key` and
    `train` is random in training and may get `key=None` otherwise; one that asks for
    `key` alone always is. A layer that asks for `state` owns some: its init returns
    ``(params, state)`` and its apply ``(y, state)``.

    Args:
      kind: the layer's name, or the function that makes it; with the function and
        `settings`, printing shows the settings that differ from its defaults.
      init: ``init(key, x) -> params``, a dict of arrays. `x` is a
        `jax.ShapeDtypeStruct`: it has a shape and a dtype, and no values.
      apply: ``apply(params, x) -> y``.
      settings: plain data (numbers, strings, bools, None, tuples) that describes the
        layer; it is shown and written down, and never read by init or apply.

    Raises:
      LayerError: `apply` asks for anything else, or the settings are not plain data.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> def scale():
      ...     def init(key, x):
      ...         return {"gain": jnp.ones(x.shape[-1])}
      ...     def apply(params, x):
      ...         return params["gain"] * x
      ...     return nn.layer("scale", init, apply)
      >>> scale().init(jax.random.key(0), jnp.zeros((2, 3)))
      {'gain': Array([1., 1., 1.], dtype=float32)}
    """
    settings = {name: plain(value) for name, value in (settings or {}).items()}
    name = kind if isinstance(kind, str) else kind.__name__
    text = call_text(kind, settings)
    if not is_plain(settings):
        raise LayerError(f"{text}: settings must be plain data, such as JSON can hold")
    needs = asked_for(text, apply)

    def make(key: jax.Array, x: PyTree) -> tuple[Params, State]:
        made = init(key, x)
        if "state" not in needs:
            made = (made, {})
        elif not (isinstance(made, tuple) and len(made) == 2):
            raise LayerError("its apply asks for state: init returns (params, state)")
        params, state = made
        check_tree("params", params)
        check_tree("state", state)
        made = jax.tree.map(jnp.asarray, (params, state))
        return cast(tuple[Params, State], made)

    def plan(x: PyTree, call: Call) -> Plan:
        key = key_spec()
        with call.inside(self, x, None):
            params, state = jax.eval_shape(lambda key: make(key, x), key)

        def output(key: jax.Array, params: Params, state: State, x: PyTree) -> PyTree:
            return run(params, state, x, replace(call, key=key))[0]

        y = jax.eval_shape(output, key, params, state, x)
        return Plan(self, call.path, x, y, params, state, lambda key: make(key, x))

    def run(
        params: Params, state: State, x: PyTree, call: Call
    ) -> tuple[PyTree, State]:
        offered = {"key": call.key, "state": state, "train": call.train}
        new_state: State = {}
        with call.inside(self, x, params):
            if call.stand_in is not None:
                return call.stand_in(self, state, x, call)
            y = apply(params, x, **{name: offered[name] for name in needs})
            if "state" in needs:
                y, new_state = y
                refuse_new_structure(state, new_state)
            refuse_non_arrays(y)
        call.shapes.append(f"{call.path or text} {shapes_text(y)}")
        return y, new_state

    self = Layer(name, settings, {}, needs, text, plan, run)
    return self


def no_params(key: jax.Array, x: PyTree) -> Params:
    """The init of a layer that has no params."""
    return {}


def as_layer(thing: Layer | Callable[[jax.Array], jax.Array]) -> Layer:
    """Turns a plain function of one array into a layer without params.

    Raises:
      LayerError: `thing` is neither a layer nor a function.
    """
    if isinstance(thing, Layer):
        return thing
    if not callable(thing):
        raise LayerError(
            f"expected a layer or a function of one array, got {type(thing).__name__}"
        )
    if getattr(thing, "__annotations__", {}).get("return") is Layer:
        name = getattr(thing, "__name__", "it")
        raise LayerError(f"{name} is a function that makes a layer: write {name}(...)")
    kind, settings = function_kind(thing)
    return layer(kind, no_params, lambda params, x: thing(x), settings=settings)


def child_key(key: jax.Array, name: str) -> jax.Array:
    """A child's key, from its name: inserting a sibling leaves it as it was."""
    return jax.random.fold_in(key, name_number(name))


def name_number(name: str) -> int:
    """The number that stands for a child's name in its random key."""
    return zlib.crc32(name.encode())


def names_of(net: Layer, wanted: Callable[[Layer], bool]) -> str:
    """The paths of the leaves of a kind, for a message."""
    found = [(path, leaf) for path, leaf in net.walk() if wanted(leaf)]
    return ", ".join(
        f"'{path}' = {leaf.text}" if path else leaf.text for path, leaf in found
    )
