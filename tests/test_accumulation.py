"""Gradients of some batches gathered for one update."""

import jax
import numpy as np
import optax
import pytest

import lenetjax as nn
from lenetjax.checkpoint import Folder
from lenetjax.data import Dataset, Split

pytestmark = pytest.mark.usefixtures("kept_programs")


def batches(count, size=4, seed=0):
    """Batches of examples of three classes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, (count, size)).astype(np.int32)
    noise = rng.normal(0, 0.3, (count, size, 3))
    images = (np.eye(3)[labels] + noise).astype(np.float32)
    return list(zip(images, labels, strict=True))


def joined(found, count):
    """So many batches in each, and what is left over in none."""
    groups = [found[i : i + count] for i in range(0, len(found) - count + 1, count)]
    return [tuple(map(np.concatenate, zip(*g, strict=True))) for g in groups]


def net():
    return nn.serial(fc1=nn.linear(6), act=jax.numpy.tanh, fc2=nn.linear(3))


def optimizer():
    """Its learning rate is another one at each update."""
    return optax.adam(optax.cosine_decay_schedule(0.1, 10))


def train(data, using=None, **options):
    options = {"epochs": 1, "progress": False} | options
    return nn.fit(net(), using or optimizer(), data, **options)


def bits(result):
    return [np.asarray(a).tobytes() for a in jax.tree.leaves(result.params)]


def assert_close(a, b):
    for left, right in zip(*map(jax.tree.leaves, (a.params, b.params)), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("using", "count"),
    [
        (optimizer(), 4),
        pytest.param(optax.sgd(0.1, momentum=0.9), 2, marks=pytest.mark.variant),
    ],
    ids=["schedule", "momentum"],
)
def test_batches_gathered_are_one_large_batch(using, count):
    """The same params to rounding, with the schedule at the same place."""
    data = batches(8)
    gathered = train(data, using, accumulate_grad_batches=count)

    assert_close(gathered, train(joined(data, count), using))
    assert bits(gathered) != bits(train(data, using))


def test_the_count_goes_on_over_epochs_and_the_last_rest_is_left_out():
    """Two epochs of five batches make three updates of three."""
    data = batches(5)

    gathered = train(data, epochs=2, accumulate_grad_batches=3)

    assert_close(gathered, train(joined(data + data, 3)))
    assert gathered.history[-1]["step"] == 10  # which counts batches


def test_a_batch_that_is_not_finite_is_not_counted():
    """The update waits for another."""
    data = batches(6)
    broken = (np.full_like(data[0][0], np.nan), data[0][1])
    options = {"accumulate_grad_batches": 3}

    skipping = train([*data[:2], broken, *data[2:]], skip_nonfinite=1, **options)

    assert bits(skipping) == bits(train(data, **options))


class Stopped(Exception):
    """The power fails."""


class Failing(list):
    """Batches that fail after some."""

    def __iter__(self):
        yield from list.__iter__(self)
        raise Stopped


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_stop_between_updates_changes_nothing(tmp_path, after):
    """What was gathered is in the checkpoint: bit for bit the same."""
    data, options = batches(5), {"accumulate_grad_batches": 3, "epochs": 2}
    kept = {"checkpoints": tmp_path, "checkpoint_every": 1, **options}
    with pytest.raises(Stopped):
        train(Failing(data[:after]), **kept)
    assert Folder(tmp_path).steps()[-1] == after

    assert bits(train(data, **kept)) == bits(train(data, **options))


@pytest.mark.parametrize(("first", "then"), [(3, 2), (1, 2), (2, 1)])
def test_another_number_of_batches_is_another_training(tmp_path, first, then):
    train(batches(4), checkpoints=tmp_path, accumulate_grad_batches=first)

    message = f"accumulate_grad_batches {first} there and {then} here"
    with pytest.raises(ValueError, match=message):
        train(batches(4), checkpoints=tmp_path, accumulate_grad_batches=then)


@pytest.mark.variant
@pytest.mark.compiled
def test_many_steps_in_a_call_gather_the_same():
    """Where the count goes on from call to call."""
    images, labels = joined(batches(6), 6)[0]
    data = Dataset(Split(images, labels), Split(images[:4], labels[:4]))
    options = {"batch_size": 4, "accumulate_grad_batches": 4, "epochs": 2}

    alone = train(data, steps_per_execution=1, **options)

    assert_close(train(data, steps_per_execution=3, **options), alone)


def test_no_update_at_all_is_an_error():
    with pytest.raises(ValueError, match="4 batches in all make no update"):
        train(batches(2), epochs=2, accumulate_grad_batches=5)


@pytest.mark.parametrize("count", [0, 1.5, -1, True])
def test_the_number_is_a_positive_int(count):
    with pytest.raises(nn.LayerError, match="accumulate_grad_batches"):
        train(batches(2), accumulate_grad_batches=count)


def test_an_optimizer_that_reads_the_loss_cannot_wait():
    """It would be told that of one batch."""
    with pytest.raises(TypeError, match="value"):
        train(batches(2), optax.lbfgs(), accumulate_grad_batches=2)


def test_float64_is_gathered_in_float64():
    """The mean of three gradients, to more digits than float32 has."""
    with jax.enable_x64(True):
        data = [(x.astype(float), y) for x, y in batches(3)]
        results = [
            nn.fit(nn.linear(3), optax.sgd(0.1), found, epochs=1, progress=False,
                   accumulate_grad_batches=count)
            for found, count in ((data, 3), (joined(data, 3), 1))
        ]  # fmt: skip
        weights = [np.asarray(r.params["weight"]) for r in results]

    assert weights[0].dtype == np.float64
    np.testing.assert_allclose(*weights, rtol=1e-13)
