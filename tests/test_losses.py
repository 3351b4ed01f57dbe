"""Losses against NumPy in float64, and labels that are wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lenetjax as nn
from lenetjax.losses import cross_entropy, mse

LOGITS = np.random.default_rng(0).normal(size=(5, 4))
LABELS = np.array([0, 3, 1, 1, 2])


def test_cross_entropy_is_minus_log_softmax():
    """The mean, the sum and each loss, in float64."""
    p = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
    want = -np.log(p[range(5), LABELS])

    with jax.enable_x64(True):
        logits, labels = jnp.asarray(LOGITS), jnp.asarray(LABELS)
        each = cross_entropy(logits, labels, reduction="none")
        np.testing.assert_allclose(each, want, rtol=1e-12)
        np.testing.assert_allclose(cross_entropy(logits, labels), want.mean())
        total = cross_entropy(logits, labels, reduction="sum")
        np.testing.assert_allclose(total, want.sum())


def test_mse_is_the_mean_of_squares():
    """The mean, the sum and each loss."""
    a, b = LOGITS.astype(np.float32), np.zeros((5, 4), np.float32)

    np.testing.assert_allclose(mse(a, b), (a**2).mean(), rtol=1e-6)
    np.testing.assert_allclose(mse(a, b, reduction="sum"), (a**2).sum(), rtol=1e-6)
    np.testing.assert_allclose(mse(a, b, reduction="none"), a**2, rtol=1e-6)


def test_large_logits_do_not_overflow():
    """Logits of ±10,000 give finite losses and gradients."""
    logits, labels = jnp.array([[1e4, -1e4], [1e4, -1e4]]), jnp.array([0, 1])

    value, grad = jax.value_and_grad(cross_entropy)(logits, labels)

    assert value == 1e4
    assert np.isfinite(grad).all()


@pytest.mark.parametrize(
    ("logits", "want"),
    [([-1e4, -1e4, -1e4], np.log(3)), ([3e38, 3e38, 0.0], np.log(2))],
)
def test_an_offset_of_the_logits_costs_no_digits(logits, want):
    """Softmax does not depend on a common offset, nor does the loss."""
    loss = cross_entropy(jnp.array([logits]), jnp.array([0]))

    np.testing.assert_allclose(loss, want, rtol=1e-6)


@pytest.mark.parametrize("wrong", [-1, 4, 100])
def test_a_label_out_of_range_is_refused(wrong):
    """Where the values are known the message has the range; under jit it is NaN."""
    logits, labels = jnp.asarray(LOGITS, jnp.float32), jnp.array([0, 3, 1, 1, wrong])

    with pytest.raises(nn.LayerError, match=r"from 0 to 3.*from .*-?\d+ to"):
        cross_entropy(logits, labels)
    value, grad = jax.jit(jax.value_and_grad(cross_entropy))(logits, labels)
    each = jax.jit(lambda *a: cross_entropy(*a, reduction="none"))(logits, labels)

    assert np.isnan(value)
    assert np.isnan(grad[4]).all()
    np.testing.assert_array_equal(np.isnan(each), [False] * 4 + [True])


@pytest.mark.parametrize(
    ("labels", "got"),
    [(jnp.zeros((5, 1), int), "int32[5,1]"), (jnp.zeros(4, int), "int32[4]"),
     (jnp.zeros(5), "float32[5]"), (jnp.zeros((5, 4)), "float32[5,4]")],
)  # fmt: skip
def test_labels_of_the_wrong_shape_are_refused(labels, got):
    """The message has the shape that is expected and the one that came."""
    with pytest.raises(nn.LayerError) as refusal:
        cross_entropy(jnp.asarray(LOGITS, jnp.float32), labels)

    assert "labels must be ints (5,)" in str(refusal.value)
    assert got in str(refusal.value)


def test_mse_broadcasts_nothing():
    """(n, 1) against (n,) is the classic silent mistake."""
    with pytest.raises(nn.LayerError, match=r"float32\[5,1\].*float32\[5\].*one shape"):
        mse(jnp.zeros((5, 1)), jnp.zeros(5))


def test_an_unknown_reduction_is_refused():
    """The message lists the three."""
    with pytest.raises(nn.LayerError, match="mean, sum or none, got 'avg'"):
        mse(jnp.zeros(2), jnp.zeros(2), reduction="avg")
