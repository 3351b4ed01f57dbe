"""The loss of sequences whose labels are not aligned with time."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lenetjax.core import LayerError
from lenetjax.functional.arguments import is_int
from lenetjax.losses.checks import (
    check_floats,
    long_ints,
    result_dtype,
    spoil,
    widened,
    wrong_values,
)
from lenetjax.losses.reduction import Reduction, reduce
from lenetjax.specs import shapes_text


@jax.named_scope("ctc")
def ctc(
    log_probabilities: jax.Array,
    labels: jax.Array,
    input_lengths: jax.Array,
    label_lengths: jax.Array,
    *,
    blank: int = 0,
    zero_infinity: bool = False,
    reduction: Reduction = "mean",
) -> jax.Array:
    """Computes the negative log probability of a sequence, over all its alignments.

    An alignment has one class for each step in time; it stands for the sequence that
    is left when repeated classes are merged, and then blanks removed.

    Args:
      log_probabilities: (batch, time, classes), floating, such as from
        `jax.nn.log_softmax`.
      labels: ints (batch, length), class numbers without the blank; what stands
        behind the length of each does not count.
      input_lengths: ints (batch,): how many steps of each count.
      label_lengths: ints (batch,): how many labels of each count.
      blank: the class that stands for no label.
      zero_infinity: whether the loss of labels that no alignment fits, being too many
        for the steps, is zero and not infinite.
      reduction: "mean" divides each loss by its number of labels (at least 1) and
        takes the mean over the batch; "sum", or "none" for one loss per sequence.

    Returns:
      A scalar in nats, or (batch,) for "none". Labels that no alignment fits have an
      infinite loss and a gradient of zero. Under `jax.jit`, labels or lengths that
      are out of range give NaN.

    Raises:
      LayerError: shapes, dtypes or settings do not fit, or (outside of `jax.jit`) a
        label or a length is out of range.

    Example:
      >>> import jax, jax.numpy as jnp, lenetjax as nn
      >>> log_p = jax.nn.log_softmax(jnp.zeros((1, 2, 3)))
      >>> nn.losses.ctc(log_p, jnp.array([[1]]), jnp.array([2]), jnp.array([1]))
      Array(1.0986123, dtype=float32)

    Follows `torch.nn.CTCLoss`, with the batch first. The gradient by
    log_probabilities is the true one; PyTorch's has a term more, which vanishes behind
    a log_softmax.
    Graves et al., "Connectionist temporal classification: labelling unsegmented
    sequence data with recurrent neural networks", 2006.
    """
    _check_shapes(log_probabilities, labels, input_lengths, label_lengths)
    _, time, classes = log_probabilities.shape
    if not is_int(blank) or not 0 <= blank < classes:
        raise LayerError(f"ctc: blank must be from 0 to {classes - 1}, got {blank!r}")
    wrong = _length_errors("input_lengths", input_lengths, time)
    wrong |= _length_errors("label_lengths", label_lengths, labels.shape[1])
    labels, label_lengths, bad = _padded(labels, label_lengths, blank, classes)
    wrong |= bad
    log_p = spoil(widened(log_probabilities)[0], wrong[:, None, None])
    losses = _losses(log_p, labels, long_ints(input_lengths), label_lengths, blank)
    if zero_infinity:
        losses = jnp.where(jnp.isposinf(losses), 0, losses)
    losses = spoil(losses, wrong)
    if reduction == "mean":
        losses = losses / jnp.maximum(label_lengths, 1).astype(losses.dtype)
    return reduce(losses, reduction, result_dtype(log_probabilities))


def _losses(
    log_p: jax.Array,
    labels: jax.Array,
    input_lengths: jax.Array,
    label_lengths: jax.Array,
    blank: int,
) -> jax.Array:
    # not optax's: its stand-in for minus infinity, -1e5, makes the loss of labels that
    # nothing fits look like a number
    batch, length = labels.shape
    places = jnp.full((batch, 2 * length + 1), blank, labels.dtype)
    places = places.at[:, 1::2].set(labels)  # blank, label, blank, ..., label, blank
    may_skip = (places != blank) & (places != _shifted(places, 2, blank))
    steps = jnp.broadcast_to(places[:, None], (batch, log_p.shape[1], places.shape[1]))
    emitted = jnp.take_along_axis(log_p, steps, -1)
    runs = jnp.arange(log_p.shape[1])[:, None] < input_lengths[None]

    def step(
        alpha: jax.Array, now: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, None]:
        emission, running = now
        ways = [
            alpha,
            _shifted(alpha, 1, -jnp.inf),
            jnp.where(may_skip, _shifted(alpha, 2, -jnp.inf), -jnp.inf),
        ]
        moved = _log_sum(jnp.stack(ways)) + emission
        return jnp.where(running[:, None], moved, alpha), None

    before = jnp.full(places.shape, -jnp.inf, log_p.dtype).at[:, 0].set(0)
    alpha, _ = lax.scan(step, before, (emitted.swapaxes(0, 1), runs))
    place = jnp.arange(places.shape[1])[None]
    end = 2 * label_lengths[:, None]
    ends = jnp.where((place == end) | (place == end - 1), alpha, -jnp.inf)
    return -_log_sum(ends.T)


def _shifted(x: jax.Array, steps: int, fill: float) -> jax.Array:
    """Moves entries to later places of the last axis."""
    padded = jnp.pad(x, ((0, 0), (steps, 0)), constant_values=fill)
    return padded[:, : x.shape[1]]


def _log_sum(x: jax.Array) -> jax.Array:
    """The log of the sum of exp(x) over the first axis, also of nothing but -inf.

    Its gradient is then zero, where that of `jax.nn.logsumexp` is NaN.
    """
    largest = lax.stop_gradient(x.max(0))
    offset = jnp.where(jnp.isneginf(largest), 0, largest)
    total = jnp.exp(x - offset[None]).sum(0)
    none = total == 0
    return jnp.where(none, -jnp.inf, jnp.log(jnp.where(none, 1, total)) + offset)


def _padded(
    labels: jax.Array, label_lengths: jax.Array, blank: int, classes: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Puts blanks behind each sequence, and finds those with a wrong label."""
    known = not any(isinstance(a, jax.core.Tracer) for a in (labels, label_lengths))
    if known:
        counted = np.arange(labels.shape[1])[None] < np.asarray(label_lengths)[:, None]
        found = np.asarray(labels)[counted]
        bad = found[(found < 0) | (found >= classes) | (found == blank)]
        if bad.size:
            raise LayerError(
                f"ctc: labels must be from 0 to {classes - 1} and not the blank, "
                f"{blank}; got {bad[0]} in {shapes_text(labels)}"
            )
    labels, label_lengths = long_ints(labels), long_ints(label_lengths)
    counts = jnp.arange(labels.shape[1])[None] < label_lengths[:, None]
    wrong = counts & ((labels < 0) | (labels >= classes) | (labels == blank))
    labels = jnp.where(counts & ~wrong, labels, blank)
    return labels, label_lengths, jnp.any(wrong, 1)


def _length_errors(name: str, lengths: jax.Array, most: int) -> jax.Array:
    return wrong_values(
        "ctc", name, lengths, lambda n: (n < 0) | (n > most), f"from 0 to {most}"
    )


def _check_shapes(
    log_probabilities: jax.Array,
    labels: jax.Array,
    input_lengths: jax.Array,
    label_lengths: jax.Array,
) -> None:
    check_floats("ctc", "log_probabilities", log_probabilities)
    if log_probabilities.ndim != 3 or log_probabilities.shape[2] == 0:
        raise LayerError(
            "ctc: log_probabilities must be (batch, time, classes), got "
            + shapes_text(log_probabilities)
        )
    batch = log_probabilities.shape[0]
    layouts = {"labels": "length", "input_lengths": "", "label_lengths": ""}
    arrays = (labels, input_lengths, label_lengths)
    for (name, more), array in zip(layouts.items(), arrays, strict=True):
        if (
            not hasattr(array, "dtype")
            or not jnp.issubdtype(array.dtype, jnp.integer)
            or array.ndim != 1 + bool(more)
            or array.shape[0] != batch
        ):
            raise LayerError(
                f"ctc: {name} must be ints ({batch},{' ' * bool(more)}{more}), got "
                + shapes_text(array)
            )
