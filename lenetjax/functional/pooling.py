"""Pooling as array functions. Images are (batch, ...spatial..., channels)."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

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


def max_pool2d(
    x: jax.Array,
    kernel_size: PerAxis,
    *,
    stride: PerAxis | None = None,
    padding: Padding = 0,
) -> jax.Array:
    """Takes the largest value of each window.

    The gradient goes to the first maximum of a window, as in PyTorch.

    Args:
      x: images (batch, height, width, channels), floating.
      kernel_size: the window's height and width, an int or one for each axis.
      stride: the step between windows; the window's size when None.
      padding: -inf around the image, at most half a window: an int, an int or
        (before, after) for each axis, "SAME" or "VALID".

    Returns:
      (batch, out height, out width, channels), x's dtype, where out height =
      (height + padding - kernel height) // stride + 1.

    Raises:
      LayerError: x is no batch of images, or the window is larger than the image.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.max_pool2d(jnp.ones((8, 30, 30, 6)), 2).shape
      (8, 15, 15, 6)

    Follows `torch.nn.functional.max_pool2d`, channels last.
    """
    window, stride, pads = _windows(2, x, kernel_size, stride, padding)
    lowest = np.array(-np.inf, x.dtype)
    return _reduce(x, lowest, lax.max, window, stride, pads)


def avg_pool2d(
    x: jax.Array,
    kernel_size: PerAxis,
    *,
    stride: PerAxis | None = None,
    padding: Padding = 0,
) -> jax.Array:
    """Takes the mean of each window; padded zeros count, as in PyTorch.

    Args:
      x: images (batch, height, width, channels), floating.
      kernel_size: the window's height and width, an int or one for each axis.
      stride: the step between windows; the window's size when None.
      padding: zeros around the image, at most half a window: an int, an int or
        (before, after) for each axis, "SAME" or "VALID".

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
    window, stride, pads = _windows(2, x, kernel_size, stride, padding)
    total = _reduce(x, np.array(0, x.dtype), lax.add, window, stride, pads)
    return total / math.prod(window)


def _windows(
    rank: int,
    x: jax.Array,
    kernel_size: PerAxis,
    stride: PerAxis | None,
    padding: Padding,
) -> tuple[tuple[int, ...], tuple[int, ...], Pads]:
    check_images(x, rank)
    window = per_axis("kernel_size", kernel_size, rank)
    stride = window if stride is None else per_axis("stride", stride, rank)
    sizes = x.shape[1:-1]
    pads = pads_of(padding_spec(padding, rank), sizes, window, stride)
    check_window(sizes, window, pads, "window")
    if any(2 * max(pad) > w for pad, w in zip(pads, window, strict=True)):
        raise LayerError(  # a window of padding alone has no largest value
            f"padding may be at most half the window {window}, got {padding!r}"
        )
    return window, stride, pads


def _reduce(
    x: jax.Array,
    start: np.ndarray[Any, Any],
    operation: Callable[[Any, Any], Any],
    window: tuple[int, ...],
    stride: tuple[int, ...],
    pads: Pads,
) -> jax.Array:
    every_axis = ((0, 0), *pads, (0, 0))
    y = lax.reduce_window(
        x, start, operation, (1, *window, 1), (1, *stride, 1), every_axis
    )
    return jnp.asarray(y)
