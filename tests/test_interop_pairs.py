"""Layers of stax as ours and the other way, and trees of arrays by name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.example_libraries import optimizers
from jax.example_libraries import stax as original

import lenetjax as nn
from lenetjax.interop import from_dicts, from_stax, stax, to_dicts, to_stax

X = jnp.asarray(np.random.default_rng(0).normal(size=(4, 6, 6, 2)))
both = pytest.mark.parametrize("stax", [stax, original], ids=["ours", "original"])


@pytest.fixture(autouse=True)
def as_the_original_needs():
    """The original adds biases to arrays of more axes."""
    with jax.numpy_rank_promotion("allow"):
        yield


def convolutional(stax):
    """A net of stax with a tuple of params inside of a list, and empty entries."""
    branches = stax.parallel(stax.Conv(3, (1, 1)), stax.Identity)
    return stax.serial(
        stax.Conv(3, (2, 2)),
        stax.Tanh,
        stax.FanOut(2),
        branches,
        stax.FanInConcat(),
        stax.AvgPool((2, 2), (2, 2)),
        stax.Flatten,
        stax.Dense(3),
    )


def random(stax, mode):
    return stax.serial(
        stax.Flatten, stax.Dense(4), stax.Dropout(0.5, mode), stax.Dense(2)
    )


def same(one, other):
    """Whether two trees are alike in structure and in every bit."""
    jax.tree.map(np.testing.assert_array_equal, one, other)


@both
def test_a_layer_of_a_pair_gives_its_numbers(stax):
    """Params, by number, and outputs are those of the pair."""
    init_fun, apply_fun = pair = convolutional(stax)
    net = from_stax(pair)

    params = net.init(jax.random.key(1), X)
    _, theirs = init_fun(jax.random.key(1), X.shape)

    same(params, to_dicts(theirs))
    assert list(params) == ["0", "3", "7"]
    assert jax.tree.map(jnp.shape, params["3"]) == {
        "0": {"0": (1, 1, 3, 3), "1": (1, 1, 1, 3)}
    }
    same(from_dicts(params, theirs), theirs)
    same(net.apply(params, X), apply_fun(theirs, X))
    assert net.apply(params, X[:2]).shape == (2, 3)


@both
@pytest.mark.compiled
def test_a_layer_of_a_pair_obeys_the_laws(stax):
    """All but one: stax makes params of JAX's own dtype for inputs of any."""
    nn.testing.check_layer(from_stax(convolutional(stax)), X, skip=["half"])


@both
@pytest.mark.compiled
def test_a_random_pair_obeys_the_laws(stax):
    """With one pair for training and one for evaluation."""
    net = from_stax(random(stax, "train"), random(stax, "test"))

    nn.testing.check_layer(net, X, skip=["half"])


@both
def test_a_random_pair_gives_its_numbers(stax):
    """In training those of the first pair, in evaluation of the second."""
    pair, evaluation = random(stax, "train"), random(stax, "test")
    net = from_stax(pair, evaluation)
    params = net.init(jax.random.key(1), X)
    theirs = pair[0](jax.random.key(1), X.shape)[1]

    same(
        net.apply(params, X, key=jax.random.key(2), train=True),
        pair[1](theirs, X, rng=jax.random.key(2)),
    )
    same(net.apply(params, X), evaluation[1](theirs, X, rng=jax.random.key(2)))


@both
def test_dropout_alone_asks_for_a_key(stax):
    """A pair for training, given as if it were deterministic, is no silent mistake."""
    net = from_stax(random(stax, "train"))

    with pytest.raises(nn.LayerError, match="key"):
        net.init(jax.random.key(0), X)


def test_pairs_of_several_inputs():
    """A list of arrays goes in, and a list comes out."""
    pair = stax.parallel(stax.Dense(2), stax.Flatten)
    net = from_stax(pair)
    x = [jnp.ones((4, 3)), X]

    params = net.init(jax.random.key(0), x)

    assert [y.shape for y in net.apply(params, x)] == [(4, 2), (4, 72)]


@both
@pytest.mark.compiled
def test_a_layer_among_those_of_stax(stax):
    """It trains in an old loop, with old optimizers, from a batch of -1."""
    ours = nn.serial(conv=nn.conv2d(3, 3), act=jax.nn.relu, flatten=nn.flatten())
    init_fun, apply_fun = stax.serial(
        to_stax(ours, dtype=X.dtype), stax.Dense(3), stax.LogSoftmax
    )
    shape, params = init_fun(jax.random.key(0), (-1, 6, 6, 2))
    labels = jnp.array([0, 1, 2, 1])

    def loss(params):
        return -jnp.take_along_axis(apply_fun(params, X), labels[:, None], 1).mean()

    opt_init, opt_update, get_params = optimizers.momentum(0.05, 0.9)
    opt_state = opt_init(params)
    step = jax.jit(
        lambda i, state: opt_update(i, jax.grad(loss)(get_params(state)), state)
    )
    for i in range(30):
        opt_state = step(i, opt_state)

    assert shape == (-1, 3)
    assert params[0]["conv"]["weight"].shape == (3, 3, 2, 3)
    assert loss(get_params(opt_state)) < 0.2 * loss(params)


def test_a_pair_of_a_layer_gives_its_numbers():
    """In both modes, with the key as rng."""
    net = nn.serial(fc=nn.linear(4), drop=nn.dropout(0.5))
    x = X[..., 0, 0]
    for train in (True, False):
        init_fun, apply_fun = to_stax(net, train=train, dtype=X.dtype)
        shape, params = init_fun(jax.random.key(0), x.shape)

        assert shape == (4, 4)
        same(params, net.init(jax.random.key(0), x))
        y = apply_fun(params, x, rng=jax.random.key(3))
        same(y, net.apply(params, x, key=jax.random.key(3), train=train))


def test_there_and_back():
    """A net of ours made a pair and a layer again keeps its params and numbers."""
    net = nn.serial(conv=nn.conv2d(3, 3), flatten=nn.flatten(), fc=nn.linear(2))
    again = from_stax(to_stax(net, dtype=X.dtype))

    params = again.init(jax.random.key(0), X)

    same(params, net.init(jax.random.key(0), X))
    same(again.apply(params, X), net.apply(params, X))


def test_shapes_of_several_arrays():
    """A list of shapes in, and -1 only where the batch is."""
    net = nn.parallel(nn.linear(2), nn.flatten())
    init_fun, _ = to_stax(net)

    shape, params = init_fun(jax.random.key(0), [(-1, 3), (-1, 2, 2)])

    assert shape == ((-1, 2), (-1, 4))
    assert list(params) == ["0"]


def test_inputs_of_whole_numbers():
    """An embedding takes indices, which stax's shapes do not tell."""
    init_fun, apply_fun = to_stax(nn.embedding(5, 2), dtype=jnp.int32)

    shape, params = init_fun(jax.random.key(0), (4, 3))

    assert shape == apply_fun(params, jnp.zeros((4, 3), int)).shape == (4, 3, 2)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda: to_stax(nn.serial(bn=nn.batch_norm())), "state, in 'bn' = batch_norm"),
        (lambda: from_stax(stax.Dense), "expected a pair .*got function"),
        (lambda: from_stax(stax.Relu, stax.Dense), "expected a pair .*got function"),
        (
            lambda: to_stax(nn.linear(2))[1]({}, jnp.ones((2, 3))),
            "weight: expected",
        ),
        (
            lambda: to_stax(nn.serial(jnp.transpose, nn.linear(2)))[0](
                jax.random.key(0), (-1, 3)
            ),
            "params depend on it",
        ),
        (
            lambda: from_stax(stax.Dense(2)).apply({"0": X}, X),
            "1: expected",
        ),
    ],
)
def test_mistakes_are_named(mistake, message):
    """What cannot be is refused."""
    with pytest.raises(nn.LayerError, match=f"(?s){message}"):
        mistake()


TREES = [
    {},
    [],
    jnp.ones(3),
    [jnp.ones(3), (), {"a": jnp.zeros(2)}],
    ([(jnp.ones(1),)], {"a/~/b": {"w": jnp.ones(2)}, "a": {"w": jnp.zeros(2)}}),
    (None, jnp.ones(2)),
]


@pytest.mark.parametrize("tree", TREES)
def test_names_lead_back(tree):
    """A tree of any form has nested dicts of arrays, which make it again."""
    named = to_dicts(tree)

    again = from_dicts(named, tree)

    assert type(named) is dict
    assert jax.tree.structure(again) == jax.tree.structure(tree)
    same(again, tree)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda: to_dicts({"a": X, "a/b": X}), "'a' is the name of an array too"),
        (lambda: to_dicts({"a": {"b": X}, "a/b": X}), "'a/b' would be the name of two"),
        (lambda: to_dicts({"a/b": X, "a": X}), "name of an array too|would be"),
        (lambda: from_dicts({}, [X]), "no '0'; got nothing"),
        (lambda: from_dicts({"0": X}, [(X, X)]), "no '0/0'; got 0 float"),
        (lambda: from_dicts({"0": X, "1": X}, [X]), "expected 0 .*, got 0 .*, 1"),
    ],
)
def test_other_names_are_refused(mistake, message):
    """Nothing is lost, and nothing is made up."""
    with pytest.raises(nn.LayerError, match=message):
        mistake()
