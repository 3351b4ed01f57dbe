"""A training under way: steps, looks at the losses, tests and checkpoints."""

import math
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from jax.experimental import checkify

from lenetjax import processes
from lenetjax.callbacks import Callbacks
from lenetjax.core import Layer, LayerError
from lenetjax.feeding import Feed, memory_explained
from lenetjax.interruption import Interruption
from lenetjax.keeping import ADVICE, Keeper, NotFinite, Place
from lenetjax.measuring import Means
from lenetjax.processes import Agreement
from lenetjax.progress import Progress
from lenetjax.scaling import LossScaling
from lenetjax.sharding import AnyLayout
from lenetjax.specs import is_random_key
from lenetjax.training import (
    Batch,
    Loss,
    Metrics,
    TrainState,
    eval_step,
    train_state,
    train_step,
)

LOOK = 50  # steps from one look at the losses to the next
LEAVE = 2  # of the newest calls' losses at a look, so that it need not wait for them


class Loop:
    """A net in training. `place` says how far it has come, `run` what it has learned.

    Args:
      net: the net.
      optimizer: its optimizer.
      loss: ``loss(outputs, labels)``.
      feed: the batches to train on.
      test_feed: those to test with.
      layout: where the run lies.
      seed: where the random keys come from.
      skip_nonfinite: how many steps in a row may be left out; unless it is 0, the
        optimizer is one of `optax.apply_if_finite` or `loss_scaling`.
      checked: whether to check each operation of a step.
    """

    def __init__(
        self,
        net: Layer,
        optimizer: optax.GradientTransformation,
        loss: Loss,
        feed: Feed,
        test_feed: Feed,
        layout: AnyLayout,
        *,
        seed: int,
        skip_nonfinite: int,
        checked: bool,
    ) -> None:
        self.net, self.optimizer, self.loss = net, optimizer, loss
        self.layout = layout
        self.feed, self.test_feed = feed, test_feed
        self.seed, self.skip_nonfinite, self.checked = seed, skip_nonfinite, checked
        step = train_step(net, optimizer, loss)
        if skip_nonfinite and not isinstance(optimizer, LossScaling):
            step = _skipping(step)
        self.step = feed.training(_with_checks(step) if checked else step)
        self.evaluate = test_feed.testing(eval_step(net, loss))
        self.agreement = Agreement()
        self.setting_up = 0.0
        self.run: TrainState | None = None

    def attach(
        self,
        keeper: Keeper,
        place: Place,
        interruption: Interruption,
        bar: Progress,
        callbacks: Callbacks,
    ) -> None:
        """Says where checkpoints go, where to go on, who interrupts and who watches."""
        self.keeper, self.place = keeper, place
        self.interruption, self.bar, self.callbacks = interruption, bar, callbacks

    def begin(self, images: Any) -> None:
        """Draws a new run, or reads the one to go on with."""
        started = time.perf_counter()
        run = train_state(self.net, self.optimizer, jax.random.key(self.seed), images)
        # A Python number among the params would be of a weaker type than what is read
        # from a file, and promote otherwise.
        run = jax.tree.map(
            lambda a: a if is_random_key(a) else jnp.asarray(a, a.dtype), run
        )
        self.run = self.layout.place(self.restored(run) if self.place.steps else run)
        self.setting_up = time.perf_counter() - started

    def restored(self, run: TrainState) -> TrainState:
        """The run of the checkpoint; process 0 reads it for all."""
        found = [run]

        def read() -> str:
            found[0] = self.keeper.restored(run)
            return ""

        processes.on_first(read)
        return cast(TrainState, processes.from_first(found[0]))

    def begin_anyhow(self) -> None:
        """Begins where no step is left to do."""
        self.open_epoch(1)
        self.stop_if_asked()

    def open_epoch(self, epoch: int) -> None:
        """Turns to the first batch of an epoch.

        Raises:
          ValueError: there is none.
        """
        images = self.feed.open(epoch, self.place.position())
        if images is None:
            raise ValueError(
                f"the data gave no batches in epoch {epoch}; pass a list, or "
                "something that can be iterated over once per epoch"
            )
        if self.run is None:
            self.begin(images)
            self.callbacks.begin(processes.here(self.trained()), self.place.history)

    def train_epoch(self) -> None:
        """Trains on what is left of an epoch.

        Raises:
          NotFinite: the loss became infinite or NaN.
          MemoryError: a batch needs more memory than there is.
        """
        place, most = self.place, 0
        self.open_epoch(place.epoch)
        # Compiling does not count, and what an earlier process trained does.
        started = time.perf_counter() - self.step.seconds - place.seconds
        before = place.steps - place.batches
        left = self.feed.executions(place.batches, self.keeper.steps, before)
        for batch, steps, images, position in left:
            most = max(most, images)
            with batch_explained(most):
                metrics = self.take(batch)
                place.means.add(metrics, images, steps)
                place.batches, place.steps = place.batches + steps, place.steps + steps
                place.position = position
                self.bar.advance(place.epoch, images * steps, metrics)
            if place.means.waiting >= LOOK:
                self.look(most, LEAVE)
            if self.asked():
                self.look(most)
                place.seconds = time.perf_counter() - self.step.seconds - started
                self.save()
                # nor does the writing
                started = time.perf_counter() - self.step.seconds - place.seconds
        self.look(most)
        place.seconds = time.perf_counter() - self.step.seconds - started

    def take(self, batch: Any) -> Metrics:
        """Trains on a batch, or on those of one call."""
        if self.checked:
            self.look_inside(batch)
        result = self.step(self.run, batch)
        if self.checked:
            error, result = result
            if found := error.get():
                raise NotFinite(f"step {self.place.steps + 1}: {found} {ADVICE}")
        self.run, metrics = result
        self.layout.settle(metrics)
        return cast(Metrics, metrics)

    def look_inside(self, batch: Batch) -> None:
        """Computes the loss without jit, where a layer can see values and be named."""
        run, (images, labels) = self.trained(), batch
        key = jax.random.fold_in(run.key, run.step)
        try:
            with jax.debug_nans(True):
                outputs, _ = self.net.apply_with_state(
                    run.params, run.state, images, key=key, train=True
                )
                self.loss(outputs, labels)
        except (FloatingPointError, LayerError) as error:
            if not isinstance(error.__cause__ or error, FloatingPointError):
                raise
            where = str(error).splitlines()[0]
            raise NotFinite(f"step {self.place.steps + 1}: {where}") from error

    def look(self, most: int, leave: int = 0) -> None:
        """Reads the losses since the last look, and tells the callbacks.

        Args:
          most: images in the largest batch so far.
          leave: of how many of the newest calls to leave the losses.
        """
        place = self.place
        number = place.steps - place.means.waiting
        with batch_explained(most):
            settled = place.means.settle(leave)
        for metrics, _ in settled:
            number += 1
            self.refuse_nonfinite(number, metrics)
        self.callbacks.look(place.epoch, number, settled)

    def refuse_nonfinite(self, number: int, metrics: Mapping[str, Any]) -> None:
        """Raises NotFinite for a step with such a loss, or one skipped too many."""
        loss, skipped = float(metrics["loss"]), int(metrics.get("skipped", 0))
        most = self.skip_nonfinite
        if skipped > most:
            before = f", as of the {most} before" if most else ""
            raise NotFinite(
                f"step {number}: its gradient is not finite{before}, "
                f"with a loss of {loss}; {ADVICE}"
            )
        if not skipped and not math.isfinite(loss):
            raise NotFinite(f"step {number}: the loss is {loss}; {ADVICE}")

    def save(self) -> None:
        """Writes a checkpoint; then stops, if a signal asks for it."""
        self.keeper.save(self.trained(), self.place)
        self.stop_if_asked()

    def asked(self) -> bool:
        """Whether to save now: it is time, or a signal came, to any process."""
        due = self.keeper.due(self.place)
        by_clock = self.keeper.seconds is not None  # which differs between processes
        wish = self.interruption.wish() or int(due and by_clock)
        answer = self.agreement.soon(wish)
        self.interruption.follow(answer)
        return answer > 0 or (due and not by_clock)

    def stop_if_asked(self) -> None:
        """Stops, if a signal came to any process; all is saved."""
        self.interruption.follow(self.agreement.now(self.interruption.wish()))
        folder = self.keeper.folder
        where = f" in {folder.path}" if folder is not None else ""
        self.interruption.raise_if_any(f"saved at step {self.place.steps}{where}")

    def test(self) -> dict[str, float]:
        """Tests the net on all test batches."""
        run, means = self.trained(), Means()
        self.test_feed.open(0)
        for batch, steps, images, _ in self.test_feed.executions(0):
            if self.asked() and self.interruption.signal:
                self.save()
            with batch_explained(images):
                metrics = self.evaluate(run.params, run.state, batch)
                means.add(metrics, images, steps)
            self.layout.settle(metrics)
        return means.result("test")

    def end_epoch(self, tested: dict[str, float]) -> None:
        """Writes down what came of an epoch."""
        place, images = self.place, self.place.means.images
        row = {
            "epoch": place.epoch,
            "step": place.steps,
            **place.means.result("train"),
            **tested,
            "seconds": place.seconds,
            "images_per_second": images / place.seconds,
        }
        place.next_epoch(row)
        self.keeper.save(self.trained(), place, tested.get("test_accuracy"))
        self.bar.epoch_done(row)
        self.callbacks.epoch(row, processes.here(self.trained()))
        self.stop_if_asked()

    def trained(self) -> TrainState:
        """The run, which has begun."""
        return cast(TrainState, self.run)

    def compile_seconds(self) -> float:
        """The seconds of setting up and compiling."""
        return self.setting_up + self.step.seconds + self.evaluate.seconds


def _skipping(step: Any) -> Any:
    """The step, leaving the net's state too as it was where the update is left out."""

    def skipping(run: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        new, metrics = step(run, batch)
        finite = new.opt_state.last_finite
        state = jax.tree.map(lambda a, b: jnp.where(finite, a, b), new.state, run.state)
        skipped = {"skipped": new.opt_state.notfinite_count}
        return new._replace(state=state), {**metrics, **skipped}

    return jax.jit(skipping, donate_argnums=0)


def _with_checks(step: Any) -> Any:
    """The step, returning what was found wrong inside beside its result.

    Without checkify's index checks, which cannot be traced through a cross-entropy.
    """
    return jax.jit(checkify.checkify(step, errors=checkify.float_checks))


def batch_explained(images: int) -> AbstractContextManager[None]:
    """Says what to do where the memory does not suffice for a batch."""
    return memory_explained(
        f"a batch of {images} images",
        f"batch_size={max(1, images // 2)} (--batch-size) or a smaller net",
    )
