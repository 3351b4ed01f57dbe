"""Layers that change the shape and nothing else."""

import jax

from lenetjax import functional
from lenetjax.core import Layer, Params, layer, no_params


def flatten(start_dim: int = 1, end_dim: int = -1) -> Layer:
    """Joins the axes from `start_dim` to `end_dim`, both included, into one.

    Args:
      start_dim, end_dim: axes; negative ones count from the end.

    Input: any shape, such as (batch, height, width, channels).
    Output: the same values, such as (batch, height * width * channels), with the
      channel running fastest (in PyTorch, channels first, the width does).

    Raises:
      LayerError: on use, the axes are not there.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.flatten().apply({}, jnp.zeros((8, 6, 6, 16))).shape
      (8, 576)

    Follows `torch.nn.Flatten`.
    """

    def apply(params: Params, x: jax.Array) -> jax.Array:
        return functional.flatten(x, start_dim, end_dim)

    settings = {"start_dim": start_dim, "end_dim": end_dim}
    return layer(flatten, no_params, apply, settings=settings)
