"""The loss around params, against what it must be on planes and bowls."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lenetjax as nn
from lenetjax.inspection import loss_landscape, random_direction


@pytest.fixture
def params(key):
    """Of LeNet, of which one filter is zero."""
    params = nn.models.lenet().init(key, jnp.ones((1, 32, 32, 1), "float32"))
    params["conv1"]["weight"] = params["conv1"]["weight"].at[..., 2].set(0)
    return params


def test_directions_are_as_long_as_each_filter(params, key):
    """Filters of convolutions and neurons alike; biases and zero filters stay."""
    direction = random_direction(params, key)

    assert jax.tree.structure(direction) == jax.tree.structure(params)
    for name, layer in direction.items():
        assert not layer["bias"].any()
        axes = tuple(range(layer["weight"].ndim - 1))
        lengths = np.linalg.norm(
            np.asarray(layer["weight"]).reshape(-1, layer["weight"].shape[-1]), axis=0
        )
        wanted = np.sqrt(np.square(np.asarray(params[name]["weight"])).sum(axes))
        np.testing.assert_allclose(lengths, wanted, rtol=1e-5)
    assert not direction["conv1"]["weight"][..., 2].any()


def test_directions_are_random(params, key):
    """Two keys draw two directions, all but at right angles in so many dimensions."""
    one, other = (random_direction(params, k) for k in jax.random.split(key))
    one, other = (jnp.concatenate([a.ravel() for a in jax.tree.leaves(d)])
                  for d in (one, other))  # fmt: skip
    cosine = one @ other / jnp.linalg.norm(one) / jnp.linalg.norm(other)
    assert abs(cosine) < 0.05
    np.testing.assert_allclose(one.mean() / one.std(), 0, atol=0.05)


def test_the_middle_is_the_loss_itself(key):
    """On a net with state, bit for bit what the loss is on the params."""
    net = nn.serial(flatten=nn.flatten(), bn=nn.batch_norm(), fc=nn.linear(3))
    x = jax.random.normal(jax.random.key(1), (6, 2, 2, 1))
    labels = jnp.array([0, 1, 2, 0, 1, 2])
    params, state = net.init_with_state(key, x)

    def loss(params):
        return nn.losses.cross_entropy(net.apply(params, x, state=state), labels)

    alphas, betas, losses = loss_landscape(loss, params, key, extent=0.3, points=7)
    assert losses.shape == (7, 7)
    assert alphas[3] == betas[3] == 0
    np.testing.assert_allclose(alphas, np.linspace(-0.3, 0.3, 7), atol=1e-7)
    np.testing.assert_allclose(losses[3, 3], loss(params), rtol=1e-6)
    assert np.ptp(np.asarray(losses)) > 0.01


def test_a_plane_is_a_plane_with_alpha_along_the_columns(params, key):
    """A linear loss grows along each direction by its product with that direction."""

    def dot(one, other):
        products = jax.tree.map(jnp.vdot, one, other)
        return sum(jax.tree.leaves(products))

    slope = random_direction(params, jax.random.key(5))
    alphas, betas, losses = loss_landscape(
        lambda params: dot(slope, params), params, jax.random.clone(key), points=5
    )
    first, second = (random_direction(params, k) for k in jax.random.split(key))
    wanted = (
        dot(slope, params)
        + np.asarray(alphas)[None, :] * dot(slope, first)
        + np.asarray(betas)[:, None] * dot(slope, second)
    )
    np.testing.assert_allclose(losses, wanted, rtol=1e-4, atol=1e-3)


@pytest.mark.compiled
def test_all_losses_are_one_program(params, key):
    """The loss is traced, and not called for each point."""
    calls = []

    def loss(params):
        calls.append(params)
        return jnp.square(params["fc3"]["weight"]).sum()

    loss_landscape(loss, params, key, points=31)
    assert len(calls) <= 3


def test_bad_arguments_are_refused(params, key):
    """Each by its name."""

    def loss(params):
        return params["fc3"]["weight"].sum()

    for arguments, options, message in (
        ((loss, params, key), {"points": 20}, "odd int"),
        ((loss, params, key), {"points": 1}, "odd int"),
        ((loss, params, key), {"extent": 0}, "positive number"),
        ((loss, params, key), {"extent": float("inf")}, "positive number"),
        ((loss, params, 0), {}, "random key"),
        ((loss, [1], key), {}, "must be a dict"),
        ((lambda params: 0.0, {"bias": jnp.ones(3)}, key), {}, "must have a weight"),
        ((lambda p: p["fc3"]["bias"], params, key), {}, r"scalar, got float32\[10\]"),
    ):
        with pytest.raises(nn.LayerError, match=message):
            loss_landscape(*arguments, **options)
