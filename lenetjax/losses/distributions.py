"""Losses of predictions that are distributions: Poisson, normal, or any."""

import math
from typing import Literal

import jax
import jax.numpy as jnp

from lenetjax.core import LayerError
from lenetjax.losses.checks import (
    check_pair,
    number,
    result_dtype,
    spoil,
    widened,
    wrong_values,
)
from lenetjax.losses.reduction import Reduction, reduce


@jax.named_scope("poisson_nll")
def poisson_nll(
    predictions: jax.Array,
    targets: jax.Array,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: Reduction = "mean",
) -> jax.Array:
    """Computes the negative log likelihood of counts, by Poisson's distribution.

    It is ``exp(predictions) - targets * predictions`` for logs of rates, and
    ``predictions - targets * log(predictions + eps)`` for rates.

    Args:
      predictions: the logs of the rates, or the rates; any shape, floating.
      targets: the counts, the same shape, not negative.
      log_input: whether the predictions are logs.
      full: whether to add the term that depends on the targets alone, by Stirling's
        approximation of their factorial, for targets over 1.
      eps: keeps the log of a rate of zero finite.
      reduction: "mean" over all values, "sum", or "none" for one loss per value.

    Returns:
      A scalar, or predictions' shape for "none"; NaN for a negative count or rate
      under `jax.jit`.

    Raises:
      LayerError: the shapes differ, a setting is wrong, or (outside of `jax.jit`) a
        count is negative.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.losses.poisson_nll(jnp.zeros(2), jnp.array([0.0, 3.0]))
      Array(1., dtype=float32)

    Follows `torch.nn.PoissonNLLLoss`.
    """
    eps = number("poisson_nll", "eps", eps, least=0)
    check_pair("poisson_nll", {"predictions": predictions}, targets=targets)
    negative = _negative("poisson_nll", "targets", targets, "counts, 0 or more")
    p, t = widened(predictions, targets)
    losses = jnp.exp(p) - t * p if log_input else p - t * jnp.log(p + eps)
    if full:
        many = jnp.where(t > 1, t, 1)
        stirling = many * jnp.log(many) - many + 0.5 * jnp.log(2 * math.pi * many)
        losses = losses + jnp.where(t > 1, stirling, 0)
    losses = spoil(losses, negative)
    return reduce(losses, reduction, result_dtype(predictions, targets))


@jax.named_scope("gaussian_nll")
def gaussian_nll(
    predictions: jax.Array,
    targets: jax.Array,
    var: jax.Array,
    *,
    full: bool = False,
    eps: float = 1e-6,
    reduction: Reduction = "mean",
) -> jax.Array:
    """Computes ``(log(var) + (predictions - targets) ** 2 / var) / 2``.

    This is the negative log likelihood of the targets under normal distributions
    with these means and variances.

    Args:
      predictions: the means, any shape, floating.
      targets: the same shape; nothing is broadcast.
      var: the variances, the same shape, floating, not negative.
      full: whether to add the constant ``log(2 * pi) / 2``.
      eps: the least variance; a smaller one counts as this, and its gradient is that
        at eps.
      reduction: "mean" over all values, "sum", or "none" for one loss per value.

    Returns:
      A scalar, or predictions' shape for "none"; NaN for a negative variance under
      `jax.jit`.

    Raises:
      LayerError: the shapes differ, eps is not positive, or (outside of `jax.jit`) a
        variance is negative.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.losses.gaussian_nll(jnp.zeros(2), 2 * jnp.ones(2), jnp.ones(2))
      Array(2., dtype=float32)

    Follows `torch.nn.GaussianNLLLoss`, which also broadcasts `var`.
    Nix and Weigend, "Estimating the mean and variance of the target probability
    distribution", 1994.
    """
    eps = number("gaussian_nll", "eps", eps, least=0, over=True)
    floats = {"predictions": predictions, "targets": targets, "var": var}
    check_pair("gaussian_nll", floats)
    negative = _negative("gaussian_nll", "var", var, "0 or more")
    p, t, v = widened(predictions, targets, var)
    v = jnp.where(v < eps, v - jax.lax.stop_gradient(v) + eps, v)
    losses = 0.5 * (jnp.log(v) + (p - t) ** 2 / v)
    if full:
        losses = losses + 0.5 * math.log(2 * math.pi)
    losses = spoil(losses, negative)
    return reduce(losses, reduction, result_dtype(predictions, targets, var))


@jax.named_scope("kl_div")
def kl_div(
    log_predictions: jax.Array,
    targets: jax.Array,
    *,
    log_target: bool = False,
    reduction: Reduction | Literal["batchmean"] = "mean",
) -> jax.Array:
    """Computes the terms of KL(targets || predictions).

    Each is ``targets * (log(targets) - log_predictions)``; a distribution's
    divergence is their sum over its axis.

    Args:
      log_predictions: log probabilities, any shape, floating.
      targets: probabilities, or their logs; the same shape, floating.
      log_target: whether the targets are logs.
      reduction: "batchmean" sums, and divides by the size of the first axis: the
        divergence, if that is all there is beside the classes. "mean" is over all
        values, "sum", or "none" for one term per value.

    Returns:
      A scalar, or the inputs' shape for "none". A target of zero adds nothing. Under
      `jax.jit` a negative one gives NaN.

    Raises:
      LayerError: the shapes differ, the reduction is unknown, or (outside of
        `jax.jit`) a probability is negative.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> log_p = jnp.log(jnp.array([[0.5, 0.5]]))
      >>> nn.losses.kl_div(log_p, jnp.array([[1.0, 0.0]]), reduction="batchmean")
      Array(0.6931472, dtype=float32)

    Follows `torch.nn.KLDivLoss`.
    Kullback and Leibler, "On information and sufficiency", 1951.
    """
    check_pair("kl_div", {"log_predictions": log_predictions, "targets": targets})
    if reduction not in ("batchmean", "mean", "sum", "none"):
        raise LayerError(
            f"reduction must be batchmean, mean, sum or none, got {reduction!r}"
        )
    x, t = widened(log_predictions, targets)
    # not optax's: it has no single terms, only their sums over the last axis
    if log_target:
        losses = jnp.exp(t) * (t - x)
    else:
        negative = _negative("kl_div", "targets", targets, "probabilities, 0 or more")
        losses = spoil(t * (jnp.log(jnp.where(t == 0, 1, t)) - x), negative)
    dtype = result_dtype(log_predictions, targets)
    if reduction != "batchmean":
        return reduce(losses, reduction, dtype)
    if losses.ndim == 0:
        raise LayerError("kl_div: batchmean needs a batch axis, got scalars")
    return reduce(losses / losses.shape[0], "sum", dtype)


def _negative(loss: str, name: str, array: jax.Array, expected: str) -> jax.Array:
    return wrong_values(loss, name, array, lambda values: values < 0, expected)
