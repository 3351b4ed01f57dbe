"""Max-pooling of windows that do not overlap, without a scatter in its gradient."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lenetjax.functional.batch_minor import (
    from_batch_minor,
    row_major,
)


@functools.partial(jax.jit, static_argnums=1, inline=True)
def max_pool_disjoint(x: jax.Array, window: tuple[int, ...]) -> jax.Array:
    """Takes the largest value of each window; the stride is the window.

    The gradient goes to the first maximum of a window.
    """
    turned = jnp.moveaxis(x, (0, -1), (-1, 0))
    return from_batch_minor(row_major(_largest(turned, window)))


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _largest(x: jax.Array, window: tuple[int, ...]) -> jax.Array:
    return functools.reduce(jnp.maximum, _corners(_split(x, window), window))


@_largest.defjvp
def _largest_jvp(
    window: tuple[int, ...],
    primals: tuple[jax.Array],
    tangents: tuple[jax.Array],
) -> tuple[jax.Array, jax.Array]:
    corners = _corners(_split(primals[0], window), window)
    best, winner = corners[0], jnp.zeros(corners[0].shape, jnp.int32)
    for number, corner in enumerate(corners[1:], start=1):
        winner = jnp.where(corner > best, number, winner)
        best = jnp.maximum(best, corner)
    inner = tuple(range(2, 2 * len(window) + 1, 2))
    sizes = itertools.chain(*((1, k) for k in window))
    place = np.arange(math.prod(window), dtype=np.int32).reshape(1, *sizes, 1)
    wins = jnp.expand_dims(winner, inner) == place
    moved = jnp.where(wins, _split(tangents[0], window), 0)
    return best, moved.sum(inner)


def _split(x: jax.Array, window: tuple[int, ...]) -> jax.Array:
    """Gives each window an axis of its own after each spatial axis."""
    channels, *sizes, batch = x.shape
    counts = [n // k for n, k in zip(sizes, window, strict=True)]
    whole = [n * k for n, k in zip(counts, window, strict=True)]
    x = lax.slice(x, [0] * x.ndim, [channels, *whole, batch])
    split = itertools.chain(*zip(counts, window, strict=True))
    return x.reshape(channels, *split, batch)


def _corners(x: jax.Array, window: tuple[int, ...]) -> list[jax.Array]:
    """The first value of each window, the second, and so on."""
    inner = tuple(range(2, x.ndim - 1, 2))
    whole = [1 if axis in inner else n for axis, n in enumerate(x.shape)]
    corners = []
    for place in itertools.product(*map(range, window)):
        starts = [0] * x.ndim
        for axis, start in zip(inner, place, strict=True):
            starts[axis] = start
        ends = [start + n for start, n in zip(starts, whole, strict=True)]
        corners.append(lax.squeeze(lax.slice(x, starts, ends), inner))
    return corners
