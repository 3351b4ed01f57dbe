"""Images with the batch on the last axis, and laid out in memory so."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

ALIAS = 4096  # bytes from one value to the next at which they share a cache set
VECTOR = 8  # values that a processor's registers hold


def to_batch_minor(x: jax.Array) -> jax.Array:
    """Turns (batch, ...spatial..., channels) into (channels, ...spatial..., batch)."""
    if math.prod(x.shape[1:]) * x.dtype.itemsize % ALIAS == 0:
        # Images a power of two apart fall into the same few cache lines, and turning
        # them is five times as slow; one more column sets them apart.
        apart = row_major(jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, 1), (0, 0)]))
        return row_major(jnp.moveaxis(apart, (0, -1), (-1, 0)))[..., :-1, :]
    return row_major(jnp.moveaxis(x, (0, -1), (-1, 0)))


def from_batch_minor(x: jax.Array) -> jax.Array:
    """Turns (channels, ...spatial..., batch) into (batch, ...spatial..., channels)."""
    return jnp.moveaxis(x, (0, -1), (-1, 0))


def row_major(x: jax.Array) -> jax.Array:
    """Passes x on, and has XLA store it with its last axis contiguous.

    Otherwise XLA keeps the layout that the values came in, and calls a transpose done;
    it also computes x anew for each of its readers.
    """
    return jnp.asarray(_row_major.bind(x))


def _pin(x: jax.Array) -> jax.Array:
    return jnp.asarray(with_layout_constraint(x, Layout(tuple(range(x.ndim)))))


def _lower(context: Any, x: Any) -> Any:
    if context.module_context.lowering_parameters.for_export:
        return [x]  # layouts are no part of the portable format
    return mlir.lower_fun(_pin, multiple_results=False)(context, x)


def _vmap(values: Any, axes: Any) -> Any:
    """The new axis goes first: nothing moves. Where the last one is short, last."""
    (x,), (axis,) = values, axes
    x = jnp.moveaxis(x, axis, 0)
    if x.shape[-1] >= VECTOR:
        return _row_major.bind(x), 0
    return _row_major.bind(jnp.moveaxis(x, 0, -1)), x.ndim - 1


# The layout constraint of jax cannot be exported; this one can.
_row_major = Primitive("row_major")
_row_major.def_impl(lambda x: x)
_row_major.def_abstract_eval(lambda x: x)
ad.deflinear2(_row_major, lambda y, _: [_row_major.bind(y)])
batching.primitive_batchers[_row_major] = _vmap
mlir.register_lowering(_row_major, _lower)
