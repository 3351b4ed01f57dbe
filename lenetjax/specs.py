"""Shapes and dtypes of trees of arrays, and how messages write them."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def spec_of(array: Any) -> jax.ShapeDtypeStruct:
    """The shape and dtype of one array, as JAX would hold it."""
    if not hasattr(array, "shape") or not hasattr(array, "dtype"):
        array = jnp.asarray(array)
    return jax.ShapeDtypeStruct(array.shape, jax.dtypes.canonicalize_dtype(array.dtype))


def key_spec() -> Any:
    """The shape and dtype of one random key."""
    return jax.eval_shape(jax.random.key, 0)


def is_random_key(leaf: Any) -> bool:
    """Whether it is a typed random key, or an array of them."""
    dtype = getattr(leaf, "dtype", None)
    return dtype is not None and bool(jnp.issubdtype(dtype, jax.dtypes.prng_key))


def over_data(function: Callable[[Any], Any], leaf: Any) -> Any:
    """Applies a function to an array, or to the data of a random key."""
    if not is_random_key(leaf):
        return function(leaf)
    data = function(jax.random.key_data(leaf))
    return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))


def shapes_text(tree: Any) -> str:
    """Writes ``float32[2,3]`` for an array, and names what is inside for a dict."""
    if isinstance(tree, Mapping):
        inside = (
            f"{name} {shapes_text(entry)}"
            if not isinstance(entry, Mapping)
            else f"{name} ({shapes_text(entry)})"
            for name, entry in tree.items()
        )
        return ", ".join(inside)
    if isinstance(tree, (tuple, list)):
        return f"({', '.join(shapes_text(entry) for entry in tree)})"
    if not hasattr(tree, "shape") or not hasattr(tree, "dtype"):
        return type(tree).__name__
    return f"{tree.dtype}[{','.join(map(str, tree.shape))}]"


def shapes_by_path(tree: Mapping[str, Any], path: str = "") -> dict[str, str]:
    """Lists every entry of nested dicts as ``{"conv1/weight": "(3, 3, 1, 6)"}``."""
    found: dict[str, str] = {}
    for name, entry in tree.items():
        here = f"{path}/{name}" if path else str(name)
        if isinstance(entry, Mapping):
            found |= shapes_by_path(entry, here)
        elif hasattr(entry, "shape") or isinstance(entry, (int, float, complex)):
            found[here] = str(tuple(np.shape(entry)))
        else:
            found[here] = f"a {type(entry).__name__}"
    return found
