"""Batches from the host, and many at once from the device: the same training."""

from types import SimpleNamespace

import jax
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_resuming import net, optimizer, points, told

import lenetjax as nn
from lenetjax.checkpoint import Folder
from lenetjax.data import Dataset, Split, batches
from lenetjax.feeding import Resident
from lenetjax.keeping import NotFinite

pytestmark = pytest.mark.usefixtures("kept_programs")

sizes = st.integers(1, 30)


@given(
    count=sizes,
    size=sizes,
    at_once=sizes,
    every=st.none() | sizes,
    before=st.integers(0, 99),
    data=st.data(),
)
def test_calls_cover_what_is_left_in_order(count, size, at_once, every, before, data):
    """Each image once, as `batches` orders them, and no call crosses a checkpoint."""
    split = Split(np.zeros((count, 2)), np.arange(count))
    expected = [labels.tolist() for _, labels in batches(split, size, seed=3, epoch=5)]
    done = data.draw(st.integers(0, len(expected)))
    feed = Resident(nn.linear(2), nn.losses.mse, split, size, at_once, 3)

    first = feed.open(5)
    calls = list(feed.executions(done, every, before))

    orders = [order.tolist() for call in calls for order in call.batch[2]]
    assert orders == expected[done:]
    assert len(first) == min(size, count)
    for call in calls:
        assert call.batch[2].shape == (call.steps, call.images)
        assert call.steps in (1, at_once)
        if every is not None:
            assert (before + done) // every == (before + done + call.steps - 1) // every
        done += call.steps


def fitted(steps, **options):
    options = {"using": optimizer(), "data": points(), "epochs": 3} | options
    return nn.fit(
        net(), options.pop("using"), options.pop("data"), batch_size=7, progress=False,
        steps_per_execution=steps, **options,
    )  # fmt: skip


def same(one, other):
    """Whether two trainings ended alike; the programs may round differently."""
    pairs = zip(
        jax.tree.leaves((one.params, one.state)),
        jax.tree.leaves((other.params, other.state)),
        strict=True,
    )
    for a, b in pairs:
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    for row, expected in zip(told(one), told(other), strict=True):
        assert row == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("steps", [2, 5, 50])
@pytest.mark.parametrize("count", [35, 40])
def test_many_steps_in_a_call_train_as_one_by_one(steps, count):
    """With all that changes: batch statistics, dropout, a schedule, a smaller batch."""
    same(fitted(steps, data=points(count)), fitted(1, data=points(count)))


def test_a_training_stopped_between_calls_goes_on(tmp_path):
    """At another number of steps in a call, and another distance of checkpoints."""

    class Stopped(Exception):
        pass

    def stop(row, run):
        raise Stopped

    whole = fitted(1)
    with pytest.raises(Stopped):
        fitted(
            4,
            checkpoints=tmp_path,
            checkpoint_every=5,
            callbacks=[SimpleNamespace(on_epoch=stop)],
        )
    folder = Folder(tmp_path)
    folder.file(6).unlink()  # of the epoch's end
    steps = folder.steps()

    rest = fitted(3, checkpoints=tmp_path, checkpoint_every=4)

    assert steps == [5]
    same(rest, whole)


def test_test_batches_of_ones_own_are_streamed():
    """Only a dataset's own images stay on the device."""
    test = [points().test]

    same(fitted(5, test=test), fitted(1, test=test))


def test_what_is_wrong_is_told_with_its_step():
    """Losses are looked at after a call, and the step is named all the same."""
    x, labels = points().train
    x = x.copy()
    x[11] = np.nan
    broken = Dataset(Split(x, labels), points().test)
    shuffled = batches(broken.train, 7, seed=0, epoch=1)
    step = 1 + next(i for i, (x, _) in enumerate(shuffled) if np.isnan(x).any())

    for steps in (1, 3, 5):
        with pytest.raises(NotFinite, match=f"^step {step}: the loss is nan"):
            fitted(steps, data=broken)


def test_steps_left_out_do_not_count():
    """Nor in a call of many."""
    x, labels = points().train
    x = x.copy()
    x[11] = np.nan
    broken = Dataset(Split(x, labels), points().test)

    one, many = (
        fitted(steps, data=broken, skip_nonfinite=2, using=optax.sgd(0.1))
        for steps in (1, 5)
    )

    assert np.isfinite(many.history[0]["train_loss"])
    same(many, one)


def test_labels_out_of_range_are_refused_at_the_start():
    """All labels, as the device does not look at them."""
    x, labels = points().train
    labels = labels.copy()
    labels[-1] = 3
    with pytest.raises(nn.LayerError, match="label"):
        fitted(5, data=Dataset(Split(x, labels), points().test))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"checked": True}, "needs a Dataset, and checked=False"),
        ({"data": [points().train]}, "needs a Dataset"),
        ({"data": Dataset(Split(np.ones((3, 2)), np.zeros(2, int)), points().test)},
         "3 images, 2 labels"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_in_one_call_is_refused(options, words):
    """In one line, before anything is compiled."""
    with pytest.raises(ValueError, match=words):
        fitted(5, **options)


@pytest.mark.parametrize("steps", [0, -1, 2.0, True, "5"])
def test_the_number_of_steps_is_a_positive_int(steps):
    with pytest.raises((ValueError, TypeError), match="steps_per_execution"):
        fitted(steps)


def test_an_epoch_can_be_one_program():
    """With as many steps as it has whole batches; one more call for the rest."""
    with jax.log_compiles(False):
        feed = Resident(
            nn.linear(3), nn.losses.cross_entropy, points(40).train, 7, 5, 0
        )
        feed.open(1)

    assert [call.steps for call in feed.executions(0)] == [5, 1]
