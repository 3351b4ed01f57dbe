"""Callbacks: what a training tells those who follow it, such as a logger."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Any

from lenetjax.core import Layer
from lenetjax.measuring import Means
from lenetjax.training import TrainState

Row = dict[str, float]
METHODS = ("on_begin", "on_look", "on_epoch", "on_end")


class Callback:
    """What `fit` calls while it trains. A subclass has the methods that it needs.

    They are called in this order, those of several callbacks in the order of the list,
    and `on_end` in the reverse order, like nested with statements:

    - `on_begin`, once, before the first step;
    - `on_look`, several times in an epoch, before what it tells of is in a checkpoint;
    - `on_epoch`, after the test and the checkpoint of an epoch;
    - `on_end`, once, if `on_begin` came to its end: also after a signal or an error.

    An exception in a callback ends the training and reaches the caller of `fit` as it
    is; the checkpoints saved before stay. Device and host go on side by side, so what
    is quick in a callback costs no time; what takes long counts in an epoch's seconds.
    The rows are copies of the callback's own.

    A training that was stopped begins again at `run.step`, and tells of each later step
    once more: a logger that drops what it has of them has each step once.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn, optax
      >>> class Log(nn.Callback):
      ...     def on_look(self, row):
      ...         print(f"step {row['step']}: loss {row['train_loss']:.2f}")
      ...     def on_end(self, error):
      ...         print("stopped" if error else "done")
      >>> data = [(jnp.eye(2), jnp.arange(2))] * 20
      >>> result = nn.fit(nn.linear(2), optax.sgd(1.0), data, epochs=2, progress=False,
      ...                 callbacks=[Log()])
      step 20: loss 0.18
      step 40: loss 0.04
      done
    """

    def on_begin(
        self,
        net: Layer,
        run: TrainState,
        history: Sequence[Mapping[str, float]],
        setup: Mapping[str, Any],
    ) -> None:
        """Called before the first step, with what is to be trained.

        Args:
          net: the net.
          run: where it starts; `run.step` is 0, or more where a training goes on. Its
            arrays are donated to the first step.
          history: the rows of the epochs done before; none in a new training.
          setup: plain values: epochs, batch_size (None for batches that come
            ready-made), images (in an epoch, or None), seed, skip_nonfinite, checked,
            steps_per_execution and accumulate_grad_batches.
        """

    def on_look(self, row: Row) -> None:
        """Called when losses have come from the device: without making it wait.

        That is at least every 50 steps (or each call, with more `steps_per_execution`),
        before each checkpoint and at the end of an epoch. Steps whose loss is not
        finite are not told of; they end the training, or are left out.

        Args:
          row: epoch; step, the last of those that the row is about; images, how many
            they had; train_loss and train_accuracy, the means over these images. The
            images of an epoch's rows are all of its images, each once. Without
            accuracy for other losses than `cross_entropy`, and without both where all
            steps were left out (`skip_nonfinite`).
        """

    def on_epoch(self, row: Row, run: TrainState) -> None:
        """Called after an epoch, its test and its checkpoint.

        Args:
          row: the epoch's row of the history, as in `Fit`.
          run: what has been learned; its arrays are donated to the next step.
        """

    def on_end(self, error: BaseException | None) -> None:
        """Called when the training is over, to close files and the like.

        Args:
          error: what ended it early, such as KeyboardInterrupt; else None.
        """


class Callbacks:
    """Several callbacks as one; leaving it ends those that have begun.

    Args:
      callbacks: objects with any of the methods of `Callback`.
      net: the net to train.
      setup: with which settings.

    Raises:
      TypeError: one of them is something else.
    """

    def __init__(
        self, callbacks: Sequence[object], net: Layer, setup: Mapping[str, Any]
    ) -> None:
        if not isinstance(callbacks, Sequence):
            raise TypeError(
                f"callbacks must be a list of callbacks, got {callbacks!r}; put it "
                "between brackets"
            )
        for callback in callbacks:
            _refuse_another(callback)
        self.callbacks = tuple(callbacks)
        self.net, self.setup = net, setup
        self.begun = ExitStack()

    def __enter__(self) -> "Callbacks":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.begun.__exit__(kind, error, traceback)

    def begin(self, run: TrainState, history: Sequence[Mapping[str, float]]) -> None:
        """Tells where the training starts."""
        for callback in self.callbacks:
            rows = [dict(row) for row in history]
            _call(callback, "on_begin", self.net, run, rows, dict(self.setup))
            self.begun.push(partial(_end, callback))

    def look(
        self, epoch: int, step: int, batches: Sequence[tuple[Mapping[str, Any], int]]
    ) -> None:
        """Tells the means over batches, given as metrics and number of images.

        Args:
          epoch: which they belong to.
          step: that of the last one.
          batches: on the host.
        """
        if not self.callbacks or not batches:
            return
        means = Means()
        for metrics, images in batches:
            means.count(metrics, images)
        row = {"epoch": epoch, "step": step, "images": means.counted}
        for callback in self.callbacks:
            _call(callback, "on_look", {**row, **means.result("train")})

    def epoch(self, row: Row, run: TrainState) -> None:
        """Tells what came of an epoch."""
        for callback in self.callbacks:
            _call(callback, "on_epoch", dict(row), run)


def _end(
    callback: object,
    kind: type[BaseException] | None,
    error: BaseException | None,
    traceback: TracebackType | None,
) -> None:
    """Tells a callback, as the exit of a with statement, how the training ended."""
    _call(callback, "on_end", error)


def _call(callback: object, name: str, *args: Any) -> None:
    method = getattr(callback, name, None)
    if method is not None:
        method(*args)


def _refuse_another(callback: object) -> None:
    if isinstance(callback, type):
        raise TypeError(
            f"callbacks must be objects, got the class {callback.__name__}; write "
            f"{callback.__name__}(...)"
        )
    if not any(hasattr(callback, name) for name in METHODS):
        raise TypeError(
            f"a callback has some of the methods {', '.join(METHODS)}; "
            f"{callback!r} has none"
        )
