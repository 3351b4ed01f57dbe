"""Losses of yes-or-no predictions, one or many for each example."""

import jax
import jax.numpy as jnp
import numpy as np

from lenetjax.core import LayerError
from lenetjax.losses.checks import (
    check_pair,
    check_real,
    check_shape,
    no_fraction,
    no_sign,
    result_dtype,
    spoil,
    widened,
    wrong_values,
)
from lenetjax.losses.reduction import Reduction, reduce
from lenetjax.specs import shapes_text

# PyTorch's bounds for the log of a probability of zero
LEAST_LOG = -100.0
LEAST_SLOPE = float(np.float32(1e-12))  # and for p * (1 - p) under a gradient


@jax.named_scope("bce")
def bce(
    probabilities: jax.Array,
    targets: jax.Array,
    *,
    weight: jax.Array | None = None,
    reduction: Reduction = "mean",
) -> jax.Array:
    """Computes the binary cross entropy of probabilities.

    It is ``-(t * log(p) + (1 - t) * log(1 - p))``, with logs of at least -100. Where
    there are logits, `bce_with_logits` is exact.

    Args:
      probabilities: any shape, floating, from 0 to 1.
      targets: the same shape, from 0 to 1.
      weight: a factor for each value, the same shape, or None.
      reduction: "mean" over all values, "sum", or "none" for one loss per value.

    Returns:
      A scalar, or the inputs' shape for "none"; NaN for values that are not from 0
      to 1 under `jax.jit`.

    Raises:
      LayerError: the shapes differ, the reduction is unknown, or (outside of
        `jax.jit`) values are not from 0 to 1.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.losses.bce(jnp.array([0.5, 1.0]), jnp.array([1.0, 1.0]))
      Array(0.3465736, dtype=float32)

    Follows `torch.nn.BCELoss`, whose targets may be any numbers and whose weight is
    broadcast.
    """
    check_pair("bce", {"probabilities": probabilities}, targets=targets)
    wrong = _no_fractions("bce", probabilities=probabilities, targets=targets)
    p, t = widened(probabilities, targets)
    losses = spoil(_bce(p, t), wrong)
    return _weighted("bce", losses, weight, reduction, probabilities, targets)


@jax.custom_jvp
def _bce(p: jax.Array, t: jax.Array) -> jax.Array:
    yes = jnp.maximum(jnp.log(p), LEAST_LOG)
    no = jnp.maximum(jnp.log1p(-p), LEAST_LOG)
    return -(t * yes + (1 - t) * no)


@_bce.defjvp
def _bce_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    # a clamped log has no slope, and a wrong answer of 0 or 1 must still be corrected
    p, t = primals
    by_p = (p - t) / jnp.maximum(p * (1 - p), LEAST_SLOPE)
    by_t = jnp.log1p(-p) - jnp.log(p)
    return _bce(p, t), by_p * tangents[0] + by_t * tangents[1]


@jax.named_scope("bce_with_logits")
def bce_with_logits(
    logits: jax.Array,
    targets: jax.Array,
    *,
    weight: jax.Array | None = None,
    pos_weight: jax.Array | None = None,
    reduction: Reduction = "mean",
) -> jax.Array:
    """Computes the binary cross entropy of logits, by sigmoid.

    Args:
      logits: unnormalized scores, any shape, floating.
      targets: the same shape, from 0 to 1.
      weight: a factor for each value, the same shape, or None.
      pos_weight: a factor for the part of the positive targets, (classes,) or a
        scalar array, or None. Over 1 it favours recall, below it precision.
      reduction: "mean" over all values, "sum", or "none" for one loss per value.

    Returns:
      A scalar, or the inputs' shape for "none"; NaN for targets that are not from 0
      to 1 under `jax.jit`.

    Raises:
      LayerError: shapes do not fit, the reduction is unknown, or (outside of
        `jax.jit`) targets are not from 0 to 1.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.losses.bce_with_logits(jnp.zeros(2), jnp.array([0.0, 1.0]))
      Array(0.6931472, dtype=float32)

    Follows `torch.nn.BCEWithLogitsLoss`, whose weights are broadcast.
    """
    check_pair("bce_with_logits", {"logits": logits}, targets=targets)
    wrong = _no_fractions("bce_with_logits", targets=targets)
    x, t = widened(logits, targets)
    losses = spoil(_sigmoid_losses(x, t, _factor(pos_weight, x)), wrong)
    return _weighted("bce_with_logits", losses, weight, reduction, logits, targets)


def _factor(pos_weight: jax.Array | None, x: jax.Array) -> jax.Array | None:
    if pos_weight is None:
        return None
    check_real("bce_with_logits", "pos_weight", pos_weight)
    if pos_weight.shape not in ((), x.shape[-1:]):
        raise LayerError(
            f"bce_with_logits: pos_weight must be a scalar array or {x.shape[-1:]}, a "
            f"number for each class, got {shapes_text(pos_weight)}"
        )
    return jnp.broadcast_to(jnp.asarray(pos_weight, x.dtype), x.shape)


@jax.named_scope("multilabel_soft_margin")
def multilabel_soft_margin(
    logits: jax.Array,
    targets: jax.Array,
    *,
    weight: jax.Array | None = None,
    reduction: Reduction = "mean",
) -> jax.Array:
    """Computes the binary cross entropy of logits, as a mean over the classes.

    Args:
      logits: unnormalized scores (..., classes), floating.
      targets: which classes are right, the same shape, from 0 to 1.
      weight: a factor for each class, (classes,), or None.
      reduction: "mean" over all examples, "sum", or "none" for one loss per example.

    Returns:
      A scalar, or (...) for "none"; NaN for targets that are not from 0 to 1 under
      `jax.jit`.

    Raises:
      LayerError: shapes do not fit, the reduction is unknown, or (outside of
        `jax.jit`) targets are not from 0 to 1.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.losses.multilabel_soft_margin(jnp.zeros((1, 2)), jnp.array([[0.0, 1.0]]))
      Array(0.6931472, dtype=float32)

    Follows `torch.nn.MultiLabelSoftMarginLoss`.
    """
    name = "multilabel_soft_margin"
    check_pair(name, {"logits": logits}, targets=targets)
    if logits.ndim == 0:
        raise LayerError(f"{name}: expected logits (..., classes), got a scalar")
    wrong = _no_fractions(name, targets=targets)
    x, t = widened(logits, targets)
    losses = spoil(_sigmoid_losses(x, t, None), wrong)
    if weight is not None:
        check_shape(name, "weight", weight, x.shape[-1:])
        losses = losses * jnp.broadcast_to(jnp.asarray(weight, x.dtype), x.shape)
    return reduce(losses.mean(-1), reduction, result_dtype(logits, targets))


def _sigmoid_losses(
    x: jax.Array, t: jax.Array, pos_weight: jax.Array | None
) -> jax.Array:
    # not optax's: it has no weight for the positive part
    yes = t * jax.nn.log_sigmoid(x)
    if pos_weight is not None:
        yes = yes * pos_weight
    return -(yes + (1 - t) * jax.nn.log_sigmoid(-x))


@jax.named_scope("soft_margin")
def soft_margin(
    logits: jax.Array, targets: jax.Array, *, reduction: Reduction = "mean"
) -> jax.Array:
    """Computes ``log(1 + exp(-targets * logits))``.

    Args:
      logits: unnormalized scores, any shape, floating.
      targets: the same shape, 1 or -1.
      reduction: "mean" over all values, "sum", or "none" for one loss per value.

    Returns:
      A scalar, or the inputs' shape for "none"; NaN for a target that is neither 1
      nor -1 under `jax.jit`. Large logits do not overflow, and small losses keep
      their digits.

    Raises:
      LayerError: the shapes differ, the reduction is unknown, or (outside of
        `jax.jit`) a target is neither 1 nor -1.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.losses.soft_margin(jnp.zeros(2), jnp.array([1, -1]))
      Array(0.6931472, dtype=float32)

    Follows `torch.nn.SoftMarginLoss`, whose targets may be any numbers.
    """
    check_pair("soft_margin", {"logits": logits}, targets=targets)
    wrong = wrong_values("soft_margin", "targets", targets, no_sign, "1 or -1")
    x, t = widened(logits, targets)
    losses = spoil(-jax.nn.log_sigmoid(t * x), wrong)
    return reduce(losses, reduction, result_dtype(logits, targets))


def _no_fractions(loss: str, **arrays: jax.Array) -> jax.Array:
    masks = [
        wrong_values(loss, name, array, no_fraction, "from 0 to 1")
        for name, array in arrays.items()
    ]
    return masks[0] if len(masks) == 1 else masks[0] | masks[1]


def _weighted(
    loss: str,
    losses: jax.Array,
    weight: jax.Array | None,
    reduction: Reduction,
    *inputs: jax.Array,
) -> jax.Array:
    if weight is not None:
        check_shape(loss, "weight", weight, losses.shape)
        losses = losses * jnp.asarray(weight, losses.dtype)
    return reduce(losses, reduction, result_dtype(*inputs))
