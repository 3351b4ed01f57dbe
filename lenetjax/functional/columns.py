"""Convolution as one matrix product, over columns of the values under each window."""

import itertools
import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from lenetjax.functional.arguments import Pads
from lenetjax.functional.batch_minor import (
    from_batch_minor,
    row_major,
    to_batch_minor,
)


# Called outside of jit, its many operations run as one program; inside, inlined, they
# keep the name of their layer in profiles.
@partial(jax.jit, static_argnums=(3, 4, 5), inline=True)
def convolve_columns(
    x: jax.Array,
    weight: jax.Array,
    bias: jax.Array | None,
    stride: tuple[int, ...],
    pads: Pads,
    dilation: tuple[int, ...],
) -> jax.Array:
    """Convolves as `lax.conv_general_dilated` with one group, and adds the bias.

    Its gradients are those of slices and of a product, with nothing convolved.
    """
    *taps, channels, features = weight.shape
    seen = _under_taps(to_batch_minor(x), taps, stride, pads, dilation)
    _, *out, batch = seen[0].shape
    rows = math.prod(taps) * channels
    y = lax.dot_general(
        weight.reshape(rows, features),
        lax.concatenate(seen, 0).reshape(rows, math.prod(out) * batch),
        (((0,), (0,)), ((), ())),
    ).reshape(features, *out, batch)
    if bias is not None:
        y += lax.broadcast_in_dim(bias, y.shape, (0,))
    return from_batch_minor(row_major(y))


@partial(jax.jit, static_argnums=(3, 4, 5), inline=True)
def convolve_rows(
    x: jax.Array,
    weight: jax.Array,
    bias: jax.Array | None,
    stride: tuple[int, ...],
    pads: Pads,
    dilation: tuple[int, ...],
) -> jax.Array:
    """The same of images as they lie: a row for each place, for many channels."""
    features = weight.shape[-1]
    rows = lax.concatenate(
        _under_taps(x, weight.shape[:-2], stride, pads, dilation), x.ndim - 1
    )
    contracted = (((x.ndim - 1,), (0,)), ((), ()))
    y = lax.dot_general(rows, weight.reshape(rows.shape[-1], features), contracted)
    if bias is not None:
        y += lax.broadcast_in_dim(bias, y.shape, (y.ndim - 1,))
    return y


def _under_taps(
    x: jax.Array,
    taps: Sequence[int],
    stride: tuple[int, ...],
    pads: Pads,
    dilation: tuple[int, ...],
) -> list[jax.Array]:
    """What each tap of the kernel sees at each place of the window.

    All axes of x but the first and the last are spatial.
    """
    if any(map(any, pads)):
        zero = jnp.zeros((), x.dtype)
        x = lax.pad(x, zero, [(0, 0, 0), *((*pad, 0) for pad in pads), (0, 0, 0)])
    first, *sizes, last = x.shape

    def seen(tap: tuple[int, ...]) -> jax.Array:
        starts = [t * d for t, d in zip(tap, dilation, strict=True)]
        ends = [
            n - d * (k - 1) + start
            for n, k, d, start in zip(sizes, taps, dilation, starts, strict=True)
        ]
        return lax.slice(x, (0, *starts, 0), (first, *ends, last), (1, *stride, 1))

    return [seen(tap) for tap in itertools.product(*map(range, taps))]
