"""Pooling against PyTorch."""

import numpy as np
import pytest
from against_torch import agree, draw, first, given, last, ties, torch
from hypothesis import assume
from hypothesis import strategies as st

import lenetjax as nn

F = torch.nn.functional
RANKS = (1, 2, 3)
SIZES = {1: 9, 2: 7, 3: 4}  # the largest image of each rank


def per_axis(rank, low, high):
    return st.tuples(*[st.integers(low, high)] * rank)


def both(name, rank):
    """Our layer's maker, and PyTorch's function."""
    return getattr(nn, f"{name}{rank}d"), getattr(F, f"{name}{rank}d")


def applied(layer):
    return lambda x: layer.apply({}, x)


def rounded_up(sizes, reach, stride, padding):
    """Whether PyTorch takes these windows with ceil_mode."""
    return all(
        (n + 2 * p - r + s - 1) // s + 1 >= 1
        for n, r, s, p in zip(sizes, reach, stride, padding, strict=True)
    )


@st.composite
def windows(draw, rank, most_dilation=1):
    """Sizes, kernel, stride (perhaps None), padding, dilation and ceil_mode."""
    sizes, kernel = draw(per_axis(rank, 1, SIZES[rank])), draw(per_axis(rank, 1, 3))
    stride = draw(st.one_of(st.none(), per_axis(rank, 1, 4)))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    dilation, ceil = draw(per_axis(rank, 1, most_dilation)), draw(st.booleans())
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    if ceil:
        assume(rounded_up(sizes, reach, stride or kernel, padding))
    assume(
        all(
            n + 2 * p >= (1 if ceil else r)
            for n, p, r in zip(sizes, padding, reach, strict=True)
        )
    )
    return sizes, kernel, stride, padding, dilation, ceil


@pytest.mark.parametrize("rank", RANKS)
@given(data=st.data(), tied=st.booleans())
def test_max_pool(rank, data, tied):
    """Windows of all kinds; a tie's gradient goes where PyTorch's does."""
    sizes, kernel, stride, padding, dilation, ceil = data.draw(windows(rank, 2))
    # A window of padding alone has no largest value; PyTorch crashes on its gradient.
    assume(
        all(d <= n or p == 0 for d, n, p in zip(dilation, sizes, padding, strict=True))
    )
    ours, theirs = both("max_pool", rank)
    layer = ours(
        kernel, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil
    )
    x = (ties if tied else draw)(1, 2, *sizes, 2)

    agree(
        applied(layer),
        lambda x: last(theirs(first(x), kernel, stride, padding, dilation, ceil)),
        x,
    )


@pytest.mark.parametrize("rank", RANKS)
@given(data=st.data(), with_padding=st.booleans())
def test_avg_pool(rank, data, with_padding):
    """Windows of all kinds, with the padding in the mean or not."""
    sizes, kernel, stride, padding, _, ceil = data.draw(windows(rank))
    if rank == 3:  # PyTorch refuses here what it takes with two axes
        assume(all(n >= k for n, k in zip(sizes, kernel, strict=True)))
    ours, theirs = both("avg_pool", rank)
    layer = ours(
        kernel,
        stride=stride,
        padding=padding,
        ceil_mode=ceil,
        count_include_pad=with_padding,
    )
    x = draw(1, data.draw(st.integers(1, 2)), *sizes, 2)

    agree(
        applied(layer),
        lambda x: last(theirs(first(x), kernel, stride, padding, ceil, with_padding)),
        x,
    )


@pytest.mark.parametrize("rank", RANKS)
@given(data=st.data(), p=st.sampled_from([1, 2, 2.0, 3, 4, 1.5, 0.5]))
def test_lp_pool(rank, data, p):
    """Exponents and windows of all kinds, with zeros among the values."""
    sizes, kernel, stride, _, _, ceil = data.draw(windows(rank))
    assume(all(n >= k for n, k in zip(sizes, kernel, strict=True)))
    if rank == 1:  # PyTorch multiplies by the kernel's size, which cannot be a tuple
        kernel, stride = kernel[0], stride and stride[0]
    ours, theirs = both("lp_pool", rank)
    layer = ours(p, kernel, stride=stride, ceil_mode=ceil)
    x = draw(1, 2, *sizes, 2) if p in (2, 4) else abs(draw(1, 2, *sizes, 2)) + 0.01

    agree(applied(layer), lambda x: last(theirs(first(x), p, kernel, stride, ceil)), x)


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("kind", ["avg", "max"])
@given(data=st.data(), tied=st.booleans())
def test_adaptive_pool(rank, kind, data, tied):
    """Outputs smaller and larger than the input, and of its size."""
    sizes = data.draw(per_axis(rank, 1, SIZES[rank]))
    one = st.one_of(st.none(), st.integers(1, 5))
    out = data.draw(st.one_of(st.integers(1, 5), st.tuples(*[one] * rank)))
    ours, theirs = both(f"adaptive_{kind}_pool", rank)
    if rank == 1 and isinstance(out, tuple):  # PyTorch knows no None there
        assume(out[0] is not None)
    x = (ties if tied else draw)(1, 2, *sizes, 2)

    agree(applied(ours(out)), lambda x: last(theirs(first(x), out)), x)


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("kind", ["avg", "max"])
@given(data=st.data(), tied=st.booleans())
def test_global_pool(rank, kind, data, tied):
    """A single window over all spatial axes."""
    sizes = data.draw(per_axis(rank, 1, SIZES[rank]))
    layer = {"avg": nn.global_avg_pool, "max": nn.global_max_pool}[kind]()
    _, theirs = both(f"adaptive_{kind}_pool", rank)
    x = (ties if tied else draw)(1, 2, *sizes, 2)

    agree(applied(layer), lambda x: theirs(first(x), 1).flatten(1), x)


LAYERS = [
    (nn.max_pool2d(2), lambda x: F.max_pool2d(x, 2)),
    (nn.max_pool2d(2, dilation=2), lambda x: F.max_pool2d(x, 2, dilation=2)),
    (nn.avg_pool2d(2), lambda x: F.avg_pool2d(x, 2)),
    (nn.lp_pool2d(2, 2), lambda x: F.lp_pool2d(x, 2, 2)),
    (nn.adaptive_avg_pool2d(3), lambda x: F.adaptive_avg_pool2d(x, 3)),
    (nn.adaptive_max_pool2d(3), lambda x: F.adaptive_max_pool2d(x, 3)),
]


@pytest.mark.parametrize(
    ("layer", "theirs"), LAYERS, ids=[layer.text for layer, _ in LAYERS]
)
@pytest.mark.parametrize("value", [0.0, np.inf, -np.inf, 1e15, -1e15])
def test_edges(layer, theirs, value):
    """Zeros, infinities and large values; whole images of them too."""
    some, all_alike = draw(1, 1, 5, 5, 2), np.full((1, 5, 5, 2), np.float32(value))
    some[0, 2, 2] = np.float32(value)

    agree(applied(layer), lambda x: last(theirs(first(x))), some)
    agree(applied(layer), lambda x: last(theirs(first(x))), all_alike)


@pytest.mark.parametrize(
    ("layer", "theirs"), LAYERS, ids=[layer.text for layer, _ in LAYERS]
)
def test_nan_is_not_lost(layer, theirs):
    """A NaN comes out of every window that it is in."""
    x = draw(1, 1, 5, 5, 2)
    x[0, 2, 2] = np.nan

    agree(applied(layer), lambda x: last(theirs(first(x))), x, gradients=False)
