"""Layers that drop values at random in training."""

from collections.abc import Callable

import jax

from lenetjax import functional
from lenetjax.core import Layer, Params, layer
from lenetjax.functional.arguments import check_floating, check_images, fraction
from lenetjax.functional.dropout import check_examples

Check = Callable[[jax.ShapeDtypeStruct], None]
Drop = Callable[[jax.Array, float, jax.Array], jax.Array]


def dropout(rate: float) -> Layer:
    """Zeroes values at random in training; does nothing in evaluation.

    Args:
      rate: the probability of zeroing, from 0 to 1.

    Input: any shape, floating.
    Output: the same shape and dtype; in training what is kept is divided by
      ``1 - rate``, so that the expected value stays.

    Raises:
      LayerError: the rate is out of range; in training, there is no key.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> layer = nn.dropout(0.5)
      >>> layer.apply({}, jnp.ones(4))
      Array([1., 1., 1., 1.], dtype=float32)
      >>> layer.apply({}, jnp.ones(4), key=jax.random.key(0), train=True).shape
      (4,)

    Reference: Srivastava et al., "Dropout", 2014. Follows `torch.nn.Dropout`.
    """
    return _in_training(dropout, rate, functional.dropout, check_floating)


def dropout1d(rate: float) -> Layer:
    """Zeroes whole channels of sequences in training; does nothing in evaluation.

    Args:
      rate: the probability of zeroing, from 0 to 1.

    Input: (batch, width, channels), floating.
    Output: the same shape and dtype; in training what is kept is divided by
      ``1 - rate``, so that the expected value stays.

    Raises:
      LayerError: the rate is out of range; later, x does not fit, or in training,
        there is no key.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> layer, x = nn.dropout1d(0.5), jnp.ones((1, 2, 3))
      >>> layer.apply({}, x, key=jax.random.key(1), train=True)
      Array([[[2., 0., 2.],
              [2., 0., 2.]]], dtype=float32)

    Follows `torch.nn.Dropout1d`, channels last.
    """
    return _in_training(
        dropout1d, rate, functional.dropout1d, lambda x: check_images(x, 1)
    )


def dropout2d(rate: float) -> Layer:
    """Zeroes whole channels of images in training; does nothing in evaluation.

    Args:
      rate: the probability of zeroing, from 0 to 1.

    Input: (batch, height, width, channels), floating.
    Output: the same shape and dtype; in training what is kept is divided by
      ``1 - rate``, so that the expected value stays.

    Raises:
      LayerError: the rate is out of range; later, x does not fit, or in training,
        there is no key.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> layer, x = nn.dropout2d(0.5), jnp.ones((1, 1, 2, 3))
      >>> layer.apply({}, x, key=jax.random.key(1), train=True)
      Array([[[[2., 0., 2.],
               [2., 0., 2.]]]], dtype=float32)

    Reference: Tompson et al., "Efficient Object Localization Using Convolutional
    Networks", 2015. Follows `torch.nn.Dropout2d`, channels last.
    """
    return _in_training(
        dropout2d, rate, functional.dropout2d, lambda x: check_images(x, 2)
    )


def dropout3d(rate: float) -> Layer:
    """Zeroes whole channels of volumes in training; does nothing in evaluation.

    Args:
      rate: the probability of zeroing, from 0 to 1.

    Input: (batch, depth, height, width, channels), floating.
    Output: the same shape and dtype; in training what is kept is divided by
      ``1 - rate``, so that the expected value stays.

    Raises:
      LayerError: the rate is out of range; later, x does not fit, or in training,
        there is no key.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> layer, x = nn.dropout3d(0.5), jnp.ones((1, 1, 1, 2, 3))
      >>> layer.apply({}, x, key=jax.random.key(1), train=True)
      Array([[[[[2., 0., 2.],
                [2., 0., 2.]]]]], dtype=float32)

    Follows `torch.nn.Dropout3d`, channels last.
    """
    return _in_training(
        dropout3d, rate, functional.dropout3d, lambda x: check_images(x, 3)
    )


def alpha_dropout(rate: float) -> Layer:
    """Sets values to SELU's floor at random in training, and restores the moments.

    It goes with `jax.nn.selu`, whose outputs have mean zero and variance one: they keep
    both. In evaluation it does nothing.

    Args:
      rate: the probability of dropping a value, from 0 to 1.

    Input: any shape, floating.
    Output: the same shape and dtype; in training zeros when the rate is 1.

    Raises:
      LayerError: the rate is out of range; in training, there is no key.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> layer = nn.alpha_dropout(0.5)
      >>> layer.apply({}, jnp.ones(3), key=jax.random.key(0), train=True).round(2)
      Array([-0.78, -0.78,  1.67], dtype=float32)

    Reference: Klambauer et al., "Self-Normalizing Neural Networks", 2017. Follows
    `torch.nn.AlphaDropout`.
    """
    return _in_training(alpha_dropout, rate, functional.alpha_dropout, check_floating)


def stochastic_depth(rate: float) -> Layer:
    """Zeroes whole examples in training; does nothing in evaluation.

    At the end of a residual branch it takes an example past the branch, so that the net
    is shallower for it.

    Args:
      rate: the probability of zeroing, from 0 to 1.

    Input: (batch, ...), floating.
    Output: the same shape and dtype; in training what is kept is divided by
      ``1 - rate``, so that the expected value stays.

    Raises:
      LayerError: the rate is out of range; later, x has no axis, or in training,
        there is no key.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> layer, x = nn.stochastic_depth(0.5), jnp.ones((3, 2))
      >>> layer.apply({}, x, key=jax.random.key(0), train=True)
      Array([[0., 0.],
             [0., 0.],
             [2., 2.]], dtype=float32)

    Reference: Huang et al., "Deep Networks with Stochastic Depth", 2016. Follows
    `torchvision.ops.StochasticDepth` with mode="row".
    """
    return _in_training(
        stochastic_depth, rate, functional.stochastic_depth, check_examples
    )


def _in_training(
    maker: Callable[[float], Layer], rate: float, drop: Drop, check: Check
) -> Layer:
    """A layer that drops in training, and refuses what does not fit at any time."""
    fraction("rate", rate)

    def init(key: jax.Array, x: jax.ShapeDtypeStruct) -> Params:
        check(x)
        return {}

    def apply(
        params: Params, x: jax.Array, *, key: jax.Array, train: bool
    ) -> jax.Array:
        return drop(x, rate, key) if train else x

    return layer(maker, init, apply, settings={"rate": rate})
