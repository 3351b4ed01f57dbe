"""Pooling layers."""

from collections.abc import Callable

import jax

from lenetjax import functional
from lenetjax.core import Layer, Params, layer, no_params
from lenetjax.functional.arguments import Padding, PerAxis, padding_spec, per_axis


def max_pool2d(
    kernel_size: PerAxis, *, stride: PerAxis | None = None, padding: Padding = 0
) -> Layer:
    """Takes the largest value of each window; a tie's gradient goes to the first.

    Args:
      kernel_size: the window's height and width, an int or one for each axis.
      stride: the step between windows; the window's size when None.
      padding: -inf around the image, at most half a window: an int, an int or
        (before, after) for each axis, "SAME" or "VALID".

    Input: (batch, height, width, channels), floating.
    Output: (batch, out height, out width, channels), where out height =
      (height + padding - kernel height) // stride + 1.

    Raises:
      LayerError: a size is not positive; later, x does not fit.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.max_pool2d(2).apply({}, jnp.zeros((8, 30, 30, 6))).shape
      (8, 15, 15, 6)

    Follows `torch.nn.MaxPool2d`, channels last.
    """
    return _pool2d(max_pool2d, functional.max_pool2d, kernel_size, stride, padding)


def avg_pool2d(
    kernel_size: PerAxis, *, stride: PerAxis | None = None, padding: Padding = 0
) -> Layer:
    """Takes the mean of each window; padded zeros count, as in PyTorch.

    Args:
      kernel_size: the window's height and width, an int or one for each axis.
      stride: the step between windows; the window's size when None.
      padding: zeros around the image, at most half a window: an int, an int or
        (before, after) for each axis, "SAME" or "VALID".

    Input: (batch, height, width, channels), floating.
    Output: (batch, out height, out width, channels), sized as in `max_pool2d`.

    Raises:
      LayerError: a size is not positive; later, x does not fit.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.avg_pool2d(2).apply({}, jnp.zeros((8, 30, 30, 6))).shape
      (8, 15, 15, 6)

    Follows `torch.nn.AvgPool2d`, channels last.
    """
    return _pool2d(avg_pool2d, functional.avg_pool2d, kernel_size, stride, padding)


def _pool2d(
    constructor: Callable[..., Layer],
    pool: Callable[..., jax.Array],
    kernel_size: PerAxis,
    stride: PerAxis | None,
    padding: Padding,
) -> Layer:
    per_axis("kernel_size", kernel_size, 2)
    if stride is not None:
        per_axis("stride", stride, 2)
    padding_spec(padding, 2)

    def apply(params: Params, x: jax.Array) -> jax.Array:
        return pool(x, kernel_size, stride=stride, padding=padding)

    settings = {"kernel_size": kernel_size, "stride": stride, "padding": padding}
    return layer(constructor, no_params, apply, settings=settings)
