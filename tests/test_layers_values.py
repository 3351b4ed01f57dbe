"""What the layers compute, against plain NumPy in float64."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import lenetjax as nn


def by_loops(x, weight, bias, stride, pads, dilation, groups):
    """A convolution written out, one output value at a time."""
    x = np.pad(x, ((0, 0), *pads, (0, 0)))
    kh, kw, _, out = weight.shape
    size = [
        (n - d * (k - 1) - 1) // s + 1
        for n, d, k, s in zip(x.shape[1:3], dilation, (kh, kw), stride, strict=True)
    ]
    y = np.zeros((len(x), *size, out))
    per_in, per_out = x.shape[3] // groups, out // groups
    for n, i, j, o in itertools.product(*map(range, y.shape)):
        group = o // per_out
        channels = slice(group * per_in, (group + 1) * per_in)
        top, left = i * stride[0], j * stride[1]
        window = x[
            n,
            top : top + dilation[0] * (kh - 1) + 1 : dilation[0],
            left : left + dilation[1] * (kw - 1) + 1 : dilation[1],
            channels,
        ]
        y[n, i, j, o] = (window * weight[..., o]).sum() + bias[o]
    return y


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
pads = st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * 2)


@given(
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    kernel=pairs, stride=pairs, dilation=pairs, pads=pads,
    groups=st.integers(1, 2), seed=st.integers(0, 99),
)  # fmt: skip
def test_conv2d_is_a_sum_over_windows(
    size, kernel, stride, dilation, pads, groups, seed
):
    """Stride, padding, dilation and groups, against loops."""
    padded = [n + sum(p) for n, p in zip(size, pads, strict=True)]
    window = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    assume(all(n >= w for n, w in zip(padded, window, strict=True)))
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, *size, 2 * groups))
    weight, bias = (
        rng.normal(size=(*kernel, 2, 3 * groups)),
        rng.normal(size=3 * groups),
    )

    with jax.enable_x64(True):
        got = nn.functional.conv2d(
            jnp.asarray(x), jnp.asarray(weight), jnp.asarray(bias),
            stride=stride, padding=pads, dilation=dilation, groups=groups,
        )  # fmt: skip

    want = by_loops(x, weight, bias, stride, pads, dilation, groups)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("padding", "same_as"),
    [(1, ((1, 1), (1, 1))), ((2, 1), ((2, 2), (1, 1))), ("SAME", ((1, 1), (1, 1))),
     ("valid", ((0, 0), (0, 0)))],
)  # fmt: skip
def test_paddings_can_be_spelt_in_several_ways(padding, same_as):
    """An int, one for each axis, pairs, and the two words."""
    x = jax.random.normal(jax.random.key(0), (1, 7, 7, 1))
    weight = jax.random.normal(jax.random.key(0), (3, 3, 1, 2))

    got = nn.functional.conv2d(x, weight, padding=padding)

    np.testing.assert_array_equal(got, nn.functional.conv2d(x, weight, padding=same_as))


def test_same_gives_one_output_per_stride():
    """SAME with stride 2 halves the size, rounding up, with the odd zero at the end."""
    x = jnp.arange(4.0).reshape(1, 1, 4, 1)
    weight = jnp.ones((1, 3, 1, 1))

    y = nn.functional.conv2d(x, weight, stride=(1, 2), padding="SAME")

    np.testing.assert_array_equal(y.ravel(), [0 + 1 + 2, 2 + 3 + 0])


@given(
    size=st.tuples(st.integers(2, 7), st.integers(2, 7)),
    window=pairs, stride=pairs, padding=st.integers(0, 1), seed=st.integers(0, 99),
)  # fmt: skip
def test_pools_reduce_each_window(size, window, stride, padding, seed):
    """Max ignores the padding; mean counts its zeros."""
    assume(all(2 * padding <= w for w in window))
    assume(all(n + 2 * padding >= w for n, w in zip(size, window, strict=True)))
    x = np.random.default_rng(seed).normal(size=(2, *size, 2)).astype(np.float32)
    around = ((0, 0), (padding, padding), (padding, padding), (0, 0))

    for pool, outside, reduce in (
        (nn.functional.max_pool2d, -np.inf, np.max),
        (nn.functional.avg_pool2d, 0.0, np.mean),
    ):
        got = np.asarray(pool(x, window, stride=stride, padding=padding))
        padded = np.pad(x.astype(np.float64), around, constant_values=outside)
        for i, j in itertools.product(range(got.shape[1]), range(got.shape[2])):
            top, left = i * stride[0], j * stride[1]
            part = padded[:, top : top + window[0], left : left + window[1]]
            np.testing.assert_allclose(got[:, i, j], reduce(part, (1, 2)), rtol=1e-5)
        assert got.shape[1] == (size[0] + 2 * padding - window[0]) // stride[0] + 1


def test_the_gradient_of_a_tie_goes_to_the_first_maximum():
    """As in PyTorch, one value of the window gets it, in the order of reading."""
    x = jnp.array([[0.0, 5.0], [5.0, 5.0]]).reshape(1, 2, 2, 1)

    grad = jax.grad(lambda x: nn.functional.max_pool2d(x, 2).sum())(x)

    np.testing.assert_array_equal(grad.reshape(2, 2), [[0, 1], [0, 0]])


def test_padding_of_more_than_half_a_window_is_refused():
    """A window of padding alone has no largest value."""
    with pytest.raises(nn.LayerError, match="at most half"):
        nn.functional.max_pool2d(jnp.ones((1, 4, 4, 1)), 2, padding=2)


def test_flatten_keeps_the_order():
    """The channel runs fastest; the axes that are joined can be chosen."""
    x = np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)

    np.testing.assert_array_equal(nn.flatten().apply({}, x), x.reshape(2, 60))
    np.testing.assert_array_equal(nn.flatten(0, 1).apply({}, x), x.reshape(6, 4, 5))
    with pytest.raises(nn.LayerError, match="axes 3 to 2"):
        nn.flatten(3, 2).apply({}, x)


def test_linear_is_a_product_and_a_sum():
    """Against NumPy in float64, with leading axes."""
    rng = np.random.default_rng(0)
    x, weight, bias = (
        rng.normal(size=(2, 5, 3)),
        rng.normal(size=(3, 4)),
        rng.normal(size=4),
    )

    with jax.enable_x64(True):
        got = nn.functional.linear(*map(jnp.asarray, (x, weight, bias)))

    np.testing.assert_allclose(got, x @ weight + bias, rtol=1e-12)


def test_batch_norm_follows_its_batches():
    """Three steps by hand: batch statistics in training, running ones afterwards."""
    rng = np.random.default_rng(0)
    layer = nn.batch_norm(momentum=0.3, eps=1e-3)
    with jax.enable_x64(True):
        x = jnp.asarray(rng.normal(2, 3, (6, 2, 2, 4)))
        params, state = layer.init_with_state(jax.random.key(0), x)
        params = {"weight": jnp.arange(1.0, 5), "bias": jnp.arange(4.0)}
        mean, var = np.zeros(4), np.ones(4)
        for _ in range(3):
            x = jnp.asarray(rng.normal(2, 3, x.shape))
            y, state = layer.apply_with_state(params, state, x, train=True)

            flat = np.asarray(x).reshape(-1, 4)
            mean = 0.7 * mean + 0.3 * flat.mean(0)
            var = 0.7 * var + 0.3 * flat.var(0, ddof=1)
        want = (
            (np.asarray(x) - flat.mean(0))
            / np.sqrt(flat.var(0) + 1e-3)
            * np.arange(1, 5)
        )
        np.testing.assert_allclose(y, want + np.arange(4), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(state["mean"], mean, rtol=1e-12)
        np.testing.assert_allclose(state["var"], var, rtol=1e-12)
        y = layer.apply(params, x, state=state)
    want = (np.asarray(x) - mean) / np.sqrt(var + 1e-3) * np.arange(1, 5) + np.arange(4)
    np.testing.assert_allclose(y, want, rtol=1e-9, atol=1e-9)


def test_batch_norm_needs_two_values():
    """One value per channel has no variance; PyTorch refuses it, too."""
    layer = nn.batch_norm()
    params, state = layer.init_with_state(jax.random.key(0), jnp.ones((1, 3)))

    with pytest.raises(nn.LayerError, match="at least 2 values for each channel"):
        layer.apply_with_state(params, state, jnp.ones((1, 3)), train=True)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_dropout_zeroes_its_share_and_scales_the_rest(rate):
    """The rate is the probability of zeroing, and the mean stays."""
    x = jnp.full((100, 400), 3.0)

    y = np.asarray(nn.dropout(rate).apply({}, x, key=jax.random.key(0), train=True))

    assert (y == 0).mean() == pytest.approx(rate, abs=0.01)
    if rate < 1:
        np.testing.assert_allclose(y[y != 0], 3 / (1 - rate), rtol=1e-5)
    np.testing.assert_array_equal(nn.dropout(rate).apply({}, x), x)


@pytest.mark.parametrize(
    ("layer", "shape", "fan_in"),
    [(nn.linear(500), (1, 400), 400), (nn.conv2d(200, 5), (1, 8, 8, 16), 400),
     (nn.conv2d(200, 5, groups=2), (1, 8, 8, 32), 400)],
)  # fmt: skip
def test_initial_values_are_pytorch_s(layer, shape, fan_in):
    """Weights and biases are uniform in ±1/sqrt(fan_in)."""
    params = layer.init(jax.random.key(0), jnp.zeros(shape))

    bound = 1 / np.sqrt(fan_in)
    for values in params.values():
        assert np.abs(values).max() <= bound
        assert np.abs(values).max() > 0.95 * bound
        assert np.var(values) == pytest.approx(bound**2 / 3, rel=0.15)


def test_initializers_are_arguments():
    """Those of jax.nn.initializers can be given."""
    init = jax.nn.initializers
    options = {"weight_init": init.constant(2.0), "bias_init": init.ones}

    for layer in (nn.linear(3, **options), nn.conv2d(3, 1, **options)):
        params = layer.init(jax.random.key(0), jnp.zeros((1, 4, 4, 1)))
        assert set(np.unique(params["weight"])) == {2.0}
        assert set(np.unique(params["bias"])) == {1.0}
