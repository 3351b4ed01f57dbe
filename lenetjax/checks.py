"""What the verbs of a layer refuse, and how they say so."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lenetjax.specs import shapes_by_path, shapes_text, spec_of


class LayerError(ValueError):
    """A layer was built wrongly, or got an input, params or state that do not fit.

    `path` names the layer inside the net ("block/conv1"); it is None on an error that
    has not left its layer yet. `planned` has the `Plan` of each layer before it, where
    shapes do not fit.
    """

    planned: tuple[Any, ...] = ()

    def __init__(self, message: str, path: str | None = None) -> None:
        super().__init__(message)
        self.path = path


def python_bool(train: bool) -> bool:
    """Passes `train` on if it is a Python bool; raises TypeError otherwise."""
    if isinstance(train, (bool, np.bool_)):
        return bool(train)
    raise TypeError(
        f"train must be a Python bool, got {train!r}. Under jax.jit, fix it outside: "
        "functools.partial(net.apply, train=True), or static_argnames='train'."
    )


def check_key(key: Any) -> None:
    """Refuses what is not one random key."""
    typed = isinstance(key, jax.Array) and jnp.issubdtype(
        key.dtype, jax.dtypes.prng_key
    )
    legacy = getattr(key, "dtype", None) == jnp.uint32
    shape = getattr(key, "shape", None)
    if not (typed and shape == ()) and not (legacy and shape == (2,)):
        raise LayerError(
            f"key must be one random key, as jax.random.key(0) makes it, "
            f"got {shapes_text(key)}"
        )


def check_tree(what: str, tree: Any) -> None:
    """Refuses what is no nest of dicts with strings as keys."""
    if not isinstance(tree, Mapping):
        raise LayerError(
            f"{what} must be a dict (as init returns it), got {shapes_text(tree)}"
        )
    for name, entry in tree.items():
        if not isinstance(name, str):
            raise LayerError(f"{what} must have strings as keys, got {name!r}")
        if isinstance(entry, Mapping):
            check_tree(what, entry)


def refuse_misfits(
    what: str,
    given: Mapping[str, Any],
    expected: Mapping[str, Any],
    plan: Any,
) -> None:
    """Raises where the given tree differs from the expected one, naming each path."""
    arrays, structure = jax.tree.flatten(given)
    specs, expected_structure = jax.tree.flatten(expected)
    same_names: Any = structure == expected_structure  # type: ignore[operator]
    if same_names and all(  # the usual case, quickly
        np.shape(array) == spec.shape for array, spec in zip(arrays, specs, strict=True)
    ):
        return
    have, want = shapes_by_path(given), shapes_by_path(expected)
    misfits = {
        path: f"expected {want.get(path, 'nothing')}, got {have.get(path, 'nothing')}"
        for path in [*want, *(path for path in have if path not in want)]
        if want.get(path) != have.get(path)
    }
    if misfits:
        lines = "\n".join(f"  {path}: {problem}" for path, problem in misfits.items())
        layer_path = next(iter(misfits)).rpartition("/")[0]
        raise LayerError(
            f"the {what} do not fit {plan.layer.kind} on input {shapes_text(plan.x)}:\n"
            f"{lines}\n"
            f"  shapes: {' -> '.join(_up_to(layer_path, plan.shapes))}\n"
            f"Give the {what} that init made for this net, and inputs of the size that "
            "it was made for.",
            path=layer_path,
        )


def _up_to(path: str, shapes: tuple[str, ...]) -> list[str]:
    """The chain of shapes that leads to a layer."""
    names = [shape.partition(" ")[0] for shape in shapes]
    return [*shapes[: names.index(path)], "here"] if path in names else list(shapes)


def refuse_new_structure(old: Mapping[str, Any], new: Any) -> None:
    """Refuses a new state with other names, shapes or dtypes than the old one."""
    if shapes_text(jax.tree.map(spec_of, old)) != shapes_text(
        jax.tree.map(spec_of, new)
    ):
        raise LayerError(
            f"the new state must have the old one's names, shapes and dtypes, "
            f"{shapes_text(old)}; got {shapes_text(new)}"
        )


def refuse_non_arrays(y: Any) -> None:
    """Refuses the output of a layer that is no tree of arrays."""
    for entry in jax.tree.leaves(y):
        if not hasattr(entry, "shape") or not hasattr(entry, "dtype"):
            raise LayerError(
                f"it must return arrays, got {type(entry).__name__}; a function that "
                "makes a layer is given with brackets"
            )
