"""Layers that move values about, `prelu` and `bilinear`, against PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from against_torch import agree, draw, first, given, last, ties, torch
from hypothesis import strategies as st

import lenetjax as nn

F = torch.nn.functional


def applied(layer):
    return lambda x: layer.apply({}, x)


@given(shape=st.lists(st.integers(1, 3), min_size=2, max_size=5), data=st.data())
def test_flatten_and_unflatten(shape, data):
    """Any axes joined, and split again."""
    start = data.draw(st.integers(0, len(shape) - 1))
    end = data.draw(st.integers(start, len(shape) - 1))
    x = draw(1, *shape)

    agree(applied(nn.flatten(start, end)), lambda x: x.flatten(start, end), x)
    joined = x.reshape(*shape[:start], -1, *shape[end + 1 :])
    sizes = [*shape[start:end], -1]
    agree(
        applied(nn.unflatten(start, sizes)), lambda x: x.unflatten(start, sizes), joined
    )


@given(shape=st.lists(st.integers(1, 3), min_size=1, max_size=4), data=st.data())
def test_reshape_and_transpose(shape, data):
    """Examples get another shape, and axes another order."""
    x = draw(1, 2, *shape)
    other = data.draw(st.permutations(shape))
    axes = data.draw(st.permutations(range(len(shape) + 1)))

    agree(applied(nn.reshape(other)), lambda x: x.reshape(2, *other), x)
    agree(applied(nn.transpose(axes)), lambda x: x.permute(*axes), x)


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
@given(rank=st.integers(1, 3), data=st.data(), value=st.sampled_from([0.0, -1.5]))
def test_pad(mode, rank, data, value):
    """Each mode, by side."""
    sizes = data.draw(st.tuples(*[st.integers(3, 4)] * rank))
    pads = data.draw(st.tuples(*[st.tuples(*[st.integers(0, 2)] * 2)] * rank))
    torch_pads = [n for pair in reversed(pads) for n in pair]
    constant = {"value": value} if mode == "constant" else {}

    agree(
        applied(nn.pad(pads, mode=mode, value=value)),
        lambda x: last(F.pad(first(x), torch_pads, mode=mode, **constant)),
        draw(1, 2, *sizes, 2),
    )


@given(r=st.integers(1, 3), height=st.integers(1, 3), channels=st.integers(1, 3))
def test_pixel_shuffle(r, height, channels):
    """Shuffled and unshuffled."""
    agree(
        applied(nn.pixel_shuffle(r)),
        lambda x: last(F.pixel_shuffle(first(x), r)),
        draw(1, 2, height, 2, channels * r * r),
    )
    agree(
        applied(nn.pixel_unshuffle(r)),
        lambda x: last(F.pixel_unshuffle(first(x), r)),
        draw(1, 2, height * r, 2 * r, channels),
    )


@given(groups=st.integers(1, 3), each=st.integers(1, 3))
def test_channel_shuffle(groups, each):
    """Channels of every group in turn."""
    x = draw(1, 2, 3, 2, groups * each)

    agree(
        lambda x: nn.channel_shuffle(groups).apply({}, x) * 1,
        lambda x: last(F.channel_shuffle(first(x), groups)),
        x,
        gradients=False,  # PyTorch has none
    )


TORCH_MODES = {
    "nearest": ("nearest",) * 3,
    "nearest-exact": ("nearest-exact",) * 3,
    "linear": ("linear", "bilinear", "trilinear"),
    "cubic": (None, "bicubic", None),
}


@pytest.mark.parametrize(
    ("mode", "rank"),
    [
        (mode, rank)
        for mode, names in TORCH_MODES.items()
        for rank in (1, 2, 3)
        if names[rank - 1]
    ],
)
@given(data=st.data())
def test_upsample(mode, rank, data):
    """To sizes and by factors, with corners aligned or not."""
    sizes = data.draw(st.tuples(*[st.integers(1, 5)] * rank))
    by_size = data.draw(st.booleans())
    new = data.draw(
        st.tuples(
            *[st.integers(1, 9) if by_size else st.sampled_from([1, 1.5, 2, 2.6, 3])]
            * rank
        )
    )
    aligned = mode in ("linear", "cubic") and data.draw(st.booleans())
    where = {"size": new} if by_size else {"scale_factor": new}
    corners = {"align_corners": aligned} if mode in ("linear", "cubic") else {}

    agree(
        applied(nn.upsample(**where, mode=mode, align_corners=aligned)),
        lambda x: last(
            F.interpolate(
                first(x), **where, mode=TORCH_MODES[mode][rank - 1], **corners
            )
        ),
        draw(1, 2, *sizes, 2),
    )


@given(shape=st.lists(st.integers(1, 3), min_size=1, max_size=3), shared=st.booleans())
def test_prelu(shape, shared):
    """One slope or one for each channel, and values of exactly zero."""
    channels = 1 if shared else 3
    weight = draw(2, channels)

    agree(
        lambda x, w: nn.prelu(channels).apply({"weight": w}, x),
        lambda x, w: last(F.prelu(first(x), w)),
        ties(1, 2, *shape, 3),
        weight,
    )


@given(
    batch=st.lists(st.integers(1, 3), min_size=0, max_size=2),
    sizes=st.tuples(*[st.integers(1, 4)] * 3),
    with_bias=st.booleans(),
)
def test_bilinear(batch, sizes, with_bias):
    """Any batch axes."""
    in1, in2, out = sizes
    bias = [draw(4, out)] if with_bias else []

    def ours(x1, x2, weight, *bias):
        params = {"weight": weight} | ({"bias": bias[0]} if bias else {})
        return nn.bilinear(out, bias=with_bias).apply(params, (x1, x2))

    agree(
        ours,
        lambda x1, x2, w, *b: F.bilinear(x1, x2, w.movedim(-1, 0), *b),
        draw(1, *batch, in1),
        draw(2, *batch, in2),
        draw(3, in1, in2, out),
        *bias,
    )


@given(
    batch=st.lists(st.integers(0, 3), min_size=0, max_size=3),
    sizes=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    with_bias=st.booleans(),
)
def test_linear(batch, sizes, with_bias):
    """Any batch axes, empty ones too."""
    bias = [draw(4, sizes[1])] if with_bias else []

    def ours(x, weight, *bias):
        params = {"weight": weight} | ({"bias": bias[0]} if bias else {})
        return nn.linear(sizes[1], bias=with_bias).apply(params, x)

    agree(
        ours,
        lambda x, w, *b: F.linear(x, w.T, *b),
        draw(1, *batch, sizes[0]),
        draw(2, *sizes),
        *bias,
    )


@pytest.mark.parametrize("value", [0.0, np.inf, -np.inf, np.nan, 1e30])
def test_edges(value):
    """Zeros, infinities, NaN and large values."""
    x = draw(1, 3, 4)
    x[1, 2] = np.float32(value)
    weight, slope = draw(2, 4, 2), np.array([0.25])

    agree(
        lambda x, w: nn.linear(2, bias=False).apply({"weight": w}, x),
        lambda x, w: F.linear(x, w.T),
        x,
        weight,
    )
    agree(
        lambda x, w: nn.prelu().apply({"weight": w}, x), lambda x, w: F.prelu(x, w),
        x, slope,
    )  # fmt: skip


def test_initial_values():
    """The ranges of the initial values are PyTorch's."""
    theirs = torch.nn.Bilinear(64, 8, 128)
    x = (jnp.zeros((1, 64)), jnp.zeros((1, 8)))

    params = nn.bilinear(128).init(jax.random.key(0), x)

    for name in ("weight", "bias"):
        want = abs(getattr(theirs, name).detach().numpy()).max()
        np.testing.assert_allclose(abs(params[name]).max(), want, rtol=0.05)
    assert nn.prelu(3).init(jax.random.key(0), jnp.zeros((2, 3)))[
        "weight"
    ].tolist() == (torch.nn.PReLU(3).weight.tolist())
