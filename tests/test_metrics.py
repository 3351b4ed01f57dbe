"""Metrics against scikit-learn and NumPy, alone and over batches."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lenetjax as nn
from lenetjax import losses, metrics

pytestmark = pytest.mark.usefixtures("kept_programs")

sklearn_metrics = pytest.importorskip(
    "sklearn.metrics", reason="needs lenetjax[data]", exc_type=ImportError
)
WRONG = jnp.array([0, 3, 1])
LOGITS = jnp.array([[0.1, 0.9, 0.3], [0.6, 0.4, 0.5], [0.2, 0.2, 0.1]])


def batch(seed, n, classes):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, classes)).astype(np.float32)
    return logits, rng.integers(0, classes, size=n)


@given(seed=st.integers(0, 999), n=st.integers(1, 30), classes=st.integers(2, 6))
def test_metrics_are_scikit_learns(seed, n, classes):
    """All of them, for random predictions; some classes are then missing."""
    logits, labels = batch(seed, n, classes)
    predicted, every = logits.argmax(1), range(classes)
    matrix = jax.jit(metrics.confusion_matrix)(logits, labels)

    np.testing.assert_array_equal(
        matrix, sklearn_metrics.confusion_matrix(labels, predicted, labels=every)
    )
    assert matrix.dtype == jnp.int32
    np.testing.assert_allclose(
        metrics.accuracy(logits, labels),
        sklearn_metrics.accuracy_score(labels, predicted),
        rtol=1e-6,
    )
    for name in ("precision", "recall", "f1"):
        want = getattr(sklearn_metrics, f"{name}_score")(
            labels, predicted, labels=every, average=None, zero_division=0
        )
        np.testing.assert_allclose(getattr(metrics, name)(matrix), want, rtol=1e-6)
    for k in range(1, classes):
        got = metrics.top_k_accuracy(logits, labels, k, reduction="sum")
        ranks = np.argsort(-logits, 1)[:, :k]
        assert got == (ranks == labels[:, None]).any(1).sum()
        if classes > 2:
            share = sklearn_metrics.top_k_accuracy_score(
                labels, logits, k=k, labels=every
            )
            np.testing.assert_allclose(got / n, share, rtol=1e-6)


@given(seed=st.integers(0, 999), k=st.integers(1, 4))
def test_of_equal_logits_the_lower_class_comes_first(seed, k):
    """As `jax.lax.top_k` and `argmax` have it, also for infinite logits."""
    rng = np.random.default_rng(seed)
    logits = jnp.asarray(rng.choice([-np.inf, 0.0, 1.0, np.inf], size=(3, 5, 4)))
    labels = jnp.asarray(rng.integers(0, 4, size=(3, 5)))
    best = jax.lax.top_k(logits, k)[1]

    got = metrics.top_k_accuracy(logits, labels, k, reduction="none")

    np.testing.assert_array_equal(got, (best == labels[..., None]).any(-1))
    if k == 1:
        accuracy = metrics.accuracy(logits, labels, reduction="none")
        np.testing.assert_array_equal(got, accuracy)
        np.testing.assert_array_equal(got, logits.argmax(-1) == labels)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_counts_do_not_stop_at_what_half_precision_holds(dtype):
    """3,000 right predictions are 3,000, whatever the dtype of the logits."""
    logits = jnp.ones((3000, 2), dtype)
    labels = jnp.zeros(3000, int)

    assert metrics.accuracy(logits, labels, reduction="sum") == 3000
    assert metrics.confusion_matrix(logits, labels)[0, 0] == 3000


def test_labels_of_any_int_dtype():
    """Also of dtypes that could not hold a larger number of classes."""
    logits = jax.nn.one_hot(jnp.array([250, 3]), 300)

    for dtype in ("uint8", "int16", "uint32"):
        labels = jnp.array([250, 3], dtype)
        assert metrics.accuracy(logits, labels) == 1
        assert metrics.confusion_matrix(logits, labels)[250, 250] == 1
        assert losses.cross_entropy(100 * logits, labels) == 0


@given(
    seed=st.integers(0, 999),
    sizes=st.lists(st.integers(0, 5), min_size=1, max_size=4),
)
def test_a_streaming_mean_is_the_mean_of_all(seed, sizes):
    """Whatever the sizes of the batches, for metrics and for losses."""
    logits, labels = batch(seed, sum(sizes), 4)
    ends = np.cumsum(sizes)[:-1]
    batches = list(zip(np.split(logits, ends), np.split(labels, ends), strict=True))

    for metric in (
        metrics.accuracy,
        partial(metrics.top_k_accuracy, k=2),
        losses.cross_entropy,
    ):
        mean = metrics.streaming_mean(metric)
        add, total = jax.jit(mean.add), mean.start()
        for one in batches:
            total = add(total, *one)
        np.testing.assert_allclose(
            mean.result(total), metric(logits, labels), rtol=1e-5
        )
    if sum(sizes):
        matrices = sum(metrics.confusion_matrix(*one) for one in batches)
        np.testing.assert_array_equal(
            matrices, metrics.confusion_matrix(logits, labels)
        )


def test_a_streaming_mean_of_right_and_wrong_is_exact():
    """Ones and zeros are counted, not the means of batches added."""
    mean = metrics.streaming_mean(metrics.accuracy)
    total = mean.start()
    for n in (3, 7, 49):
        labels = jnp.zeros(n, int).at[0].set(1)
        total = mean.add(total, jnp.ones((n, 2)), labels)

    assert total[0] == 56
    assert total[1] == 59
    assert mean.result(total) == total[0] / total[1]


def test_a_streaming_mean_goes_through_scan():
    """The total keeps its shape and dtypes; a total of nothing is NaN."""
    mean = metrics.streaming_mean(losses.mse)
    values = jnp.arange(6.0, dtype=jnp.bfloat16).reshape(3, 2)

    total, _ = jax.lax.scan(
        lambda total, x: (mean.add(total, x, 0 * x), None), mean.start(), values
    )

    assert mean.result(total) == np.asarray(55 / 6, total[0].dtype)
    assert np.isnan(mean.result(mean.start()))


@pytest.mark.compiled
@pytest.mark.parametrize("bad", [{"labels": WRONG}, {"labels": -WRONG}, {"logits": 1}])
def test_wrong_labels_and_nan_never_look_like_a_number(bad):
    """Labels are refused where they are known; under jit nothing is plausible."""
    labels = bad.get("labels", jnp.array([1, 0, 1]))
    logits = LOGITS.at[1, 2].set(jnp.nan) if "logits" in bad else LOGITS

    if "labels" in bad:
        for metric in (metrics.accuracy, metrics.confusion_matrix):
            with pytest.raises(nn.LayerError, match="labels must be from 0 to 2"):
                metric(logits, labels)
    else:
        with pytest.raises(nn.LayerError, match=r"logits float..\[3,3\] must not be"):
            metrics.confusion_matrix(logits, labels)
    assert np.isnan(jax.jit(metrics.accuracy)(logits, labels))
    matrix = jax.jit(metrics.confusion_matrix)(logits, labels)
    assert (matrix < 0).all()
    for metric in (metrics.precision, metrics.recall, metrics.f1):
        assert np.isnan(jax.jit(metric)(matrix)).all()
        with pytest.raises(nn.LayerError, match="no negative entries"):
            metric(matrix)


@pytest.mark.parametrize(
    ("call", "message"),
    [(lambda: metrics.accuracy(LOGITS, LOGITS), r"accuracy: labels must be ints \(3,"),
     (lambda: metrics.accuracy(WRONG, WRONG), "accuracy: logits must be an array of"),
     (lambda: metrics.accuracy(jnp.zeros((3, 0)), WRONG), "at least one class"),
     (lambda: metrics.accuracy(LOGITS, 0 * WRONG, reduction="avg"), "got 'avg'"),
     (lambda: metrics.top_k_accuracy(LOGITS, 0 * WRONG, 4), "k must be from 1 to 3"),
     (lambda: metrics.top_k_accuracy(LOGITS, 0 * WRONG, 0), "k must be a positive int"),
     (lambda: metrics.confusion_matrix(LOGITS, WRONG[:2]), "confusion_matrix: labels"),
     (lambda: metrics.precision(LOGITS[:2]), r"precision: expected a confusion matrix"),
     (lambda: metrics.f1(None), "f1: expected a confusion matrix .* got NoneType"),
     (lambda: metrics.streaming_mean(3), "expected a function .* got int")],
)  # fmt: skip
def test_what_does_not_fit_is_refused(call, message):
    """The message has what was expected and what came."""
    with pytest.raises(nn.LayerError, match=message):
        call()
