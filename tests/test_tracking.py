"""The curves that TensorBoard shows, read back by another reader."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from event_files import points as shown
from test_callbacks import Log, raising
from test_resuming import Failing, Stopped, bits, listed, points, train

import lenetjax as nn
from lenetjax.cli import main
from lenetjax.tracking import TensorBoard

pytestmark = pytest.mark.usefixtures("kept_programs")

TAGS = {
    "loss/train": "train_loss",
    "loss/test": "test_loss",
    "accuracy/train": "train_accuracy",
    "accuracy/test": "test_accuracy",
    "images_per_second": "images_per_second",
    "epoch": "epoch",
}


def of_rows(rows, tags=TAGS):
    """The points that rows should give, in the float32 of the files."""
    return {
        tag: [(row["step"], np.float32(row[name])) for row in rows]
        for tag, name in tags.items()
    }


def of_looks(rows):
    return of_rows(rows, {tag: TAGS[tag] for tag in ("loss/train", "accuracy/train")})


def test_the_curves_are_the_rows(tmp_path):
    """Of the looks in one run, of the epochs in another; nothing else."""
    log = Log()
    result = train(
        points(120), batch_size=2, callbacks=[TensorBoard(tmp_path / "t"), log]
    )

    assert sorted(os.listdir(tmp_path / "t")) == ["epochs", "steps"]
    assert shown(tmp_path / "t" / "steps") == of_looks(log.looks)
    assert shown(tmp_path / "t" / "epochs") == of_rows(result.history)
    assert len(log.looks) == 8


def test_training_is_the_same(tmp_path):
    board = TensorBoard(tmp_path, histograms=True)

    assert bits(train(epochs=2, callbacks=[board])) == bits(train(epochs=2))


@pytest.mark.parametrize("after", [0, 3, 6, 13])
@pytest.mark.parametrize("every", [None, 4])
def test_a_resumed_training_leaves_each_point_once(tmp_path, after, every):
    """In the same folder: what was done again is there once, and nothing is lost."""
    board = TensorBoard(tmp_path / "t", histograms=True)
    options = {
        "test": [points().test],
        "checkpoints": tmp_path / "c",
        "checkpoint_every": every,
    }
    first, second = Log(), Log()
    with pytest.raises(Stopped):
        train(Failing(listed(), after), callbacks=[board, first], **options)

    result = train(listed(), callbacks=[board, second], **options)

    kept = [row for row in first.looks if row["step"] <= second.start]
    assert shown(tmp_path / "t" / "steps") == of_looks(kept + second.looks)
    assert shown(tmp_path / "t" / "epochs") == of_rows(result.history)
    weights = shown(tmp_path / "t" / "weights")
    assert [step for step, _ in weights["fc1/weight"]] == [0, 6, 12, 18, 24]


def test_a_row_that_was_never_told_is_written_when_it_goes_on(tmp_path):
    """The training ended between a checkpoint and the logger's turn."""
    board = TensorBoard(tmp_path / "t", histograms=True)
    with pytest.raises(Stopped):
        train(
            checkpoints=tmp_path / "c",
            callbacks=[raising("on_epoch", Stopped()), board],
        )

    result = train(checkpoints=tmp_path / "c", callbacks=[board])

    assert shown(tmp_path / "t" / "epochs") == of_rows(result.history)
    weights = shown(tmp_path / "t" / "weights")
    assert [step for step, _ in weights["fc2/bias"]] == [0, 6, 12, 18, 24]


def test_a_new_training_drops_what_an_old_one_left(tmp_path):
    for seed in (0, 1):
        log = Log()
        result = train(seed=seed, epochs=2, callbacks=[TensorBoard(tmp_path), log])

    assert len(os.listdir(tmp_path / "steps")) == 2
    assert shown(tmp_path / "steps") == of_looks(log.looks)
    assert shown(tmp_path / "epochs") == of_rows(result.history)


def test_files_of_one_second_stand_side_by_side(tmp_path):
    """In the order in which they were begun, as their names are read."""
    run = nn.train_state(
        nn.linear(3), optax.sgd(1.0), jax.random.key(0), jnp.ones((1, 2))
    )
    board, names = TensorBoard(tmp_path), []
    for number in range(1, 6):
        board.on_begin(nn.linear(3), run, [], {})
        board.on_look({"step": number, "train_loss": float(number)})
        board.on_end(None)
        names += [name for name in os.listdir(tmp_path / "steps") if name not in names]

    assert len(names) == 5
    assert names == sorted(names)
    assert shown(tmp_path / "steps") == {"loss/train": [(5, 5.0)]}


def test_histograms_are_those_of_the_params(tmp_path):
    """Every value is in a bin, and the ends are theirs."""
    result = train(epochs=1, callbacks=[TensorBoard(tmp_path, histograms=True)])

    found = shown(tmp_path / "weights")
    assert set(found) == {
        "fc1/weight", "fc1/bias", "bn/weight", "bn/bias", "fc2/weight", "fc2/bias",
    }  # fmt: skip
    for path, leaf in jax.tree_util.tree_leaves_with_path(result.params):
        values = np.asarray(leaf, float).ravel()
        (_, _), (step, histogram) = found[
            jax.tree_util.keystr(path, simple=True, separator="/")
        ]
        assert step == 6
        assert histogram["num"] == sum(histogram["counts"]) == values.size
        assert (histogram["min"], histogram["max"]) == (values.min(), values.max())
        edges = [values.min(), *histogram["limits"][1:]]
        counts, _ = np.histogram(values, edges)
        np.testing.assert_array_equal(counts, histogram["counts"][1:])


def test_a_full_disk_is_an_error_and_no_standstill(tmp_path):
    """The training ends with the system's words for it."""
    program = (
        "import resource, signal, jax.numpy as jnp, lenetjax as nn, optax\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "data = [(jnp.eye(2), jnp.arange(2))] * 50\n"
        "nn.fit(nn.linear(2), optax.sgd(1.0), data, epochs=100, progress=False,\n"
        f"       callbacks=[nn.tracking.TensorBoard({str(tmp_path)!r})])"
    )
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )

    assert done.returncode == 1
    assert "OSError: [Errno 27] File too large" in done.stderr


def test_without_tensorboardx_the_command_to_install_it_is_said(
    tmp_path, monkeypatch, capsys
):
    """Before anything is made."""
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r'pip install "lenetjax\[tensorboard\]"'):
        TensorBoard(tmp_path)

    folder = tmp_path / "run"
    status = main(["train", "--model", "mlp", "--tensorboard", "--out", str(folder)])

    assert status == 2
    assert capsys.readouterr().err.splitlines() == [
        'lenetjax train: the curves need tensorboardX: pip install "lenetjax'
        '[tensorboard]"'
    ]
    assert os.listdir(tmp_path) == []


def command(folder):
    return ["train", "--model", "mlp", "--epochs", "2", "--batch-size", "8",
            "--tensorboard", "--out", str(folder)]  # fmt: skip


def test_the_program_writes_what_its_metrics_say(tmp_path):
    """Killed in the second epoch, after looks that no checkpoint has, and gone on."""
    folder = tmp_path / "run"
    program = (
        "import sys, os; from lenetjax import cli, loop\n"
        "take = loop.Loop.take\n"
        "def dying(self, batch):\n"
        "    if self.place.steps == 300: os._exit(9)\n"
        "    return take(self, batch)\n"
        "loop.Loop.take = dying\n"
        f"cli.main({command(folder)!r})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True)  # noqa: S603
    assert done.returncode == 9

    assert main(command(folder)) == 0

    lines = (folder / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["step"] for row in rows] == [180, 360]
    assert shown(folder / "tensorboard" / "epochs") == of_rows(rows)
    looks = shown(folder / "tensorboard" / "steps")["loss/train"]
    assert [step for step, _ in looks] == [48, 96, 144, 180, 228, 276, 324, 360]
    images = [48 * 8] * 3 + [1437 - 144 * 8]
    for row, part in zip(rows, (looks[:4], looks[4:]), strict=True):
        loss = np.average([value for _, value in part], weights=images)
        assert loss == pytest.approx(row["train_loss"], rel=1e-6)
