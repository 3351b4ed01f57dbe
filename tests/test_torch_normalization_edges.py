"""Normalization against PyTorch where numbers are extreme, few or half precise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from against_torch import agree, draw, first, last, torch

import lenetjax as nn

F = torch.nn.functional
HALVES = [("bfloat16", 4e-3), ("float16", 5e-4)]


def applied(layer):
    return lambda x: layer.apply({}, x)


def channels_last(function):
    return lambda x: last(function(first(x)))


def trained(x):
    """Batch norm of a batch, without params."""
    return nn.functional.batch_norm(x, *nn.functional.batch_statistics(x))


NORMS = {
    "batch_norm": (
        trained,
        channels_last(lambda x: F.batch_norm(x, None, None, training=True)),
    ),
    "layer_norm": (
        applied(nn.layer_norm(affine=False)),
        lambda x: F.layer_norm(x, x.shape[-1:]),
    ),
    "rms_norm": (
        applied(nn.rms_norm(affine=False, eps=1e-6)),
        lambda x: F.rms_norm(x, x.shape[-1:], eps=1e-6),
    ),
    "group_norm": (
        applied(nn.group_norm(2, affine=False)),
        channels_last(lambda x: F.group_norm(x, 2)),
    ),
    "instance_norm": (
        applied(nn.instance_norm()),
        channels_last(F.instance_norm),
    ),
    "local_response_norm": (
        applied(nn.local_response_norm(3)),
        channels_last(lambda x: F.local_response_norm(x, 3)),
    ),
}
every_norm = pytest.mark.parametrize("name", NORMS)
CENTRED = ["layer_norm", "group_norm", "instance_norm"]
SHAPE = (3, 5, 4)


@every_norm
@pytest.mark.parametrize("value", [0.0, 3.0, np.inf, np.nan])
def test_norms_of_equal_values(name, value):
    """A variance of zero divides nothing by zero, and gradients stay finite."""
    agree(*NORMS[name], np.full(SHAPE, value))


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0, 0)])
@pytest.mark.parametrize("name", ["layer_norm", "rms_norm"])
def test_norms_of_nothing(name, shape):
    """An empty batch, or nothing to normalize over."""
    agree(*NORMS[name], np.zeros(shape))


@pytest.mark.parametrize("name", ["batch_norm", *CENTRED])
@pytest.mark.parametrize("value", [0.1, -1e4, 1e18])
def test_equal_values_are_brought_to_zero(name, value):
    """Exactly, where PyTorch leaves what rounding does."""
    ours, _ = NORMS[name]

    assert not ours(jnp.full(SHAPE, value, "float32")).any()


@every_norm
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_norms_beside_a_value_that_is_not_finite(name, value):
    """It spoils what is normalized together with it, and nothing else."""
    x = draw(0, *SHAPE)
    x[0, 0, 0] = value

    agree(*NORMS[name], x)


@every_norm
def test_norms_of_large_values(name):
    """Float32 holds their squares, and up to some size what gradients are made of."""
    scale = {"batch_norm": 1e10, "local_response_norm": 1e12}.get(name, 1e15)

    agree(*NORMS[name], draw(0, *SHAPE, scale=scale))
    agree(*NORMS[name], draw(0, *SHAPE, scale=1e18), gradients=False)


@pytest.mark.parametrize("name", ["batch_norm", *CENTRED])
def test_norms_of_values_whose_squares_overflow(name):
    """What float32 cannot compute is NaN, not a plausible number."""
    ours, _ = NORMS[name]

    assert jnp.isnan(ours(jnp.asarray(draw(0, *SHAPE, scale=1e30), "float32"))).all()


@pytest.mark.variant  # to rounding this is so only as users compile
@pytest.mark.parametrize("name", CENTRED)
def test_norms_of_a_small_spread_far_from_zero(name):
    """The mean is so large that its rounding would show beside the spread.

    PyTorch's would in float64, so it gets the values without the offset.
    """
    x = (draw(0, *SHAPE, scale=4e-3) + 1e4).astype("float32").astype("float64")
    ours, theirs = NORMS[name]

    agree(ours, lambda x: theirs(x - 1e4), x)


def test_batch_norm_of_a_small_spread_far_from_zero():
    """In float32 it is no further off than PyTorch's own."""
    x = (draw(0, 64, 4, scale=4e-3) + 1e4).astype("float32").astype("float64")
    ours, theirs = NORMS["batch_norm"]
    want = theirs(torch.tensor(x)).numpy()

    off = np.abs(np.asarray(ours(jnp.asarray(x, "float32"))) - want).max()
    theirs_off = np.abs(theirs(torch.tensor(x).float()).numpy() - want).max()
    assert off <= theirs_off + 1e-5


@pytest.mark.parametrize(("dtype", "tolerance"), HALVES)
@every_norm
def test_norms_in_half_precision(name, dtype, tolerance):
    """The output is the input's dtype's nearest to what PyTorch has in float64."""
    x = jnp.asarray(draw(0, *SHAPE, scale=5) + 100, dtype)
    ours, theirs = NORMS[name]

    got = ours(x)
    want = theirs(torch.tensor(np.asarray(x, "float64"))).numpy()

    assert got.dtype == dtype
    np.testing.assert_allclose(got.astype("float32"), want, tolerance, 2e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_the_default_eps_of_rms_norm(dtype):
    """It is the machine epsilon of what PyTorch computes in, for small values too."""
    x = np.full((1, 4), 3e-4)

    got = nn.rms_norm(affine=False).apply({}, jnp.asarray(x, dtype))
    want = F.rms_norm(torch.tensor(x, dtype=getattr(torch, dtype)), (4,))

    np.testing.assert_allclose(
        got.astype("float32"),
        want.float().numpy(),
        1e-5 if dtype == "float32" else 1e-2,
    )


def test_alpha_dropout_keeps_and_drops_to_pytorch_s_values():
    """The two possible values of each entry are PyTorch's."""
    for rate in (0.1, 0.5, 0.9):
        x = torch.linspace(-2, 2, 5, dtype=torch.float64).repeat(400, 1)
        torch.manual_seed(0)
        want = F.alpha_dropout(x, rate, training=True).numpy()
        with jax.enable_x64(True):
            got = nn.alpha_dropout(rate).apply(
                {}, jnp.asarray(x.numpy()), key=jax.random.key(0), train=True
            )
        for column in range(5):
            np.testing.assert_allclose(
                np.unique(got[:, column]), np.unique(want[:, column]), rtol=1e-12
            )
