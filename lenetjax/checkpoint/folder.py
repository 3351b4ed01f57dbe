"""A folder of checkpoints: the newest, and the best."""

import math
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lenetjax.checkpoint import archive
from lenetjax.checkpoint.archive import DamagedFile
from lenetjax.checkpoint.files import sweep
from lenetjax.checkpoint.names import Tree
from lenetjax.checkpoint.store import load_with_metadata, save, without_ours

NAME = re.compile(r"step-(\d{9,18})\.safetensors")
SCORE = "score"


class Checkpoint(NamedTuple):
    """A checkpoint that was read: its step, its tree, and the strings saved with it.

    Example:
      >>> Checkpoint(3, {}, {"data": "mnist"}).step
      3
    """

    step: int
    tree: Tree
    metadata: dict[str, str]


class Folder:
    """Checkpoints of one training, in files ``step-000000123.safetensors``.

    A file is there whole or not at all, so all that are listed are complete. One
    writer at a time.

    Args:
      path: the folder; made by the first `save`.
      keep: how many of the newest to keep, besides the one with the best score.

    Example:
      >>> import tempfile, jax.numpy as jnp, lenetjax as nn
      >>> with tempfile.TemporaryDirectory() as path:
      ...     folder = nn.checkpoint.Folder(path, keep=2)
      ...     for step, accuracy in [(10, 0.9), (20, 0.8), (30, 0.7), (40, 0.6)]:
      ...         folder.save(step, {"w": jnp.ones(2)}, score=accuracy)
      ...     folder.steps(), folder.best(), folder.load().step
      ([10, 30, 40], 10, 40)
    """

    def __init__(self, path: str | os.PathLike[str], *, keep: int = 3) -> None:
        if isinstance(keep, bool) or not isinstance(keep, int) or keep < 1:
            raise ValueError(f"keep must be a positive int, got {keep!r}")
        self.path = Path(path)
        self.keep = keep
        self._scores: dict[int, float] = {}  # of files that were written or read whole

    def steps(self) -> list[int]:
        """The steps of the checkpoints that are there, oldest first.

        Raises:
          OSError: the folder cannot be read.
        """
        if not self.path.is_dir():
            return []
        names = (NAME.fullmatch(name) for name in os.listdir(self.path))
        return sorted(int(match[1]) for match in names if match)

    def file(self, step: int) -> Path:
        """Where the checkpoint of a step is."""
        return self.path / f"step-{step:09d}.safetensors"

    def save(
        self,
        step: int,
        tree: Tree,
        metadata: Mapping[str, str] | None = None,
        *,
        score: float | None = None,
    ) -> None:
        """Writes a checkpoint, then removes those that need not be kept.

        Those of later steps are removed too: they are of a past that was given up.

        Args:
          step: its number, from 0.
          tree: any pytree of arrays, as for `save`.
          metadata: strings to keep with it.
          score: how good it is, higher is better; NaN is never the best.

        Raises:
          OSError: it cannot be written; the ones before are still there.
          ValueError: the tree cannot be saved.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        noted = {} if score is None else {SCORE: repr(float(score))}
        save(self.file(step), tree, {**(metadata or {}), **noted})
        self._scores[step] = math.nan if score is None else float(score)
        steps = self.steps()
        until_now = [other for other in steps if other <= step]
        kept = {self._best_of(until_now), *until_now[-self.keep :]}
        for other in set(steps) - kept:
            self.file(other).unlink(missing_ok=True)

    def best(self) -> int | None:
        """The step with the highest score, the newest of equals; None without any."""
        return self._best_of(self.steps())

    def load(self, like: Tree = None, *, step: int | None = None) -> Checkpoint:
        """Reads the newest checkpoint that is whole.

        One that is damaged or cannot be read is passed over with a warning, and the
        one before it is taken.

        Args:
          like: the tree to expect, as for `load`.
          step: the step to read; when None, the newest.

        Raises:
          OSError: there is none, or none can be read.
          DamagedFile: a ValueError: all are damaged, or the one asked for is.
          ValueError: it differs from `like`.
        """
        steps = [step] if step is not None else self.steps()[::-1]
        if not steps:
            raise FileNotFoundError(f"{self.path} holds no checkpoint")
        for candidate in steps[:-1]:
            try:
                return self._read(candidate, like)
            except (DamagedFile, OSError) as error:
                warnings.warn(f"{error}; going back to the one before", stacklevel=2)
        return self._read(steps[-1], like)

    def set_aside(self, after: int) -> None:
        """Renames the checkpoints of later steps, so that they are not listed."""
        for step in self.steps():
            if step > after:
                self.file(step).replace(f"{self.file(step)}.damaged")

    def sweep(self) -> None:
        """Removes what a killed writer left; no other may be at work here."""
        if self.path.is_dir():
            sweep(self.path)

    def _best_of(self, steps: Sequence[int]) -> int | None:
        scores = {step: self._score(step) for step in steps}
        scored = [step for step, score in scores.items() if not math.isnan(score)]
        return max(scored, key=lambda step: (scores[step], step), default=None)

    def _read(self, step: int, like: Tree) -> Checkpoint:
        tree, found = load_with_metadata(self.file(step), like)
        return Checkpoint(step, tree, without_ours(found))

    def _score(self, step: int) -> float:
        if step not in self._scores:
            try:
                score = float(archive.read_metadata(self.file(step))[SCORE])
            except (OSError, ValueError, KeyError):
                score = math.nan
            self._scores[step] = score
        return self._scores[step]
