"""Convolution as one matrix product, over columns of the values under each window."""

import itertools
import math
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
    taps, features = weight.shape[:-2], weight.shape[-1]
    x = to_batch_minor(x)
    if any(map(any, pads)):
        zero = jnp.zeros((), x.dtype)
        x = lax.pad(x, zero, [(0, 0, 0), *((*pad, 0) for pad in pads), (0, 0, 0)])
    channels, *sizes, batch = x.shape
    out = [
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(sizes, taps, stride, dilation, strict=True)
    ]
    columns = [
        _under_tap(x, tap, out, stride, dilation)
        for tap in itertools.product(*map(range, taps))
    ]
    rows = math.prod(taps) * channels
    y = lax.dot_general(
        weight.reshape(rows, features),
        lax.concatenate(columns, 0).reshape(rows, math.prod(out) * batch),
        (((0,), (0,)), ((), ())),
    ).reshape(features, *out, batch)
    if bias is not None:
        y += lax.broadcast_in_dim(bias, y.shape, (0,))
    return from_batch_minor(row_major(y))


def _under_tap(
    x: jax.Array,
    tap: tuple[int, ...],
    out: list[int],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> jax.Array:
    """What one tap of the kernel sees at each place of the window."""
    starts = [t * d for t, d in zip(tap, dilation, strict=True)]
    ends = [
        start + s * (n - 1) + 1 for start, s, n in zip(starts, stride, out, strict=True)
    ]
    channels, batch = x.shape[0], x.shape[-1]
    return lax.slice(x, (0, *starts, 0), (channels, *ends, batch), (1, *stride, 1))
