"""Functions of Haiku as layers: their params, names and numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lenetjax as nn
from lenetjax.interop import from_dicts, from_haiku, to_dicts

hk = pytest.importorskip("haiku", reason="needs lenetjax[test]")

X = jnp.asarray(np.random.default_rng(0).normal(size=(4, 6, 6, 2)), jnp.float32)


@pytest.fixture(autouse=True)
def as_haiku_needs():
    """Haiku's own layers add biases to arrays of more axes."""
    with jax.numpy_rank_promotion("allow"):
        yield


class Block(hk.Module):
    """Has params of its own beside a module's, and one with "/~/" in its name."""

    def __init__(self, name=None):
        super().__init__(name)
        self.conv = hk.Conv2D(3, 2)

    def __call__(self, x):
        scale = hk.get_parameter("scale", (1, 1, 1, 3), x.dtype, init=jnp.ones)
        return jnp.tanh(self.conv(x)) * scale


def plain(x):
    return hk.Linear(2)(hk.Flatten()(Block()(x)))


def dropping(x, is_training):
    x = hk.nets.MLP([4, 3])(hk.Flatten()(x))
    return hk.dropout(hk.next_rng_key(), 0.5, x) if is_training else x


def normalized(x, is_training):
    x = Block()(x)
    x = hk.BatchNorm(True, True, 0.9)(x, is_training)
    if is_training:
        x = hk.dropout(hk.next_rng_key(), 0.5, x)
    return hk.Linear(2)(jax.nn.silu(x).mean((1, 2)))


def key(seed=1):
    """Equal keys for both libraries; one key serves one call."""
    return jax.random.key(seed)


def same(one, other):
    """Whether two trees are alike in structure and in every bit."""
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize("bare", [False, True], ids=["with rng", "without rng"])
def test_params_and_outputs_are_haikus(bare):
    """For equal keys, with module names cut at each slash."""
    theirs = hk.transform(plain)
    net = from_haiku(hk.without_apply_rng(theirs) if bare else theirs)

    params = net.init(key(), X)
    original = theirs.init(key(), X)

    assert {"block/~/conv2_d", "block"} <= set(original)
    assert set(params["block"]) == {"scale", "~"}
    assert params["block"]["~"]["conv2_d"]["w"].shape == (2, 2, 2, 3)
    same(params, to_dicts(original))
    same(from_dicts(params, original), original)
    same(net.apply(params, X), theirs.apply(original, None, X))


def test_the_mode_and_the_key_are_haikus():
    """The function's is_training is true in training, and its rng is our key."""
    theirs = hk.transform(dropping)
    net = from_haiku(theirs)
    params = net.init(key(), X)
    original = from_dicts(params, theirs.init(key(), X, True))

    same(
        net.apply(params, X, key=key(2), train=True),
        theirs.apply(original, key(2), X, is_training=True),
    )
    same(net.apply(params, X), theirs.apply(original, None, X, is_training=False))
    with pytest.raises(nn.LayerError, match="no key was given"):
        net.apply(params, X, train=True)


def test_state_is_haikus():
    """Three steps of training move the averages as they do in Haiku."""
    theirs = hk.transform_with_state(normalized)
    net = from_haiku(theirs)
    params, state = net.init_with_state(key(), X)
    original, own = theirs.init(key(), X, True)

    same(params, to_dicts(original))
    assert jax.tree.map(jnp.shape, state) == jax.tree.map(jnp.shape, to_dicts(own))
    assert jax.tree.structure(from_dicts(state, own)) == jax.tree.structure(own)
    for i in range(3):
        x = X + i
        y, state = net.apply_with_state(params, state, x, key=key(i), train=True)
        y_theirs, own = theirs.apply(original, own, key(i), x, True)
        same(y, y_theirs)
        same(state, to_dicts(own))
    same(
        net.apply(params, X, state=state),
        theirs.apply(original, own, None, X, False)[0],
    )


@pytest.mark.compiled
@pytest.mark.parametrize("function", [plain, dropping])
def test_layers_without_state_obey_the_laws(function):
    """All of them: Haiku makes params of the input's dtype."""
    nn.testing.check_layer(from_haiku(hk.transform(function)), X)


@pytest.mark.compiled
def test_layers_with_state_obey_the_laws():
    """All but one: Haiku's batch norm refuses input of another dtype than its state."""
    net = from_haiku(hk.transform_with_state(normalized))

    nn.testing.check_layer(net, X, skip=["half"])


@pytest.mark.compiled
def test_a_layer_among_ours():
    """It trains inside of a net of ours."""
    net = nn.serial(
        theirs=from_haiku(hk.transform_with_state(normalized)), out=nn.linear(3)
    )
    optimizer = optax.adam(0.1)
    labels = jnp.array([0, 1, 2, 1])
    run = nn.train_state(net, optimizer, key(), X)
    step = nn.train_step(net, optimizer)
    losses = []
    for _ in range(60):
        run, metrics = step(run, (X, labels))
        losses.append(float(metrics["loss"]))

    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        (plain, {}, "hk.transform_with_state returns, got function"),
        (hk.transform(plain), {"mode": "is_training"}, "no argument 'is_training'"),
    ],
)
def test_mistakes_are_named(given, options, message):
    """A bare function, and a mode that the function does not know."""
    with pytest.raises(nn.LayerError, match=message):
        from_haiku(given, **options)


def test_an_argument_of_another_name():
    """It is named, and one that is true in evaluation is turned round."""
    switched = from_haiku(
        hk.transform(lambda x, learning: x * learning), mode="learning"
    )
    at_rest = from_haiku(hk.transform(lambda x, deterministic: x * deterministic))

    assert float(switched.apply({}, jnp.ones(1), key=key(), train=True)[0]) == 1
    assert float(at_rest.apply({}, jnp.ones(1), key=key(), train=True)[0]) == 0
    assert float(at_rest.apply({}, jnp.ones(1))[0]) == 1


def test_evaluation_keeps_the_state():
    """Training alone changes it, also where the function does not know the mode."""

    def counting(x):
        count = hk.get_state("count", (), jnp.int32, init=jnp.zeros)
        hk.set_state("count", count + 1)
        return x

    net = from_haiku(hk.transform_with_state(counting))
    params, state = net.init_with_state(key(), X)

    counts = [
        int(
            net.apply_with_state(params, state, X, key=key(), train=train)[1]["~"][
                "count"
            ]
        )
        for train in (False, True)
    ]

    assert counts == [0, 1]
