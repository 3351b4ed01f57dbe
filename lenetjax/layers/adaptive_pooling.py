"""Pooling layers whose output has a given size."""

from collections.abc import Callable

import jax

from lenetjax import functional
from lenetjax.core import Layer, Params, layer, no_params
from lenetjax.functional.adaptive_pooling import OutputSize, check_output_size


def adaptive_avg_pool1d(output_size: OutputSize) -> Layer:
    """Takes means of sequences, over windows that make the output this large.

    Arguments and errors are those of `adaptive_avg_pool2d`, with one spatial axis.

    Input: (batch, width, channels), floating.
    Output: (batch, output width, channels).

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.adaptive_avg_pool1d(7).apply({}, jnp.zeros((8, 30, 6))).shape
      (8, 7, 6)

    Follows `torch.nn.AdaptiveAvgPool1d`, channels last.
    """
    return _adaptive(
        1, adaptive_avg_pool1d, functional.adaptive_avg_pool1d, output_size
    )


def adaptive_avg_pool2d(output_size: OutputSize) -> Layer:
    """Takes means over windows that make the output this large.

    Args:
      output_size: the output's height and width: an int or one for each axis; None
        keeps an axis as it is. Window i of `out` windows on an axis of n values goes
        from i * n // out to (i + 1) * n / out, rounded up.

    Input: (batch, height, width, channels), floating.
    Output: (batch, output height, output width, channels).

    Raises:
      LayerError: a size is not positive; later, x does not fit or has an empty axis.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.adaptive_avg_pool2d(7).apply({}, jnp.zeros((8, 30, 30, 6))).shape
      (8, 7, 7, 6)

    Follows `torch.nn.AdaptiveAvgPool2d`, channels last.
    """
    return _adaptive(
        2, adaptive_avg_pool2d, functional.adaptive_avg_pool2d, output_size
    )


def adaptive_avg_pool3d(output_size: OutputSize) -> Layer:
    """Takes means of volumes, over windows that make the output this large.

    Arguments and errors are those of `adaptive_avg_pool2d`, with three spatial axes.

    Input: (batch, depth, height, width, channels), floating.
    Output: (batch, output depth, output height, output width, channels).

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.adaptive_avg_pool3d(3).apply({}, jnp.zeros((2, 4, 8, 8, 6))).shape
      (2, 3, 3, 3, 6)

    Follows `torch.nn.AdaptiveAvgPool3d`, channels last.
    """
    return _adaptive(
        3, adaptive_avg_pool3d, functional.adaptive_avg_pool3d, output_size
    )


def adaptive_max_pool1d(output_size: OutputSize) -> Layer:
    """Takes the largest values of sequences, for an output of this length.

    Arguments and errors are those of `adaptive_avg_pool2d`, with one spatial axis.

    Input: (batch, width, channels), floating.
    Output: (batch, output width, channels).

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.adaptive_max_pool1d(7).apply({}, jnp.zeros((8, 30, 6))).shape
      (8, 7, 6)

    Follows `torch.nn.AdaptiveMaxPool1d`, channels last.
    """
    return _adaptive(
        1, adaptive_max_pool1d, functional.adaptive_max_pool1d, output_size
    )


def adaptive_max_pool2d(output_size: OutputSize) -> Layer:
    """Takes the largest values in windows that make the output this large.

    Arguments and errors are those of `adaptive_avg_pool2d`.

    Input: (batch, height, width, channels), floating.
    Output: (batch, output height, output width, channels).

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.adaptive_max_pool2d(7).apply({}, jnp.zeros((8, 30, 30, 6))).shape
      (8, 7, 7, 6)

    Follows `torch.nn.AdaptiveMaxPool2d`, channels last.
    """
    return _adaptive(
        2, adaptive_max_pool2d, functional.adaptive_max_pool2d, output_size
    )


def adaptive_max_pool3d(output_size: OutputSize) -> Layer:
    """Takes the largest values of volumes, for an output of this size.

    Arguments and errors are those of `adaptive_avg_pool2d`, with three spatial axes.

    Input: (batch, depth, height, width, channels), floating.
    Output: (batch, output depth, output height, output width, channels).

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.adaptive_max_pool3d(3).apply({}, jnp.zeros((2, 4, 8, 8, 6))).shape
      (2, 3, 3, 3, 6)

    Follows `torch.nn.AdaptiveMaxPool3d`, channels last.
    """
    return _adaptive(
        3, adaptive_max_pool3d, functional.adaptive_max_pool3d, output_size
    )


def global_avg_pool() -> Layer:
    """Takes the mean of each channel over all spatial axes.

    Input: (batch, ...spatial..., channels), floating.
    Output: (batch, channels).

    Raises:
      LayerError: on use, x has no spatial axis, or an empty one.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.global_avg_pool().apply({}, jnp.zeros((8, 30, 30, 6))).shape
      (8, 6)

    Equal to `torch.nn.AdaptiveAvgPool2d(1)` and `torch.nn.Flatten()`.
    """

    def apply(params: Params, x: jax.Array) -> jax.Array:
        return functional.global_avg_pool(x)

    return layer(global_avg_pool, no_params, apply)


def global_max_pool() -> Layer:
    """Takes the largest value of each channel over all spatial axes.

    Input: (batch, ...spatial..., channels), floating.
    Output: (batch, channels).

    Raises:
      LayerError: on use, x has no spatial axis, or an empty one.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.global_max_pool().apply({}, jnp.zeros((8, 30, 30, 6))).shape
      (8, 6)

    Equal to `torch.nn.AdaptiveMaxPool2d(1)` and `torch.nn.Flatten()`.
    """

    def apply(params: Params, x: jax.Array) -> jax.Array:
        return functional.global_max_pool(x)

    return layer(global_max_pool, no_params, apply)


def _adaptive(
    rank: int,
    constructor: Callable[..., Layer],
    pool: Callable[..., jax.Array],
    output_size: OutputSize,
) -> Layer:
    check_output_size(output_size, rank)

    def apply(params: Params, x: jax.Array) -> jax.Array:
        return pool(x, output_size)

    return layer(constructor, no_params, apply, settings={"output_size": output_size})
