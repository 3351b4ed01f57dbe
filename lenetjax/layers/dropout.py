"""Layers that drop values at random in training."""

import jax

from lenetjax import functional
from lenetjax.core import Layer, Params, layer, no_params
from lenetjax.functional.arguments import fraction


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
    fraction("rate", rate)

    def apply(
        params: Params, x: jax.Array, *, key: jax.Array, train: bool
    ) -> jax.Array:
        return functional.dropout(x, rate, key) if train else x

    return layer(dropout, no_params, apply, settings={"rate": rate})
