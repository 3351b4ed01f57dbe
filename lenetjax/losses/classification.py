"""Losses of scores for classes, of which one is right."""

import jax
import jax.numpy as jnp
import numpy as np

from lenetjax.core import LayerError
from lenetjax.functional.arguments import fraction, is_int
from lenetjax.losses.checks import (
    check_scores,
    check_shape,
    long_ints,
    result_dtype,
    spoil,
    widened,
)
from lenetjax.losses.reduction import Reduction, reduce
from lenetjax.specs import shapes_text

SUM_ERROR = 0.01  # what rounding to half precision may add to a sum of probabilities


@jax.named_scope("cross_entropy")
def cross_entropy(
    logits: jax.Array,
    labels: jax.Array,
    *,
    weight: jax.Array | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> jax.Array:
    """Computes the negative log probability of the right class, by softmax.

    Args:
      logits: unnormalized scores (..., classes), floating.
      labels: the right classes, ints (...,) from 0 to classes - 1; or probabilities
        of the classes, floating, of logits' shape.
      weight: a factor for each class, (classes,), or None.
      ignore_index: a label whose examples count nothing, or None.
      label_smoothing: the share of each target, from 0 to 1, that is spread over all
        classes.
      reduction: "mean" over all examples, "sum", or "none" for one loss per example.
        With ints, the mean divides by the summed weights of their classes, without
        the ignored ones; it is NaN where nothing is left. With probabilities it
        divides by the number of examples.

    Returns:
      A scalar in nats, or (...) for "none". Under `jax.jit`, where values cannot be
      refused, the loss of a label out of range, or of a row that is no
      distribution, is NaN, and so is its gradient: a wrong label never trains
      silently.

    Raises:
      LayerError: shapes, dtypes or settings do not fit, or (outside of `jax.jit`) a
        label is out of range or probabilities do not sum to 1.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.losses.cross_entropy(jnp.zeros((2, 10)), jnp.array([3, 7]))
      Array(2.3025851, dtype=float32)

    Follows `torch.nn.CrossEntropyLoss`, with the classes on the last axis. There -100
    is ignored unless told otherwise; here no label is.
    """
    check_scores("cross_entropy", "logits", logits)
    smoothing = fraction("label_smoothing", label_smoothing)
    # not optax's: it takes the logit from the log of the sum, and loses the digits of
    # small losses where the logits have a large offset
    log_p = jax.nn.log_softmax(widened(logits)[0])
    weights = _class_weights("cross_entropy", weight, log_p)
    if _are_probabilities(labels, logits):
        if ignore_index is not None:
            raise LayerError(
                "cross_entropy: ignore_index is for labels that are ints, got "
                f"{shapes_text(labels)}"
            )
        losses = _expected(log_p, labels, weights, smoothing)
        return reduce(losses, reduction, result_dtype(logits, labels))
    check_labels(labels, logits, loss="cross_entropy", ignore_index=ignore_index)
    labels = long_ints(labels)
    ignored = _ignored(labels, ignore_index)
    losses, counts = _picked(log_p, labels, weights, ignored)
    if smoothing:
        spread = -_weighted(log_p, weights).mean(-1)
        spread = jnp.where(ignored, 0, spread)
        losses = (1 - smoothing) * losses + smoothing * spread
    return reduce(losses, reduction, result_dtype(logits), weights=counts)


@jax.named_scope("nll")
def nll(
    log_probabilities: jax.Array,
    labels: jax.Array,
    *,
    weight: jax.Array | None = None,
    ignore_index: int | None = None,
    reduction: Reduction = "mean",
) -> jax.Array:
    """Computes the negative log probability of the right class.

    Args:
      log_probabilities: (..., classes), floating, such as from `jax.nn.log_softmax`.
      labels: the right classes, ints (...,) from 0 to classes - 1.
      weight: a factor for each class, (classes,), or None.
      ignore_index: a label whose examples count nothing, or None.
      reduction: "mean" over all examples, "sum", or "none" for one loss per example.
        The mean divides by the summed weights of the labels' classes, without the
        ignored ones; it is NaN where nothing is left.

    Returns:
      A scalar in nats, or labels' shape for "none"; NaN for a label out of range
      under `jax.jit`, with its gradient.

    Raises:
      LayerError: shapes or dtypes do not fit, or (outside of `jax.jit`) a label is
        out of range.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.losses.nll(jnp.log(jnp.array([[0.25, 0.75]])), jnp.array([0]))
      Array(1.3862944, dtype=float32)

    Follows `torch.nn.NLLLoss`, with the classes on the last axis. There -100 is
    ignored unless told otherwise; here no label is.
    """
    check_scores("nll", "log_probabilities", log_probabilities)
    check_labels(labels, log_probabilities, loss="nll", ignore_index=ignore_index)
    log_p = widened(log_probabilities)[0]
    weights = _class_weights("nll", weight, log_p)
    labels = long_ints(labels)
    ignored = _ignored(labels, ignore_index)
    losses, counts = _picked(log_p, labels, weights, ignored)
    dtype = result_dtype(log_probabilities)
    return reduce(losses, reduction, dtype, weights=counts)


def check_labels(
    labels: jax.Array,
    logits: jax.Array,
    *,
    loss: str | None = None,
    ignore_index: int | None = None,
) -> None:
    """Refuses labels that are no class numbers for these logits.

    Args:
      labels: what should be class numbers.
      logits: scores (..., classes), or their `jax.ShapeDtypeStruct`.
      loss: the loss to name in a message.
      ignore_index: a label that is not looked at, or None.

    Raises:
      LayerError: they are no ints, differ in shape, or (where the values are known)
        are out of range.
    """
    named = f"{loss}: " if loss else ""
    if ignore_index is not None and not is_int(ignore_index):
        raise LayerError(f"{named}ignore_index must be an int, got {ignore_index!r}")
    if not _are_ints(labels) or labels.shape != logits.shape[:-1]:
        either = " (or probabilities like the logits)" * (loss == "cross_entropy")
        raise LayerError(
            f"{named}labels must be ints {logits.shape[:-1]}, a class number for each "
            f"row of {shapes_text(logits)}{either}; got {shapes_text(labels)}"
        )
    if isinstance(labels, jax.core.Tracer):
        return
    counted = np.asarray(labels)
    if ignore_index is not None:
        counted = counted[counted != ignore_index]
    classes = logits.shape[-1]
    if counted.size and (counted.min() < 0 or counted.max() >= classes):
        raise LayerError(
            f"{named}labels must be from 0 to {classes - 1}, for logits "
            f"{shapes_text(logits)}; got labels from {counted.min()} to {counted.max()}"
        )


def _are_ints(labels: jax.Array) -> bool:
    return hasattr(labels, "dtype") and jnp.issubdtype(labels.dtype, jnp.integer)


def _are_probabilities(labels: jax.Array, logits: jax.Array) -> bool:
    """Whether labels are distributions over the classes.

    Raises:
      LayerError: they look so, and known values are negative or do not sum to 1.
    """
    if (
        not hasattr(labels, "dtype")
        or not jnp.issubdtype(labels.dtype, jnp.floating)
        or labels.shape != logits.shape
    ):
        return False
    if not isinstance(labels, jax.core.Tracer):
        sums = np.asarray(labels, np.float64).sum(-1)
        if np.any(np.asarray(labels) < 0) or np.any(np.abs(sums - 1) > SUM_ERROR):
            raise LayerError(
                f"cross_entropy: labels must be ints {logits.shape[:-1]}, or "
                "probabilities that sum to 1 in each row; got "
                f"{shapes_text(labels)} with sums from {sums.min()} to {sums.max()}"
            )
    return True


def _class_weights(
    loss: str, weight: jax.Array | None, log_p: jax.Array
) -> jax.Array | None:
    if weight is None:
        return None
    check_shape(loss, "weight", weight, log_p.shape[-1:])
    return jnp.asarray(weight, log_p.dtype)


def _picked(
    log_p: jax.Array, labels: jax.Array, weights: jax.Array | None, ignored: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The weighted loss of each label, and its weight."""
    right = (labels >= 0) & (labels < log_p.shape[-1])
    index = jnp.where(right, labels, 0)  # a wrong label picks any, to become NaN
    losses = -jnp.take_along_axis(log_p, index[..., None], -1).squeeze(-1)
    each = jnp.ones_like(losses) if weights is None else jnp.take(weights, index)
    counts = jnp.where(ignored, 0, each)
    losses = spoil(losses * counts, ~right & ~ignored)
    return jnp.where(ignored, 0, losses), counts


def _ignored(labels: jax.Array, ignore_index: int | None) -> jax.Array:
    if ignore_index is None:
        return jnp.zeros(labels.shape, bool)
    return labels == ignore_index


def _expected(
    log_p: jax.Array, labels: jax.Array, weights: jax.Array | None, smoothing: float
) -> jax.Array:
    """The mean loss of each row's distribution of labels."""
    target = jnp.asarray(labels, log_p.dtype)
    wrong = jnp.any(target < 0, -1) | (jnp.abs(target.sum(-1) - 1) > SUM_ERROR)
    if smoothing:
        target = target * (1 - smoothing) + smoothing / log_p.shape[-1]
    return spoil(-(log_p * _weighted(target, weights)).sum(-1), wrong)


def _weighted(values: jax.Array, weights: jax.Array | None) -> jax.Array:
    """Multiplies each class by its weight."""
    if weights is None:
        return values
    return values * jnp.broadcast_to(weights, values.shape)
