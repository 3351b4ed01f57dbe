"""What is dropped, how often, and what becomes of the rest."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lenetjax as nn

RATES = [0.1, 0.25, 0.5, 0.9]
LAYERS = {  # a shape, and the axes along which a mask is constant
    nn.dropout: ((40, 5, 50), ()),
    nn.dropout1d: ((40, 3, 50), (1,)),
    nn.dropout2d: ((40, 3, 2, 50), (1, 2)),
    nn.dropout3d: ((40, 3, 2, 2, 50), (1, 2, 3)),
    nn.stochastic_depth: ((2000, 2, 3), (1, 2)),
}
every_layer = pytest.mark.parametrize("maker", LAYERS, ids=lambda maker: maker.__name__)
every_maker = pytest.mark.parametrize(
    "maker", [*LAYERS, nn.alpha_dropout], ids=lambda maker: maker.__name__
)


def trained(layer, x):
    return layer.apply({}, x, key=jax.random.key(0), train=True)


@pytest.mark.parametrize("rate", RATES)
@every_layer
def test_masks(maker, rate):
    """The share that is zeroed, together with what, and what the others become."""
    shape, shared = LAYERS[maker]
    x = jnp.asarray(np.random.default_rng(0).uniform(1, 2, shape), "float32")

    y = np.asarray(trained(maker(rate), x))

    kept = y != 0
    np.testing.assert_array_equal(y[kept], np.asarray(x / (1 - rate))[kept])
    mask = kept.all(shared, keepdims=True)
    np.testing.assert_array_equal(np.broadcast_to(mask, shape), kept)
    spread = np.sqrt(rate * (1 - rate) / mask.size)
    assert (~mask).mean() == pytest.approx(rate, abs=4 * spread)


@every_layer
def test_masks_differ_along_all_other_axes(maker):
    """Neither examples nor channels share what is not theirs to share."""
    shape, shared = LAYERS[maker]

    mask = np.asarray(trained(maker(0.5), jnp.ones(shape))) != 0

    for axis in set(range(len(shape))) - set(shared):
        share = mask.mean(tuple(set(range(len(shape))) - {axis}))
        assert len(np.unique(mask, axis=axis).shape) == len(shape)
        assert np.unique(mask, axis=axis).shape[axis] > 1
        if axis == 0 and maker is nn.stochastic_depth:
            assert set(share) == {0, 1}
        else:
            assert share.min() > 0
            assert share.max() < 1


@every_maker
def test_rates_zero_and_one(maker):
    """Nothing is dropped, or everything; the gradient is one, or zero."""
    shape, _ = LAYERS.get(maker, ((3, 4), ()))
    x = jnp.linspace(-1, 1, int(np.prod(shape))).reshape(shape)

    for rate, share in ((0, 1), (1, 0)):
        y, pullback = jax.vjp(lambda x, rate=rate: trained(maker(rate), x), x)
        np.testing.assert_array_equal(y, share * x)
        np.testing.assert_array_equal(
            pullback(jnp.ones(shape))[0], jnp.full(shape, share)
        )


@every_layer
def test_gradients_pass_where_values_do(maker):
    """Zero where a value was dropped, and 1 / (1 - rate) elsewhere."""
    shape, _ = LAYERS[maker]

    y, pullback = jax.vjp(lambda x: trained(maker(0.3), x), jnp.ones(shape))

    np.testing.assert_allclose(pullback(jnp.ones(shape))[0], y, rtol=1e-6)


@every_maker
def test_a_dropped_value_that_is_not_finite_leaves_no_trace(maker):
    """Neither in the output nor in the gradient."""
    shape, _ = LAYERS.get(maker, ((30, 40), ()))
    ones, bad = jnp.ones(shape), jnp.full(shape, jnp.nan)
    finite = trained(maker(0.5), ones) != trained(maker(0.5), 2 * ones)

    y, pullback = jax.vjp(lambda x: trained(maker(0.5), x), bad)

    np.testing.assert_array_equal(jnp.isnan(y), finite)
    assert jnp.isfinite(pullback(ones)[0]).all()


@every_maker
def test_evaluation_changes_nothing(maker):
    """And needs no key."""
    shape, _ = LAYERS.get(maker, ((3, 4), ()))
    x = jnp.linspace(-1, 1, int(np.prod(shape))).reshape(shape)

    np.testing.assert_array_equal(maker(0.5).apply({}, x), x)


def test_dropout_draws_what_it_always_did():
    """Results that were published with a seed stay as they are."""
    keep = jax.random.bernoulli(jax.random.key(0), 0.7, (4, 5))

    y = nn.functional.dropout(jnp.ones((4, 5)), 0.3, jax.random.key(0))

    np.testing.assert_array_equal(y, jnp.where(keep, 1 / 0.7, 0))


@pytest.mark.parametrize("rate", RATES)
def test_alpha_dropout_keeps_mean_and_variance(rate):
    """Of what SELU passes on, after a standard normal went in."""
    noise, drop = jax.random.split(jax.random.key(0))
    x = jax.nn.selu(jax.random.normal(noise, (400, 500)))

    y = nn.alpha_dropout(rate).apply({}, x, key=drop, train=True)

    assert y.mean() == pytest.approx(0, abs=0.02)
    assert y.var() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("rate", RATES)
def test_alpha_dropout_has_the_formula_of_its_paper(rate):
    """Dropped values become a * floor + b, and the others a * x + b."""
    floor = float(jax.nn.selu(-100.0))
    a = (1 - rate + floor**2 * rate * (1 - rate)) ** -0.5
    b = -a * rate * floor
    x = jnp.linspace(1, 2, 20_000)

    y = np.asarray(trained(nn.alpha_dropout(rate), x))

    dropped = y < 0.5 * (y.min() + np.asarray(a * x + b))
    np.testing.assert_allclose(y, np.where(dropped, a * floor + b, a * x + b), 1e-5)
    assert dropped.mean() == pytest.approx(rate, abs=0.015)


@pytest.mark.parametrize(
    ("maker", "shape", "layout"),
    [(nn.dropout1d, (2, 3), "batch, width, channels"),
     (nn.dropout2d, (2, 3, 4), "batch, height, width, channels"),
     (nn.dropout3d, (2, 3, 4, 5), "batch, depth, height, width, channels"),
     (nn.stochastic_depth, (), "batch, ...")],
)  # fmt: skip
@pytest.mark.parametrize("train", [False, True])
def test_shapes_are_checked_in_evaluation_too(maker, shape, layout, train):
    """A wrong rank is found before training starts."""
    with pytest.raises(nn.LayerError, match=layout.replace(".", r"\.")):
        maker(0.5).apply({}, jnp.ones(shape), key=jax.random.key(0), train=train)


@every_maker
def test_errors(maker):
    """Rates out of range, integers, and a missing key."""
    shape, _ = LAYERS.get(maker, ((3, 4), ()))

    for rate in (-0.1, 1.1, float("nan"), "0.5", True, None):
        with pytest.raises(nn.LayerError, match="rate must be a number from 0 to 1"):
            maker(rate)
    with pytest.raises(nn.LayerError, match="floating-point"):
        maker(0.5).apply({}, jnp.ones(shape, int))
    with pytest.raises(nn.LayerError, match="no key was given"):
        maker(0.5).apply({}, jnp.ones(shape), train=True)
    function = getattr(nn.functional, maker.__name__)
    with pytest.raises(nn.LayerError, match="rate must be a number from 0 to 1"):
        function(jnp.ones(shape), 2.0, jax.random.key(0))
    with pytest.raises(nn.LayerError, match="floating-point"):
        function(jnp.ones(shape, int), 0.5, jax.random.key(0))
