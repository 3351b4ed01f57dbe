"""Norms of windows, as array functions. Images are (batch, ...spatial..., channels)."""

import math

import jax
import jax.numpy as jnp

from lenetjax.core import LayerError
from lenetjax.functional.arguments import PerAxis, is_number
from lenetjax.functional.pooling import avg_pool1d, avg_pool2d, avg_pool3d
from lenetjax.functional.windows import windows_of


@jax.named_scope("lp_pool1d")
def lp_pool1d(
    x: jax.Array,
    norm_type: float,
    kernel_size: PerAxis,
    *,
    stride: PerAxis | None = None,
    ceil_mode: bool = False,
) -> jax.Array:
    """Takes the p-norm of each window of sequences.

    Args, errors: as in `lp_pool2d`, for x (batch, width, channels).

    Returns:
      (batch, out width, channels), x's dtype.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.lp_pool1d(jnp.array([3.0, 4.0]).reshape(1, 2, 1), 2, 2).item()
      5.0

    Follows `torch.nn.functional.lp_pool1d`, channels last.
    """
    return _lp_pool(1, x, norm_type, kernel_size, stride, ceil_mode)


@jax.named_scope("lp_pool2d")
def lp_pool2d(
    x: jax.Array,
    norm_type: float,
    kernel_size: PerAxis,
    *,
    stride: PerAxis | None = None,
    ceil_mode: bool = False,
) -> jax.Array:
    """Takes the p-norm of each window: ``(sum of x ** p) ** (1 / p)``.

    Args:
      x: images (batch, height, width, channels), floating.
      norm_type: the exponent p, above 0; for an odd one x should not be negative, as
        values are not made positive, and a negative sum gives NaN.
      kernel_size: the window's height and width, an int or one for each axis.
      stride: the step between windows; the window's size when None.
      ceil_mode: whether a last window may reach over the end of the image; its sum is
        scaled up to a whole window's, as in PyTorch.

    Returns:
      (batch, out height, out width, channels), x's dtype. Where the sum is zero, so is
      the gradient.

    Raises:
      LayerError: x is no batch of images, the exponent is not positive, or the window
        is larger than the image.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.lp_pool2d(jnp.ones((8, 30, 30, 6)), 2, 2).shape
      (8, 15, 15, 6)

    Follows `torch.nn.functional.lp_pool2d`, channels last.
    """
    return _lp_pool(2, x, norm_type, kernel_size, stride, ceil_mode)


@jax.named_scope("lp_pool3d")
def lp_pool3d(
    x: jax.Array,
    norm_type: float,
    kernel_size: PerAxis,
    *,
    stride: PerAxis | None = None,
    ceil_mode: bool = False,
) -> jax.Array:
    """Takes the p-norm of each window of volumes.

    Args, errors: as in `lp_pool2d`, for x (batch, depth, height, width, channels).

    Returns:
      (batch, out depth, out height, out width, channels), x's dtype.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.lp_pool3d(jnp.ones((2, 4, 8, 8, 6)), 2, 2).shape
      (2, 2, 4, 4, 6)

    Follows `torch.nn.functional.lp_pool3d`, channels last.
    """
    return _lp_pool(3, x, norm_type, kernel_size, stride, ceil_mode)


def check_norm_type(value: float) -> float:
    """Passes on an exponent above 0; a whole one as an int, which keeps signs right.

    Raises:
      LayerError: it is something else.
    """
    if not is_number(value):
        raise LayerError(f"norm_type must be a number above 0, got {value!r}")
    if not 0 < value < math.inf:
        raise LayerError(f"norm_type must be above 0 and finite, got {value!r}")
    return int(value) if value == int(value) else value


def _lp_pool(
    rank: int,
    x: jax.Array,
    norm_type: float,
    kernel_size: PerAxis,
    stride: PerAxis | None,
    ceil_mode: bool,
) -> jax.Array:
    p = check_norm_type(norm_type)
    window = windows_of(rank, x, kernel_size, stride, 0, 1, ceil_mode).size
    average = (avg_pool1d, avg_pool2d, avg_pool3d)[rank - 1]
    mean = average(x**p, kernel_size, stride=stride, ceil_mode=ceil_mode)
    total = mean * math.prod(window)
    there = total != 0  # the root has no slope at zero
    return jnp.where(there, jnp.where(there, total, 1) ** (1 / p), 0)
