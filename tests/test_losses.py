"""Losses against NumPy in float64, and labels that are wrong."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lenetjax as nn
from lenetjax import losses
from lenetjax.losses import cross_entropy, mse
from lenetjax.specs import shapes_text

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


@pytest.mark.compiled
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
    [(jnp.zeros((5, 1), "int32"), "int32[5,1]"), (jnp.zeros(4, "int32"), "int32[4]"),
     (jnp.zeros(5, "float32"), "float32[5]"),
     (jnp.zeros((5, 4), "float32"), "float32[5,4]")],
)  # fmt: skip
def test_labels_of_the_wrong_shape_are_refused(labels, got):
    """The message has the shape that is expected and the one that came."""
    with pytest.raises(nn.LayerError) as refusal:
        cross_entropy(jnp.asarray(LOGITS, jnp.float32), labels)

    assert "labels must be ints (5,)" in str(refusal.value)
    assert got in str(refusal.value)


def test_mse_broadcasts_nothing():
    """(n, 1) against (n,) is the classic silent mistake."""
    with pytest.raises(nn.LayerError, match=r"float..\[5,1\].*float..\[5\].*one shape"):
        mse(jnp.zeros((5, 1)), jnp.zeros(5))


def test_an_unknown_reduction_is_refused():
    """The message lists the three."""
    with pytest.raises(nn.LayerError, match="mean, sum or none, got 'avg'"):
        mse(jnp.zeros(2), jnp.zeros(2), reduction="avg")


X = jnp.zeros((2, 3))
SIGNS = jnp.array([1, -1])
FITTING = {
    "l1": (X, X),
    "mse": (X, X),
    "huber": (X, X),
    "smooth_l1": (X, X),
    "poisson_nll": (X, X),
    "gaussian_nll": (X, X, X),
    "kl_div": (X, X),
    "bce": (X, X),
    "bce_with_logits": (X, X),
    "multilabel_soft_margin": (X, X),
    "soft_margin": (SIGNS * 1.0, SIGNS),
    "cross_entropy": (X, jnp.zeros(2, int)),
    "nll": (X, jnp.zeros(2, int)),
    "multi_margin": (X, jnp.zeros(2, int)),
    "multilabel_margin": (X, jnp.zeros((2, 3), int)),
    "margin_ranking": (SIGNS * 1.0, SIGNS * 1.0, SIGNS),
    "hinge_embedding": (SIGNS * 1.0, SIGNS),
    "cosine_embedding": (X, X, SIGNS),
    "triplet_margin": (X, X, X),
    "ctc": (X[None], jnp.ones((1, 2), int), jnp.array([2]), jnp.array([1])),
}


def test_every_loss_is_listed_here():
    """The tests below then hold for all of them."""
    assert set(FITTING) == set(losses.__all__) - {"Reduction", "check_labels"}


@pytest.mark.parametrize("name", FITTING)
def test_shapes_and_reductions_of(name):
    """Each argument must fit exactly; the message names the loss."""
    loss, args = getattr(losses, name), FITTING[name]
    assert loss(*args).shape == ()
    assert loss(*args, reduction="sum").shape == ()
    assert loss(*args, reduction="none").shape in ((2, 3), (2,), (1,))
    assert loss(*map(np.asarray, args)) == loss(*args)
    with pytest.raises(nn.LayerError, match="mean, sum or none, got 'avg'"):
        loss(*args, reduction="avg")
    for i in range(len(args)):
        for bad in (args[i][:1, None], args[i][..., None], None, args[i] * 1j):
            with pytest.raises(nn.LayerError) as refusal:
                loss(*args[:i], bad, *args[i + 1 :])
            assert str(refusal.value).startswith(f"{name}: ")
            assert shapes_text(bad) in str(refusal.value)


@pytest.mark.parametrize("name", FITTING)
def test_half_precision_of(name):
    """The loss has the dtype of its floating inputs."""
    args = [
        arg.astype(jnp.bfloat16) if jnp.issubdtype(arg.dtype, jnp.floating) else arg
        for arg in FITTING[name]
    ]

    assert getattr(losses, name)(*args).dtype == jnp.bfloat16


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("name", "at", "bad", "message"),
    [("poisson_nll", 1, -1, "targets must be counts, 0 or more, got -1"),
     ("gaussian_nll", 2, -1, "var must be 0 or more, got -1"),
     ("kl_div", 1, -1, "targets must be probabilities, 0 or more, got -1"),
     ("bce", 0, 1.5, "probabilities must be from 0 to 1, got 1.5"),
     ("bce", 1, 2, "targets must be from 0 to 1, got 2"),
     ("bce_with_logits", 1, -1, "targets must be from 0 to 1, got -1"),
     ("multilabel_soft_margin", 1, 7, "targets must be from 0 to 1, got 7"),
     ("soft_margin", 1, 0, "targets must be 1 or -1, got 0"),
     ("margin_ranking", 2, 0, "targets must be 1 or -1, got 0"),
     ("hinge_embedding", 1, 0, "targets must be 1 or -1, got 0"),
     ("cosine_embedding", 2, 0, "targets must be 1 or -1, got 0"),
     ("nll", 1, 3, "labels must be from 0 to 2"),
     ("cross_entropy", 1, -100, "labels must be from 0 to 2"),
     ("multi_margin", 1, 3, "labels must be from 0 to 2"),
     ("multilabel_margin", 1, 3, "labels must be from 0 to 2, or -1 after the last"),
     ("multilabel_margin", 1, -2, "labels must be from 0 to 2, or -1 after the last"),
     ("ctc", 1, 3, "labels must be from 0 to 2 and not the blank, 0; got 3"),
     ("ctc", 1, 0, "labels must be from 0 to 2 and not the blank, 0; got 0"),
     ("ctc", 2, 3, "input_lengths must be from 0 to 2, got 3"),
     ("ctc", 2, -1, "input_lengths must be from 0 to 2, got -1"),
     ("ctc", 3, 3, "label_lengths must be from 0 to 2, got 3")],
)  # fmt: skip
def test_wrong_values(name, at, bad, message):
    """Refused where they are known; under jit the loss and its gradient are NaN."""
    loss, args = getattr(losses, name), list(FITTING[name])
    args[at] = args[at].at[(0,) * args[at].ndim].set(bad)
    slope = jax.grad(lambda x, *rest: loss(x, *rest, reduction="sum"))

    with pytest.raises(nn.LayerError, match=f"^{name}: {message}"):
        loss(*args)
    value, slopes = jax.jit(loss)(*args), jax.jit(slope)(*args)

    assert np.isnan(value)
    assert np.isnan(slopes.reshape(-1)[0])


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("name", "args"),
    [("margin_ranking", (SIGNS * 9.0, SIGNS * -9.0, jnp.array([2, -2]))),
     ("hinge_embedding", (jnp.full(2, 9.0), jnp.zeros(2, int))),
     ("cosine_embedding", (-jnp.ones((1, 2)), jnp.ones((1, 2)), jnp.zeros(1, int))),
     ("multi_margin", (jnp.array([[9.0, 0.0]]), jnp.array([2]))),
     ("multi_margin", (jnp.array([[9.0]]), jnp.array([1]))),
     ("multilabel_margin", (jnp.array([[9.0, 0.0]]), jnp.array([[0, 2]])))],
)  # fmt: skip
def test_wrong_values_where_a_loss_is_flat(name, args):
    """A slope of zero is plausible too: it is NaN for every number of the example."""
    loss = getattr(losses, name)

    value, slopes = jax.jit(jax.value_and_grad(loss))(*args)

    assert np.isnan(value)
    assert np.isnan(slopes).all()


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [("huber", {"delta": 0}, "delta must be a number over 0, got 0"),
     ("smooth_l1", {"beta": -1}, "beta must be a number of at least 0, got -1"),
     ("poisson_nll", {"eps": "x"}, "eps must be a number of at least 0, got 'x'"),
     ("gaussian_nll", {"eps": 0.0}, "eps must be a number over 0, got 0.0"),
     ("kl_div", {"reduction": "avg"}, "batchmean, mean, sum or none, got 'avg'"),
     ("bce", {"weight": jnp.ones(3)}, r"weight must have the shape \(2, 3\), got"),
     ("bce_with_logits", {"weight": X[:1]}, r"weight must have the shape \(2, 3\)"),
     ("bce_with_logits", {"pos_weight": X}, r"pos_weight must be a scalar array or \("),
     ("multilabel_soft_margin", {"weight": X}, r"weight must have the shape \(3,\)"),
     ("cross_entropy", {"weight": X}, r"weight must have the shape \(3,\), got float"),
     ("cross_entropy", {"label_smoothing": 2}, "label_smoothing must be a number from"),
     ("cross_entropy", {"ignore_index": 0.5}, "ignore_index must be an int, got 0.5"),
     ("nll", {"weight": jnp.ones(2)}, r"nll: weight must have the shape \(3,\)"),
     ("multi_margin", {"p": 3}, "multi_margin: p must be 1 or 2, got 3"),
     ("multi_margin", {"margin": None}, "margin must be a number, got None"),
     ("multi_margin", {"weight": X}, r"multi_margin: weight must have the shape"),
     ("cosine_embedding", {"margin": 2}, "margin must be at most 1, got 2"),
     ("cosine_embedding", {"margin": -2}, "margin must be a number of at least -1"),
     ("triplet_margin", {"p": 0}, "p must be a number over 0, got 0"),
     ("triplet_margin", {"eps": -1}, "eps must be a number of at least 0, got -1"),
     ("ctc", {"blank": 3}, "ctc: blank must be from 0 to 2, got 3")],
)  # fmt: skip
def test_wrong_settings(name, settings, message):
    """The message has the setting, what is expected and what came."""
    with pytest.raises(nn.LayerError, match=message):
        getattr(losses, name)(*FITTING[name], **settings)


@pytest.mark.parametrize(
    ("name", "args"),
    [("cross_entropy", (jnp.zeros((2, 0)), jnp.zeros(2, int))),
     ("nll", (jnp.zeros(()), jnp.zeros((), int))),
     ("multi_margin", (jnp.zeros((2, 0)), jnp.zeros(2, int))),
     ("multilabel_margin", (jnp.zeros(()), jnp.zeros((), int))),
     ("multilabel_soft_margin", (jnp.zeros(()), jnp.zeros(()))),
     ("cosine_embedding", (jnp.zeros((2, 0)), jnp.zeros((2, 0)), SIGNS)),
     ("triplet_margin", (jnp.zeros(()),) * 3),
     ("ctc", (jnp.zeros((1, 2, 0)), *FITTING["ctc"][1:]))],
)  # fmt: skip
def test_a_missing_axis_is_refused(name, args):
    """Classes and features are the last axis, and there is at least one."""
    with pytest.raises(nn.LayerError, match=rf"{name}: .*\(.*(classes|features)\)"):
        getattr(losses, name)(*args)


def test_batchmean_needs_a_batch():
    """A scalar has none."""
    with pytest.raises(nn.LayerError, match="batchmean needs a batch axis"):
        losses.kl_div(jnp.zeros(()), jnp.zeros(()), reduction="batchmean")


@pytest.mark.compiled
@pytest.mark.parametrize("row", [[0.5, 0.25, 0.0], [1.5, -0.5, 0.0]])
def test_what_is_no_distribution(row):
    """Probabilities that are negative or do not sum to 1, as the targets."""
    targets = jnp.array([[0.0, 1.0, 0.0], row])

    with pytest.raises(nn.LayerError, match=r"sum to 1 in each row; got float..\[2,3"):
        cross_entropy(X, targets)
    each = jax.jit(lambda *a: cross_entropy(*a, reduction="none"))(X, targets)
    slopes = jax.jit(jax.grad(cross_entropy))(X, targets)

    np.testing.assert_array_equal(np.isnan(each), [False, True])
    assert np.isnan(slopes[1]).all()


def test_probabilities_have_no_label_to_ignore():
    """Only ints are ignored."""
    with pytest.raises(nn.LayerError, match="ignore_index is for labels that are ints"):
        cross_entropy(X, jnp.full((2, 3), 1 / 3), ignore_index=0)


def test_class_numbers_and_their_one_hot_rows_agree():
    """With smoothing, and for labels of any int dtype."""
    logits = jnp.asarray(LOGITS, jnp.float32)
    rows = jax.nn.one_hot(LABELS, 4)

    for dtype in ("int8", "uint8", "int32", "uint32"):
        np.testing.assert_allclose(
            cross_entropy(logits, LABELS.astype(dtype), label_smoothing=0.1),
            cross_entropy(logits, rows, label_smoothing=0.1),
            rtol=1e-6,
        )


def test_an_ignored_label_leaves_the_others_alone():
    """Nothing of its example comes into the loss, the mean or the gradient."""
    logits, labels = jnp.asarray(LOGITS, jnp.float32), jnp.asarray(LABELS).at[1].set(-7)
    rest = np.array([0, 2, 3, 4])

    loss, grad = jax.jit(
        jax.value_and_grad(lambda x: cross_entropy(x, labels, ignore_index=-7))
    )(logits)

    np.testing.assert_allclose(loss, cross_entropy(logits[rest], labels[rest]), 1e-6)
    assert (grad[1] == 0).all()
    assert (grad[rest] != 0).all()


def test_equal_numbers_have_no_slope():
    """JAX's absolute value has one of 1 at zero."""
    for loss in (losses.l1, losses.smooth_l1, losses.huber):
        assert jax.grad(loss)(1.0 * SIGNS, 1.0 * SIGNS).tolist() == [0, 0]


def test_small_errors_keep_their_digits_beside_a_large_delta():
    """The slope of half a square is the error."""
    errors = jnp.array([1e-3, 1e-6, 1e-9])
    slopes = jax.grad(losses.huber)(errors, 0 * errors, delta=100.0, reduction="sum")

    np.testing.assert_allclose(slopes, errors, rtol=1e-6)


def test_small_losses_of_sure_logits_keep_their_digits():
    """The log of 1 + exp(-50) is exp(-50)."""
    x, one = jnp.array([50.0]), jnp.array([1.0])

    for small in (
        losses.soft_margin(x, one),
        losses.soft_margin(-x, -one),
        losses.bce_with_logits(x, one),
        losses.bce_with_logits(-x, 0 * one),
    ):
        np.testing.assert_allclose(small, np.exp(-50), rtol=1e-5)
    assert losses.soft_margin(1e30 * x, -one) == (1e30 * x)[0]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "uint32"])
def test_labels_and_lengths_of_any_int_dtype(dtype):
    """More classes and steps than the dtype of the labels can count."""
    log_p = jax.nn.log_softmax(jnp.zeros((1, 300, 300)))
    labels = jnp.full((1, 90), 100, dtype)
    lengths = jnp.array([90], dtype)
    want = losses.ctc(log_p, labels.astype(int), lengths.astype(int), lengths // 2)

    got = losses.ctc(log_p, labels, lengths, lengths // 2)
    assert got == want
    assert np.isfinite(got)
    assert losses.cross_entropy(log_p[0, :2], labels[0, :2]) == -log_p[0, 0, 0]
    margin = losses.multi_margin(log_p[0, :2], labels[0, :2])
    assert margin == np.asarray(299 / 300, log_p.dtype)


def by_enumeration(log_p, label, blank):
    """Sums over every path that merges to the label."""
    total = -np.inf
    for path in itertools.product(range(log_p.shape[1]), repeat=len(log_p)):
        merged = [c for c, _ in itertools.groupby(path) if c != blank]
        if merged == list(label):
            total = np.logaddexp(total, sum(log_p[range(len(path)), list(path)]))
    return -total


@pytest.mark.parametrize("label", [[], [1], [1, 1], [1, 2], [2, 1, 2], [1, 1, 1]])
def test_ctc_is_the_sum_over_all_alignments(label):
    """Enumerated for four steps; three equal labels need five."""
    log_p = jax.nn.log_softmax(jnp.asarray(LOGITS[:4, :3], jnp.float32))
    padded = jnp.array([[*label, *[9] * (3 - len(label))]])  # 9 is not looked at

    loss = losses.ctc(
        log_p[None], padded, jnp.array([4]), jnp.array([len(label)]), reduction="sum"
    )

    np.testing.assert_allclose(loss, by_enumeration(np.asarray(log_p), label, 0), 1e-5)


@pytest.mark.parametrize("zero_infinity", [False, True])
def test_labels_that_fit_no_alignment(zero_infinity):
    """Their loss is infinite or zero, and they never train."""
    log_p = jnp.log(jnp.full((2, 2, 3), 1 / 3))
    args = jnp.array([[1, 1], [1, 2]]), jnp.array([2, 2]), jnp.array([2, 2])

    def loss(log_p):
        each = losses.ctc(log_p, *args, zero_infinity=zero_infinity, reduction="none")
        return each.sum(), each

    (_, each), slopes = jax.value_and_grad(loss, has_aux=True)(log_p)

    assert each[0] == (0 if zero_infinity else np.inf)
    np.testing.assert_allclose(each[1], 2 * np.log(3), rtol=1e-6)
    assert (slopes[0] == 0).all()
    np.testing.assert_allclose(slopes[1], [[0, -1, 0], [0, 0, -1]], atol=1e-6)


def test_second_derivatives_of_bce():
    """Of p and 1 - p: the gradient of its own is differentiated too."""
    second = jax.grad(jax.grad(lambda p: losses.bce(p, jnp.ones(()))))

    np.testing.assert_allclose(second(jnp.array(0.25)), 16, rtol=1e-5)
