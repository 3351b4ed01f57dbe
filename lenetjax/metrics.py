"""Metrics: how good predictions are, in numbers to read and not to train on.

Classes are the last axis. Nothing is remembered between calls: totals over many
batches are values that the caller carries along.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lenetjax.core import LayerError
from lenetjax.functional.arguments import size
from lenetjax.losses.checks import check_scores, long_ints
from lenetjax.losses.classification import check_labels
from lenetjax.losses.reduction import Reduction, reduce
from lenetjax.specs import shapes_text

__all__ = [
    "StreamingMean",
    "accuracy",
    "confusion_matrix",
    "f1",
    "precision",
    "recall",
    "streaming_mean",
    "top_k_accuracy",
]

Total = tuple[jax.Array, jax.Array]  # the sum of the values, and how many they are
# Every entry of a matrix that counts something wrong: more than what an entry counts,
# and the sum of a hundred such matrices does not wrap around.
SPOILT = -(2**24)


def accuracy(
    logits: jax.Array, labels: jax.Array, *, reduction: Reduction = "mean"
) -> jax.Array:
    """Computes the share of examples whose largest logit is that of the label.

    Args:
      logits: scores or probabilities (..., classes), floating.
      labels: the right classes, ints (...,) from 0 to classes - 1.
      reduction: "mean" over all examples, "sum" counts the right ones, or "none"
        gives 1 or 0 for each example.

    Returns:
      A scalar of the default float dtype, or labels' shape for "none". Of equally
      large logits the first counts. An example with a NaN among its logits is NaN,
      and so is, under `jax.jit`, one whose label is out of range.

    Raises:
      LayerError: shapes or dtypes do not fit, or (outside of `jax.jit`) a label is
        out of range.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> logits = jnp.array([[0.1, 0.9], [0.8, 0.2]])
      >>> nn.metrics.accuracy(logits, jnp.array([1, 1]))
      Array(0.5, dtype=float32)

    Follows `sklearn.metrics.accuracy_score`.
    """
    return _hits("accuracy", logits, labels, 1, reduction)


def top_k_accuracy(
    logits: jax.Array, labels: jax.Array, k: int, *, reduction: Reduction = "mean"
) -> jax.Array:
    """Computes the share of examples whose label is among the k largest logits.

    Args:
      logits: scores or probabilities (..., classes), floating.
      labels: the right classes, ints (...,) from 0 to classes - 1.
      k: how many classes count, from 1 to classes.
      reduction: "mean" over all examples, "sum" counts the right ones, or "none"
        gives 1 or 0 for each example.

    Returns:
      As `accuracy`, which is this for k = 1. Of equally large logits those of the
      lower class numbers come first, as in `jax.lax.top_k`.

    Raises:
      LayerError: shapes, dtypes or k do not fit, or (outside of `jax.jit`) a label is
        out of range.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> logits = jnp.array([[0.1, 0.6, 0.3], [0.7, 0.2, 0.1]])
      >>> nn.metrics.top_k_accuracy(logits, jnp.array([2, 2]), 2)
      Array(0.5, dtype=float32)

    Follows `sklearn.metrics.top_k_accuracy_score`, where the higher class numbers
    come first.
    """
    return _hits("top_k_accuracy", logits, labels, k, reduction)


def _hits(
    name: str, logits: jax.Array, labels: jax.Array, k: int, reduction: Reduction
) -> jax.Array:
    check_scores(name, "logits", logits)
    check_labels(labels, logits, loss=name)
    classes = logits.shape[-1]
    if size("k", k) > classes:
        raise LayerError(f"{name}: k must be from 1 to {classes}, got {k}")
    logits, labels = jnp.asarray(logits), long_ints(labels)
    wrong = (labels < 0) | (labels >= classes) | jnp.any(jnp.isnan(logits), -1)
    index = jnp.where(wrong, 0, labels)[..., None]
    score = jnp.take_along_axis(logits, index, -1)
    earlier = jnp.expand_dims(jnp.arange(classes), range(labels.ndim)) < index
    ahead = (logits > score) | ((logits == score) & earlier)
    dtype = jnp.result_type(float)
    hits = jnp.where(wrong, jnp.nan, ahead.sum(-1) < k).astype(dtype)
    return reduce(hits, reduction, dtype)


def confusion_matrix(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Counts how often each class was taken for each.

    Args:
      logits: scores or probabilities (..., classes), floating. Where there are class
        numbers, `jax.nn.one_hot` makes scores of them.
      labels: the right classes, ints (...,) from 0 to classes - 1.

    Returns:
      int32 (classes, classes): rows are the right classes, columns the predicted
      ones. The matrices of batches add up to that of all. Of equally large logits
      the first counts. Under `jax.jit`, a label out of range or a NaN among the
      logits makes every entry a large negative number.

    Raises:
      LayerError: shapes or dtypes do not fit, or (outside of `jax.jit`) a label is
        out of range or a logit is NaN.

    Example:
      >>> import jax, jax.numpy as jnp, lenetjax as nn
      >>> batches = [([1, 0, 1], [1, 0, 0]), ([1], [1])]
      >>> sum(
      ...     nn.metrics.confusion_matrix(
      ...         jax.nn.one_hot(jnp.array(predicted), 2), jnp.array(labels)
      ...     )
      ...     for predicted, labels in batches
      ... )
      Array([[1, 1],
             [0, 2]], dtype=int32)

    Follows `sklearn.metrics.confusion_matrix`.
    """
    check_scores("confusion_matrix", "logits", logits)
    check_labels(labels, logits, loss="confusion_matrix")
    if not isinstance(logits, jax.core.Tracer) and np.isnan(np.asarray(logits)).any():
        raise LayerError(
            f"confusion_matrix: logits {shapes_text(logits)} must not be NaN"
        )
    classes = logits.shape[-1]
    logits, labels = jnp.asarray(logits), long_ints(labels)
    wrong = jnp.any((labels < 0) | (labels >= classes)) | jnp.any(jnp.isnan(logits))
    counts = jnp.zeros((classes, classes), jnp.int32)
    counts = counts.at[labels, logits.argmax(-1)].add(1, mode="drop")
    return jnp.where(wrong, SPOILT, counts)


def precision(matrix: jax.Array) -> jax.Array:
    """Computes for each class which share of its predictions are right.

    Args:
      matrix: a `confusion_matrix`, (classes, classes).

    Returns:
      (classes,), of the default float dtype; 0 for a class that was never predicted.
      NaN for a matrix with negative entries under `jax.jit`.

    Raises:
      LayerError: it is no confusion matrix.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.metrics.precision(jnp.array([[1, 0], [1, 2]]))
      Array([0.5, 1. ], dtype=float32)

    Follows `sklearn.metrics.precision_score` with ``average=None, zero_division=0``.
    """
    matrix = _matrix("precision", matrix)
    return _share(jnp.diagonal(matrix), matrix.sum(0))


def recall(matrix: jax.Array) -> jax.Array:
    """Computes for each class which share of its examples was found.

    Args:
      matrix: a `confusion_matrix`, (classes, classes).

    Returns:
      (classes,), of the default float dtype; 0 for a class without examples. NaN for
      a matrix with negative entries under `jax.jit`.

    Raises:
      LayerError: it is no confusion matrix.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.metrics.recall(jnp.array([[1, 0], [1, 3]]))
      Array([1.  , 0.75], dtype=float32)

    Follows `sklearn.metrics.recall_score` with ``average=None, zero_division=0``.
    """
    matrix = _matrix("recall", matrix)
    return _share(jnp.diagonal(matrix), matrix.sum(1))


def f1(matrix: jax.Array) -> jax.Array:
    """Computes the harmonic mean of precision and recall for each class.

    Args:
      matrix: a `confusion_matrix`, (classes, classes).

    Returns:
      (classes,), of the default float dtype; 0 for a class without examples and
      predictions. NaN for a matrix with negative entries under `jax.jit`.

    Raises:
      LayerError: it is no confusion matrix.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.metrics.f1(jnp.array([[3, 1], [1, 0]]))
      Array([0.75, 0.  ], dtype=float32)

    Follows `sklearn.metrics.f1_score` with ``average=None, zero_division=0``.
    """
    matrix = _matrix("f1", matrix)
    return _share(2 * jnp.diagonal(matrix), matrix.sum(0) + matrix.sum(1))


def _matrix(name: str, matrix: jax.Array) -> jax.Array:
    """The counts as floats, all NaN where some are negative."""
    shape: tuple[int, ...] = getattr(matrix, "shape", ())
    if len(shape) != 2 or shape[0] != shape[1]:
        raise LayerError(
            f"{name}: expected a confusion matrix (classes, classes), got "
            f"{shapes_text(matrix)}"
        )
    if not isinstance(matrix, jax.core.Tracer) and np.any(np.asarray(matrix) < 0):
        raise LayerError(
            f"{name}: a confusion matrix has no negative entries; was one of its "
            "labels out of range, or a logit NaN?"
        )
    matrix = jnp.asarray(matrix)
    counts = matrix.astype(jnp.result_type(float))
    return jnp.where(jnp.any(matrix < 0), jnp.nan, counts)


def _share(part: jax.Array, whole: jax.Array) -> jax.Array:
    return jnp.where(whole == 0, 0, part / jnp.where(whole == 0, 1, whole))


class StreamingMean(NamedTuple):
    """The three functions of a mean over batches; see `streaming_mean`."""

    start: Callable[[], Total]
    add: Callable[..., Total]
    result: Callable[[Total], jax.Array]


def streaming_mean(metric: Callable[..., jax.Array]) -> StreamingMean:
    """Makes the functions that take a metric's mean over batches, one at a time.

    Every value weighs the same, also where the last batch is smaller. The total is a
    pair of arrays, so that `add` may be compiled, and totals of several machines may
    be added.

    Args:
      metric: a function that takes ``reduction="none"`` and returns a value for each
        example, such as `accuracy` or `lenetjax.losses.cross_entropy`. The zero of
        a label that the metric ignores counts like the others.

    Returns:
      ``start()``, an empty total; ``add(total, *args)``, the total with the metric's
      values for these arguments; ``result(total)``, the mean, NaN of nothing.

    Raises:
      LayerError: the metric is no function.

    Example:
      >>> import jax, jax.numpy as jnp, lenetjax as nn
      >>> mean = nn.metrics.streaming_mean(nn.metrics.accuracy)
      >>> total = mean.start()
      >>> for labels in (jnp.array([0, 0, 1]), jnp.array([1])):
      ...     logits = jnp.tile(jnp.array([[0.9, 0.1]]), (len(labels), 1))
      ...     total = jax.jit(mean.add)(total, logits, labels)
      >>> mean.result(total)
      Array(0.5, dtype=float32)
    """
    if not callable(metric):
        raise LayerError(
            f"streaming_mean: expected a function such as nn.metrics.accuracy, got "
            f"{type(metric).__name__}"
        )

    def start() -> Total:
        return jnp.zeros((), jnp.result_type(float)), jnp.zeros((), jnp.int32)

    def add(total: Total, *args: Any) -> Total:
        values = metric(*args, reduction="none")
        so_far, count = total
        return so_far + values.astype(so_far.dtype).sum(), count + values.size

    def result(total: Total) -> jax.Array:
        return total[0] / total[1].astype(total[0].dtype)

    return StreamingMean(start, add, result)
