"""What a training run keeps on disk, so that it can go on after it was stopped."""

import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np

from lenetjax import checkpoint, processes
from lenetjax.checkpoint import Checkpoint, Folder
from lenetjax.functional.arguments import is_int
from lenetjax.measuring import Means
from lenetjax.positions import Asking, checked, nowhere
from lenetjax.specs import is_random_key
from lenetjax.training import TrainState

CHECKPOINTS = "checkpoints"  # the folder inside a run's folder
PLACE, SETUP = "place", "setup"
EARLIER = {"accumulate_grad_batches": 1}  # of checkpoints that do not say
PathLike = str | os.PathLike[str]
Interval = int | str


class NotFinite(ArithmeticError):
    """The loss or the params became infinite or NaN; what to do is in the message.

    Example:
      >>> import numpy as np, lenetjax as nn, optax
      >>> data = [(np.full((1, 2), np.nan, np.float32), np.array([0]))]
      >>> try:
      ...     nn.fit(nn.linear(2), optax.sgd(0.1), data, progress=False)
      ... except nn.NotFinite as error:
      ...     str(error)[:23]
      'step 1: the loss is nan'
    """


class Place:
    """How far a run has come: all that is not in its `TrainState`."""

    def __init__(self) -> None:
        self.steps = 0
        self.epoch = 1
        self.batches = 0  # done in this epoch
        self.position: Asking = nowhere  # of the data after these batches
        self.seconds = 0.0  # of training in this epoch, at the last save
        self.history: list[dict[str, float]] = []
        self.means = Means()

    def next_epoch(self, row: dict[str, float]) -> None:
        """Closes an epoch with its row of the history."""
        self.history.append(row)
        self.epoch, self.batches, self.seconds = self.epoch + 1, 0, 0.0
        self.means, self.position = Means(), nowhere

    def to_json(self) -> str:
        """What `from_json` takes."""
        found = {
            "steps": self.steps,
            "epoch": self.epoch,
            "batches": self.batches,
            "position": self.position(),
            "seconds": self.seconds,
            "history": self.history,
            "means": self.means.to_json(),
        }
        return json.dumps(found)

    def from_json(self, text: str) -> "Place":
        """Goes where another was."""
        found = json.loads(text)
        self.steps, self.epoch = int(found["steps"]), int(found["epoch"])
        self.batches, self.seconds = int(found["batches"]), float(found["seconds"])
        self.history = [dict(row) for row in found["history"]]
        self.means.from_json(found["means"])
        self.position = checked(found.get("position"))
        if len(self.history) != self.epoch - 1 or self.batches < 0 or self.steps < 1:
            raise ValueError("its numbers do not fit each other")
        return self


class Keeper:
    """Writes checkpoints when they are due, and finds the one to go on with.

    Args:
      folder: where to keep them; None keeps nothing.
      every: steps, or seconds as "30s", besides the end of each epoch.
      setup: what has to be the same for a run to go on.
    """

    def __init__(
        self, folder: Folder | None, every: Interval | None, setup: Mapping[str, Any]
    ) -> None:
        self.folder = folder
        self.steps, self.seconds = _interval(every)
        self.setup = dict(setup)
        self.saved_at = time.monotonic()
        self.source: Path | None = None  # the file to go on with

    def find(self, resume: PathLike) -> Place | None:
        """Where to go on, or None to start.

        Args:
          resume: "auto", "never", or the path of a checkpoint, a folder of them or a
            run to start from where the own folder has none yet.

        Raises:
          OSError: there is nothing at the path, or it cannot be read.
          ValueError: all checkpoints are damaged, or of another training; or there are
            some, and resume is "never".
        """
        own = self.folder
        if own is not None:
            own.sweep()
        if own is not None and own.steps():
            if resume == "never":
                raise ValueError(
                    f"{own.path} holds checkpoints; go on with them (resume="
                    '"auto"), or take another folder'
                )
            # A path is where the first of several calls starts from.
            found = own.load()
            own.set_aside(after=found.step)
            self.source = own.file(found.step)
        elif resume in ("auto", "never"):
            return None
        else:
            found, self.source = _read(Path(resume))
        return self._place(found)

    def restored(self, like: TrainState) -> TrainState:
        """The run of the checkpoint that was found.

        Raises:
          ValueError: it does not fit the net and the optimizer.
        """
        run: TrainState = checkpoint.load(cast(Path, self.source), like)
        return run

    def due(self, place: Place) -> bool:
        """Whether it is time for a checkpoint."""
        if self.folder is None:
            return False
        if self.seconds is not None:
            return time.monotonic() - self.saved_at >= self.seconds
        return self.steps is not None and place.steps % self.steps == 0

    def save(self, run: TrainState, place: Place, score: float | None = None) -> None:
        """Writes a checkpoint, if any are kept; process 0 does, for all.

        Args:
          run: all that the steps change.
          place: how far it has come; no metrics may be pending.
          score: how good it is.

        Raises:
          NotFinite: the params are not finite; nothing is written.
          OSError: it cannot be written.
        """
        whole: TrainState = processes.here(run)

        def write() -> str:
            refuse_nonfinite(whole, place)
            if self.folder is not None:
                found = {PLACE: place.to_json(), SETUP: json.dumps(self.setup)}
                self.folder.save(place.steps, whole, found, score=score)
            return ""

        processes.on_first(write)
        self.saved_at = time.monotonic()

    def _place(self, found: Checkpoint) -> Place:
        try:
            place = Place().from_json(found.metadata[PLACE])
            setup = EARLIER | json.loads(found.metadata[SETUP])
            differences = [
                f"{name} {setup[name]} there and {mine} here"
                for name, mine in self.setup.items()
                if setup[name] != mine
            ]
        except (
            KeyError,
            TypeError,
            ValueError,
            OverflowError,
            RecursionError,
        ) as error:
            raise ValueError(
                f"{self.source} is no checkpoint of fit: {error!r}"
            ) from None
        if differences:
            raise ValueError(
                f"{self.source} is of another training: {'; '.join(differences)}"
            )
        return place


def refuse_nonfinite(run: TrainState, place: Place) -> None:
    """Raises NotFinite if a param or a value of the state is infinite or NaN."""
    bad = [
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, leaf in jax.tree_util.tree_leaves_with_path((run.params, run.state))
        if not is_random_key(leaf) and not np.isfinite(np.asarray(leaf)).all()
    ]
    if bad:
        names = ", ".join(name.partition("/")[2] for name in bad[:3])
        raise NotFinite(
            f"step {place.steps}: {names}{' and others' if bad[3:] else ''} "
            f"became infinite or NaN; {ADVICE}"
        )


ADVICE = (
    "what was saved before is kept. Look for NaN in the data; begin anew with a lower "
    "learning rate, with skip_nonfinite=N (--skip-nonfinite N), which leaves out up to "
    "N such steps in a row, or with checked=True (--checked), which finds the layer"
)


def _read(path: Path) -> tuple[Checkpoint, Path]:
    if path.is_dir():
        inside = path / CHECKPOINTS
        folder = Folder(inside if inside.is_dir() else path)
        found = folder.load()
        return found, folder.file(found.step)
    return Checkpoint(0, None, checkpoint.metadata(path)), path


def _interval(every: Interval | None) -> tuple[int | None, float | None]:
    """Steps or seconds."""
    if every is None:
        return None, None
    if is_int(every) and every > 0:
        return every, None
    if isinstance(every, str) and every.endswith("s"):
        try:
            seconds = float(every[:-1])
        except ValueError:
            seconds = math.nan
        if 0 < seconds < math.inf:
            return None, seconds
    raise ValueError(
        f'checkpoint_every must be a number of steps, or "30s", got {every!r}'
    )
