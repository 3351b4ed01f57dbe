"""Normalization of each example by itself. Channels are the last axis.

All of it is computed in at least float32.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lenetjax.core import LayerError
from lenetjax.functional.arguments import (
    ArrayLike,
    at_least_float32,
    check_floating,
    per_axis,
)
from lenetjax.specs import shapes_text


@jax.named_scope("layer_norm")
def layer_norm(
    x: jax.Array,
    weight: jax.Array | None = None,
    bias: jax.Array | None = None,
    *,
    axes: int = 1,
    eps: float = 1e-5,
) -> jax.Array:
    """Computes ``(x - mean) / sqrt(var + eps) * weight + bias`` over the last axes.

    Args:
      x: (..., *normalized), floating.
      weight, bias: (*normalized,), or None.
      axes: how many axes at the end to normalize over.
      eps: keeps equal values from dividing by zero.

    Returns:
      x's shape and dtype.

    Raises:
      LayerError: x has fewer axes, or shapes or dtypes do not fit.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.layer_norm(jnp.array([[1.0, 3.0], [0.0, 8.0]]), eps=0.0)
      Array([[-1.,  1.],
             [-1.,  1.]], dtype=float32)

    Reference: Ba, Kiros and Hinton, "Layer Normalization", 2016. Follows
    `torch.nn.functional.layer_norm`.
    """
    over = last_axes(x, axes)
    _check_params(x, x.shape[over[0] :], weight, bias)
    return _scaled(_standardized(x, over, eps), weight, bias, x)


@jax.named_scope("rms_norm")
def rms_norm(
    x: jax.Array,
    weight: jax.Array | None = None,
    *,
    axes: int = 1,
    eps: float | None = None,
) -> jax.Array:
    """Computes ``x / sqrt(mean(x ** 2) + eps) * weight`` over the last axes.

    Args:
      x: (..., *normalized), floating.
      weight: (*normalized,), or None.
      axes: how many axes at the end to normalize over.
      eps: keeps zeros from dividing by zero. When None, the machine epsilon of the
        dtype that this is computed in: float64's for float64, float32's otherwise.

    Returns:
      x's shape and dtype.

    Raises:
      LayerError: x has fewer axes, or shapes or dtypes do not fit.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.rms_norm(jnp.array([[3.0, -3.0], [0.0, 0.0]]))
      Array([[ 1., -1.],
             [ 0.,  0.]], dtype=float32)

    Reference: Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019.
    Follows `torch.nn.functional.rms_norm`, whose eps in half precision is float32's
    too.
    """
    over = last_axes(x, axes)
    _check_params(x, x.shape[over[0] :], weight)
    wide = at_least_float32(x)
    if eps is None:
        eps = float(np.finfo(wide.dtype).eps)
    mean_square = jnp.square(wide).mean(over, keepdims=True)
    return _scaled(wide / jnp.sqrt(mean_square + eps), weight, None, x)


@jax.named_scope("group_norm")
def group_norm(
    x: jax.Array,
    groups: int,
    weight: jax.Array | None = None,
    bias: jax.Array | None = None,
    *,
    eps: float = 1e-5,
) -> jax.Array:
    """Normalizes each example over groups of neighbouring channels and all positions.

    Args:
      x: (batch, ..., channels), floating.
      groups: how many groups the channels are split into.
      weight, bias: (channels,), or None.
      eps: added to the variance, so that a constant group does not divide by zero.

    Returns:
      x's shape and dtype.

    Raises:
      LayerError: groups does not divide the channels, a group has a single value, or
        shapes or dtypes do not fit.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.group_norm(jnp.array([[1.0, 3.0, 0.0, 8.0]]), 2, eps=0.0)
      Array([[-1.,  1., -1.,  1.]], dtype=float32)

    Reference: Wu and He, "Group Normalization", 2018. Follows
    `torch.nn.functional.group_norm`, channels last; a group of a single value, which
    has no variance, is refused for every batch size.
    """
    _check_groups(x, groups)
    _check_params(x, x.shape[-1:], weight, bias)
    grouped = x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)
    positions = tuple(range(1, x.ndim - 1))
    y = _standardized(grouped, (*positions, x.ndim), eps)
    return _scaled(y.reshape(x.shape), weight, bias, x)


@jax.named_scope("instance_norm")
def instance_norm(
    x: jax.Array,
    weight: jax.Array | None = None,
    bias: jax.Array | None = None,
    *,
    eps: float = 1e-5,
) -> jax.Array:
    """Normalizes each channel of each example over all positions.

    Args:
      x: (batch, ..., channels) with at least one axis of positions, floating.
      weight, bias: (channels,), or None.
      eps: added to the variance, so that a constant channel does not divide by zero.

    Returns:
      x's shape and dtype.

    Raises:
      LayerError: there is a single position, or shapes or dtypes do not fit.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.instance_norm(jnp.array([[[1.0], [3.0]]]), eps=0.0)
      Array([[[-1.],
              [ 1.]]], dtype=float32)

    Reference: Ulyanov et al., "Instance Normalization", 2016. Follows
    `torch.nn.functional.instance_norm` without running statistics, channels last.
    """
    _check_positions(x)
    _check_params(x, x.shape[-1:], weight, bias)
    positions = tuple(range(1, x.ndim - 1))
    return _scaled(_standardized(x, positions, eps), weight, bias, x)


@jax.named_scope("local_response_norm")
def local_response_norm(
    x: jax.Array,
    size: int,
    *,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
) -> jax.Array:
    """Divides each value by the strength of the same place in neighbouring channels.

    That is ``(k + alpha * mean(neighbours ** 2)) ** beta``, where the neighbours are
    `size` channels around the value's own, and zero beyond the first and last one.

    Args:
      x: (..., channels), floating.
      size: how many channels; of an even number, one more lies before than after.
      alpha, beta, k: as above.

    Returns:
      x's shape and dtype.

    Raises:
      LayerError: size is no positive int, or x has no axis or is not floating.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> x = jnp.array([2.0, 2.0, 0.0])
      >>> nn.functional.local_response_norm(x, 2, alpha=2.0, beta=1.0, k=0.0)
      Array([0.5 , 0.25, 0.  ], dtype=float32)

    Reference: Krizhevsky et al., "ImageNet Classification with Deep Convolutional
    Neural Networks", 2012, whose sum is PyTorch's mean. Follows
    `torch.nn.functional.local_response_norm`, channels last, with any axes before.
    """
    check_floating(x)
    if x.ndim < 1:
        raise LayerError(f"expected (..., channels), got {shapes_text(x)}")
    width = per_axis("size", size, 1)[0]
    wide = at_least_float32(x)
    window = (1,) * (x.ndim - 1) + (width,)
    pads = [(0, 0)] * (x.ndim - 1) + [(width // 2, (width - 1) // 2)]
    total: jax.Array = lax.reduce_window(
        jnp.square(wide), 0.0, lax.add, window, (1,) * x.ndim, pads
    )
    return (wide / (k + alpha * (total / width)) ** beta).astype(x.dtype)


def last_axes(x: ArrayLike, axes: int) -> tuple[int, ...]:
    """The numbers of so many axes at the end.

    Raises:
      LayerError: x has fewer axes, or is not floating.
    """
    check_floating(x)
    count = per_axis("axes", axes, 1)[0]
    if x.ndim < count:
        raise LayerError(f"axes={count}, but there are fewer in {shapes_text(x)}")
    return tuple(range(x.ndim - count, x.ndim))


def _check_groups(x: jax.Array, groups: int) -> None:
    check_floating(x)
    count = per_axis("groups", groups, 1)[0]
    if x.ndim < 2:
        raise LayerError(f"expected (batch, ..., channels), got {shapes_text(x)}")
    if x.shape[-1] % count:
        raise LayerError(
            f"groups={count} does not divide the {x.shape[-1]} channels of "
            f"{shapes_text(x)}"
        )
    if math.prod(x.shape[1:]) == count:
        raise LayerError(
            f"each of the {count} groups of {shapes_text(x)} has a single value in an "
            "example; use fewer groups or more positions"
        )


def _check_positions(x: jax.Array) -> None:
    check_floating(x)
    if x.ndim < 3 or math.prod(x.shape[1:-1]) == 1:
        raise LayerError(
            "expected (batch, ..., channels) with at least 2 positions in between, "
            f"got {shapes_text(x)}"
        )


def _check_params(
    x: jax.Array, shape: tuple[int, ...], *params: jax.Array | None
) -> None:
    for param in params:
        if param is not None and param.shape != shape:
            raise LayerError(
                f"expected weight and bias of shape {shape} for {shapes_text(x)}, "
                f"got {shapes_text(param)}"
            )


def _standardized(x: jax.Array, axes: tuple[int, ...], eps: float) -> jax.Array:
    """Brings the mean over some axes to zero, and the variance to one."""
    x = at_least_float32(x)
    for _ in range(2):  # the first mean is rounded, which shows where it is large
        x = x - x.mean(axes, keepdims=True)
    var = jnp.square(x).mean(axes, keepdims=True)
    var = jnp.where(jnp.isinf(var), jnp.nan, var)  # the squares overflow
    return x / jnp.sqrt(var + eps)


def _scaled(
    y: jax.Array, weight: jax.Array | None, bias: jax.Array | None, x: jax.Array
) -> jax.Array:
    """Applies the params over the last axes; the dtype becomes x's."""
    if weight is not None:
        y = y * jnp.broadcast_to(weight, y.shape)
    if bias is not None:
        y = y + jnp.broadcast_to(bias, y.shape)
    return y.astype(x.dtype)
