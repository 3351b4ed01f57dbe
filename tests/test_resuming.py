"""A training that was stopped goes on as if it had not been."""

import contextlib
import json
import os
import signal
import threading
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lenetjax as nn
from lenetjax import keeping, locks
from lenetjax.checkpoint import Folder
from lenetjax.data import Dataset, Split
from lenetjax.keeping import NotFinite

pytestmark = pytest.mark.usefixtures("kept_programs")


def points(count=40):
    """Examples of three classes, and ten to test."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, count + 10).astype(np.int32)
    x = np.eye(3, dtype=np.float32)[labels]
    x = x + rng.normal(0, 0.3, x.shape).astype(np.float32)
    return Dataset(Split(x[:count], labels[:count]), Split(x[count:], labels[count:]))


def net():
    return nn.serial(
        fc1=nn.linear(8), bn=nn.batch_norm(), drop=nn.dropout(0.2), fc2=nn.linear(3)
    )


def optimizer():
    return optax.adamw(optax.cosine_decay_schedule(0.05, 30))


def train(data=None, *, layers=None, using=None, epochs=4, batch_size=7, **options):
    return nn.fit(
        layers or net(), using or optimizer(), data or points(), epochs=epochs,
        batch_size=batch_size, progress=False, **options,
    )  # fmt: skip


def bits(result):
    return [
        np.asarray(a).tobytes() for a in jax.tree.leaves((result.params, result.state))
    ]


def told(result):
    """The history without what a clock says."""
    return [
        {k: v for k, v in row.items() if k not in ("seconds", "images_per_second")}
        for row in result.history
    ]


class Stopped(Exception):
    """The power fails."""


class Failing:
    """Batches that stop at the n-th of all that are asked for."""

    def __init__(self, batches, after):
        self.batches, self.left = batches, after

    def __iter__(self):
        for batch in self.batches:
            if self.left == 0:
                raise Stopped
            self.left -= 1
            yield batch


def listed(batch_size=7):
    x, y = points().train
    return [
        (x[i : i + batch_size], y[i : i + batch_size])
        for i in range(0, len(x), batch_size)
    ]


@pytest.mark.parametrize("after", [0, 1, 3, 5, 6, 7, 13, 23])
def test_a_stopped_training_ends_as_an_uninterrupted_one(tmp_path, after):
    """Bit for bit: params, state, and the means of the epoch it was stopped in."""
    whole = train(listed(), test=[points().test])
    with pytest.raises(Stopped):
        train(
            Failing(listed(), after), test=[points().test],
            checkpoints=tmp_path, checkpoint_every=1,
        )  # fmt: skip

    resumed = train(
        listed(), test=[points().test], checkpoints=tmp_path, checkpoint_every=1
    )

    assert bits(resumed) == bits(whole)
    assert told(resumed) == told(whole)


def test_shuffled_data_goes_on_in_its_order(tmp_path):
    """The order follows from seed and epoch, with checkpoints and without."""
    whole = train(seed=3)

    def stop(row, run):
        if row["epoch"] == 2:
            raise Stopped

    with pytest.raises(Stopped):
        train(
            seed=3,
            checkpoints=tmp_path,
            checkpoint_every=4,
            callbacks=[SimpleNamespace(on_epoch=stop)],
        )
    os.unlink(Folder(tmp_path).file(Folder(tmp_path).steps()[-1]))
    assert Folder(tmp_path).steps()[-1] % 6  # inside an epoch of six steps

    resumed = train(seed=3, checkpoints=tmp_path)

    assert bits(resumed) == bits(whole)
    assert told(resumed) == told(whole)


def test_a_finished_training_is_not_done_again(tmp_path):
    """The same call returns what is there, without a step."""
    whole = train(checkpoints=tmp_path)
    before = sorted(os.listdir(tmp_path))

    again = train(checkpoints=tmp_path)

    assert bits(again) == bits(whole)
    assert again.history == whole.history
    assert again.test_accuracy == whole.test_accuracy
    assert sorted(os.listdir(tmp_path)) == before


def test_more_epochs_go_on(tmp_path):
    """The learning rate is constant here, so four epochs are two and two."""
    whole = train(using=optax.sgd(0.1))
    train(using=optax.sgd(0.1), epochs=2, checkpoints=tmp_path / "a")

    assert bits(train(using=optax.sgd(0.1), checkpoints=tmp_path / "a")) == bits(whole)


def test_a_path_goes_on_from_there(tmp_path):
    """From a file, or the newest of a folder, into another folder or none."""
    whole = train(using=optax.sgd(0.1))
    folder = Folder(tmp_path / "a", keep=9)
    train(using=optax.sgd(0.1), epochs=3, checkpoints=folder)
    first = folder.file(folder.steps()[0])

    for source in (first, tmp_path / "a", str(first)):
        assert bits(train(using=optax.sgd(0.1), resume=source)) == bits(whole)
    train(using=optax.sgd(0.1), resume=first, checkpoints=tmp_path / "b")
    assert Folder(tmp_path / "b").steps() == [18, 24]


def test_the_best_checkpoint_is_kept(tmp_path):
    """Its score is the test accuracy of its epoch."""
    result = train(checkpoints=tmp_path)

    accuracies = [row["test_accuracy"] for row in result.history]
    newest_best = max(range(4), key=lambda i: (accuracies[i], i))
    assert Folder(tmp_path).best() == result.history[newest_best]["step"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 1}, "seed 0 there and 1 here"),
        ({"batch_size": 8}, "batch_size 7 there and 8 here"),
        ({"data": points(41)}, "images 40 there and 41 here"),
        ({"resume": "never"}, "holds checkpoints"),
        ({"layers": nn.linear(3)}, "fc1.weight: expected nothing"),
        ({"using": optax.sgd(0.1)}, "does not hold"),
        ({"checkpoint_every": 0}, "number of steps"),
        ({"checkpoint_every": "10"}, "number of steps"),
        ({"checkpoint_every": "-1s"}, "number of steps"),
        ({"checkpoint_every": "nans"}, "number of steps"),
        ({"checkpoint_every": 1.5}, "number of steps"),
    ],
)  # fmt: skip
def test_another_training_is_not_mixed_in(tmp_path, options, message):
    """A difference is named, and the checkpoints stay."""
    train(epochs=1, checkpoints=tmp_path)
    before = {p: (tmp_path / p).read_bytes() for p in os.listdir(tmp_path)}

    with pytest.raises(ValueError, match=message):
        train(**{"checkpoints": tmp_path, **options})

    assert {p: (tmp_path / p).read_bytes() for p in os.listdir(tmp_path)} == before


def test_what_is_no_checkpoint_of_a_training_is_refused(tmp_path):
    nn.checkpoint.save(tmp_path / "m", {"w": jnp.ones(2)})
    with pytest.raises(ValueError, match="no checkpoint of fit"):
        train(resume=tmp_path / "m")
    with pytest.raises(FileNotFoundError):
        train(resume=tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        train(resume=tmp_path)


def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(tmp_path):
    """The result is the same."""
    whole = train()
    with pytest.raises(Stopped):
        train(Failing(listed(), 15), checkpoints=tmp_path, checkpoint_every=5)
    options = {"checkpoints": tmp_path, "checkpoint_every": 5}
    newest = Folder(tmp_path).file(Folder(tmp_path).steps()[-1])
    damaged = bytearray(newest.read_bytes())
    damaged[-1] ^= 1
    newest.write_bytes(damaged)

    with pytest.warns(UserWarning, match="going back"):
        resumed = train(listed(), test=[points().test], **options)

    assert [p.name for p in tmp_path.glob("*.damaged")] == [f"{newest.name}.damaged"]
    assert bits(resumed) == bits(train(listed(), test=[points().test]))
    assert bits(resumed) != bits(whole)  # that one was shuffled


@pytest.mark.parametrize(
    ("number", "error"),
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)],
)
@pytest.mark.parametrize("when", ["in an epoch", "in the test", "between epochs"])
def test_a_signal_saves_and_stops(tmp_path, number, error, when):
    """The step is finished and saved; the next call goes on to the same end."""
    whole = train(listed(), test=listed(5))
    sent = []

    def send():
        if not sent:
            sent.append(number)
            os.kill(os.getpid(), number)

    class Signalling(list):
        def __iter__(self):
            for i, batch in enumerate(list.__iter__(self)):
                if i == 2:
                    send()
                yield batch

    options = {"test": listed(5)}
    data = listed()
    if when == "in an epoch":
        data = Signalling(data)
    elif when == "in the test":
        options["test"] = Signalling(listed(5))
    else:
        options["callbacks"] = [SimpleNamespace(on_epoch=lambda row, run: send())]
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]

    with pytest.raises(error) as stopped:
        train(data, checkpoints=tmp_path, **options)

    assert getattr(stopped.value, "code", None) in (None, 143)
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers
    steps = {"in an epoch": 3, "in the test": 6, "between epochs": 6}[when]
    assert Folder(tmp_path).steps() == [steps]
    resumed = train(listed(), test=listed(5), checkpoints=tmp_path)
    assert bits(resumed) == bits(whole)
    assert told(resumed) == told(whole)


def test_without_checkpoints_signals_are_left_alone():
    """Ctrl-C stops at once, as anywhere."""
    handlers = []

    def look(row, run):
        handlers.append(signal.getsignal(signal.SIGINT))

    train(epochs=1, callbacks=[SimpleNamespace(on_epoch=look)])

    assert handlers == [signal.default_int_handler]


def test_a_training_in_a_thread_leaves_signals_alone(tmp_path):
    results = []
    thread = threading.Thread(
        target=lambda: results.append(train(epochs=1, checkpoints=tmp_path))
    )
    thread.start()
    thread.join()

    assert len(results) == 1


def exploding(at):
    """Batches of which one has an image of 1e30, so that loss and params explode."""
    data = listed()
    x, y = data[at]
    data[at] = (np.full_like(x, 3e38), y)
    return data


@pytest.mark.parametrize("at", [0, 2, 5])
def test_a_loss_that_is_not_finite_stops_the_training(tmp_path, at):
    """The step is named, and nothing that is not finite is on disk."""
    layers = nn.serial(fc1=nn.linear(8), fc2=nn.linear(3))
    with pytest.raises(NotFinite, match=f"step {at + 1}: the loss is .*learning rate"):
        train(exploding(at), layers=layers, checkpoints=tmp_path, checkpoint_every=1)

    folder = Folder(tmp_path)
    assert folder.steps() == [step for step in (at - 1, at) if step > 0]
    for step in folder.steps():
        assert np.isfinite(folder.load(step=step).tree["params"]["fc1"]["weight"]).all()


def test_params_that_are_not_finite_are_not_saved(tmp_path):
    """The loss of the last step was still finite when its update was not."""
    huge = optax.scale(float("inf"))
    layers = nn.serial(fc1=nn.linear(8), fc2=nn.linear(3))
    with pytest.raises(NotFinite, match=r"step 1: .*became infinite or NaN"):
        train(listed()[:1], layers=layers, using=huge, epochs=1, checkpoints=tmp_path)

    assert Folder(tmp_path).steps() == []


def test_steps_that_are_not_finite_can_be_left_out(tmp_path):
    """The result is that of the other batches, and the mean loss is theirs."""
    layers = nn.serial(fc1=nn.linear(8), fc2=nn.linear(3))
    using = optax.sgd(0.1)
    data = exploding(2)
    result = train(data, layers=layers, using=using, epochs=1, skip_nonfinite=1)
    others = train(data[:2] + data[3:], layers=layers, using=using, epochs=1)

    np.testing.assert_array_equal(
        result.params["fc1"]["weight"], others.params["fc1"]["weight"]
    )
    assert result.history[0]["train_loss"] == others.history[0]["train_loss"]
    with pytest.raises(NotFinite):
        train(exploding(2) + [exploding(0)[0]] * 3, layers=layers, skip_nonfinite=2)


def test_a_step_left_out_leaves_the_state_alone():
    """The running mean of a batch of NaN would be NaN for ever."""
    layers = nn.serial(fc1=nn.linear(8), bn=nn.batch_norm(), fc2=nn.linear(3))
    using = optax.sgd(0.1)
    data = exploding(2)
    result = train(data, layers=layers, using=using, epochs=1, skip_nonfinite=1)
    others = train(data[:2] + data[3:], layers=layers, using=using, epochs=1)

    assert bits(result) == bits(others)


def test_the_steps_left_out_are_counted_across_a_stop(tmp_path):
    """Three in a row are one too many for 2, whoever saw the first two."""
    layers = nn.serial(fc1=nn.linear(8), fc2=nn.linear(3))
    data = listed()
    for i in (2, 3, 4):
        data[i] = exploding(i)[i]
    options = {"layers": layers, "skip_nonfinite": 2, "epochs": 1}
    with pytest.raises(NotFinite, match="step 5: its gradient is not finite"):
        train(data, **options)
    options |= {"checkpoints": tmp_path, "checkpoint_every": 1}
    with pytest.raises(Stopped):
        train(Failing(data, 4), **options)

    with pytest.raises(NotFinite, match="step 5: its gradient is not finite"):
        train(data, **options)

    assert Folder(tmp_path).steps()[-1] == 4


def test_a_run_that_started_from_a_path_goes_on_in_its_own_folder(tmp_path):
    """The same call, with the same path, after it was stopped."""
    whole = train(listed(), using=optax.sgd(0.1))
    train(listed(), using=optax.sgd(0.1), epochs=2, checkpoints=tmp_path / "a")
    options = {
        "using": optax.sgd(0.1),
        "checkpoints": tmp_path / "b",
        "resume": tmp_path / "a",
    }
    with pytest.raises(Stopped):
        train(Failing(listed(), 6), **options)

    assert Folder(tmp_path / "b").steps() == [18]
    assert bits(train(listed(), **options)) == bits(whole)


def test_a_seed_may_be_numpys(tmp_path):
    train(seed=np.int64(3), batch_size=np.int32(7), epochs=1, checkpoints=tmp_path)
    again = train(seed=3, epochs=1, checkpoints=tmp_path)

    assert len(again.history) == 1
    train(seed=3, epochs=2, checkpoints=tmp_path)
    with pytest.raises(ValueError, match="of epoch 2, beyond epochs=1"):
        train(seed=3, epochs=1, checkpoints=tmp_path)


@pytest.mark.compiled
def test_memory_that_does_not_suffice_is_said_with_the_batch_size():
    greedy = nn.serial(fc=nn.linear(3), grow=_grow)
    with pytest.raises(MemoryError, match=r"7 images.*batch_size=3"):
        train(layers=greedy, epochs=1)


def _grow(x):
    # So many values would have to be stored to be sorted: 4 TB for each image.
    x = jax.lax.stop_gradient(x)
    wide = jnp.broadcast_to(x[:, :1, None], (len(x), 2**20, 2**20))
    return x + jnp.sort(wide * jnp.cos(wide), axis=1)[:, :1, 0]


def test_checked_mode_names_the_layer():
    """What jit lets pass: NaN from the inside, and an index out of range."""

    def root(x):
        return jnp.sqrt(x - 100.0)

    inside = nn.serial(fc=nn.linear(3), block=nn.serial(root=root))
    with pytest.raises(NotFinite, match=r"step 1: layer 'block/root'.*sqrt"):
        train(layers=inside, checked=True)
    words = [(np.array([[0], [7]]), np.array([0, 1]))]
    reader = nn.serial(table=nn.embedding(5, 3), flat=nn.flatten())
    with pytest.raises(nn.LayerError, match=r"'table'.*from 0 to 4, got ints from 0"):
        train(words, layers=reader, checked=True)


@pytest.mark.compiled
def test_checked_mode_finds_what_only_the_gradient_has():
    """The root of zero is zero, and its slope is not finite."""

    def slope(x):
        return jnp.sqrt(x * 0.0)

    with pytest.raises(NotFinite, match=r"step 1: (nan|division by zero)"):
        train(layers=nn.serial(fc=nn.linear(3), slope=slope), checked=True)


@pytest.mark.compiled
def test_checked_mode_computes_the_same():
    """For a net that is as it should be: the fast paths included."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(12, 32, 32, 1)).astype(np.float32)
    data = [(images[:6], np.arange(6)), (images[6:], np.arange(6))]
    lenet = nn.models.lenet()
    plain = train(data, layers=lenet, using=optax.sgd(0.01, momentum=0.9), epochs=1)
    checked = train(
        data, layers=lenet, using=optax.sgd(0.01, momentum=0.9), epochs=1, checked=True
    )

    for a, b in zip(
        jax.tree.leaves(plain.params), jax.tree.leaves(checked.params), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_checkpoints_by_the_clock(tmp_path, monkeypatch):
    """One is due when so many seconds have passed since the last."""
    now = [0.0]
    monkeypatch.setattr(keeping.time, "monotonic", lambda: now[0])

    class Slow(list):
        def __iter__(self):
            for batch in list.__iter__(self):
                now[0] += 10
                yield batch

    folder = Folder(tmp_path, keep=99)
    train(Slow(listed()), epochs=1, checkpoints=folder, checkpoint_every="25s")

    assert folder.steps() == [3, 6]


def test_a_checkpoint_says_what_it_is(tmp_path):
    train(epochs=1, checkpoints=tmp_path)
    folder = Folder(tmp_path)

    notes = nn.checkpoint.metadata(folder.file(6))

    assert json.loads(notes["place"])["epoch"] == 2
    assert json.loads(notes["setup"]) == {
        "seed": 0,
        "batch_size": 7,
        "images": 40,
        "accumulate_grad_batches": 1,
    }


def test_one_writer_at_a_time(tmp_path):
    """A second one is told who holds the lock; a lock that is left holds nobody up."""
    with locks.locked(tmp_path):
        with (
            pytest.raises(
                BlockingIOError, match=f"in use by process {os.getpid()} on "
            ),
            locks.locked(tmp_path),
        ):
            pass
        assert os.listdir(tmp_path) == [locks.LOCK]
    assert os.listdir(tmp_path) == []
    (tmp_path / locks.LOCK).write_text("process 1 on a machine that is gone\n")
    with locks.locked(tmp_path):
        pass
    with contextlib.suppress(Stopped), locks.locked(tmp_path):
        raise Stopped
    assert os.listdir(tmp_path) == []
