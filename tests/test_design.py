"""The programs that must run as they stand, under JAX's defaults, as a user's would."""

import pytest

TUTORIAL = """
import jax, jax.numpy as jnp, optax
import lenetjax as nn

net = nn.serial(
    conv1=nn.conv2d(6, 3), relu1=jax.nn.relu, pool1=nn.max_pool2d(2),
    conv2=nn.conv2d(16, 3), relu2=jax.nn.relu, pool2=nn.max_pool2d(2),
    flatten=nn.flatten(),
    fc1=nn.linear(120), relu3=jax.nn.relu,
    fc2=nn.linear(84), relu4=jax.nn.relu,
    fc3=nn.linear(10),
)                                                   # nn.models.lenet() is this net
images = jax.random.normal(jax.random.key(1), (8, 32, 32, 1))
labels = jnp.arange(8)
params = net.init(jax.random.key(0), images)        # an array or a jax.ShapeDtypeStruct
logits = jax.jit(net.apply)(params, images)         # (8, 10)

def loss(params, images, labels):
    return nn.losses.cross_entropy(net.apply(params, images), labels)

optimizer = optax.sgd(0.01, momentum=0.9)
opt_state = optimizer.init(params)
grads = jax.jit(jax.grad(loss))(params, images, labels)
updates, opt_state = optimizer.update(grads, opt_state, params)
params = optax.apply_updates(params, updates)

init, apply = net                                   # a layer unpacks into its pair
assert sum(p.size for p in jax.tree.leaves(params)) == 81_194 and len(jax.tree.leaves(params)) == 10
assert params["conv1"]["weight"].shape == (3, 3, 1, 6) and params["fc1"]["weight"].shape == (576, 120)
print(net)                                          # a nested, named listing, like torch's print(net)
print(nn.summary(net, images))                      # a table: layer, output shape, params, FLOPs; needs no params
"""  # noqa: E501

FORWARD = """
def forward(net, x):
    x = nn.functional.max_pool2d(jax.nn.relu(net.conv1(x)), 2)
    x = nn.functional.max_pool2d(jax.nn.relu(net.conv2(x)), 2)
    x = x.reshape(x.shape[0], -1)
    return net.fc3(jax.nn.relu(net.fc2(jax.nn.relu(net.fc1(x)))))

lenet = nn.compose(forward, conv1=nn.conv2d(6, 3), conv2=nn.conv2d(16, 3),
                   fc1=nn.linear(120), fc2=nn.linear(84), fc3=nn.linear(10))
"""

LAYERS = """
def scale():
    def init(key, x):
        return {"gain": jnp.ones(x.shape[-1])}
    def apply(params, x):
        return params["gain"] * x
    return nn.layer("scale", init, apply)

def noisy(stddev):                                  # wants randomness and the mode
    def apply(params, x, *, key, train):
        return x + stddev * jax.random.normal(key, x.shape) if train else x
    return nn.layer(f"noisy({stddev})", nn.no_params, apply)

def counter():                                      # owns state: init returns (params, state), apply returns (y, state)
    def init(key, x):
        return {}, {"calls": jnp.zeros((), jnp.int32)}
    def apply(params, x, *, state):
        return x, {"calls": state["calls"] + 1}
    return nn.layer("counter", init, apply)
"""  # noqa: E501

STATE = """
net = nn.serial(conv=nn.conv2d(8, 3, padding=1), bn=nn.batch_norm(), act=jax.nn.relu,
                drop=nn.dropout(0.5), flatten=nn.flatten(), out=nn.linear(10))
params, state = net.init_with_state(jax.random.key(0), images)
logits, state = net.apply_with_state(params, state, images, key=jax.random.key(2), train=True)
logits = net.apply(params, images, state=state)     # evaluation: y only, deterministic, no key
"""  # noqa: E501

TRAINING = """
net = nn.models.lenet()
data = nn.data.digits(image_size=32)                # real handwritten digits, no download
result = nn.fit(net, optax.sgd(0.05, momentum=0.9), data, epochs=30, batch_size=64, seed=0)
print(result.test_accuracy)                         # above 0.96
step = nn.train_step(net, optax.sgd(0.05, momentum=0.9))   # for people who write their own loop: jitted and donated
run = nn.train_state(net, optax.sgd(0.05, momentum=0.9), jax.random.key(0), data.train.images[:1])
run, metrics = step(run, (data.train.images[:64], data.train.labels[:64]))
"""  # noqa: E501


@pytest.fixture(autouse=True)
def rank_promotion():
    """Leaves JAX's settings alone, in place of the strict ones of the other tests."""


@pytest.fixture
def names(capsys):
    """What the first program leaves behind, and what it printed."""
    found = {}
    exec(TUTORIAL, found)  # noqa: S102
    return found | {"printed": capsys.readouterr().out}


def test_the_tutorial_s_network_trains(names):
    """Program 1: net, params, gradient and one step of optax."""
    assert names["logits"].shape == (8, 10)
    assert "(conv1): conv2d(6, kernel_size=3)" in names["printed"]
    assert f"{8 * 549_312:,}" in names["printed"]


def test_the_network_as_a_forward_function(names):
    """Program 2: the same params, the same logits."""
    exec(FORWARD, names)  # noqa: S102
    jax, lenet, images = names["jax"], names["lenet"], names["images"]

    params = lenet.init(jax.random.key(0), images)

    assert bool((lenet.apply(params, images) == names["logits"]).all())


def test_layers_of_one_s_own(names):
    """Program 3: they run in a net, each with what it asked for."""
    exec(LAYERS, names)  # noqa: S102
    jax, nn, images = names["jax"], names["nn"], names["images"]
    net = nn.serial(names["scale"](), names["noisy"](0.1), names["counter"]())

    params, state = net.init_with_state(jax.random.key(0), images)
    noisy, state = net.apply_with_state(
        params, state, images, key=jax.random.key(1), train=True
    )

    assert params["0"]["gain"].shape == (1,)
    assert state["2"]["calls"] == 1
    assert 0.05 < float((noisy - images).std()) < 0.15
    assert bool((net.apply(params, images, state=state) == images).all())


def test_state_randomness_and_mode(names):
    """Program 4: the two longer verbs."""
    exec(STATE, names)  # noqa: S102

    assert names["logits"].shape == (8, 10)
    assert float(abs(names["state"]["bn"]["mean"]).max()) > 0


def test_a_whole_run(names):
    """Program 5: more than 96 % of the digits are read, and a step of one's own."""
    exec(TRAINING, names)  # noqa: S102

    assert names["result"].test_accuracy > 0.96
    assert int(names["run"].step) == 1
