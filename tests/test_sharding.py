"""Many devices: the numbers of one, on eight that are emulated on the CPU."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, Mesh
from jax.sharding import PartitionSpec as P

import lenetjax as nn
from lenetjax import spreading
from lenetjax.sharding import Layout

EIGHT = 8
RNG = np.random.default_rng(0)
DATA = nn.data.Dataset(
    nn.data.Split(
        RNG.normal(size=(40, 8, 8, 1)).astype(np.float32),
        RNG.integers(0, 4, 40).astype(np.int32),
    ),
    nn.data.Split(
        RNG.normal(size=(19, 8, 8, 1)).astype(np.float32),
        RNG.integers(0, 4, 19).astype(np.int32),
    ),
)


def separate():
    """Each example for itself: one collective, written out."""
    return nn.serial(
        conv=nn.conv2d(4, 3), relu=jax.nn.relu, pool=nn.max_pool2d(2),
        flatten=nn.flatten(), fc1=nn.linear(16), relu1=jax.nn.relu, fc2=nn.linear(4),
    )  # fmt: skip


def joined():
    """The batch as a whole, and randomness: the compiler spreads the work."""
    return nn.serial(
        conv=nn.conv2d(4, 3), bn=nn.batch_norm(), relu=jax.nn.relu,
        drop=nn.dropout(0.3), flatten=nn.flatten(), fc1=nn.linear(16),
        fc2=nn.linear(4),
    )  # fmt: skip


NETS = {"separate": separate, "joined": joined}


def fitted(net, devices, **options):
    options = {"epochs": 2, "batch_size": 16, "progress": False, **options}
    return nn.fit(net, optax.sgd(0.1, momentum=0.9), DATA, devices=devices, **options)


def assert_same(one, many):
    """To rounding: only the order of sums may differ."""
    for a, b in zip(jax.tree.leaves(one[:2]), jax.tree.leaves(many[:2]), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-6)
    for a, b in zip(one.history, many.history, strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-5)
        assert a["test_accuracy"] == b["test_accuracy"]


@pytest.fixture(scope="module")
def on_one():
    """Each net trained on one device."""
    return {name: fitted(make(), None) for name, make in NETS.items()}


@pytest.mark.parametrize("name", NETS)
def test_eight_devices_train_as_one(name, on_one):
    """Batches of 16, and last ones of 8 images and of 3, which do not divide."""
    many = fitted(NETS[name](), EIGHT)

    assert_same(on_one[name], many)
    weight = many.params["fc2"]["weight"]
    assert len(weight.sharding.device_set) == EIGHT
    assert weight.is_fully_replicated


@pytest.mark.parametrize("name", NETS)
def test_rules_split_params(name, on_one):
    mesh = jax.make_mesh((4, 2), ("data", "model"))
    rules = {"fc1/*": P("model"), "fc*/weight": P("data", "model")}
    # fc1/weight: the first rule; its bias too; fc2/weight: the second.

    many = fitted(NETS[name](), mesh, rules=rules)

    assert_same(on_one[name], many)
    assert many.params["fc1"]["weight"].sharding.spec == P("model")
    assert many.params["fc1"]["bias"].sharding.spec == P("model")
    assert many.params["fc2"]["weight"].sharding.spec == P("data", "model")
    assert many.params["conv"]["weight"].is_fully_replicated
    assert many.params["fc2"]["weight"].addressable_shards[0].data.shape == (4, 2)


def test_the_optimizer_lies_where_the_params_do():
    net, optimizer = separate(), optax.adam(0.01)
    layout = Layout(jax.make_mesh((4, 2), ("data", "model")), {"fc1/*": P("model")})
    run = nn.train_state(net, optimizer, jax.random.key(0), DATA.train.images[:1])

    run = layout.place(run)

    moments = run.opt_state[0]
    for tree in (run.params, moments.mu, moments.nu):
        assert tree["fc1"]["weight"].sharding.spec == P("model")
        assert tree["fc2"]["weight"].sharding.spec == P()
    assert moments.count.is_fully_replicated


@pytest.mark.compiled
def test_a_net_of_separate_examples_has_one_collective():
    """All gradients and metrics in one all-reduce, and nothing gathered."""
    net, optimizer = separate(), optax.sgd(0.1)
    layout = Layout(EIGHT)
    images, labels = (part[:16] for part in DATA.train)
    run = nn.train_state(net, optimizer, jax.random.key(0), images[:1])
    step = layout.keeping(nn.train_step(net, optimizer))

    with layout.in_force():
        placed = layout.place(run), layout.place_batch((images, labels))
        text = step.lower(*placed).compile().as_text()

    assert text.count(" all-reduce(") == 1
    assert "all-gather" not in text


def test_many_steps_in_a_call(on_one):
    many = fitted(separate(), EIGHT, steps_per_execution=2)

    assert_same(on_one["separate"], many)


def test_predicting_is_spread_too():
    net, images = separate(), DATA.train.images[:16]
    params = net.init(jax.random.key(0), images)
    layout = Layout(EIGHT)
    expected = nn.predict_step(net)(params, {}, images)

    with layout.in_force():
        found = nn.predict_step(net)(
            layout.place_copies(params), {}, layout.place_batch(images)
        )

    assert len(found.sharding.device_set) == EIGHT
    assert not found.is_fully_replicated
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_checkpoint_goes_to_another_number_of_devices(tmp_path, on_one):
    """One epoch on eight devices with split params, the other on one."""
    mesh = jax.make_mesh((4, 2), ("data", "model"))
    rules = {"fc1/weight": P("data", "model")}

    fitted(joined(), mesh, rules=rules, epochs=1, checkpoints=tmp_path)
    found = fitted(joined(), None, checkpoints=tmp_path)

    assert_same(on_one["joined"], found)


@pytest.mark.variant  # tests/test_processes.py resumes with two
def test_eight_devices_resume_bit_for_bit(tmp_path):
    straight = fitted(joined(), EIGHT)

    fitted(joined(), EIGHT, epochs=1, checkpoints=tmp_path)
    resumed = fitted(joined(), EIGHT, checkpoints=tmp_path)

    for a, b in zip(
        jax.tree.leaves(straight[:2]), jax.tree.leaves(resumed[:2]), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_what_spreads_a_batch():
    """The mesh in force, where the parts are equal; not inside of a part."""
    mesh = Mesh(np.array(jax.devices()[:4]), ("data",), axis_types=(AxisType.Auto,))
    inside = []

    def part(x):
        inside.append((x.shape, spreading.ways(8), spreading.by_compiler()))
        return x.mean()

    assert (spreading.ways(8), spreading.by_compiler()) == (1, False)
    with jax.set_mesh(mesh):
        assert (spreading.ways(8), spreading.by_compiler()) == (4, True)
        assert spreading.ways(6) == 1
        mean = jax.jit(lambda x: spreading.mean_over_devices(part, x))(jnp.arange(8.0))
    assert inside == [((2,), 1, False)]
    assert mean == 3.5


WRONG = {
    "too many": ({"devices": 99}, "devices=99, but JAX finds 8 here"),
    "a word": ({"devices": "some"}, 'must be "all", a number'),
    "no axis": (
        {"devices": lambda: jax.make_mesh((8,), ("model",))},
        'the mesh has no axis "data" to spread batches over, it has model',
    ),
    "uneven": (
        {"devices": 3},
        "batch_size 16 does not divide among 3 devices; take 15 or 18",
    ),
    "no devices": ({"rules": {"fc1/*": P("data")}}, "rules split params over devices"),
    "no such param": (
        {"devices": 2, "rules": {"fc9/*": P("data")}},
        "the rule 'fc9/\\*' fits no param; there are conv/bias, conv/weight, fc1/bias",
    ),
    "no such axis": (
        {"devices": 2, "rules": {"fc1/*": P("model")}},
        "names the axis 'model'; the mesh has data",
    ),
    "no spec": ({"devices": 2, "rules": {"fc1/*": "data"}}, "have a .*PartitionSpec"),
    "indivisible": (
        {"devices": 8, "rules": {"fc2/weight": P(None, "data")}},
        "cannot split fc2/weight of shape \\(16, 4\\) evenly over a mesh of data 8",
    ),
    "too many axes": (
        {"devices": 2, "rules": {"fc1/bias": P(None, "data")}},
        "cannot split fc1/bias of shape \\(16,\\)",
    ),
    "checked": ({"devices": 2, "checked": True}, "leave devices out"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_laid_out_is_said(name):
    options, message = WRONG[name]
    options = {key: v() if callable(v) else v for key, v in options.items()}

    with pytest.raises(ValueError, match=message):
        fitted(separate(), options.pop("devices", None), **options)


def test_ready_made_batches_must_divide_at_first():
    """The first says so; a last one that is smaller is worked on by every device."""
    images, labels = DATA.train
    batches = [(images[:16], labels[:16]), (images[16:21], labels[16:21])]
    net, optimizer = separate(), optax.sgd(0.1)
    options = {"epochs": 1, "progress": False}

    one = nn.fit(net, optimizer, batches, **options)
    many = nn.fit(net, optimizer, batches, devices=8, **options)

    for a, b in zip(
        jax.tree.leaves(one.params), jax.tree.leaves(many.params), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="a batch of 5 does not divide among 8"):
        nn.fit(net, optimizer, batches[1:], devices=8, **options)
