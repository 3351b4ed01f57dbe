"""Where the windows of a pooling lie, and the largest value in each."""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from lenetjax.core import LayerError
from lenetjax.functional.arguments import (
    Padding,
    Pads,
    PerAxis,
    check_images,
    check_window,
    padding_spec,
    pads_of,
    per_axis,
)
from lenetjax.functional.convolution import spread
from lenetjax.functional.padding import pad_borders

Bins = Sequence[tuple[int, int]]  # the start and the end of each window on one axis


class Windows(NamedTuple):
    """The windows of a pooling: one entry for each spatial axis.

    `pads` is what was asked for; `more` is what the last window needs beyond that, when
    sizes are rounded up.
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    pads: Pads
    more: tuple[int, ...]

    @property
    def all_pads(self) -> Pads:
        return tuple(
            (before, after + more)
            for (before, after), more in zip(self.pads, self.more, strict=True)
        )

    @property
    def disjoint(self) -> bool:
        """Whether they lie side by side within the image, without gap or overlap."""
        return (
            self.stride == self.size
            and max(self.dilation) == 1
            and not any(map(any, self.all_pads))
        )


def windows_of(
    rank: int,
    x: jax.Array,
    kernel_size: PerAxis,
    stride: PerAxis | None,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
) -> Windows:
    """Spells out the windows of a pooling over images.

    Raises:
      LayerError: x is no batch of images, or the windows do not fit.
    """
    check_images(x, rank)
    size = per_axis("kernel_size", kernel_size, rank)
    stride = size if stride is None else per_axis("stride", stride, rank)
    dilation = per_axis("dilation", dilation, rank)
    sizes = x.shape[1:-1]
    reach = spread(size, dilation)
    pads = pads_of(padding_spec(padding, rank), sizes, reach, stride)
    if any(2 * max(pad) > k for pad, k in zip(pads, size, strict=True)):
        raise LayerError(  # a window of padding alone has no largest value
            f"padding may be at most half the window {size}, got {padding!r}"
        )
    more = [0] * rank
    if ceil_mode:
        more = [
            _rounded_up(*axis) for axis in zip(sizes, reach, stride, pads, strict=True)
        ]
    windows = Windows(size, stride, dilation, pads, tuple(more))
    check_window(sizes, reach, windows.all_pads, "window")
    return windows


def _rounded_up(n: int, reach: int, stride: int, pad: tuple[int, int]) -> int:
    """How much the last window reaches over the end, when it may."""
    padded = n + sum(pad)
    count = max(1, math.ceil((padded - reach) / stride) + 1)
    if (count - 1) * stride >= n + pad[0]:  # it would start beyond the image
        count -= 1
    return max(0, (count - 1) * stride + reach - padded)


def bins_of(n: int, out: int) -> Bins:
    """Splits n values into `out` windows of nearly equal size, which may overlap."""
    return [(i * n // out, -(-(i + 1) * n // out)) for i in range(out)]


def indices(bins: Bins) -> NDArray[np.int64]:
    """The positions in each window, (windows, longest); short ones repeat the last."""
    longest = max(end - start for start, end in bins)
    return np.array(
        [[min(start + i, end - 1) for i in range(longest)] for start, end in bins]
    )


def largest(x: jax.Array, axis: int, positions: NDArray[np.int64]) -> jax.Array:
    """Takes the largest of the values at each row of positions on one axis.

    The gradient goes to the first maximum.
    """
    rows, longest = positions.shape
    values = jnp.take(x, positions.ravel(), axis=axis)
    values = values.reshape(*x.shape[:axis], rows, longest, *x.shape[axis + 1 :])
    first = jnp.argmax(values, axis + 1, keepdims=True)
    return jnp.take_along_axis(values, first, axis + 1).squeeze(axis + 1)


def largest_of_slices(x: jax.Array, windows: Windows) -> jax.Array:
    """Takes the largest value of each window, by comparing a slice for each corner.

    Slow, with a gradient shared by equal values; of operations that all programs know.
    """
    if any(map(any, windows.all_pads)):
        x = pad_borders(x, windows.all_pads, "constant", -np.inf)
    reach = spread(windows.size, windows.dilation)
    corners = []
    for place in itertools.product(*map(range, windows.size)):
        starts = [p * d for p, d in zip(place, windows.dilation, strict=True)]
        ends = [
            start + n - k + 1
            for start, n, k in zip(starts, x.shape[1:-1], reach, strict=True)
        ]
        sides = (0, *starts, 0), (x.shape[0], *ends, x.shape[-1])
        corners.append(lax.slice(x, *sides, (1, *windows.stride, 1)))
    return functools.reduce(jnp.maximum, corners)
