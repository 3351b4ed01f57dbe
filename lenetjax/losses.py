"""Losses: how far predictions are from their targets."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lenetjax.core import LayerError
from lenetjax.functional.arguments import check_floating
from lenetjax.specs import shapes_text

Reduction = Literal["mean", "sum", "none"]


def mse(
    predictions: jax.Array, targets: jax.Array, *, reduction: Reduction = "mean"
) -> jax.Array:
    """Computes the squared error, ``(predictions - targets) ** 2``.

    Args:
      predictions: any shape, floating.
      targets: the same shape; nothing is broadcast.
      reduction: "mean" over all values, "sum", or "none" for one loss per value.

    Returns:
      A scalar, or predictions' shape for "none".

    Raises:
      LayerError: the shapes differ, or the reduction is unknown.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.losses.mse(jnp.array([1.0, 3.0]), jnp.zeros(2))
      Array(5., dtype=float32)

    Follows `torch.nn.MSELoss`.
    """
    check_floating(predictions)
    if predictions.shape != targets.shape:
        raise LayerError(
            f"mse: predictions {shapes_text(predictions)} and targets "
            f"{shapes_text(targets)} must have one shape"
        )
    return _reduce(optax.losses.squared_error(predictions, targets), reduction)


def cross_entropy(
    logits: jax.Array, labels: jax.Array, *, reduction: Reduction = "mean"
) -> jax.Array:
    """Computes the negative log probability of the right class, by softmax.

    Args:
      logits: unnormalized scores (..., classes), floating.
      labels: the right classes, ints (...,) from 0 to classes - 1.
      reduction: "mean" over all examples, "sum", or "none" for one loss per example.

    Returns:
      A scalar in nats, or labels' shape for "none". Under `jax.jit`, where values
      cannot be refused, the loss of a label out of range is NaN, and so is its
      gradient: a wrong label never trains silently.

    Raises:
      LayerError: shapes or dtypes do not fit, or (outside of `jax.jit`) a label is
        out of range.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.losses.cross_entropy(jnp.zeros((2, 10)), jnp.array([3, 7]))
      Array(2.3025851, dtype=float32)

    Follows `torch.nn.CrossEntropyLoss`, with the classes on the last axis.
    """
    check_floating(logits)
    check_labels(labels, logits)
    right = (labels >= 0) & (labels < logits.shape[-1])
    # not optax's: it takes the logit from the log of the sum, and loses the digits of
    # small losses where the logits have a large offset
    log_p = jax.nn.log_softmax(logits)
    picked = jnp.where(right, labels, 0)  # a wrong label picks any, to become NaN
    losses = -jnp.take_along_axis(log_p, picked[..., None], -1).squeeze(-1)
    return _reduce(
        losses * jnp.where(right, 1, jnp.nan).astype(losses.dtype), reduction
    )


def check_labels(labels: jax.Array, logits: jax.Array) -> None:
    """Refuses labels that are no class numbers for these logits.

    Raises:
      LayerError: they are no ints, differ in shape, or (where the values are known)
        are out of range.
    """
    if (
        not jnp.issubdtype(labels.dtype, jnp.integer)
        or labels.shape != logits.shape[:-1]
    ):
        raise LayerError(
            f"labels must be ints {logits.shape[:-1]}, a class number for each row of "
            f"logits {shapes_text(logits)}, got {shapes_text(labels)}"
        )
    classes = logits.shape[-1]
    if not isinstance(labels, jax.core.Tracer) and labels.size:
        lowest, highest = np.min(labels), np.max(labels)
        if lowest < 0 or highest >= classes:
            raise LayerError(
                f"labels must be from 0 to {classes - 1}, for logits "
                f"{shapes_text(logits)}; got labels from {lowest} to {highest}"
            )


def _reduce(losses: jax.Array, reduction: Reduction) -> jax.Array:
    if reduction == "none":
        return losses
    if reduction not in ("mean", "sum"):
        raise LayerError(f"reduction must be mean, sum or none, got {reduction!r}")
    return losses.mean() if reduction == "mean" else losses.sum()
