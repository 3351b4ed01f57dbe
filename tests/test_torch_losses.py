"""The losses against PyTorch: values and gradients, over random settings."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from against_torch import agree, draw, given, ties, torch
from hypothesis import strategies as st

from lenetjax import losses

F = torch.nn.functional

seeds = st.integers(0, 999)
reductions = st.sampled_from(["mean", "sum", "none"])
shapes = st.lists(st.integers(0, 4), min_size=0, max_size=3).map(tuple)
rows = st.lists(st.integers(1, 4), min_size=1, max_size=2).map(tuple)
classes = st.integers(1, 5)
margins = st.sampled_from([0.0, 0.5, 1.0, 2.0])


def numbers(seed, *shape):
    """Makes normal values, or values of which many are equal."""
    return draw(seed, *shape) if seed % 2 else ties(seed, *shape)


def ints(seed, *shape, low=0, high):
    return np.random.default_rng(seed).integers(low, high, size=shape)


def signs(seed, *shape):
    return 2 * ints(seed, *shape, high=2) - 1


def fractions(seed, *shape):
    """Makes values from 0 to 1, with both ends."""
    values = np.random.default_rng(seed).uniform(-0.2, 1.2, size=shape).clip(0, 1)
    return values.astype("float32").astype("float64")


def distributions(seed, *shape):
    """Makes positive rows that sum to 1, as far as float32 can hold them."""
    values = np.exp(draw(seed, *shape))
    return (values / values.sum(-1, keepdims=True)).astype("float32").astype("float64")


def channels_first(x):
    """Moves the classes to where PyTorch looks for them, behind the batch axis."""
    return x.movedim(-1, 1) if x.ndim > 1 else x


def constant(array):
    """An array that is no variable, for each dtype that the test computes in."""
    return None if array is None else torch.tensor(array)


@given(seed=seeds, shape=shapes, reduction=reductions)
@pytest.mark.parametrize(("name", "theirs"), [("l1", F.l1_loss), ("mse", F.mse_loss)])
def test_errors(name, theirs, seed, shape, reduction):
    """Absolute and squared errors, of equal values too."""
    agree(
        partial(getattr(losses, name), reduction=reduction),
        partial(theirs, reduction=reduction),
        numbers(seed, *shape),
        numbers(seed + 2, *shape),
    )


@given(seed=seeds, shape=shapes, reduction=reductions, limit=st.sampled_from([0, 1, 3]))
@pytest.mark.parametrize("name", ["huber", "smooth_l1"])
def test_rounded_errors(name, seed, shape, reduction, limit):
    """Parabolas that end in lines, and errors at the very end."""
    limit = limit / 2 + (name == "huber") / 2
    setting = {"delta" if name == "huber" else "beta": limit}
    agree(
        partial(getattr(losses, name), **setting, reduction=reduction),
        partial(getattr(F, f"{name}_loss"), **setting, reduction=reduction),
        numbers(seed, *shape) / 2,
        numbers(seed + 2, *shape) / 2,
    )


@given(
    seed=seeds,
    shape=shapes,
    reduction=reductions,
    log_input=st.booleans(),
    full=st.booleans(),
    eps=st.sampled_from([1e-8, 0.1]),
)
def test_poisson_nll(seed, shape, reduction, log_input, full, eps):
    """Rates and their logs, with and without Stirling's term."""
    settings = {"log_input": log_input, "full": full, "eps": eps}
    rates = draw(seed, *shape)
    agree(
        partial(losses.poisson_nll, **settings, reduction=reduction),
        partial(F.poisson_nll_loss, **settings, reduction=reduction),
        rates if log_input else abs(rates) + 0.125,
        abs(draw(seed + 1, *shape, scale=3)),
    )


@given(
    seed=seeds,
    shape=st.lists(st.integers(0, 4), min_size=1, max_size=3).map(tuple),
    reduction=reductions,
    full=st.booleans(),
    eps=st.sampled_from([1e-6, 0.5]),
)
def test_gaussian_nll(seed, shape, reduction, full, eps):
    """Variances over and under the least one, which then has the gradient."""
    agree(
        partial(losses.gaussian_nll, full=full, eps=eps, reduction=reduction),
        partial(F.gaussian_nll_loss, full=full, eps=eps, reduction=reduction),
        draw(seed, *shape),
        draw(seed + 1, *shape),
        abs(draw(seed + 2, *shape)) + 0.125,
    )


@given(
    seed=seeds,
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple),
    reduction=st.sampled_from(["mean", "sum", "none", "batchmean"]),
    log_target=st.booleans(),
)
def test_kl_div(seed, shape, reduction, log_target):
    """Probabilities and their logs."""

    def theirs(x, t):
        if reduction == "mean":  # PyTorch warns that this is no divergence
            return F.kl_div(x, t, log_target=log_target, reduction="none").mean()
        return F.kl_div(x, t, log_target=log_target, reduction=reduction)

    targets = distributions(seed, *shape)
    agree(
        partial(losses.kl_div, log_target=log_target, reduction=reduction),
        theirs,
        draw(seed + 1, *shape),
        np.log(targets).astype("float32").astype("float64") if log_target else targets,
    )


@given(seed=seeds, shape=shapes, reduction=reductions, weighted=st.booleans())
def test_bce(seed, shape, reduction, weighted):
    """Probabilities, of 0 and 1 too for the gradient with respect to them."""
    weight = draw(seed, *shape) if weighted else None
    targets = fractions(seed + 1, *shape)
    agree(
        lambda p, t: losses.bce(p, t, weight=weight, reduction=reduction),
        lambda p, t: F.binary_cross_entropy(
            p, t, weight=constant(weight), reduction=reduction
        ),
        distributions(seed, *shape, 2)[..., 0],
        targets,
    )
    agree(
        lambda p: losses.bce(p, targets, weight=weight, reduction=reduction),
        lambda p: F.binary_cross_entropy(
            p, constant(targets), weight=constant(weight), reduction=reduction
        ),
        fractions(seed, *shape),
        dtypes=("float64",),  # near 0 and 1 the slope magnifies float32's rounding
    )


@given(
    seed=seeds,
    shape=st.lists(st.integers(0, 4), min_size=1, max_size=3).map(tuple),
    reduction=reductions,
    weighted=st.booleans(),
    positive=st.sampled_from([None, "scalar", "classes"]),
)
def test_bce_with_logits(seed, shape, reduction, weighted, positive):
    """Weights of each value and of the positive part."""
    weight = draw(seed, *shape) if weighted else None
    sizes = {"scalar": (), "classes": shape[-1:]}
    pos_weight = None if positive is None else abs(draw(seed, *sizes[positive]))
    agree(
        lambda x, t: losses.bce_with_logits(
            x, t, weight=weight, pos_weight=pos_weight, reduction=reduction
        ),
        lambda x, t: F.binary_cross_entropy_with_logits(
            x, t, constant(weight), reduction=reduction, pos_weight=constant(pos_weight)
        ),
        draw(seed, *shape, scale=3),
        fractions(seed + 1, *shape),
    )


@given(seed=seeds, rows=rows, n=classes, reduction=reductions, weighted=st.booleans())
def test_multilabel_soft_margin(seed, rows, n, reduction, weighted):
    """The mean over the classes, with a weight for each."""
    weight = draw(seed, n) if weighted else None
    agree(
        lambda x, t: losses.multilabel_soft_margin(
            x, t, weight=weight, reduction=reduction
        ),
        lambda x, t: F.multilabel_soft_margin_loss(
            x, t, constant(weight), reduction=reduction
        ),
        draw(seed, *rows, n, scale=3),
        fractions(seed + 1, *rows, n),
    )


@given(seed=seeds, shape=shapes, reduction=reductions)
def test_soft_margin(seed, shape, reduction):
    """Targets of 1 and -1."""
    agree(
        partial(losses.soft_margin, reduction=reduction),
        lambda x, t: F.soft_margin_loss(x, t.double(), reduction=reduction),
        numbers(seed, *shape),
        signs(seed, *shape),
    )


@given(
    seed=seeds,
    rows=rows,
    n=classes,
    reduction=reductions,
    weighted=st.booleans(),
    ignore_index=st.sampled_from([None, -100, 0]),
    smoothing=st.sampled_from([None, 0.0, 0.1, 1.0]),
)
def test_cross_entropy_and_nll(
    seed, rows, n, reduction, weighted, ignore_index, smoothing
):
    """Class numbers: weights, ignored labels, smoothing; None stands for nll."""
    weight = abs(draw(seed, n)) if weighted else None
    labels = ints(seed, *rows, high=n)
    if ignore_index is not None:
        labels[ints(seed + 1, *rows, high=3) == 0] = ignore_index
    ours = {"weight": weight, "ignore_index": ignore_index, "reduction": reduction}
    theirs = {"weight": constant(weight), "reduction": reduction}
    theirs["ignore_index"] = -100 if ignore_index is None else ignore_index
    if smoothing is not None:
        ours["label_smoothing"] = theirs["label_smoothing"] = smoothing
    our_loss = losses.nll if smoothing is None else losses.cross_entropy
    their_loss = F.nll_loss if smoothing is None else F.cross_entropy

    agree(
        lambda x, y: our_loss(x, y, **ours),
        lambda x, y: their_loss(channels_first(x), y, **theirs),
        draw(seed, *rows, n, scale=3),
        labels,
    )


@given(
    seed=seeds,
    rows=rows,
    n=classes,
    reduction=reductions,
    weighted=st.booleans(),
    smoothing=st.sampled_from([0.0, 0.1, 1.0]),
)
def test_cross_entropy_of_probabilities(seed, rows, n, reduction, weighted, smoothing):
    """Distributions as targets; the mean divides by the number of examples."""
    weight = abs(draw(seed, n)) if weighted else None
    settings = {"label_smoothing": smoothing, "reduction": reduction}
    agree(
        lambda x, t: losses.cross_entropy(x, t, weight=weight, **settings),
        lambda x, t: F.cross_entropy(
            channels_first(x), channels_first(t), constant(weight), **settings
        ),
        draw(seed, *rows, n, scale=3),
        distributions(seed + 1, *rows, n),
    )


@given(
    seed=seeds,
    batch=st.integers(1, 4),
    n=classes,
    reduction=reductions,
    p=st.sampled_from([1, 2]),
    margin=margins,
    weighted=st.booleans(),
)
def test_multi_margin(seed, batch, n, reduction, p, margin, weighted):
    """Both powers; classes exactly at the margin have no gradient."""
    weight = draw(seed, n) if weighted else None
    settings = {"p": p, "margin": margin, "reduction": reduction}
    agree(
        lambda x, y: losses.multi_margin(x, y, weight=weight, **settings),
        lambda x, y: F.multi_margin_loss(x, y, weight=constant(weight), **settings),
        numbers(seed, batch, n),
        ints(seed, batch, high=n),
    )


@given(seed=seeds, batch=st.integers(1, 4), n=classes, reduction=reductions)
def test_multilabel_margin(seed, batch, n, reduction):
    """Lists of labels that end at -1, with repeated ones and some behind the end."""
    agree(
        partial(losses.multilabel_margin, reduction=reduction),
        partial(F.multilabel_margin_loss, reduction=reduction),
        numbers(seed, batch, n),
        ints(seed, batch, n, low=-1, high=n),
    )


@given(seed=seeds, shape=shapes, reduction=reductions, margin=margins)
def test_margin_ranking(seed, shape, reduction, margin):
    """Pairs exactly at the margin have a gradient."""
    agree(
        partial(losses.margin_ranking, margin=margin, reduction=reduction),
        lambda a, b, t: F.margin_ranking_loss(
            a, b, t.double(), margin=margin, reduction=reduction
        ),
        numbers(seed, *shape),
        numbers(seed + 2, *shape),
        signs(seed, *shape),
    )


@given(seed=seeds, shape=shapes, reduction=reductions, margin=margins)
def test_hinge_embedding(seed, shape, reduction, margin):
    """Distances exactly at the margin have a gradient."""
    agree(
        partial(losses.hinge_embedding, margin=margin, reduction=reduction),
        lambda d, t: F.hinge_embedding_loss(
            d, t.double(), margin=margin, reduction=reduction
        ),
        numbers(seed, *shape),
        signs(seed, *shape),
    )


@given(
    seed=seeds,
    batch=st.integers(0, 4),
    n=st.integers(2, 5),
    reduction=reductions,
    margin=st.sampled_from([-0.5, 0.0, 0.5]),
)
def test_cosine_embedding(seed, batch, n, reduction, margin):
    """Vectors of any direction."""
    agree(
        partial(losses.cosine_embedding, margin=margin, reduction=reduction),
        partial(F.cosine_embedding_loss, margin=margin, reduction=reduction),
        draw(seed, batch, n),
        draw(seed + 1, batch, n),
        signs(seed, batch),
    )


@given(
    seed=seeds,
    rows=rows,
    n=st.integers(2, 5),
    reduction=reductions,
    p=st.sampled_from([0.5, 1.0, 1.5, 2.0, 3.0, math.inf]),
    eps=st.sampled_from([1e-6, 0.0, 0.25]),
    margin=st.sampled_from([0.5, 1.0, 2.0]),
    swap=st.booleans(),
)
def test_triplet_margin(seed, rows, n, reduction, p, eps, margin, swap):
    """Norms of all kinds, with the swap."""
    settings = {"p": p, "eps": eps, "margin": margin, "swap": swap}
    agree(
        partial(losses.triplet_margin, **settings, reduction=reduction),
        partial(F.triplet_margin_loss, **settings, reduction=reduction),
        *(draw(seed + i, *rows, n) for i in range(3)),
    )


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0, math.inf])
def test_triplet_margin_of_equal_vectors(p):
    """Distances of zero, and ties of their largest entries, have PyTorch's slope."""
    agree(
        partial(losses.triplet_margin, p=p, eps=0.0, reduction="none", swap=True),
        partial(F.triplet_margin_loss, p=p, eps=0.0, reduction="none", swap=True),
        *np.array([[[0, 0], [1, 1]], [[0, 0], [2, 2]], [[0, 0], [1, 3]]], float),
    )


@given(
    seed=seeds,
    batch=st.integers(1, 3),
    time=st.integers(1, 6),
    length=st.integers(1, 3),
    n=st.integers(2, 4),
    reduction=reductions,
    blank_last=st.booleans(),
    zero_infinity=st.booleans(),
)
def test_ctc(seed, batch, time, length, n, reduction, blank_last, zero_infinity):
    """Lengths of all kinds, with repeated labels and ones that fit no alignment."""
    blank = n - 1 if blank_last else 0
    labels = ints(seed, batch, length, high=n - 1) + (not blank_last)
    input_lengths = ints(seed, batch, high=time + 1)
    label_lengths = ints(seed + 1, batch, high=length + 1)
    settings = {"blank": blank, "zero_infinity": zero_infinity, "reduction": reduction}

    def theirs(x, labels, input_lengths, label_lengths):
        log_p = x.log_softmax(-1).movedim(0, 1)
        return F.ctc_loss(log_p, labels, input_lengths, label_lengths, **settings)

    agree(
        lambda x, *args: losses.ctc(jax.nn.log_softmax(x), *args, **settings),
        theirs,
        draw(seed, batch, time, n),
        labels,
        input_lengths,
        label_lengths,
        gradients=zero_infinity,  # PyTorch's gradient of infinity is NaN, ours is zero
    )


EDGES = [0.0, -0.0, 1.0, -1.0, 1e30, -1e30, 1e-30, math.inf, -math.inf, math.nan]
EDGE_LOSSES = {
    "l1": (losses.l1, F.l1_loss, None),
    "mse": (losses.mse, F.mse_loss, None),
    "huber": (losses.huber, F.huber_loss, None),
    "smooth_l1": (losses.smooth_l1, F.smooth_l1_loss, None),
    "poisson_nll": (losses.poisson_nll, F.poisson_nll_loss, [0, 3]),
    "kl_div": (losses.kl_div, F.kl_div, [0, 1]),
    "bce_with_logits": (
        losses.bce_with_logits, F.binary_cross_entropy_with_logits, [0, 1],
    ),
    "hinge_embedding": (losses.hinge_embedding, F.hinge_embedding_loss, [-1, 1]),
}  # fmt: skip


@pytest.mark.parametrize("name", EDGE_LOSSES)
def test_edges(name):
    """Zeros, infinities and large numbers: PyTorch's values, gradients as finite."""
    ours, theirs, targets = EDGE_LOSSES[name]
    targets = EDGES if targets is None else targets
    pairs = np.array([(x, t) for x in EDGES for t in targets], np.float32)
    xs, ts = pairs.T
    x = torch.tensor(xs, requires_grad=True)
    want = theirs(x, torch.tensor(ts), reduction="none")
    (slopes,) = torch.autograd.grad(want.sum(), x)
    slopes = slopes.numpy()

    got = jax.jit(partial(ours, reduction="none"))(jnp.asarray(xs), jnp.asarray(ts))
    got_slopes = jax.jit(jax.grad(partial(ours, reduction="sum")))(
        jnp.asarray(xs), jnp.asarray(ts)
    )

    want = want.detach().numpy()
    with np.errstate(invalid="ignore"):
        numbers = ~np.isnan(xs - ts)  # nor is infinity minus infinity
    assert np.isnan(np.asarray(got)[~numbers]).all()
    known = ~np.isnan(want)  # PyTorch's subtract infinity from itself
    np.testing.assert_allclose(got[known], want[known], rtol=1e-5)
    finite = np.isfinite(slopes) & numbers
    np.testing.assert_allclose(got_slopes[finite], slopes[finite], rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_logits_of_all_sizes(smoothing):
    """Cross entropy of huge and infinite logits."""
    logits = [[1e30, -1e30, 0], [-math.inf, 0, 1], [-1e4, 1e4, 0], [math.inf, 0, 0]]
    x = torch.tensor(logits, requires_grad=True)
    labels = np.array([1, 2, 0, 0])
    want = F.cross_entropy(
        x, torch.tensor(labels), reduction="none", label_smoothing=smoothing
    )
    (slopes,) = torch.autograd.grad(want[:3].sum(), x)
    slopes = slopes.numpy()

    loss = partial(losses.cross_entropy, label_smoothing=smoothing, reduction="none")
    got = loss(jnp.array(logits), labels)
    got_slopes = jax.grad(lambda x: loss(x, labels)[:3].sum())(jnp.array(logits))

    np.testing.assert_allclose(got, want.detach(), rtol=1e-6)
    finite = np.isfinite(slopes)
    np.testing.assert_allclose(got_slopes[finite], slopes[finite], atol=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", ["nll", "cross_entropy"])
def test_nothing_but_ignored_labels(loss, weighted):
    """The mean of nothing is NaN, and trains nothing."""
    weight = np.ones(3) if weighted else None
    theirs = {"nll": F.nll_loss, "cross_entropy": F.cross_entropy}[loss]
    agree(
        lambda x, y: getattr(losses, loss)(x, y, weight=weight, ignore_index=-100),
        lambda x, y: theirs(x, y, constant(weight)),
        draw(0, 2, 3),
        np.full(2, -100),
    )


@pytest.mark.parametrize("probabilities", [False, True])
def test_cross_entropy_of_an_empty_batch(probabilities):
    """Its mean is NaN."""
    labels = np.zeros((0, 3)) if probabilities else np.zeros(0, int)
    agree(losses.cross_entropy, F.cross_entropy, np.zeros((0, 3)), labels)


def test_bce_of_certain_answers():
    """Logs stop at -100, and a wrong answer still has a slope to correct it."""
    p = torch.tensor([0.0, 0.0, 1.0, 1.0], requires_grad=True)
    targets = np.array([0.0, 1.0, 0.0, 1.0], np.float32)
    want = F.binary_cross_entropy(p, torch.tensor(targets), reduction="none")
    (slopes,) = torch.autograd.grad(want.sum(), p)

    ours = jnp.asarray(p.detach().numpy())
    got = losses.bce(ours, targets, reduction="none")
    got_slopes = jax.grad(losses.bce)(ours, targets, reduction="sum")

    np.testing.assert_array_equal(got, want.detach())
    np.testing.assert_allclose(got_slopes, slopes, rtol=1e-6)


@pytest.mark.parametrize("eps", [1e-6, 0.25])
def test_gaussian_nll_of_tiny_variances(eps):
    """A variance under eps counts as eps, with its gradient."""
    agree(
        partial(losses.gaussian_nll, eps=eps, reduction="none"),
        partial(F.gaussian_nll_loss, eps=eps, reduction="none"),
        draw(0, 4),
        draw(1, 4),
        np.array([0.0, 0.25, 2.0**-30, 1.0]),
    )


def test_cosine_embedding_of_zeros():
    """The cosine with zeros is zero."""
    vectors = draw(0, 3, 2)
    vectors[0] = 0
    agree(
        partial(losses.cosine_embedding, reduction="none"),
        partial(F.cosine_embedding_loss, reduction="none"),
        np.zeros((3, 2)),
        vectors,
        np.array([1, -1, 1]),
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("loss", ["l1", "mse", "cross_entropy", "bce_with_logits"])
def test_half_precision_rounds_once(loss, dtype):
    """The loss is computed in float32, and has the dtype of its inputs."""
    x = jnp.asarray(draw(0, 64, 8), dtype)
    classes = loss == "cross_entropy"
    t = jnp.asarray(ints(0, 64, high=8) if classes else fractions(1, 64, 8), None)
    t = t if classes else t.astype(dtype)
    wide = x.astype("float32"), t if classes else t.astype("float32")

    got = getattr(losses, loss)(x, t)

    assert got.dtype == dtype
    np.testing.assert_array_equal(got, getattr(losses, loss)(*wide).astype(dtype))
