"""Normalization over the batch. Channels are the last axis."""

import math

import jax
import jax.numpy as jnp
from jax import lax

from lenetjax.core import LayerError
from lenetjax.functional.arguments import at_least_float32, check_floating
from lenetjax.specs import shapes_text


@jax.named_scope("batch_statistics")
def batch_statistics(
    x: jax.Array, *, axis_name: str | None = None
) -> tuple[jax.Array, jax.Array]:
    """Computes each channel's mean and (biased) variance over all other axes.

    Args:
      x: (batch, ..., channels), floating.
      axis_name: the axis of a surrounding `jax.vmap` or `jax.shard_map` along which
        the batch is split; the statistics are the whole batch's.

    Returns:
      mean and variance, (channels,) each, at least float32.

    Raises:
      LayerError: x has no channel axis, or a single value per channel; there is no
        axis of that name.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> mean, var = nn.functional.batch_statistics(jnp.ones((4, 8, 8, 3)))
      >>> mean.shape, var.shape
      ((3,), (3,))
    """
    if values_per_channel(x, axis_name) < 2:
        raise LayerError(
            "expected (batch, ..., channels) with at least 2 values for each channel, "
            f"got {shapes_text(x)}"
        )
    x = at_least_float32(x)
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axes)
    # The sum is rounded, which shows where the mean is large.
    rest = lax.stop_gradient(x - jnp.broadcast_to(mean, x.shape)).mean(axes)
    mean = mean + rest
    var = jnp.square(x - jnp.broadcast_to(mean, x.shape)).mean(axes)
    var = jnp.where(jnp.isinf(var), jnp.nan, var)  # the squares overflow
    if axis_name is None:
        return mean, var
    mean_of_all = lax.pmean(mean, axis_name)
    return mean_of_all, lax.pmean(var + jnp.square(mean - mean_of_all), axis_name)


def values_per_channel(x: jax.Array, axis_name: str | None = None) -> int:
    """Counts the values that each channel has in a batch, on all devices together."""
    check_floating(x)
    values = math.prod(x.shape[:-1]) if x.ndim > 1 else 0
    return values if axis_name is None else values * _axis_size(axis_name)


def _axis_size(axis_name: str) -> int:
    try:
        return lax.axis_size(axis_name)
    except NameError:
        raise LayerError(
            f"axis_name={axis_name!r}, but no jax.vmap or jax.shard_map around this "
            "call has an axis of that name"
        ) from None


@jax.named_scope("batch_norm")
def batch_norm(
    x: jax.Array,
    mean: jax.Array,
    var: jax.Array,
    weight: jax.Array | None = None,
    bias: jax.Array | None = None,
    *,
    eps: float = 1e-5,
) -> jax.Array:
    """Computes ``(x - mean) / sqrt(var + eps) * weight + bias`` for each channel.

    Args:
      x: (..., channels), floating.
      mean, var: the statistics to normalize with, (channels,).
      weight, bias: (channels,), or None.
      eps: keeps a constant channel from dividing by zero.

    Returns:
      x's shape and dtype.

    Raises:
      LayerError: shapes or dtypes do not fit.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> x = jnp.array([[1.0], [3.0]])
      >>> nn.functional.batch_norm(x, *nn.functional.batch_statistics(x), eps=0.0)
      Array([[-1.],
             [ 1.]], dtype=float32)

    Follows `torch.nn.functional.batch_norm`, channels last.
    """
    check_floating(x)
    for vector in (mean, var, weight, bias):
        if vector is not None and vector.shape != x.shape[-1:]:
            raise LayerError(
                f"expected (channels,) vectors for {shapes_text(x)}, "
                f"got {shapes_text(vector)}"
            )
    scale = lax.rsqrt(var + eps)
    if weight is not None:
        scale = scale * weight
    y = (x - jnp.broadcast_to(mean, x.shape)) * jnp.broadcast_to(scale, x.shape)
    if bias is not None:
        y = y + jnp.broadcast_to(bias, x.shape)
    return y.astype(x.dtype)
