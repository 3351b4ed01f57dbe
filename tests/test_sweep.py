"""A sweep: each member as it trains alone, on one device or many, ranked."""

import json
import math
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_resuming import points, told

import lenetjax as nn
from lenetjax.data import Dataset, Split
from lenetjax.feeding import order_of
from lenetjax.members import settings
from lenetjax.population import Population

pytestmark = pytest.mark.usefixtures("kept_programs")

# What is left of rounding: a sweep is another program than a training alone, and in
# what is traced a hyperparameter has 24 bits, where Python computes with 53.
CLOSE = {"rtol": 1e-3, "atol": 1e-4}


def net():
    """With statistics and dropout. The gradient of a bias before a batch norm is
    rounding alone, which Adam would scale up to full steps, so there is none.
    """
    return nn.serial(
        fc1=nn.linear(8, bias=False), bn=nn.batch_norm(), drop=nn.dropout(0.2),
        fc2=nn.linear(3),
    )  # fmt: skip


def squares(outputs, labels):
    """A loss that grows without bound where the rate is too large."""
    return nn.losses.mse(outputs, jax.nn.one_hot(labels, 3))


def sgd(rate, momentum=0.9):
    return optax.sgd(rate, momentum=momentum)


def adamw(rate, decay):
    return optax.adamw(optax.cosine_decay_schedule(rate, 30), weight_decay=decay)


def swept(layers=None, optimizer_of=sgd, given=None, **options):
    options = {"data": points(), "epochs": 2, "batch_size": 7} | options
    return nn.sweep(
        layers or net(), optimizer_of, given or {"rate": [0.05, 0.2]},
        options.pop("data"), progress=False, **options,
    )  # fmt: skip


def as_alone(found, layers=None, optimizer_of=sgd, close=CLOSE, **options):
    """Whether each member is what `fit` makes of its seed and hyperparameters."""
    options = {"data": points(), "epochs": 2, "batch_size": 7} | options
    data = options.pop("data")
    for member in found.members:
        alone = nn.fit(
            layers or net(), optimizer_of(**member.hyperparameters), data,
            seed=member.seed, progress=False, **options,
        )  # fmt: skip
        mine, others = (
            jax.tree.leaves((run.params, run.state)) for run in (member, alone)
        )
        for a, b in zip(mine, others, strict=True):
            assert isinstance(a, jax.Array)
            assert a.dtype == b.dtype
            np.testing.assert_allclose(
                np.asarray(a, float), np.asarray(b, float), **close
            )
        for row, expected in zip(member.history, told(alone), strict=True):
            near = {"rel": close["rtol"], "abs": close["atol"]}
            assert row == pytest.approx(expected, **near)
        assert member.test_accuracy == member.history[-1].get("test_accuracy")


@pytest.mark.parametrize("at_once", [1, 4, pytest.param(3, marks=pytest.mark.variant)])
def test_each_member_is_as_if_alone(at_once):
    """With all that changes: statistics, dropout, a schedule, a smaller batch, seeds.

    One member after the other, all side by side, and three, with one left.
    """
    given = {"rate": [0.05, 0.01], "decay": [0.1]}
    found = swept(optimizer_of=adamw, given=given, seeds=(3, 0), at_once=at_once)

    as_alone(found, optimizer_of=adamw)
    assert [(m.hyperparameters["rate"], m.seed) for m in found.members] == [
        (0.05, 3), (0.05, 0), (0.01, 3), (0.01, 0),
    ]  # fmt: skip


@pytest.mark.variant
@pytest.mark.parametrize("at_once", [None, 3])
def test_a_net_of_convolutions_is_as_if_alone(at_once):
    """Vmapped convolutions are others to XLA, and round otherwise."""
    layers = nn.serial(
        conv1=nn.conv2d(6, 3), act1=jax.nn.relu, pool=nn.max_pool2d(2),
        conv2=nn.conv2d(8, 3), bn=nn.batch_norm(), act2=jax.nn.relu,
        flatten=nn.flatten(), fc=nn.linear(10),
    )  # fmt: skip
    train, test = nn.data.digits(image_size=8)
    data = Dataset(Split(*(a[:200] for a in train)), Split(*(a[:100] for a in test)))
    given = {"rate": [0.01, 0.03, 0.1]}
    found = swept(layers, given=given, data=data, batch_size=64, at_once=at_once)
    as_alone(found, layers, data=data, batch_size=64)


def test_params_that_the_last_step_ruins_are_no_result():
    """No loss of the training shows it; that of the test does."""
    found = swept(given={"rate": [1e30, 0.05]}, epochs=1, batch_size=1000)

    assert [member.diverged for member in found.members] == [1, None]
    assert found.best.hyperparameters == {"rate": 0.05}


def test_half_precision_stays_as_it_is():
    """A hyperparameter does not widen what it is multiplied by, as Python's do not."""

    def begin(key, x):
        return {"weight": jnp.eye(3, dtype=jnp.bfloat16)}

    layers = nn.layer("half", begin, lambda params, x: x @ params["weight"])
    data = Dataset(*(Split(x.astype(jnp.bfloat16), y) for x, y in points()))
    found = swept(layers, data=data)
    for member in found.members:
        assert member.params["weight"].dtype == jnp.bfloat16
    as_alone(found, layers, data=data, close={"rtol": 2**-6, "atol": 1e-3})  # two ulps


def test_what_is_no_class_is_swept_too():
    """Without accuracies the test loss ranks."""
    train, test = points()
    data = Dataset(Split(train.images, train.images), Split(test.images, test.images))
    found = swept(nn.linear(3), data=data, loss=nn.losses.mse)

    as_alone(found, nn.linear(3), data=data, loss=nn.losses.mse)
    losses = [member.history[-1]["test_loss"] for member in found.ranking()]
    assert losses == sorted(losses)
    assert all(member.test_accuracy is None for member in found.members)
    assert "accuracy" not in str(found)


@pytest.mark.parametrize("at_once", [3, pytest.param(1, marks=pytest.mark.variant)])
def test_one_that_diverges_does_not_disturb_the_others(at_once):
    """It stays NaN, says since when, and ranks last; fit stops at the same step."""
    given = [{"rate": 0.1}, {"rate": 1e30}, {"rate": 0.05}]
    found = swept(nn.linear(3), given=given, at_once=at_once, loss=squares)
    one, diverged, other = found.members

    with pytest.raises(nn.NotFinite) as error:
        nn.fit(
            nn.linear(3), sgd(1e30), points(), batch_size=7, loss=squares,
            progress=False,
        )  # fmt: skip
    assert str(error.value).startswith(f"step {diverged.diverged}:")
    assert np.isnan(diverged.params["weight"]).any()
    assert math.isnan(diverged.history[-1]["test_loss"])
    assert diverged.rank == 3
    assert found.ranking()[-1] == diverged
    assert f"diverged at step {diverged.diverged}" in str(found).splitlines()[-1]
    assert found.rows()[-1]["history"][-1]["test_loss"] is None
    json.dumps(found.rows(), allow_nan=False)
    assert one.diverged is other.diverged is None
    as_alone(nn.Sweep([one, other], 0.0, 0.0), nn.linear(3), loss=squares)


def test_ranking_is_by_accuracy_then_loss():
    """The best first; the table says so, and the members keep their order."""
    found = swept(nn.linear(3), given={"rate": [1e-4, 0.5, 0.0]}, seeds=(0, 1))

    key = [(-m.test_accuracy, m.history[-1]["test_loss"]) for m in found.ranking()]
    assert key == sorted(key)
    assert len(set(key)) > 3
    assert [m.rank for m in found.ranking()] == [1, 2, 3, 4, 5, 6]
    assert found.best == found.ranking()[0]
    assert found.best.hyperparameters["rate"] == 0.5
    heading, *lines = str(found).splitlines()
    assert heading.split("  ")[0] == "rank"
    assert heading.split()[:3] == ["rank", "rate", "seed"]
    assert [line.split()[1:3] for line in lines] == [
        [f"{m.hyperparameters['rate']:.6g}", str(m.seed)] for m in found.ranking()
    ]
    assert lines[0].split()[3] == f"{found.best.test_accuracy:.2%}"
    assert len({line.index("%") for line in lines}) == 1


def test_without_hyperparameters_it_is_seeds_alone():
    found = swept(nn.linear(3), lambda: optax.sgd(0.1), [{}], seeds=(4, 5))
    assert [(m.seed, m.hyperparameters) for m in found.members] == [(4, {}), (5, {})]
    assert not jnp.allclose(*(m.params["weight"] for m in found.members))


def test_progress_is_a_line_for_each_epoch(capsys):
    """On stderr, with the best, the median, and how many have diverged."""
    nn.sweep(
        nn.linear(3), sgd, {"rate": [0.1, 1e30]}, points(), epochs=2, batch_size=7,
        loss=squares,
    )  # fmt: skip
    out, err = capsys.readouterr()
    first, second = err.splitlines()
    assert not out
    assert first.startswith("epoch   1/2  best test accuracy ")
    assert second.endswith("1 of 2 diverged")


def five(devices):
    """Five members: more than two devices have, and fewer than eight."""
    members = settings({"rate": [0.01, 0.02, 0.05, 0.1, 0.2]}, (0,))
    loss = nn.losses.cross_entropy
    population = Population(net(), sgd, loss, members, points(), 7, devices, None)
    trained, _ = population.epoch({0: order_of(points().train, 0, 1)})
    runs = population.member_runs()
    assert len(runs) == len(trained["loss"]) == 5
    return {
        "shares": [len(s.data) for s in population.runs.step.addressable_shards],
        "values": [np.asarray(a).tolist() for a in jax.tree.leaves(told_of(runs))],
        "collectives": [
            word
            for program in population.program.programs.values()
            for word in ("all-reduce", "all-gather", "all-to-all", "collective")
            if word in program.as_text()
        ],
    }


def told_of(runs):
    return [(run.params, run.state) for run in runs]


def print_five_on_devices():
    found = {n: five(jax.devices()[:n]) for n in (1, 2, 8)}
    every = nn.sweep(nn.linear(3), sgd, {"rate": [0.1]}, points(), progress=False)
    print(json.dumps(found | {"devices": jax.device_count(), "best": every.best.rank}))


@pytest.mark.compiled
def test_members_are_spread_over_devices():
    """Two devices have three each, one of which does not count; of eight, five work.

    Nothing is sent between them, and each member is what it is on one device.
    """
    here = os.path.dirname(__file__)
    done = subprocess.run(
        [sys.executable, "-c", "import test_sweep as t; t.print_five_on_devices()"],
        env=os.environ
        | {"JAX_NUM_CPU_DEVICES": "8", "JAX_PLATFORMS": "cpu"}
        | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
        | {"PYTHONPATH": os.pathsep.join([here, *sys.path])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)

    assert found["devices"] == 8
    assert [found[n]["shares"] for n in "128"] == [[5], [3, 3], [1] * 5]
    for n in "28":
        assert not found[n]["collectives"]
        for a, b in zip(found[n]["values"], found["1"]["values"], strict=True):
            np.testing.assert_allclose(a, b, **CLOSE)


def looking(rate):
    return optax.sgd(rate) if rate > 0 else optax.identity()


EMPTY = Split(np.zeros((0, 3), np.float32), np.zeros(0, np.int32))
BAD = {
    "no values": ({"given": {"rate": []}}, ValueError, "at least one member"),
    "no seeds": ({"seeds": ()}, ValueError, "0 seeds"),
    "a negative seed": ({"seeds": [-1]}, ValueError, "at least 0, got -1"),
    "a number": ({"given": {"rate": 0.1}}, ValueError, "rate must be a list"),
    "a word": ({"given": {"rate": "0.1"}}, ValueError, "rate must be a list"),
    "a choice": ({"given": {"rate": [None]}}, ValueError, "got rate=None"),
    "NaN": ({"given": {"rate": [math.nan]}}, ValueError, "got rate=nan"),
    "other names": (
        {"given": [{"rate": 0.1}, {"momentum": 0.9}]},
        ValueError,
        "got rate and momentum",
    ),
    "a wrong name": ({"given": {"speed": [0.1]}}, TypeError, "speed"),
    "no optimizer": ({"optimizer_of": float}, TypeError, None),
    "a schedule": (
        {"optimizer_of": optax.constant_schedule, "given": {"value": [0.1]}},
        TypeError,
        "must make an optax optimizer of the hyperparameters value, got function",
    ),
    "a look": ({"optimizer_of": looking}, ValueError, "looks at a hyperparameter"),
    "batches": ({"data": [points().train]}, TypeError, "Dataset of train and test"),
    "no images": (
        {"data": Dataset(EMPTY, EMPTY)},
        ValueError,
        "the split is empty",
    ),
    "a label": (
        {"layers": nn.linear(2)},
        nn.LayerError,
        "2",
    ),
    "no devices": ({"devices": []}, ValueError, "at least one"),
    "no epochs": ({"epochs": 0}, ValueError, "epochs must be a positive int"),
    "none at once": ({"at_once": 0}, ValueError, "at_once must be a positive int"),
}


@pytest.mark.parametrize("name", BAD)
def test_slips_are_refused(name):
    options, error, words = BAD[name]
    if name == "a look" and jax.config.jax_disable_jit:
        pytest.skip("there are no tracers, so it may look")
    with pytest.raises(error, match=words):
        swept(**options)
