"""Modules of Flax Linen as layers, and the weights of Flax NNX in ours."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lenetjax as nn
from lenetjax.interop import from_flax, from_nnx

pytest.importorskip("flax", reason="needs lenetjax[test]")
from flax import linen, nnx

X = jnp.asarray(np.random.default_rng(0).normal(size=(4, 6, 6, 2)), jnp.float32)


@pytest.fixture(autouse=True)
def as_flax_needs():
    """Flax's own layers broadcast between arrays of different rank."""
    with jax.numpy_rank_promotion("allow"):
        yield


class Plain(linen.Module):
    """No mode, no state."""

    @linen.compact
    def __call__(self, x):
        x = linen.tanh(linen.Conv(3, (2, 2), name="conv")(x))
        return linen.Dense(2)(x.reshape(x.shape[0], -1))


class Normalized(linen.Module):
    """Batch norm and dropout, as in Flax's guides."""

    @linen.compact
    def __call__(self, x, train: bool):
        x = linen.Conv(3, (2, 2))(x)
        x = linen.silu(linen.BatchNorm(use_running_average=not train)(x))
        x = linen.Dropout(0.5, deterministic=not train)(x.mean((1, 2)))
        return linen.Dense(2)(x)


class Dropping(linen.Module):
    """The mode as Flax's own transformers have it, and a second stream of keys."""

    @linen.compact
    def __call__(self, x, deterministic: bool = True):
        x = linen.Dense(4)(x.reshape(x.shape[0], -1))
        x = linen.Dropout(0.5, rng_collection="noise")(x, deterministic)
        return linen.Dropout(0.5)(x, deterministic)


def key(seed=1):
    """Equal keys for both libraries; one key serves one call."""
    return jax.random.key(seed)


def same(one, other):
    """Whether two trees are alike in structure and in every bit."""
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_params_and_outputs_are_flaxs():
    """For equal keys, without any change of names."""
    net = from_flax(Plain())

    params = net.init(key(), X)

    variables = Plain().init(key(), X)
    same({"params": params}, variables)
    same(net.apply(params, X), Plain().apply(variables, X))
    assert repr(net) == "from_flax('Plain')"


def test_state_and_keys_are_flaxs():
    """Three steps of training move the averages as they do in Flax."""
    module = Normalized()
    net = from_flax(module, mutable=["batch_stats"])
    params, state = net.init_with_state(key(), X)
    variables = module.init(key(), X, train=False)

    same({"params": params, **state}, variables)
    for i in range(3):
        x = X + i
        y, state = net.apply_with_state(params, state, x, key=key(i), train=True)
        y_theirs, new = module.apply(
            variables, x, True, mutable=["batch_stats"], rngs={"dropout": key(i)}
        )
        variables = {**variables, **new}
        same(y, y_theirs)
        same({"params": params, **state}, variables)
    same(net.apply(params, X, state=state), module.apply(variables, X, train=False))


def test_other_streams_of_keys():
    """The first stream gets our key, and the others keys of their own."""
    net = from_flax(Dropping(), rngs=["dropout", "noise"])
    params = net.init(key(), X)

    y = net.apply(params, X, key=key(2), train=True)

    zeros = float((y == 0).mean())
    again = net.apply(params, X, key=key(2), train=True)
    same(y, again)
    assert 0 < zeros < 1
    same(net.apply(params, X), Dropping().apply({"params": params}, X))
    with pytest.raises(nn.LayerError, match="noise"):
        from_flax(Dropping()).apply(params, X, key=key(2), train=True)


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("module", "options"),
    [
        (Plain(), {}),
        (Normalized(), {"mutable": ["batch_stats"]}),
        (Dropping(), {"rngs": ["dropout", "noise"]}),
    ],
    ids=["plain", "normalized", "dropping"],
)
def test_layers_obey_the_laws(module, options):
    """All but one: a module's params have its param_dtype, whatever its input has."""
    nn.testing.check_layer(from_flax(module, **options), X, skip=["half"])


def test_boxed_params():
    """Annotations for sharding are taken off, and the numbers stay."""
    init = linen.with_partitioning(linen.initializers.ones, (None, "model"))
    net = from_flax(linen.Dense(3, kernel_init=init))

    params = net.init(key(), jnp.ones((2, 4)))

    same(params["kernel"], np.ones((4, 3)))
    same(net.apply(params, jnp.ones((2, 4))), np.full((2, 3), 4.0))


@pytest.mark.compiled
def test_a_layer_among_ours():
    """It trains inside of a net of ours."""
    theirs = from_flax(Normalized(), mutable=["batch_stats"])
    net = nn.serial(theirs=theirs, out=nn.linear(3))
    optimizer = optax.adam(0.1)
    run = nn.train_state(net, optimizer, key(), X)
    step = nn.train_step(net, optimizer)
    losses = []
    for _ in range(60):
        run, metrics = step(run, (X, jnp.array([0, 1, 2, 1])))
        losses.append(float(metrics["loss"]))

    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda: from_flax(Plain), "expected a module of flax.linen, got type"),
        (lambda: from_flax(nn.linear(2)), "expected a module of flax.linen, got Layer"),
        (lambda: from_flax(Plain(), mode="train"), "no argument 'train'"),
        (lambda: from_flax(Normalized()).init(key(), X), "mutable=\\['batch_stats'\\]"),
        (
            lambda: from_flax(Plain(), mutable=["cache"]).init_with_state(key(), X),
            "collections \\[\\] besides params",
        ),
    ],
)
def test_mistakes_are_named(mistake, message):
    """What is no module, has no such mode, or has more state than was said."""
    with pytest.raises(nn.LayerError, match=message):
        mistake()


class Net(nnx.Module):
    """Every kind of layer that NNX calls otherwise than we do."""

    def __init__(self, rngs):
        self.conv1 = nnx.Conv(2, 4, (3, 3), padding="VALID", rngs=rngs)
        self.bn = nnx.BatchNorm(4, momentum=0.9, rngs=rngs)
        self.up = nnx.ConvTranspose(4, 3, (2, 2), (2, 2), padding="VALID", rngs=rngs)
        self.blocks = nnx.List(
            [nnx.LayerNorm(3, epsilon=1e-5, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)]
        )
        self.head = nnx.Linear(8 * 8 * 3, 5, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.bn(self.conv1(x)))
        x = self.up(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x.reshape(x.shape[0], -1))


def ours():
    return nn.serial(
        conv1=nn.conv2d(4, 3),
        bn=nn.batch_norm(),
        act=jax.nn.relu,
        up=nn.conv_transpose2d(3, 2, stride=2),
        norm=nn.layer_norm(),
        drop=nn.dropout(0.5),
        flatten=nn.flatten(),
        fc=nn.linear(5),
    )


NAMES = {"norm": "blocks.0", "fc": "head"}


def test_weights_of_nnx():
    """A trained module and our net with its weights give the same numbers."""
    module = Net(nnx.Rngs(0))
    for i in range(3):
        module(X + i)  # moves the averages
    module.bn.scale[...] = jnp.arange(1, 5, dtype=jnp.float32)
    module.blocks[0].bias[...] = jnp.arange(3, dtype=jnp.float32)
    module.eval()

    params, state = from_nnx(ours(), module, X, names=NAMES)

    y = ours().apply(params, X, state=state)
    np.testing.assert_allclose(y, module(X), rtol=1e-5, atol=1e-5)
    assert float(jnp.abs(state["bn"]["mean"]).min()) > 0


def test_names_inside_of_a_net():
    """A name holds for what is inside, the longest one wins, and "" is all of it."""
    module = Net(nnx.Rngs(0))
    net = nn.serial(whole=ours())

    params, _ = from_nnx(
        net,
        module,
        X,
        names={"whole": "", "whole/norm": "blocks.0", "whole/fc": "head"},
    )

    same(params["whole"], from_nnx(ours(), module, X, names=NAMES)[0])


def test_an_embedding():
    """Its table has the same layout."""
    module = nnx.Embed(5, 3, rngs=nnx.Rngs(0))
    net, x = nn.embedding(5, 3), jnp.array([[0, 4], [2, 1]])

    params, state = from_nnx(net, module, x)

    same(net.apply(params, x), module(x))
    assert state == {}


@pytest.mark.parametrize(
    ("net", "names", "problems"),
    [
        (ours(), {"norm": "blocks.0"}, ["fc.weight: found none of fc.kernel"]),
        (ours(), {"norm": "blocks.0"}, ["head.kernel: left over"]),
        (ours(), NAMES | {"nrom": "a"}, ["names has 'nrom', and the paths of this"]),
        (
            nn.serial(ours(), jnp.tanh),
            {"0": "", "0/norm": "blocks.0", "0/fc": "conv1"},
            ["0.fc.weight: expected", "head.bias: left over"],
        ),
    ],
)
def test_all_that_does_not_fit_is_listed(net, names, problems):
    """Nothing is left out of sight."""
    with pytest.raises(nn.LayerError) as error:
        from_nnx(net, Net(nnx.Rngs(0)), X, names=names)
    for problem in problems:
        assert problem in str(error.value)


def test_variables_of_other_kinds_are_left_over():
    """A module with arrays that are neither params nor averages is refused."""

    class Counting(nnx.Module):
        def __init__(self):
            self.fc = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
            self.count = nnx.Variable(jnp.zeros(()))

    with pytest.raises(nn.LayerError, match="count: left over"):
        from_nnx(nn.serial(fc=nn.linear(2)), Counting(), jnp.ones((1, 2)))
    with pytest.raises(nn.LayerError, match=r"an nnx\.Module, got Plain"):
        from_nnx(nn.linear(2), Plain(), X)
