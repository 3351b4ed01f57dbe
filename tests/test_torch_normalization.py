"""Normalization against PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from against_torch import agree, draw, first, given, last, ties, torch
from hypothesis import strategies as st

import lenetjax as nn

F = torch.nn.functional
SEEDS = st.integers(100, 199)  # `agree` draws from small ones
EPS = st.sampled_from([0.5, 1e-3, 1e-5])


def shapes(low, high, *, least=1, most=4):
    """Shapes of `low` to `high` axes."""
    return st.lists(st.integers(least, most), min_size=low, max_size=high).map(tuple)


def applied(layer):
    """Applies a layer as a function of x, its weight and its bias."""
    names = ("weight", "bias")
    return lambda x, *params: layer.apply(dict(zip(names, params, strict=False)), x)


def channels_last(function):
    """A function of PyTorch's, on our layout."""
    return lambda x, *params: last(function(first(x), *params))


def has_gradients(values, eps):
    """Whether the gradients are more than what rounding leaves.

    With few values and a small eps, a change of x hardly changes the output.
    """
    return bool(values >= 4 or (values > 1 and eps == 0.5))


def params_of(seed, *shape, affine=True):
    return [draw(seed + i, *shape) for i in (1, 2)] if affine else []


@given(
    shape=shapes(2, 5), affine=st.booleans(), eps=EPS, seed=SEEDS, tied=st.booleans()
)
def test_batch_norm_in_training(shape, affine, eps, seed, tied):
    """Output, new running averages and all gradients."""
    shape = (shape[0] + 1, *shape[1:])
    x = (ties if tied else draw)(seed, *shape)
    mean, var = draw(seed + 3, shape[-1]), np.abs(draw(seed + 4, shape[-1]))
    layer = nn.batch_norm(momentum=0.3, eps=eps, affine=affine)

    def ours(x, *params):
        params = dict(zip(("weight", "bias"), params, strict=False))
        state = {"mean": jnp.asarray(mean, x.dtype), "var": jnp.asarray(var, x.dtype)}
        y, state = layer.apply_with_state(params, state, x, train=True)
        return y, *map(jax.lax.stop_gradient, (state["mean"], state["var"]))

    def theirs(x, *params):
        state = torch.tensor(mean), torch.tensor(var)
        weight, bias = params or (None, None)
        y = F.batch_norm(first(x), *state, weight, bias, True, 0.3, eps)
        return last(y), *state

    gradients = has_gradients(np.prod(shape[:-1]), eps)
    params = params_of(seed, shape[-1], affine=affine)
    agree(ours, theirs, x, *params, gradients=gradients)


@given(shape=shapes(2, 5), affine=st.booleans(), eps=EPS, seed=SEEDS)
def test_batch_norm_in_evaluation(shape, affine, eps, seed):
    """The running averages, to which gradients flow as well."""
    mean, var = draw(seed + 3, shape[-1]), np.abs(draw(seed + 4, shape[-1])) + 0.1
    var = var.astype("float32").astype("float64")
    layer = nn.batch_norm(eps=eps, affine=affine)

    def ours(x, mean, var, *params):
        params = dict(zip(("weight", "bias"), params, strict=False))
        return layer.apply(params, x, state={"mean": mean, "var": var})

    def theirs(x, mean, var, *params):
        weight, bias = params or (None, None)
        y = (first(x) - column(mean, x)) / (column(var, x) + eps).sqrt()
        if params:
            y = y * column(weight, x) + column(bias, x)
        with torch.no_grad():  # PyTorch gives the averages no gradient
            plain = F.batch_norm(first(x), mean, var, weight, bias, False, 0.1, eps)
            torch.testing.assert_close(y, plain, rtol=1e-12, atol=1e-12)
        return last(y)

    params = params_of(seed, shape[-1], affine=affine)
    agree(ours, theirs, draw(seed, *shape), mean, var, *params)


def column(vector, x):
    """A vector of channels, as PyTorch's layout wants it."""
    return vector.reshape(1, -1, *[1] * (x.ndim - 2))


@given(
    shape=shapes(3, 4),
    axes=st.integers(1, 3),
    affine=st.booleans(),
    eps=EPS,
    seed=SEEDS,
    tied=st.booleans(),
)
def test_layer_norm(shape, axes, affine, eps, seed, tied):
    """Over one to three axes, some of size one."""
    normalized = shape[len(shape) - axes :]
    agree(
        applied(nn.layer_norm(axes=axes, eps=eps, affine=affine)),
        lambda x, *params: F.layer_norm(x, normalized, *params, eps=eps),
        (ties if tied else draw)(seed, *shape),
        *params_of(seed, *normalized, affine=affine),
        gradients=has_gradients(np.prod(normalized), eps),
    )


@given(
    shape=shapes(3, 4),
    axes=st.integers(1, 3),
    affine=st.booleans(),
    eps=st.sampled_from([0.5, None, 1e-6]),
    seed=SEEDS,
)
def test_rms_norm(shape, axes, affine, eps, seed):
    """Over one to three axes, with PyTorch's default eps too."""
    normalized = shape[len(shape) - axes :]
    params = params_of(seed, *normalized)[:1] if affine else []
    agree(
        applied(nn.rms_norm(axes=axes, eps=eps, affine=affine)),
        lambda x, *params: F.rms_norm(x, normalized, *params, eps=eps),
        draw(seed, *shape),
        *params,
        gradients=has_gradients(np.prod(normalized), eps),
    )


@given(
    shape=shapes(1, 3),
    groups=st.integers(1, 4),
    size=st.integers(1, 3),
    affine=st.booleans(),
    eps=EPS,
    seed=SEEDS,
)
def test_group_norm(shape, groups, size, affine, eps, seed):
    """One group, some, and one for each channel; with positions and without."""
    if size * np.prod(shape[1:]) == 1:
        size = 2
    agree(
        applied(nn.group_norm(groups, eps=eps, affine=affine)),
        channels_last(lambda x, *params: F.group_norm(x, groups, *params, eps=eps)),
        draw(seed, *shape, groups * size),
        *params_of(seed, groups * size, affine=affine),
        gradients=has_gradients(size * np.prod(shape[1:]), eps),
    )


@given(shape=shapes(3, 5), affine=st.booleans(), eps=EPS, seed=SEEDS)
def test_instance_norm(shape, affine, eps, seed):
    """With one to three axes of positions, some of size one."""
    shape = (shape[0], shape[1] + 1, *shape[2:])
    agree(
        applied(nn.instance_norm(eps=eps, affine=affine)),
        channels_last(
            # Of one example with several axes and channels last, PyTorch 2.13's
            # gradient is wrong (gradcheck fails).
            lambda x, weight=None, bias=None: F.instance_norm(
                x.flatten(2), weight=weight, bias=bias, eps=eps
            ).reshape(x.shape)
        ),
        draw(seed, *shape),
        *params_of(seed, shape[-1], affine=affine),
        gradients=has_gradients(np.prod(shape[1:-1]), eps),
    )


@pytest.mark.parametrize("size", [2, 3, 8])
@given(
    shape=shapes(2, 4),
    channels=st.integers(2, 6),
    alpha=st.sampled_from([3.0, 0.5]),
    beta=st.sampled_from([0.5, 2.0, 1.0]),
    k=st.sampled_from([0.5, 2.0]),
    seed=SEEDS,
)
def test_local_response_norm(size, shape, channels, alpha, beta, k, seed):
    """Windows of odd and even sizes, wider than the channels too."""
    agree(
        applied(nn.local_response_norm(size, alpha=alpha, beta=beta, k=k)),
        channels_last(
            lambda x: F.local_response_norm(x, size, alpha=alpha, beta=beta, k=k)
        ),
        draw(seed, *shape, channels),
    )


@given(shape=shapes(2, 4), seed=SEEDS)
def test_weight_norm(shape, seed):
    """Each output's weights have the gain as their norm."""
    shape = (shape[0] + 2, *shape[1:])
    agree(
        nn.functional.weight_norm,
        lambda direction, gain: torch._weight_norm(
            direction.movedim(-1, 0), gain.reshape(-1, *[1] * (len(shape) - 1)), 0
        ).movedim(0, -1),
        draw(seed, *shape),
        draw(seed + 1, shape[-1]),
    )


@given(shape=shapes(2, 4), iterations=st.integers(0, 3), seed=SEEDS)
def test_spectral_norm(shape, iterations, seed):
    """The weight, both vectors, and the gradient past them."""
    shape = (shape[0] + 1, *shape[1:])
    rest, out = int(np.prod(shape[:-1])), shape[-1]
    start = {"u": draw(seed + 1, out), "v": draw(seed + 2, rest)}
    weight = draw(seed, *shape)
    if iterations == 0:  # so that u @ weight @ v does not happen to be near zero
        start = {name: np.abs(vector) for name, vector in start.items()}
        weight = np.abs(weight)

    def ours(weight):
        u, v = (jnp.asarray(start[name], weight.dtype) for name in "uv")
        return nn.functional.spectral_norm(weight, u, v, iterations=iterations)

    def theirs(weight):
        # Its outputs come first, and the rest in our order.
        layer = torch.nn.utils.parametrizations._SpectralNorm(
            weight.detach().movedim(-1, 0), max(iterations, 1)
        )
        layer._u = torch.tensor(start["u"])
        layer._v = torch.tensor(start["v"])
        layer.train(iterations > 0)
        return layer(weight.movedim(-1, 0)).movedim(0, -1), layer._u, layer._v

    agree(ours, theirs, weight)


def test_spectral_norm_finds_the_largest_singular_value():
    """In the end the weight's largest singular value is one."""
    weight = jnp.asarray(draw(0, 3, 4, 5), "float32")
    u, v = jnp.asarray(draw(1, 5), "float32"), jnp.asarray(draw(2, 12), "float32")

    y, _, _ = nn.functional.spectral_norm(weight, u, v, iterations=200)

    largest = np.linalg.svd(np.asarray(y).reshape(-1, 5), compute_uv=False)[0]
    assert largest == pytest.approx(1, abs=1e-5)
