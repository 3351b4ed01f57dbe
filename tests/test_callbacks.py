"""What a training tells its callbacks, in which order, and how it ends."""

import functools
import json
import os
import signal
from types import SimpleNamespace

import jax
import numpy as np
import optax
import pytest
from test_resuming import (
    Failing,
    Stopped,
    bits,
    exploding,
    listed,
    net,
    points,
    told,
    train,
)

import lenetjax as nn
from lenetjax.checkpoint import Folder
from lenetjax.keeping import NotFinite
from lenetjax.measuring import Means

pytestmark = pytest.mark.usefixtures("kept_programs")

METHODS = ("on_begin", "on_look", "on_epoch", "on_end")


class Log(nn.Callback):
    """Writes down all it is told; `sent` may hold another's notes too."""

    def __init__(self, name="", sent=None):
        self.name = name
        self.sent = [] if sent is None else sent
        self.looks, self.epochs, self.errors = [], [], []

    def on_begin(self, net, run, history, setup):
        self.sent.append(f"begin {self.name}")
        self.net, self.start = net, int(run.step)
        self.history, self.setup = history, setup

    def on_look(self, row):
        self.sent.append(f"look {self.name}")
        self.looks.append(row)

    def on_epoch(self, row, run):
        self.sent.append(f"epoch {self.name}")
        self.epochs.append(row)

    def on_end(self, error):
        self.sent.append(f"end {self.name}")
        self.errors.append(error)


def raising(method, error):
    """A callback with one method, which raises."""

    def fail(*args):
        raise error

    return SimpleNamespace(**{method: fail})


@functools.cache
def undisturbed():
    """A training of two epochs that nobody follows."""
    return train(epochs=2)


@functools.cache
def listed_whole():
    """One of four, on a list of batches."""
    return train(listed(), test=[points().test])


def joined(looks, epoch):
    """Images and mean loss of an epoch, from its looks."""
    rows = [row for row in looks if row["epoch"] == epoch]
    images = sum(row["images"] for row in rows)
    return images, sum(row["train_loss"] * row["images"] for row in rows) / images


def test_the_order_of_the_calls():
    """Each callback in turn; the end in reverse, as of nested with statements."""
    sent = []
    train(epochs=2, callbacks=[Log("a", sent), Log("b", sent)])

    epoch = ["look a", "look b", "epoch a", "epoch b"]
    assert sent == ["begin a", "begin b", *epoch, *epoch, "end b", "end a"]


def test_checkpoints_stand_between_looks_and_epochs(tmp_path):
    """What a look tells of is not saved yet; an epoch is."""
    steps = []

    def note(row, *run):
        steps.append((row["step"], Folder(tmp_path).steps()))

    train(
        epochs=1, checkpoints=Folder(tmp_path, keep=9), checkpoint_every=4,
        callbacks=[SimpleNamespace(on_look=note, on_epoch=note)],
    )  # fmt: skip

    assert steps == [(4, []), (6, [4]), (6, [4, 6])]


def test_the_beginning_says_what_is_trained():
    """The net, the first step, and settings that fit into JSON."""
    log, layers = Log(), net()
    train(layers=layers, seed=np.int64(3), epochs=2, callbacks=[log])

    assert log.net is layers
    assert (log.start, log.history) == (0, [])
    assert json.loads(json.dumps(log.setup)) == {
        "accumulate_grad_batches": 1, "batch_size": 7, "checked": False, "epochs": 2,
        "images": 40, "seed": 3,
        "skip_nonfinite": 0, "steps_per_execution": 1,
    }  # fmt: skip
    train(listed(), epochs=1, callbacks=[log])
    assert log.setup["batch_size"] is log.setup["images"] is None


@pytest.mark.parametrize("at_once", [1, 7, 60])
def test_looks_tell_of_each_image_once(at_once):
    """Their means, weighted by images, are the epoch's; no step waits for long."""
    log = Log()
    layers = nn.serial(fc1=nn.linear(8), fc2=nn.linear(3))
    result = train(
        points(121), layers=layers, batch_size=1, epochs=2, steps_per_execution=at_once,
        callbacks=[log],
    )  # fmt: skip

    assert log.epochs == result.history
    steps = [row["step"] for row in log.looks]
    assert max(np.diff([0, *steps])) < 50 + 3 * at_once
    assert min(np.diff([0, *steps])) > 0
    assert len(steps) >= 4
    assert {121, 242} <= set(steps)
    for row in result.history:
        images, loss = joined(log.looks, row["epoch"])
        assert images == 121
        assert loss == pytest.approx(row["train_loss"], rel=1e-12)
    for row in log.looks:
        assert list(row) == ["epoch", "step", "images", "train_loss", "train_accuracy"]
        assert {type(value) for value in row.values()} == {int, float}
        assert row["epoch"] == 1 + (row["step"] > 121)


@pytest.mark.parametrize("options", [{}, {"skip_nonfinite": 1}])
def test_training_is_the_same_with_callbacks(options):
    """Bit for bit, whatever they do with their rows; nothing more is read."""
    settled, plainly = [], Means.settle

    class Meddling(Log):
        def on_look(self, row):
            super().on_look(dict(row))
            row.clear()

        def on_epoch(self, row, run):
            super().on_epoch(dict(row), run)
            row.clear()

    def settle(means, leave=0):
        found = plainly(means, leave)
        settled.append((leave, len(found)))
        return found

    def read(**more):
        settled.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Means, "settle", settle)
            result = train(points(120), batch_size=2, epochs=2, **options, **more)
        return result, [pair for pair in settled if pair[1]]

    (plain, reads), log = read(), Log()
    followed, reads_followed = read(callbacks=[Meddling(), log])

    assert bits(followed) == bits(plain)
    assert told(followed) == told(plain)
    assert reads_followed == reads
    assert log.epochs == followed.history
    assert joined(log.looks, 2)[0] == 120


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "error", [MemoryError("mine"), StopIteration(), KeyboardInterrupt()]
)
def test_an_exception_reaches_the_caller_as_it_is(tmp_path, method, error):
    """What was saved stays, all that began are ended, and the same call goes on."""
    before, after = Log("before"), Log("after")
    callbacks = [before, raising(method, error), after]
    options = {"epochs": 2, "checkpoints": tmp_path, "checkpoint_every": 4}

    with pytest.raises(type(error)) as caught:
        train(callbacks=callbacks, **options)

    assert caught.value is error
    assert str(error) in ("", "mine")
    saved = {"on_begin": [], "on_look": [], "on_epoch": [4, 6], "on_end": [8, 12]}
    assert Folder(tmp_path).steps() == saved[method]
    assert before.errors == [error]
    ended = {"on_begin": [], "on_look": [error], "on_epoch": [error], "on_end": [None]}
    assert after.errors == ended[method]
    assert bits(train(**options)) == bits(undisturbed())


def test_an_error_at_the_end_hides_none_before():
    """Both are told of, and the other callbacks are ended."""
    log, first, second = Log(), Stopped("first"), Stopped("second")
    with pytest.raises(Stopped, match="second") as caught:
        train(callbacks=[log, raising("on_end", second), raising("on_look", first)])

    assert caught.value.__context__ is first
    assert log.errors == [second]


def test_nobody_is_ended_who_has_not_begun(tmp_path):
    """Checkpoints of another training, or no data: nothing is told."""
    train(epochs=1, checkpoints=tmp_path)
    log = Log()
    with pytest.raises(ValueError, match="does not hold"):
        train(using=optax.sgd(0.1), checkpoints=tmp_path, callbacks=[log])
    with pytest.raises(ValueError, match="no batches"):
        nn.fit(net(), optax.sgd(0.1), [], progress=False, callbacks=[log])

    assert log.sent == []


@pytest.mark.parametrize(
    ("number", "error"),
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)],
)
@pytest.mark.parametrize("when", ["on_begin", "on_look", "on_epoch"])
def test_a_signal_ends_the_callbacks_too(tmp_path, number, error, when):
    """The step is finished, told of and saved; then comes the end, with the reason."""
    log = Log()
    sender = SimpleNamespace(**{when: lambda *args: os.kill(os.getpid(), number)})
    with pytest.raises(error) as caught:
        train(checkpoints=tmp_path, callbacks=[log, sender])

    assert log.errors == [caught.value]
    steps = {"on_begin": 1, "on_look": 6, "on_epoch": 6}[when]
    assert Folder(tmp_path).steps() == [steps]
    assert log.looks[-1]["step"] == steps


def test_ctrl_c_without_checkpoints_ends_the_callbacks_too():
    log = Log()

    def interrupt(row):
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(callbacks=[log, SimpleNamespace(on_look=interrupt)])

    assert [type(error) for error in log.errors] == [KeyboardInterrupt]


@pytest.mark.parametrize("after", [0, 3, 6, 13])
@pytest.mark.parametrize("every", [None, 4])
def test_a_resumed_training_tells_of_each_step_once(tmp_path, after, every):
    """With what a logger has beyond `run.step` dropped, as `on_begin` says."""
    whole = listed_whole()
    first, second = Log(), Log()
    options = {
        "test": [points().test],
        "checkpoints": tmp_path,
        "checkpoint_every": every,
    }
    with pytest.raises(Stopped):
        train(Failing(listed(), after), callbacks=[first], **options)

    resumed = train(listed(), callbacks=[second], **options)

    looks = [row for row in first.looks if row["step"] <= second.start] + second.looks
    steps = [row["step"] for row in looks]
    assert steps == sorted(set(steps))
    for row in whole.history:
        images, loss = joined(looks, row["epoch"])
        assert images == 40
        assert loss == pytest.approx(row["train_loss"], rel=1e-12)
    assert second.history + second.epochs == resumed.history
    assert told(resumed) == told(whole)
    assert bits(resumed) == bits(whole)


def test_looks_that_no_checkpoint_has_are_told_again(tmp_path):
    """From the first step after the checkpoint on."""
    x, y = points(130).train
    data = [(x[i : i + 1], y[i : i + 1]) for i in range(130)]
    layers = nn.serial(fc1=nn.linear(8), fc2=nn.linear(3))
    first, second = Log(), Log()
    options = {"layers": layers, "epochs": 2, "checkpoints": tmp_path}
    with pytest.raises(Stopped):
        train(Failing(data, 130 + 110), callbacks=[first], **options)

    result = train(data, callbacks=[second], **options)

    assert [row["step"] for row in first.looks] == [48, 96, 130, 178, 226]
    assert second.start == 130
    assert [row["step"] for row in second.looks] == [178, 226, 260]
    assert second.looks[:2] == first.looks[3:]
    images, loss = joined(second.looks, 2)
    assert images == 130
    assert loss == pytest.approx(result.history[1]["train_loss"], rel=1e-12)


def test_a_row_that_was_never_told_is_in_the_history(tmp_path):
    """A callback that fails after a checkpoint keeps the next from its row."""
    log = Log()
    with pytest.raises(Stopped):
        train(checkpoints=tmp_path, callbacks=[raising("on_epoch", Stopped()), log])
    assert log.epochs == []

    result = train(checkpoints=tmp_path, callbacks=[log])

    assert log.start == 6
    assert log.history == result.history[:1]
    assert log.epochs == result.history[1:]


def test_a_finished_training_begins_and_ends(tmp_path):
    """Without a step between."""
    whole, log = train(checkpoints=tmp_path), Log("a")
    train(checkpoints=tmp_path, callbacks=[log])

    assert log.sent == ["begin a", "end a"]
    assert log.start == whole.history[-1]["step"]
    assert log.history == whole.history


def test_a_loss_that_is_not_finite_is_no_row():
    """The end has the reason instead."""
    log = Log()
    layers = nn.serial(fc1=nn.linear(8), fc2=nn.linear(3))
    with pytest.raises(NotFinite, match="step 3"):
        train(exploding(2), layers=layers, callbacks=[log])

    assert log.looks == []
    assert [type(error) for error in log.errors] == [NotFinite]


def test_steps_left_out_do_not_count_in_a_row():
    """Their images neither; a row of such steps alone has no means."""
    log = Log()
    layers = nn.serial(fc1=nn.linear(8), fc2=nn.linear(3))
    result = train(
        exploding(2), layers=layers, epochs=1, skip_nonfinite=1, callbacks=[log]
    )

    assert joined(log.looks, 1)[0] == 40 - 7
    assert log.looks[0]["train_loss"] == result.history[0]["train_loss"]
    alone = Log()
    train(
        exploding(0)[:1], layers=layers, epochs=1, skip_nonfinite=1, callbacks=[alone]
    )
    assert alone.looks == [{"epoch": 1, "step": 1, "images": 0}]


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        ([Log], r"got the class Log; write Log\(...\)"),
        ([print], "some of the methods on_begin, on_look.*print> has none"),
        (Log(), "must be a list of callbacks"),
        ("tensorboard", "'t' has none"),
    ],
)
def test_what_is_no_callback_is_refused(callbacks, message):
    """Rather than never called."""
    with pytest.raises(TypeError, match=message):
        train(callbacks=callbacks)


def test_an_epochs_weights_can_be_kept(tmp_path):
    """The run of on_epoch is whole, until the next step takes its arrays."""
    kept = []

    def keep(row, run):
        kept.append(jax.tree.map(np.array, run.params))

    result = train(epochs=2, callbacks=[SimpleNamespace(on_epoch=keep)])

    for a, b in zip(
        jax.tree.leaves(kept[-1]), jax.tree.leaves(result.params), strict=True
    ):
        np.testing.assert_array_equal(a, b)
