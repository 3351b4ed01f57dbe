"""Losses of scores for classes, where the right ones must lead by a margin."""

import jax
import jax.numpy as jnp

from lenetjax.core import LayerError
from lenetjax.losses.checks import (
    check_pair,
    check_scores,
    check_shape,
    long_ints,
    number,
    result_dtype,
    spoil,
    widened,
    wrong_values,
)
from lenetjax.losses.classification import check_labels
from lenetjax.losses.reduction import Reduction, reduce
from lenetjax.specs import shapes_text


@jax.named_scope("multi_margin")
def multi_margin(
    logits: jax.Array,
    labels: jax.Array,
    *,
    p: int = 1,
    margin: float = 1.0,
    weight: jax.Array | None = None,
    reduction: Reduction = "mean",
) -> jax.Array:
    """Computes by how much each wrong class comes closer than `margin` to the right.

    An example's loss is the mean over all classes of
    ``max(0, margin - logits[label] + logits[other]) ** p``, zero for the label.

    Args:
      logits: scores (..., classes), floating.
      labels: the right classes, ints (...,) from 0 to classes - 1.
      p: 1 or 2.
      margin: by how much the right class must lead.
      weight: a factor for each right class, (classes,), or None.
      reduction: "mean" over all examples, "sum", or "none" for one loss per example.

    Returns:
      A scalar, or labels' shape for "none"; NaN for a label out of range under
      `jax.jit`.

    Raises:
      LayerError: shapes or settings do not fit, or (outside of `jax.jit`) a label is
        out of range.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.losses.multi_margin(jnp.array([[1.0, 0.5]]), jnp.array([0]))
      Array(0.25, dtype=float32)

    Follows `torch.nn.MultiMarginLoss`, with the classes on the last axis.
    Crammer and Singer, "On the algorithmic implementation of multiclass kernel-based
    vector machines", 2001.
    """
    if isinstance(p, bool) or p not in (1, 2):
        raise LayerError(f"multi_margin: p must be 1 or 2, got {p!r}")
    margin = number("multi_margin", "margin", margin)
    check_scores("multi_margin", "logits", logits)
    check_labels(labels, logits, loss="multi_margin")
    (x,), labels = widened(logits), long_ints(labels)
    right = (labels >= 0) & (labels < x.shape[-1])
    index = jnp.where(right, labels, 0)
    is_label = jax.nn.one_hot(index, x.shape[-1], dtype=bool)
    x = spoil(x, ~right[..., None])
    score = jnp.take_along_axis(x, index[..., None], -1)
    short = jnp.where(is_label, 0, _shortfall(margin - score + x))
    losses = (short if p == 1 else short * short).mean(-1)
    if weight is not None:
        check_shape("multi_margin", "weight", weight, x.shape[-1:])
        losses = losses * jnp.take(jnp.asarray(weight, x.dtype), index)
    return reduce(spoil(losses, ~right), reduction, result_dtype(logits))


@jax.named_scope("multilabel_margin")
def multilabel_margin(
    logits: jax.Array, labels: jax.Array, *, reduction: Reduction = "mean"
) -> jax.Array:
    """Computes by how much wrong classes come closer than 1 to any of the right ones.

    An example's loss is the sum of ``max(0, 1 - logits[right] + logits[wrong])`` over
    all pairs of a right and a wrong class, divided by the number of classes.

    Args:
      logits: scores (..., classes), floating.
      labels: ints of logits' shape: each row holds the numbers of the right classes,
        then -1; what stands behind it does not count.
      reduction: "mean" over all examples, "sum", or "none" for one loss per example.

    Returns:
      A scalar, or (...) for "none"; NaN under `jax.jit` for a row with a label that
      is no class and not -1.

    Raises:
      LayerError: shapes or dtypes do not fit, or (outside of `jax.jit`) a label is
        out of range.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> logits = jnp.array([[0.25, 0.5, 0.5, 1.0]])
      >>> nn.losses.multilabel_margin(logits, jnp.array([[3, 0, -1, 1]]))
      Array(0.875, dtype=float32)

    Follows `torch.nn.MultiLabelMarginLoss`, with the classes on the last axis. It
    keeps a (..., classes, classes) array.
    """
    check_scores("multilabel_margin", "logits", logits)
    check_pair("multilabel_margin", {"logits": logits}, labels=labels)
    if not jnp.issubdtype(labels.dtype, jnp.signedinteger):
        raise LayerError(
            "multilabel_margin: labels must be signed ints, got " + shapes_text(labels)
        )
    (x,) = widened(logits)
    classes = x.shape[-1]
    wrong = wrong_values(
        "multilabel_margin", "labels", labels,
        lambda values: (values < -1) | (values >= classes),
        f"from 0 to {classes - 1}, or -1 after the last",
    )  # fmt: skip
    labels = long_ints(labels)
    listed = jnp.cumsum(labels == -1, -1) == 0
    index = jnp.where(listed & ~wrong, labels, 0)
    is_label = jnp.any(
        jax.nn.one_hot(index, classes, dtype=bool) & listed[..., None], -2
    )
    x = spoil(x, jnp.any(wrong, -1, keepdims=True))
    scores = jnp.take_along_axis(x, index, -1)
    short = _shortfall(1 - scores[..., :, None] + x[..., None, :])
    counts = listed[..., :, None] & ~is_label[..., None, :]
    losses = jnp.where(counts, short, 0).sum((-2, -1)) / classes
    losses = spoil(losses, jnp.any(wrong, -1))
    return reduce(losses, reduction, result_dtype(logits))


def _shortfall(gap: jax.Array) -> jax.Array:
    """What is over zero; at zero the gradient is zero, and NaN stays."""
    return jnp.where(gap <= 0, 0, gap)
