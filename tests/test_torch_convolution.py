"""Convolutions against PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from against_torch import agree, draw, filters, first, given, last, torch
from hypothesis import assume
from hypothesis import strategies as st

import lenetjax as nn

F = torch.nn.functional
RANKS = (1, 2, 3)
SIZES = {1: 9, 2: 6, 3: 4}  # the largest image of each rank
CONV = {1: nn.conv1d, 2: nn.conv2d, 3: nn.conv3d}
TORCH_CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: nn.conv_transpose1d, 2: nn.conv_transpose2d, 3: nn.conv_transpose3d}
TORCH_TRANSPOSED = {
    1: F.conv_transpose1d,
    2: F.conv_transpose2d,
    3: F.conv_transpose3d,
}


def per_axis(rank, low, high):
    return st.tuples(*[st.integers(low, high)] * rank)


def torch_pads(pads):
    """PyTorch's order: the last axis first."""
    return [n for pair in reversed(pads) for n in pair]


@pytest.mark.parametrize("rank", RANKS)
@given(data=st.data())
def test_conv(rank, data):
    """Sizes, strides, paddings by side, dilations, groups, with and without a bias."""
    sizes = data.draw(per_axis(rank, 1, SIZES[rank]))
    taps, stride = data.draw(per_axis(rank, 1, 3)), data.draw(per_axis(rank, 1, 3))
    dilation = data.draw(per_axis(rank, 1, 2))
    pads = data.draw(st.tuples(*[st.tuples(*[st.integers(0, 2)] * 2)] * rank))
    groups, batch = data.draw(st.integers(1, 3)), data.draw(st.integers(0, 2))
    with_bias = data.draw(st.booleans())
    for n, k, d, pair in zip(sizes, taps, dilation, pads, strict=True):
        assume(n + sum(pair) >= d * (k - 1) + 1)
    layer = CONV[rank](
        2 * groups, taps, stride=stride, padding=pads, dilation=dilation,
        groups=groups, bias=with_bias,
    )  # fmt: skip
    arrays = [draw(1, batch, *sizes, 2 * groups), draw(2, *taps, 2, 2 * groups)]
    if with_bias:
        arrays.append(draw(3, 2 * groups))

    def theirs(x, weight, bias=None):
        x = F.pad(first(x), torch_pads(pads))
        y = TORCH_CONV[rank](
            x, filters(weight), bias, stride=stride, dilation=dilation, groups=groups
        )
        return last(y)

    agree(applied(layer), theirs, *arrays)


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@given(data=st.data())
def test_padding_modes(rank, mode, data):
    """What the borders are filled with, where PyTorch's module fills alike."""
    sizes = data.draw(per_axis(rank, 3, SIZES[rank]))
    padding, stride = data.draw(per_axis(rank, 0, 2)), data.draw(per_axis(rank, 1, 2))
    layer = CONV[rank](3, 2, padding=padding, stride=stride, padding_mode=mode)
    module = getattr(torch.nn, f"Conv{rank}d")(
        2, 3, 2, padding=padding, stride=stride, padding_mode=mode
    ).double()

    def theirs(x, weight, bias):
        params = {"weight": filters(weight), "bias": bias}
        return last(torch.func.functional_call(module, params, first(x)))

    arrays = draw(1, 2, *sizes, 2), draw(2, *[2] * rank, 2, 3), draw(3, 3)
    agree(applied(layer), theirs, *arrays)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("rank", RANKS)
@given(data=st.data())
def test_same_padding(rank, data):
    """ "SAME" with stride 1, which PyTorch knows too."""
    sizes = data.draw(per_axis(rank, 1, SIZES[rank]))
    taps, dilation = data.draw(per_axis(rank, 1, 4)), data.draw(per_axis(rank, 1, 2))
    layer = CONV[rank](2, taps, padding="SAME", dilation=dilation, bias=False)

    def theirs(x, weight):
        y = TORCH_CONV[rank](
            first(x), filters(weight), padding="same", dilation=dilation
        )
        return last(y)

    agree(applied(layer), theirs, draw(1, 1, *sizes, 1), draw(2, *taps, 1, 2))


@pytest.mark.parametrize("rank", RANKS)
@given(data=st.data())
def test_conv_transpose(rank, data):
    """Sizes, strides, paddings, output paddings, dilations, groups, bias."""
    sizes = data.draw(per_axis(rank, 1, SIZES[rank] - 1))
    taps, stride = data.draw(per_axis(rank, 1, 3)), data.draw(per_axis(rank, 1, 3))
    dilation = data.draw(per_axis(rank, 1, 2))
    padding, extra = data.draw(per_axis(rank, 0, 2)), data.draw(per_axis(rank, 0, 2))
    groups, with_bias = data.draw(st.integers(1, 3)), data.draw(st.booleans())
    for n, k, s, d, p, e in zip(
        sizes, taps, stride, dilation, padding, extra, strict=True
    ):
        assume(e < max(s, d))
        assume((n - 1) * s - 2 * p + d * (k - 1) + e + 1 > 0)
    layer = TRANSPOSED[rank](
        2 * groups, taps, stride=stride, padding=padding, output_padding=extra,
        dilation=dilation, groups=groups, bias=with_bias,
    )  # fmt: skip
    arrays = [draw(1, 2, *sizes, 3 * groups), draw(2, *taps, 3 * groups, 2)]
    if with_bias:
        arrays.append(draw(3, 2 * groups))

    def theirs(x, weight, bias=None):
        weight = weight.movedim((-2, -1), (0, 1))
        y = TORCH_TRANSPOSED[rank](
            first(x), weight, bias, stride=stride, padding=padding,
            output_padding=extra, dilation=dilation, groups=groups,
        )  # fmt: skip
        return last(y)

    agree(applied(layer), theirs, *arrays)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@given(k=st.integers(1, 4), s=st.integers(1, 4), n=st.integers(1, 5))
def test_conv_transpose_words(padding, k, s, n):
    """ "SAME" and "VALID", which PyTorch lacks, as in `jax.lax.conv_transpose`."""
    x, weight = draw(1, 1, n, n, 2), draw(2, k, k, 2, 3)

    got = nn.functional.conv_transpose2d(
        jnp.asarray(x, "float32"), jnp.asarray(weight, "float32"),
        stride=s, padding=padding,
    )  # fmt: skip

    want = jax.lax.conv_transpose(
        x.astype("float32"), np.flip(weight, (0, 1)).astype("float32"), (s, s), padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip
    if padding == "VALID":  # lax adds zeros where the stride is larger than the kernel
        size = (n - 1) * s + k
        assert got.shape == (1, size, size, 3)
        want = want[:, :size, :size]
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "values", [0.0, np.inf, np.nan, 1e30, -1e30], ids=lambda value: f"x={value}"
)
def test_edges(values):
    """Zeros, infinities, NaN and large values come out as from PyTorch."""
    x = draw(1, 1, 5, 5, 2)
    x[0, 2, 2] = np.float32(values)
    weight, bias = draw(2, 3, 3, 2, 2), np.zeros(2)

    def conv(x, weight, bias):
        return last(F.conv2d(first(x), filters(weight), bias, padding=1))

    def transposed(x, weight, bias):
        return last(
            F.conv_transpose2d(first(x), weight.movedim((-2, -1), (0, 1)), bias)
        )

    agree(applied(nn.conv2d(2, 3, padding=1)), conv, x, weight, bias)
    agree(applied(nn.conv_transpose2d(2, 3)), transposed, x, weight, bias)


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("transposed", [False, True], ids=["conv", "transposed"])
def test_initial_values(rank, transposed):
    """The range of the initial values is the one of PyTorch's module."""
    ours, name = (TRANSPOSED, "ConvTranspose") if transposed else (CONV, "Conv")
    channels = {1: 64, 2: 32, 3: 16}[rank]
    module = getattr(torch.nn, f"{name}{rank}d")(channels, 128, 3, groups=2)
    shape = (1, *[5] * rank, channels)

    params = ours[rank](128, 3, groups=2).init(jax.random.key(0), jnp.zeros(shape))

    for name in ("weight", "bias"):
        theirs = getattr(module, name).detach().numpy()
        assert params[name].size == theirs.size
        np.testing.assert_allclose(
            abs(params[name]).max(), abs(theirs).max(), rtol=0.05
        )
        np.testing.assert_allclose(params[name].mean(), 0, atol=0.02)


def applied(layer):
    """The layer as a function of its input, weight and bias."""

    def apply(x, weight, bias=None):
        params = (
            {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
        )
        return layer.apply(params, x)

    return apply
