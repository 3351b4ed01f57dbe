"""Losses between numbers and the numbers that they should be."""

import jax
import jax.numpy as jnp
import optax

from lenetjax.losses.checks import absolute, check_pair, number, result_dtype, widened
from lenetjax.losses.reduction import Reduction, reduce


@jax.named_scope("l1")
def l1(
    predictions: jax.Array, targets: jax.Array, *, reduction: Reduction = "mean"
) -> jax.Array:
    """Computes the absolute error, ``|predictions - targets|``.

    Args:
      predictions: any shape, floating.
      targets: the same shape; nothing is broadcast.
      reduction: "mean" over all values, "sum", or "none" for one loss per value.

    Returns:
      A scalar, or predictions' shape for "none". Where both are equal the gradient
      is zero.

    Raises:
      LayerError: the shapes differ, or the reduction is unknown.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.losses.l1(jnp.array([1.0, -3.0]), jnp.zeros(2))
      Array(2., dtype=float32)

    Follows `torch.nn.L1Loss`.
    """
    check_pair("l1", {"predictions": predictions}, targets=targets)
    p, t = widened(predictions, targets)
    return reduce(absolute(p - t), reduction, result_dtype(predictions, targets))


@jax.named_scope("mse")
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
    check_pair("mse", {"predictions": predictions}, targets=targets)
    losses = optax.losses.squared_error(*widened(predictions, targets))
    return reduce(losses, reduction, result_dtype(predictions, targets))


@jax.named_scope("huber")
def huber(
    predictions: jax.Array,
    targets: jax.Array,
    *,
    delta: float = 1.0,
    reduction: Reduction = "mean",
) -> jax.Array:
    """Computes half the squared error up to `delta`, and a straight line from there.

    Args:
      predictions: any shape, floating.
      targets: the same shape; nothing is broadcast.
      delta: the error where the parabola ends; the line has this slope.
      reduction: "mean" over all values, "sum", or "none" for one loss per value.

    Returns:
      A scalar, or predictions' shape for "none".

    Raises:
      LayerError: the shapes differ, delta is not positive, or the reduction is
        unknown.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.losses.huber(jnp.array([1.0, 3.0]), jnp.zeros(2), reduction="none")
      Array([0.5, 2.5], dtype=float32)

    Follows `torch.nn.HuberLoss`; `smooth_l1` is this loss divided by its delta.
    Huber, "Robust estimation of a location parameter", 1964.
    """
    delta = number("huber", "delta", delta, least=0, over=True)
    check_pair("huber", {"predictions": predictions}, targets=targets)
    p, t = widened(predictions, targets)
    # not optax's: the gradients of small errors lose their digits against delta's
    losses = delta * _rounded(absolute(p - t), delta)
    return reduce(losses, reduction, result_dtype(predictions, targets))


@jax.named_scope("smooth_l1")
def smooth_l1(
    predictions: jax.Array,
    targets: jax.Array,
    *,
    beta: float = 1.0,
    reduction: Reduction = "mean",
) -> jax.Array:
    """Computes the absolute error, rounded off by a parabola up to `beta`.

    Args:
      predictions: any shape, floating.
      targets: the same shape; nothing is broadcast.
      beta: the error where the parabola ends; with 0 this is `l1`.
      reduction: "mean" over all values, "sum", or "none" for one loss per value.

    Returns:
      A scalar, or predictions' shape for "none".

    Raises:
      LayerError: the shapes differ, beta is negative, or the reduction is unknown.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.losses.smooth_l1(jnp.array([1.0, 3.0]), jnp.zeros(2), reduction="none")
      Array([0.5, 2.5], dtype=float32)

    Follows `torch.nn.SmoothL1Loss`.
    Girshick, "Fast R-CNN", 2015.
    """
    beta = number("smooth_l1", "beta", beta, least=0)
    check_pair("smooth_l1", {"predictions": predictions}, targets=targets)
    p, t = widened(predictions, targets)
    error = absolute(p - t)
    losses = error if beta == 0 else _rounded(error, beta)
    return reduce(losses, reduction, result_dtype(predictions, targets))


def _rounded(error: jax.Array, beta: float) -> jax.Array:
    # the square of a large error may overflow, and would spoil the line's gradient
    inner = jnp.minimum(error, beta)
    return jnp.where(error < beta, 0.5 * inner * inner / beta, error - 0.5 * beta)
