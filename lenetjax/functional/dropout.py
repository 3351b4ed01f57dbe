"""Dropout as an array function."""

import jax
import jax.numpy as jnp

from lenetjax.functional.arguments import check_floating, fraction


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
    if fraction("rate", rate) == 1:
        return jnp.zeros_like(x)
    keep = jax.random.bernoulli(key, 1 - rate, x.shape)
    return jnp.where(keep, x / (1 - rate), 0)
