"""Changes of shape as array functions."""

import math

import jax

from lenetjax.core import LayerError
from lenetjax.specs import shapes_text


def flatten(x: jax.Array, start_dim: int = 1, end_dim: int = -1) -> jax.Array:
    """Joins the axes from `start_dim` to `end_dim`, both included, into one.

    Args:
      x: any shape.
      start_dim, end_dim: axes; negative ones count from the end.

    Returns:
      The same values in the same order, with fewer axes. Images (batch, height,
      width, channels) come out with the channel running fastest; in PyTorch, where
      channels come first, the width does.

    Raises:
      LayerError: the axes are not there, or in the wrong order.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.flatten(jnp.ones((8, 6, 6, 16))).shape
      (8, 576)

    Follows `torch.flatten`.
    """
    start = start_dim + x.ndim if start_dim < 0 else start_dim
    end = end_dim + x.ndim if end_dim < 0 else end_dim
    if not 0 <= start <= end < x.ndim:
        raise LayerError(
            f"cannot join the axes {start_dim} to {end_dim} of {shapes_text(x)}"
        )
    joined = math.prod(x.shape[start : end + 1])
    return x.reshape(*x.shape[:start], joined, *x.shape[end + 1 :])
