"""Pooling as array functions. Images are (batch, ...spatial..., channels)."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from lenetjax.functional.arguments import Padding, Pads, PerAxis
from lenetjax.functional.disjoint_windows import max_pool_disjoint
from lenetjax.functional.fast_paths import disjoint_is_faster
from lenetjax.functional.padding import pad_borders
from lenetjax.functional.portability import is_portable
from lenetjax.functional.windows import (
    Windows,
    largest,
    largest_of_slices,
    windows_of,
)


@jax.named_scope("max_pool1d")
def max_pool1d(
    x: jax.Array,
    kernel_size: PerAxis,
    *,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
) -> jax.Array:
    """Takes the largest value of each window of sequences.

    Args, errors: as in `max_pool2d`, for x (batch, width, channels).

    Returns:
      (batch, out width, channels), x's dtype.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.max_pool1d(jnp.ones((8, 30, 6)), 2).shape
      (8, 15, 6)

    Follows `torch.nn.functional.max_pool1d`, channels last.
    """
    return _max_pool(1, x, kernel_size, stride, padding, dilation, ceil_mode)


@jax.named_scope("max_pool2d")
def max_pool2d(
    x: jax.Array,
    kernel_size: PerAxis,
    *,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
) -> jax.Array:
    """Takes the largest value of each window.

    The gradient goes to the first maximum of a window, as in PyTorch.

    Args:
      x: images (batch, height, width, channels), floating.
      kernel_size: the window's height and width, an int or one for each axis.
      stride: the step between windows; the window's size when None.
      padding: -inf around the image, at most half a window: an int, an int or
        (before, after) for each axis, "SAME" or "VALID".
      dilation: the distance between the values of a window.
      ceil_mode: whether a last window may reach over the end of the image.

    Returns:
      (batch, out height, out width, channels), x's dtype, where out height =
      (height + padding - dilation * (kernel height - 1) - 1) // stride + 1; with
      `ceil_mode` the division is rounded up.

    Raises:
      LayerError: x is no batch of images, or the window is larger than the image.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.max_pool2d(jnp.ones((8, 30, 30, 6)), 2).shape
      (8, 15, 15, 6)

    Follows `torch.nn.functional.max_pool2d`, channels last.
    """
    return _max_pool(2, x, kernel_size, stride, padding, dilation, ceil_mode)


@jax.named_scope("max_pool3d")
def max_pool3d(
    x: jax.Array,
    kernel_size: PerAxis,
    *,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
) -> jax.Array:
    """Takes the largest value of each window of volumes.

    Args, errors: as in `max_pool2d`, for x (batch, depth, height, width, channels).

    Returns:
      (batch, out depth, out height, out width, channels), x's dtype.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.max_pool3d(jnp.ones((2, 4, 8, 8, 6)), 2).shape
      (2, 2, 4, 4, 6)

    Follows `torch.nn.functional.max_pool3d`, channels last.
    """
    return _max_pool(3, x, kernel_size, stride, padding, dilation, ceil_mode)


@jax.named_scope("avg_pool1d")
def avg_pool1d(
    x: jax.Array,
    kernel_size: PerAxis,
    *,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> jax.Array:
    """Takes the mean of each window of sequences.

    Args, errors: as in `avg_pool2d`, for x (batch, width, channels).

    Returns:
      (batch, out width, channels), x's dtype.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.avg_pool1d(jnp.ones((8, 30, 6)), 2).shape
      (8, 15, 6)

    Follows `torch.nn.functional.avg_pool1d`, channels last.
    """
    return _avg_pool(1, x, kernel_size, stride, padding, ceil_mode, count_include_pad)


@jax.named_scope("avg_pool2d")
def avg_pool2d(
    x: jax.Array,
    kernel_size: PerAxis,
    *,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> jax.Array:
    """Takes the mean of each window.

    Args:
      x: images (batch, height, width, channels), floating.
      kernel_size: the window's height and width, an int or one for each axis.
      stride: the step between windows; the window's size when None.
      padding: zeros around the image, at most half a window: an int, an int or
        (before, after) for each axis, "SAME" or "VALID".
      ceil_mode: whether a last window may reach over the end of the padded image; what
        lies beyond counts nowhere.
      count_include_pad: whether the zeros of the padding count in the mean.

    Returns:
      (batch, out height, out width, channels), x's dtype, sized as in `max_pool2d`.

    Raises:
      LayerError: x is no batch of images, or the window is larger than the image.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.avg_pool2d(jnp.ones((8, 30, 30, 6)), 2).shape
      (8, 15, 15, 6)

    Follows `torch.nn.functional.avg_pool2d`, channels last.
    """
    return _avg_pool(2, x, kernel_size, stride, padding, ceil_mode, count_include_pad)


@jax.named_scope("avg_pool3d")
def avg_pool3d(
    x: jax.Array,
    kernel_size: PerAxis,
    *,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> jax.Array:
    """Takes the mean of each window of volumes.

    Args, errors: as in `avg_pool2d`, for x (batch, depth, height, width, channels).

    Returns:
      (batch, out depth, out height, out width, channels), x's dtype.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.avg_pool3d(jnp.ones((2, 4, 8, 8, 6)), 2).shape
      (2, 2, 4, 4, 6)

    Follows `torch.nn.functional.avg_pool3d`, channels last.
    """
    return _avg_pool(3, x, kernel_size, stride, padding, ceil_mode, count_include_pad)


def _max_pool(
    rank: int,
    x: jax.Array,
    kernel_size: PerAxis,
    stride: PerAxis | None,
    padding: Padding,
    dilation: PerAxis,
    ceil_mode: bool,
) -> jax.Array:
    windows = windows_of(rank, x, kernel_size, stride, padding, dilation, ceil_mode)
    if is_portable():
        return largest_of_slices(x, windows)
    if max(windows.dilation) > 1:  # lax has no gradient for those
        return _dilated_max_pool(x, windows)
    if windows.disjoint and disjoint_is_faster(x, windows.size):
        return jnp.asarray(max_pool_disjoint(x, windows.size))
    return jnp.asarray(
        lax.reduce_window(
            x, np.array(-np.inf, x.dtype), lax.max, *_on_every_axis(windows)
        )
    )


def _dilated_max_pool(x: jax.Array, windows: Windows) -> jax.Array:
    x = pad_borders(x, windows.all_pads, "constant", -np.inf)
    for axis in range(x.ndim - 2, 0, -1):  # so that ties go to the first of all
        k, step, apart = (
            windows.size[axis - 1],
            windows.stride[axis - 1],
            windows.dilation[axis - 1],
        )
        starts = np.arange(0, x.shape[axis] - apart * (k - 1), step)
        x = largest(x, axis, starts[:, None] + apart * np.arange(k)[None])
    return x


def _avg_pool(
    rank: int,
    x: jax.Array,
    kernel_size: PerAxis,
    stride: PerAxis | None,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
) -> jax.Array:
    windows = windows_of(rank, x, kernel_size, stride, padding, 1, ceil_mode)
    total = jnp.asarray(
        lax.reduce_window(x, np.array(0, x.dtype), lax.add, *_on_every_axis(windows))
    )
    if not any(windows.more) and (count_include_pad or not any(map(sum, windows.pads))):
        return total / math.prod(windows.size)
    counts = _counts(x.shape[1:-1], windows, count_include_pad)
    return total / jnp.broadcast_to(
        counts.astype(x.dtype)[None, ..., None], total.shape
    )


def _on_every_axis(
    windows: Windows,
) -> tuple[tuple[int, ...], tuple[int, ...], Pads]:
    return (
        (1, *windows.size, 1),
        (1, *windows.stride, 1),
        ((0, 0), *windows.all_pads, (0, 0)),
    )


def _counts(
    sizes: tuple[int, ...], windows: Windows, with_padding: bool
) -> NDArray[Any]:
    """How many values each window takes the mean of."""
    counts = np.ones((), int)
    for n, k, step, (before, after), more in zip(
        sizes, windows.size, windows.stride, windows.pads, windows.more, strict=True
    ):
        starts = np.arange(0, n + before + after + more - k + 1, step) - before
        low, high = (-before, n + after) if with_padding else (0, n)
        here = np.minimum(starts + k, high) - np.maximum(starts, low)
        counts = np.multiply.outer(counts, here)
    return counts
