"""From one loss per value or example to the number that is trained on."""

from typing import Literal

import jax
import jax.numpy as jnp

from lenetjax.core import LayerError

Reduction = Literal["mean", "sum", "none"]


def reduce(
    losses: jax.Array,
    reduction: Reduction,
    dtype: jnp.dtype,
    *,
    weights: jax.Array | None = None,
) -> jax.Array:
    """Takes the mean or the sum, and converts it to the dtype of the inputs.

    With weights, the losses are already multiplied by them, and the mean divides by
    their sum.

    Raises:
      LayerError: the reduction is unknown.
    """
    if reduction == "none":
        return losses.astype(dtype)
    if reduction == "sum":
        return losses.sum().astype(dtype)
    if reduction != "mean":
        raise LayerError(f"reduction must be mean, sum or none, got {reduction!r}")
    if weights is None:
        return losses.mean().astype(dtype)
    total = weights.sum()
    # the mean of nothing is NaN, and yet its gradient is zero, as PyTorch's
    mean = losses.sum() / jnp.where(total == 0, 1, total)
    return jnp.where(total == 0, jnp.nan, mean).astype(dtype)
