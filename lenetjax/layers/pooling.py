"""Pooling layers."""

from collections.abc import Callable, Mapping
from typing import Any

import jax

from lenetjax import functional
from lenetjax.core import Layer, Params, layer, no_params
from lenetjax.functional.arguments import Padding, PerAxis, padding_spec, per_axis
from lenetjax.functional.lp_pooling import check_norm_type


def max_pool1d(
    kernel_size: PerAxis,
    *,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
) -> Layer:
    """Takes the largest value of each window of sequences.

    Arguments and errors are those of `max_pool2d`, with one spatial axis.

    Input: (batch, width, channels), floating.
    Output: (batch, out width, channels).

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.max_pool1d(2).apply({}, jnp.zeros((8, 30, 6))).shape
      (8, 15, 6)

    Follows `torch.nn.MaxPool1d`, channels last.
    """
    settings = {
        "kernel_size": kernel_size,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "ceil_mode": ceil_mode,
    }
    return _pool(1, max_pool1d, functional.max_pool1d, settings)


def max_pool2d(
    kernel_size: PerAxis,
    *,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
) -> Layer:
    """Takes the largest value of each window; a tie's gradient goes to the first.

    Args:
      kernel_size: the window's height and width, an int or one for each axis.
      stride: the step between windows; the window's size when None.
      padding: -inf around the image, at most half a window: an int, an int or
        (before, after) for each axis, "SAME" or "VALID".
      dilation: the distance between the values of a window.
      ceil_mode: whether a last window may reach over the end of the image.

    Input: (batch, height, width, channels), floating.
    Output: (batch, out height, out width, channels), where out height = (height +
      padding - dilation * (kernel height - 1) - 1) // stride + 1; with `ceil_mode` the
      division is rounded up.

    Raises:
      LayerError: a size is not positive; later, x does not fit.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.max_pool2d(2).apply({}, jnp.zeros((8, 30, 30, 6))).shape
      (8, 15, 15, 6)

    Follows `torch.nn.MaxPool2d`, channels last.
    """
    settings = {
        "kernel_size": kernel_size,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "ceil_mode": ceil_mode,
    }
    return _pool(2, max_pool2d, functional.max_pool2d, settings)


def max_pool3d(
    kernel_size: PerAxis,
    *,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
) -> Layer:
    """Takes the largest value of each window of volumes.

    Arguments and errors are those of `max_pool2d`, with three spatial axes.

    Input: (batch, depth, height, width, channels), floating.
    Output: (batch, out depth, out height, out width, channels).

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.max_pool3d(2).apply({}, jnp.zeros((2, 4, 8, 8, 6))).shape
      (2, 2, 4, 4, 6)

    Follows `torch.nn.MaxPool3d`, channels last.
    """
    settings = {
        "kernel_size": kernel_size,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "ceil_mode": ceil_mode,
    }
    return _pool(3, max_pool3d, functional.max_pool3d, settings)


def avg_pool1d(
    kernel_size: PerAxis,
    *,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Layer:
    """Takes the mean of each window of sequences.

    Arguments and errors are those of `avg_pool2d`, with one spatial axis.

    Input: (batch, width, channels), floating.
    Output: (batch, out width, channels).

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.avg_pool1d(2).apply({}, jnp.zeros((8, 30, 6))).shape
      (8, 15, 6)

    Follows `torch.nn.AvgPool1d`, channels last.
    """
    settings = {
        "kernel_size": kernel_size,
        "stride": stride,
        "padding": padding,
        "ceil_mode": ceil_mode,
        "count_include_pad": count_include_pad,
    }
    return _pool(1, avg_pool1d, functional.avg_pool1d, settings)


def avg_pool2d(
    kernel_size: PerAxis,
    *,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Layer:
    """Takes the mean of each window.

    Args:
      kernel_size: the window's height and width, an int or one for each axis.
      stride: the step between windows; the window's size when None.
      padding: zeros around the image, at most half a window: an int, an int or
        (before, after) for each axis, "SAME" or "VALID".
      ceil_mode: whether a last window may reach over the end of the padded image; what
        lies beyond counts nowhere.
      count_include_pad: whether the zeros of the padding count in the mean.

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
    settings = {
        "kernel_size": kernel_size,
        "stride": stride,
        "padding": padding,
        "ceil_mode": ceil_mode,
        "count_include_pad": count_include_pad,
    }
    return _pool(2, avg_pool2d, functional.avg_pool2d, settings)


def avg_pool3d(
    kernel_size: PerAxis,
    *,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Layer:
    """Takes the mean of each window of volumes.

    Arguments and errors are those of `avg_pool2d`, with three spatial axes.

    Input: (batch, depth, height, width, channels), floating.
    Output: (batch, out depth, out height, out width, channels).

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.avg_pool3d(2).apply({}, jnp.zeros((2, 4, 8, 8, 6))).shape
      (2, 2, 4, 4, 6)

    Follows `torch.nn.AvgPool3d`, channels last.
    """
    settings = {
        "kernel_size": kernel_size,
        "stride": stride,
        "padding": padding,
        "ceil_mode": ceil_mode,
        "count_include_pad": count_include_pad,
    }
    return _pool(3, avg_pool3d, functional.avg_pool3d, settings)


def lp_pool1d(
    norm_type: float,
    kernel_size: PerAxis,
    *,
    stride: PerAxis | None = None,
    ceil_mode: bool = False,
) -> Layer:
    """Takes the p-norm of each window of sequences.

    Arguments and errors are those of `lp_pool2d`, with one spatial axis.

    Input: (batch, width, channels), floating.
    Output: (batch, out width, channels).

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.lp_pool1d(2, 2).apply({}, jnp.zeros((8, 30, 6))).shape
      (8, 15, 6)

    Follows `torch.nn.LPPool1d`, channels last.
    """
    check_norm_type(norm_type)
    settings = {
        "norm_type": norm_type,
        "kernel_size": kernel_size,
        "stride": stride,
        "ceil_mode": ceil_mode,
    }
    return _pool(1, lp_pool1d, functional.lp_pool1d, settings)


def lp_pool2d(
    norm_type: float,
    kernel_size: PerAxis,
    *,
    stride: PerAxis | None = None,
    ceil_mode: bool = False,
) -> Layer:
    """Takes the p-norm of each window: ``(sum of x ** p) ** (1 / p)``.

    Args:
      norm_type: the exponent p, above 0; for an odd one x should not be negative, as
        values are not made positive, and a negative sum gives NaN.
      kernel_size: the window's height and width, an int or one for each axis.
      stride: the step between windows; the window's size when None.
      ceil_mode: whether a last window may reach over the end of the image; its sum is
        scaled up to a whole window's, as in PyTorch.

    Input: (batch, height, width, channels), floating.
    Output: (batch, out height, out width, channels), sized as in `max_pool2d`.

    Raises:
      LayerError: a size or the exponent is not positive; later, x does not fit.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.lp_pool2d(2, 2).apply({}, jnp.zeros((8, 30, 30, 6))).shape
      (8, 15, 15, 6)

    Follows `torch.nn.LPPool2d`, channels last.
    """
    check_norm_type(norm_type)
    settings = {
        "norm_type": norm_type,
        "kernel_size": kernel_size,
        "stride": stride,
        "ceil_mode": ceil_mode,
    }
    return _pool(2, lp_pool2d, functional.lp_pool2d, settings)


def lp_pool3d(
    norm_type: float,
    kernel_size: PerAxis,
    *,
    stride: PerAxis | None = None,
    ceil_mode: bool = False,
) -> Layer:
    """Takes the p-norm of each window of volumes.

    Arguments and errors are those of `lp_pool2d`, with three spatial axes.

    Input: (batch, depth, height, width, channels), floating.
    Output: (batch, out depth, out height, out width, channels).

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.lp_pool3d(2, 2).apply({}, jnp.zeros((2, 4, 8, 8, 6))).shape
      (2, 2, 4, 4, 6)

    Follows `torch.nn.LPPool3d`, channels last.
    """
    check_norm_type(norm_type)
    settings = {
        "norm_type": norm_type,
        "kernel_size": kernel_size,
        "stride": stride,
        "ceil_mode": ceil_mode,
    }
    return _pool(3, lp_pool3d, functional.lp_pool3d, settings)


def _pool(
    rank: int,
    constructor: Callable[..., Layer],
    pool: Callable[..., jax.Array],
    settings: Mapping[str, Any],
) -> Layer:
    per_axis("kernel_size", settings["kernel_size"], rank)
    per_axis("dilation", settings.get("dilation", 1), rank)
    if settings["stride"] is not None:
        per_axis("stride", settings["stride"], rank)
    padding_spec(settings.get("padding", 0), rank)
    options = dict(settings)

    def apply(params: Params, x: jax.Array) -> jax.Array:
        return pool(x, **options)

    return layer(constructor, no_params, apply, settings=settings)
