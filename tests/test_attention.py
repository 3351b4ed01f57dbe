"""Attention: what it refuses, and what PyTorch cannot show."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lenetjax as nn

X = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4)), "float32")
HEADS = X[:, :, None]
attention = nn.functional.scaled_dot_product_attention


def refused(call, *words):
    """Calls something that must be refused with all these words."""
    with pytest.raises(nn.LayerError) as refusal:
        call()
    for word in words:
        assert word in str(refusal.value)


def init_and_apply(layer, x, **options):
    return layer.apply(layer.init(jax.random.key(0), x), x, **options)


def with_maps(params, **maps):
    """Params in which some maps are constants: `name=(weight, bias)`."""
    return {
        name: {
            "weight": jnp.full_like(entry["weight"], maps[name][0]),
            "bias": jnp.full_like(entry["bias"], maps[name][1]),
        }
        if name in maps
        else entry
        for name, entry in params.items()
    }


def blind_row(query, key, value):
    """Attention in which the first query may attend to nothing."""
    mask = jnp.ones((2, 1, 3, 3), bool).at[:, :, 0].set(False)
    return attention(query, key, value, mask=mask)


@pytest.mark.parametrize("large", [False, True])
def test_a_query_that_sees_nothing_gets_zeros(large):
    """No NaN there, nor in any gradient, the second one included."""
    query = HEADS * 1e4 if large else HEADS

    with jax.debug_nans(True):
        y = blind_row(query, HEADS, HEADS)

        def loss(*arrays):
            return jnp.square(blind_row(*arrays)).sum()

        gradients = jax.grad(loss, (0, 1, 2))(query, HEADS, HEADS)
        second = jax.hessian(loss)(query, HEADS, HEADS)

    assert (y[:, 0] == 0).all()
    assert (y[:, 1:] != 0).all()
    assert (gradients[0][:, 0] == 0).all()
    assert all(jnp.isfinite(g).all() for g in (*gradients, second))


@pytest.mark.parametrize(("queries", "keys"), [(3, 3), (2, 3), (3, 2)])
def test_causal_attention_counts_from_the_start(queries, keys):
    """Query i averages keys 0 to i, however many there are of either."""
    values = jnp.arange(1.0, keys + 1).reshape(1, keys, 1, 1)
    query = jnp.zeros((1, queries, 1, 1))

    y = attention(query, values, values, causal=True)

    np.testing.assert_allclose(
        y[0, :, 0, 0], [1, 1.5, min(2, (keys + 1) / 2)][:queries]
    )


def test_no_keys_at_all():
    """A sequence of no keys is one that may not be attended to."""
    y = attention(HEADS, HEADS[:, :0], HEADS[:, :0])

    np.testing.assert_array_equal(y, jnp.zeros_like(HEADS))


def test_scores_of_minus_infinity_are_nan():
    """An infinite input is no way to attend to nothing."""
    query = HEADS.at[0, 0, 0, 0].set(-jnp.inf)

    y = attention(query, jnp.abs(HEADS), HEADS)

    assert jnp.isnan(y[0, 0]).all()
    assert jnp.isfinite(y[0, 1:]).all()


def test_masked_keys_do_not_matter():
    """Whatever stands in a masked position, outputs stay."""
    mask = jnp.array([True, True, False]).reshape(1, 1, 1, 3)
    other = HEADS.at[:, 2].set(9)

    np.testing.assert_array_equal(
        attention(HEADS, other, other, mask=mask),
        attention(HEADS, HEADS, HEADS, mask=mask),
    )


def test_dropped_weights(key):
    """Weights are dropped one by one, and the others make up for it."""
    values = jnp.broadcast_to(jnp.eye(64), (2, 64, 64)).reshape(2, 64, 1, 64)
    query = jnp.zeros((2, 64, 1, 4))

    weights = attention(query, query, values, dropout_rate=0.25, dropout_key=key)

    dropped = weights == 0
    assert abs(dropped.mean() - 0.25) < 0.02
    np.testing.assert_allclose(weights[~dropped], 1 / 64 / 0.75, rtol=1e-5)


def test_attention_refuses():
    """Shapes, masks and rates that do not fit."""
    mask = jnp.ones((2, 1, 3, 3), bool)
    both = jnp.concatenate([HEADS, HEADS], axis=2)

    refused(lambda: attention(X, HEADS, HEADS), "query (batch, length, heads")
    refused(lambda: attention(HEADS, HEADS > 0, HEADS), "floating-point")
    refused(lambda: attention(HEADS[..., :0], HEADS, HEADS), "have heads and features")
    refused(lambda: attention(HEADS, HEADS[:1], HEADS[:1]), "(batch, keys, kv_heads")
    refused(lambda: attention(HEADS, HEADS, HEADS[:, :2]), "(batch, keys, kv_heads")
    refused(lambda: attention(HEADS[..., :2], HEADS, HEADS), "(batch, keys, kv_heads")
    refused(lambda: attention(HEADS, both, both), "a divisor of heads")
    for bad in (mask[:, 0], mask[:, :, :2], mask.astype("float32"), "none"):
        refused(lambda bad=bad: attention(HEADS, HEADS, HEADS, mask=bad), "mask of bo")
    refused(lambda: attention(HEADS, HEADS, HEADS, dropout_rate=0.1), "dropout_key")
    refused(lambda: attention(HEADS, HEADS, HEADS, dropout_rate=2), "dropout_rate")


def test_multi_head_attention_refuses():
    """Settings when it is made, inputs when they come."""
    params = {name: {"weight": jnp.eye(4)} for name in ("query", "key", "value")}

    def on(x, layer=nn.multi_head_attention(2)):  # noqa: B008 (it holds no state)
        return lambda: layer.init(jax.random.key(0), x)

    refused(lambda: nn.multi_head_attention(0), "heads must be a positive int")
    refused(lambda: nn.multi_head_attention(2, kv_heads=0), "kv_heads must be a pos")
    refused(lambda: nn.multi_head_attention(4, kv_heads=3), "kv_heads=3", "heads=4")
    refused(lambda: nn.multi_head_attention(4, features=6), "heads=4", "6")
    refused(lambda: nn.multi_head_attention(4, features=0), "features must be a pos")
    refused(lambda: nn.multi_head_attention(2, features=6, rotary=True), "even number")
    refused(lambda: nn.multi_head_attention(2, dropout=1.5), "dropout", "1.5")
    refused(on(X[0]), "query (batch, length, features)")
    refused(on({"query": X, "key": X[0]}), "key (batch, length, features)")
    refused(on({"query": X, "keys": X}), "'query'", "'mask'", "keys")
    refused(on({"key": X}), "'query'")
    refused(on({"query": X, "key": X[:1]}), "one batch size")
    refused(on({"query": X, "key": X, "value": X[:, :2]}), "one length")
    refused(on({"query": X > 0}), "floating-point")
    refused(on(X, nn.multi_head_attention(3)), "heads=3", "4 features")
    refused(on(X, nn.multi_head_attention(4, rotary=True)), "even number")
    refused(
        lambda: nn.functional.multi_head_attention(X, X, X, params, heads=3),
        "3 heads",
        "4 features",
    )
    dropping = nn.multi_head_attention(2, dropout=0.1)
    refused(lambda: init_and_apply(dropping, X, train=True), "no key was given")


def test_none_in_a_dict_is_left_out():
    """As in PyTorch, None stands for what is not given."""
    layer = nn.multi_head_attention(2)
    params = layer.init(jax.random.key(0), X)

    y = layer.apply(params, {"query": X, "key": None, "value": None, "mask": None})

    np.testing.assert_array_equal(y, layer.apply(params, X))


def test_settings_reach_the_description():
    """The settings are those that were given."""
    layer = nn.multi_head_attention(4, kv_heads=2, causal=True)

    assert repr(layer) == "multi_head_attention(4, kv_heads=2, causal=True)"
    assert json.loads(json.dumps(layer.settings))["features"] is None


def test_attention_drops_in_training_alone(key):
    """At a rate of one nothing but the output's bias is left."""
    layer = nn.multi_head_attention(2, dropout=1.0, bias_init=jax.nn.initializers.ones)
    params = layer.init(key, X)

    y = layer.apply(params, X, key=key, train=True)

    assert (y == 1).all()
    np.testing.assert_array_equal(
        layer.apply(params, X),
        nn.multi_head_attention(2).apply(params, X),
    )


def block(dropout=0.5, **options):
    """A block that passes its input on, and the params of that."""
    layer = nn.transformer_encoder_block(
        2, hidden=64, dropout=dropout, norm_first=True, **options
    )
    x = jnp.zeros((8, 4, 64))
    params = layer.init(jax.random.key(0), x)
    params = with_maps(params, linear1=(0, 0), linear2=(0, 0))
    params["attention"] = with_maps(
        params["attention"], query=(0, 0), key=(0, 0), value=(0, 0), output=(0, 0)
    )
    return layer, x, params


def drawn(layer, params, x):
    """The values that come out in training."""
    y = layer.apply(params, x, key=jax.random.key(1), train=True)
    return set(np.unique(np.round(y, 4)).tolist())


def test_the_block_drops_what_attention_adds():
    """Half of the values, and the others are doubled."""
    layer, x, params = block()
    params["attention"] = with_maps(params["attention"], output=(0, 1))

    assert drawn(layer, params, x) == {0, 2}


def test_the_block_drops_attention_weights():
    """Of four equal weights some are dropped; then whole values are."""
    layer, x, params = block()
    maps = with_maps(params["attention"], value=(0, 1))
    maps["output"]["weight"] = jnp.eye(64)
    params["attention"] = maps

    assert drawn(layer, params, x) == {0, 1, 2, 3, 4}


def test_the_block_drops_what_the_maps_make():
    """The last map's output by value, and the activation's before."""
    layer, x, params = block()

    last = with_maps(params, linear2=(0, 1))
    assert drawn(layer, last, x) == {0, 2}
    both = with_maps(params, linear1=(0, 1))
    both["linear2"]["weight"] = jnp.eye(64)
    assert drawn(layer, both, x) == {0, 4}


def test_blocks_stack():
    """A dict goes in and the same dict comes out, with another x."""
    mask = jnp.ones((2, 1, 1, 3), bool).at[:, :, :, 2].set(False)
    net = nn.serial(
        nn.transformer_encoder_block(2, hidden=8),
        nn.transformer_encoder_block(2, hidden=8),
    )
    params = net.init(jax.random.key(0), X)

    y = net.apply(params, {"x": X, "mask": mask})
    other = net.apply(params, {"x": X.at[:, 2].set(0), "mask": mask})

    assert set(y) == {"x", "mask"}
    np.testing.assert_array_equal(y["mask"], mask)
    np.testing.assert_array_equal(y["x"][:, :2], other["x"][:, :2])
    assert jnp.abs(y["x"] - net.apply(params, X)).max() > 1e-3


def test_the_params_of_a_block_share_no_memory():
    """Every array may be donated by itself."""
    layer, x, _ = block()
    params = layer.init(jax.random.key(0), x)

    leaves = jax.tree.leaves(params)
    assert len({id(leaf) for leaf in leaves}) == len(leaves) == 16


def test_the_block_refuses():
    """Settings when it is made, inputs when they come."""
    make = nn.transformer_encoder_block
    layer = make(2, hidden=3)
    key = jax.random.key(0)

    refused(lambda: make(0, hidden=3), "heads must be a positive int")
    refused(lambda: make(2, hidden=0), "hidden must be a positive int")
    refused(lambda: make(2, hidden=3, activation="tanh"), "activation", "relu, gelu")
    refused(lambda: make(2, hidden=3, dropout=-1), "dropout", "-1")
    refused(
        lambda: make(2, hidden=3, eps=-1),
        "eps must be a finite number, not negative, got -1",
    )
    refused(lambda: make(3, hidden=3).init(key, X), "heads=3", "4 features")
    refused(lambda: layer.init(key, X[0]), "x (batch, length, features)")
    refused(lambda: layer.init(key, {"x": X, "masks": X}), "'x'", "'mask'", "masks")
    refused(lambda: layer.init(key, {"mask": X > 0}), "'x'")
