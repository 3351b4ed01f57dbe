"""Dropping values at random. Channels are the last axis."""

from collections.abc import Container

import jax
import jax.numpy as jnp

from lenetjax.core import LayerError
from lenetjax.functional.arguments import check_floating, check_images, fraction
from lenetjax.specs import shapes_text

SELU_FLOOR = -1.7580993408473766  # what selu(x) tends to for small x


@jax.named_scope("dropout")
def dropout(x: jax.Array, rate: float, key: jax.Array) -> jax.Array:
    """Zeroes each value with probability `rate`, and scales the others to make up.

    Args:
      x: any shape, floating.
      rate: the probability of zeroing, from 0 to 1.
      key: a `jax.random.key`; it is consumed.

    Returns:
      x's shape and dtype; what is kept is divided by ``1 - rate``.

    Raises:
      LayerError: the rate is out of range, or x is not floating.

    Example:
      >>> import jax, jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.dropout(jnp.ones(6), 0.5, jax.random.key(0))
      Array([0., 0., 2., 2., 0., 2.], dtype=float32)

    Reference: Srivastava et al., "Dropout", 2014. Follows
    `torch.nn.functional.dropout`.
    """
    check_floating(x)
    return _zero_some(x, rate, key)


@jax.named_scope("dropout1d")
def dropout1d(x: jax.Array, rate: float, key: jax.Array) -> jax.Array:
    """Zeroes whole channels of sequences with probability `rate`, as `dropout2d` does.

    Args:
      x: (batch, width, channels), floating.
      rate: the probability of zeroing, from 0 to 1.
      key: a `jax.random.key`; it is consumed.

    Returns:
      x's shape and dtype; what is kept is divided by ``1 - rate``.

    Raises:
      LayerError: the rate is out of range, or x does not fit.

    Example:
      >>> import jax, jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.dropout1d(jnp.ones((1, 2, 3)), 0.5, jax.random.key(1))
      Array([[[2., 0., 2.],
              [2., 0., 2.]]], dtype=float32)

    Follows `torch.nn.functional.dropout1d`, channels last.
    """
    return _zero_channels(x, rate, key, 1)


@jax.named_scope("dropout2d")
def dropout2d(x: jax.Array, rate: float, key: jax.Array) -> jax.Array:
    """Zeroes whole channels of images with probability `rate`, and scales the others.

    Args:
      x: (batch, height, width, channels), floating.
      rate: the probability of zeroing, from 0 to 1.
      key: a `jax.random.key`; it is consumed.

    Returns:
      x's shape and dtype; what is kept is divided by ``1 - rate``.

    Raises:
      LayerError: the rate is out of range, or x does not fit.

    Example:
      >>> import jax, jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.dropout2d(jnp.ones((1, 1, 2, 3)), 0.5, jax.random.key(1))
      Array([[[[2., 0., 2.],
               [2., 0., 2.]]]], dtype=float32)

    Reference: Tompson et al., "Efficient Object Localization Using Convolutional
    Networks", 2015. Follows `torch.nn.functional.dropout2d`, channels last.
    """
    return _zero_channels(x, rate, key, 2)


@jax.named_scope("dropout3d")
def dropout3d(x: jax.Array, rate: float, key: jax.Array) -> jax.Array:
    """Zeroes whole channels of volumes with probability `rate`, as `dropout2d` does.

    Args:
      x: (batch, depth, height, width, channels), floating.
      rate: the probability of zeroing, from 0 to 1.
      key: a `jax.random.key`; it is consumed.

    Returns:
      x's shape and dtype; what is kept is divided by ``1 - rate``.

    Raises:
      LayerError: the rate is out of range, or x does not fit.

    Example:
      >>> import jax, jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.dropout3d(jnp.ones((1, 1, 1, 2, 3)), 0.5, jax.random.key(1))
      Array([[[[[2., 0., 2.],
                [2., 0., 2.]]]]], dtype=float32)

    Follows `torch.nn.functional.dropout3d`, channels last.
    """
    return _zero_channels(x, rate, key, 3)


@jax.named_scope("alpha_dropout")
def alpha_dropout(x: jax.Array, rate: float, key: jax.Array) -> jax.Array:
    """Sets values to SELU's floor with probability `rate`, then restores the moments.

    Of values with mean zero and variance one, which SELU is made to pass on, the mean
    and variance stay.

    Args:
      x: any shape, floating.
      rate: the probability of dropping a value, from 0 to 1.
      key: a `jax.random.key`; it is consumed.

    Returns:
      x's shape and dtype; zeros when the rate is 1.

    Raises:
      LayerError: the rate is out of range, or x is not floating.

    Example:
      >>> import jax, jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.alpha_dropout(jnp.ones(3), 0.5, jax.random.key(0)).round(2)
      Array([-0.78, -0.78,  1.67], dtype=float32)

    Reference: Klambauer et al., "Self-Normalizing Neural Networks", 2017. Follows
    `torch.nn.functional.alpha_dropout`.
    """
    check_floating(x)
    rate = fraction("rate", rate)
    if rate == 1:
        return jnp.zeros_like(x)
    scale = (1 - rate + SELU_FLOOR**2 * rate * (1 - rate)) ** -0.5
    shift = -scale * rate * SELU_FLOOR
    dropped = scale * SELU_FLOOR + shift
    return jnp.where(_kept(x, rate, key), scale * x + shift, dropped)


@jax.named_scope("stochastic_depth")
def stochastic_depth(x: jax.Array, rate: float, key: jax.Array) -> jax.Array:
    """Zeroes whole examples with probability `rate`, and scales the others to make up.

    Args:
      x: (batch, ...), floating.
      rate: the probability of zeroing, from 0 to 1.
      key: a `jax.random.key`; it is consumed.

    Returns:
      x's shape and dtype; what is kept is divided by ``1 - rate``.

    Raises:
      LayerError: the rate is out of range, or x does not fit.

    Example:
      >>> import jax, jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.stochastic_depth(jnp.ones((3, 2)), 0.5, jax.random.key(0))
      Array([[0., 0.],
             [0., 0.],
             [2., 2.]], dtype=float32)

    Reference: Huang et al., "Deep Networks with Stochastic Depth", 2016. Follows
    `torchvision.ops.stochastic_depth` with mode="row".
    """
    check_examples(x)
    return _zero_some(x, rate, key, shared=range(1, x.ndim))


def check_examples(x: jax.Array | jax.ShapeDtypeStruct) -> None:
    """Refuses what has no batch axis."""
    check_floating(x)
    if x.ndim < 1:
        raise LayerError(f"expected (batch, ...), got {shapes_text(x)}")


def _zero_channels(x: jax.Array, rate: float, key: jax.Array, rank: int) -> jax.Array:
    check_images(x, rank)
    return _zero_some(x, rate, key, shared=range(1, rank + 1))


def _zero_some(
    x: jax.Array, rate: float, key: jax.Array, shared: Container[int] = ()
) -> jax.Array:
    rate = fraction("rate", rate)
    if rate == 1:
        return jnp.zeros_like(x)
    return jnp.where(_kept(x, rate, key, shared), x / (1 - rate), 0)


def _kept(
    x: jax.Array, rate: float, key: jax.Array, shared: Container[int] = ()
) -> jax.Array:
    """Draws which values to keep, the same ones all along the shared axes."""
    shape = tuple(1 if axis in shared else n for axis, n in enumerate(x.shape))
    return jnp.broadcast_to(jax.random.bernoulli(key, 1 - rate, shape), x.shape)
