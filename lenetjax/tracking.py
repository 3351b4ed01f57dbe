"""Loggers for `fit`: callbacks that write how a training goes for other programs."""

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lenetjax.callbacks import Callback, Row
from lenetjax.core import Layer
from lenetjax.training import TrainState

__all__ = ["TensorBoard"]

TAGS = {  # the names of a row's numbers; what has one prefix is drawn side by side
    "train_loss": "loss/train",
    "test_loss": "loss/test",
    "train_accuracy": "accuracy/train",
    "test_accuracy": "accuracy/test",
    "images_per_second": "images_per_second",
    "epoch": "epoch",
}
BINS = 64


class TensorBoard(Callback):
    """Writes the curves of a training for TensorBoard, with tensorboardX.

    The folder gets a run `steps`, with train loss and accuracy at each look, and a run
    `epochs`, with losses and accuracies of train and test, images per second and the
    number of the epoch; with `histograms` also a run `weights`. All are drawn over the
    steps. To see them: ``pip install tensorboard`` and ``tensorboard --logdir folder``.

    A training that goes on writes into the same folder: what is there of steps that
    are done again is dropped (TensorBoard's purging by step), and each point is there
    once. What is told is in the file before the next checkpoint is, whoever is killed
    then.

    Args:
      folder: where to write; made where it is not there.
      histograms: whether to write a histogram of each param, of its finite values, at
        the start and after each epoch.

    Raises:
      ImportError: tensorboardX is missing.
      OSError: in a training, the folder cannot be written.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn, optax
      >>> data = [(jnp.eye(2), jnp.arange(2))]
      >>> result = nn.fit(nn.linear(2), optax.sgd(1.0), data, epochs=3, progress=False,
      ...                 callbacks=[nn.tracking.TensorBoard("runs/curves")])
      >>> sorted(path.name for path in Path("runs/curves").iterdir())
      ['epochs', 'steps']
    """

    def __init__(
        self, folder: str | os.PathLike[str], *, histograms: bool = False
    ) -> None:
        _parts()  # what is missing is said before the training
        self.folder = Path(folder)
        self.histograms = histograms
        self.open = ExitStack()

    def on_begin(
        self,
        net: Layer,
        run: TrainState,
        history: Sequence[Mapping[str, float]],
        setup: Mapping[str, Any],
    ) -> None:
        """Opens the files, and drops what is there of the steps to come."""
        with ExitStack() as opened:
            self._begin(opened, run, history)
            self.open = opened.pop_all()

    def on_look(self, row: Row) -> None:
        """Writes the means of some steps."""
        self.steps.scalars(row, without=("epoch",))
        self.steps.flush()

    def on_epoch(self, row: Row, run: TrainState) -> None:
        """Writes what came of an epoch."""
        self.epochs.scalars(row)
        self.epochs.flush()
        if self.histograms:
            self.weights.params(run, int(row["step"]))
            self.weights.flush()

    def on_end(self, error: BaseException | None) -> None:
        """Closes the files."""
        self.open.close()

    def _begin(
        self, opened: ExitStack, run: TrainState, history: Sequence[Mapping[str, float]]
    ) -> None:
        def events(name: str, *, purge: int) -> _Events:
            return opened.enter_context(closing(_Events(self.folder / name, purge)))

        step = int(run.step)
        self.steps = events("steps", purge=step + 1)
        # A kill may come between an epoch's checkpoint and its row, so all rows are
        # written again. The weights of the last one are those of the run.
        self.epochs = events("epochs", purge=0)
        for row in history:
            self.epochs.scalars(row)
        if self.histograms:
            between = step == (history[-1]["step"] if history else 0)
            self.weights = events("weights", purge=step if between else step + 1)
            if between:
                self.weights.params(run, step)


class _Events:
    """A new file of events in a folder of them.

    tensorboardX's SummaryWriter has a thread write them: where the disk is full, the
    thread ends and the training waits for it for ever. This one writes where it is.

    Args:
      folder: the folder.
      purge: the step from which on what is there already is dropped.
    """

    def __init__(self, folder: Path, purge: int) -> None:
        self.tensorboard = _parts()
        folder.mkdir(parents=True, exist_ok=True)
        # The name has the second; files of one second need more, to be read in order.
        suffix = f".{time.time_ns()}"
        writer = self.tensorboard.event_file_writer.EventsWriter
        self.writer = writer(str(folder / "events"), suffix)
        messages = self.tensorboard.proto.event_pb2
        start = messages.SessionLog(status=messages.SessionLog.START)
        self._write(purge, session_log=start)

    def scalars(self, row: Mapping[str, float], without: Sequence[str] = ()) -> None:
        """Writes the numbers of a row at its step."""
        for name, tag in TAGS.items():
            if name in row and name not in without:
                summary = self.tensorboard.summary.scalar(tag, row[name])
                self._write(int(row["step"]), summary=summary)

    def params(self, run: TrainState, step: int) -> None:
        """Writes a histogram of each param."""
        for path, leaf in jax.tree_util.tree_leaves_with_path(run.params):
            if not jnp.issubdtype(leaf.dtype, jnp.floating):
                continue
            values = np.asarray(leaf).astype(np.float64)
            values = values[np.isfinite(values)]
            if values.size:
                name = jax.tree_util.keystr(path, simple=True, separator="/")
                summary = self.tensorboard.summary.histogram(name, values, BINS)
                self._write(step, summary=summary)

    def flush(self) -> None:
        """Puts all that was written on the disk."""
        self.writer.flush()

    def close(self) -> None:
        """Writes what is left, and closes the file."""
        self.writer.close()

    def _write(self, step: int, **content: Any) -> None:
        event = self.tensorboard.proto.event_pb2.Event
        self.writer.write_event(event(step=step, wall_time=time.time(), **content))


def _parts() -> Any:
    """tensorboardX, with the parts used here."""
    try:
        import tensorboardX
        import tensorboardX.event_file_writer
        import tensorboardX.proto.event_pb2
        import tensorboardX.summary
    except ImportError as error:
        raise ImportError(
            'the curves need tensorboardX: pip install "lenetjax[tensorboard]"'
        ) from error
    return tensorboardX
