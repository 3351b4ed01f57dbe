"""Where batches come from: the host, one by one, or the device, many in one call."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from jax import lax

from lenetjax.core import Layer
from lenetjax.data.batches import batches
from lenetjax.data.dataset import Dataset, Split
from lenetjax.losses import check_labels, cross_entropy
from lenetjax.measuring import Compiled
from lenetjax.specs import shapes_text
from lenetjax.training import Batch, Loss

MANY = 50  # steps in one call, where that is the default
OUT_OF_MEMORY = ("RESOURCE_EXHAUSTED", "Out of memory")  # in what XLA says
SHARE = 0.5  # of the device's memory that images may fill


class Execution(NamedTuple):
    """What one call of a compiled step works on.

    Fields:
      batch: what the step takes.
      steps: how many batches that is.
      images: in each of them.
    """

    batch: Any
    steps: int
    images: int


class Feed(Protocol):
    """Gives batches, epoch by epoch, in the form that its compiled steps take."""

    def training(self, step: Any) -> Compiled:
        """Compiles ``step(run, batch) -> (run, metrics)`` for these batches."""

    def testing(self, step: Any) -> Compiled:
        """Compiles ``step(params, state, batch) -> metrics`` for these batches."""

    def open(self, epoch: int) -> Any:
        """Begins an epoch; returns some of its images, or None if it has none."""

    def executions(
        self, done: int, every: int | None = None, before: int = 0
    ) -> Iterator[Execution]:
        """What is left of the epoch after `done` batches.

        Args:
          done: how many batches of the epoch are behind.
          every: no call may go beyond a multiple of so many steps.
          before: the steps before this epoch.
        """


class Streamed:
    """Batches that the host hands over one by one.

    Args:
      net: the net that they are for.
      loss: its loss; for `cross_entropy` the labels are checked.
      batches: those of an epoch.
    """

    def __init__(
        self, net: Layer, loss: Loss, batches: Callable[[int], Iterable[Batch]]
    ) -> None:
        self.net, self.loss, self.batches = net, loss, batches
        self.opened: Iterator[Batch] = iter(())

    def training(self, step: Any) -> Compiled:
        return Compiled(step)

    def testing(self, step: Any) -> Compiled:
        return Compiled(step)

    def open(self, epoch: int) -> Any:
        found = map(self._checked, self.batches(epoch))
        first = next(found, None)
        if first is None:
            self.opened = iter(())
            return None
        self.opened = chain([first], found)
        return first[0]

    def executions(
        self, done: int, every: int | None = None, before: int = 0
    ) -> Iterator[Execution]:
        for batch in islice(self.opened, done, None):
            yield Execution(batch, 1, len(batch[1]))

    def _checked(self, batch: Any) -> Batch:
        """The batch as arrays; refuses what would give a wrong number."""
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise ValueError(
                f"expected batches (images, labels), got {shapes_text(batch)}"
            )
        images = jax.tree.map(np.asarray, batch[0])
        labels = np.asarray(batch[1])
        counts = {len(part) for part in (*jax.tree.leaves(images), labels)}
        if len(counts) != 1 or 0 in counts:
            raise ValueError(
                "images and labels must be equally many, and at least one, got "
                f"{shapes_text(images)} and {shapes_text(labels)}"
            )
        _check_labels(self.net, self.loss, images, labels)
        return images, labels


class Resident:
    """A split that stays on the device, of which one call works on many batches.

    A call then moves the numbers of its images alone, and the device need not wait for
    the host between steps.

    Args:
      net: the net that it is for.
      loss: its loss; for `cross_entropy` the labels are checked.
      split: images and labels; those on the device already stay where they are.
      batch_size: images in a batch.
      at_once: batches in a call, at most; what remains is done one by one.
      seed: shuffles each epoch; None keeps the order.
    """

    def __init__(
        self,
        net: Layer,
        loss: Loss,
        split: Split,
        batch_size: int,
        at_once: int,
        seed: int | None,
    ) -> None:
        self.net, self.loss, self.split = net, loss, split
        self.batch_size, self.at_once, self.seed = batch_size, at_once, seed
        self.data: Any = None

    def training(self, step: Any) -> Compiled:
        def steps(run: Any, batch: Any) -> Any:
            images, labels, orders = batch

            def one(run: Any, order: Any) -> Any:
                return step(run, (images[order], labels[order]))

            return lax.scan(one, run, orders)

        return Compiled(jax.jit(steps, donate_argnums=0))

    def testing(self, step: Any) -> Compiled:
        def steps(params: Any, state: Any, batch: Any) -> Any:
            images, labels, orders = batch

            def one(order: Any) -> Any:
                return step(params, state, (images[order], labels[order]))

            return lax.map(one, orders)

        return Compiled(jax.jit(steps))

    def open(self, epoch: int) -> Any:
        self.order = order_of(self.split, self.seed, epoch)
        if self.data is None:
            check_split(self.net, self.loss, self.split, self.batch_size)
            with memory_explained("keeping all images", "steps_per_execution=1"):
                self.data = jax.block_until_ready(jax.device_put(tuple(self.split)))
        return self.split.images[: self.batch_size]

    def executions(
        self, done: int, every: int | None = None, before: int = 0
    ) -> Iterator[Execution]:
        size = self.batch_size
        whole, rest = divmod(len(self.order), size)
        while done < whole:
            steps = self.at_once if self.at_once <= whole - done else 1
            if every is not None and steps > every - (before + done) % every:
                steps = 1
            yield self._execution(done * size, steps, size)
            done += steps
        if rest and done == whole:
            yield self._execution(whole * size, 1, rest)

    def _execution(self, start: int, steps: int, images: int) -> Execution:
        orders = self.order[start : start + steps * images].reshape(steps, images)
        return Execution((*self.data, orders), steps, images)


def usual_steps(data: Any) -> int:
    """How many steps are best done in one call, where that is left open.

    One on a CPU, where calls cost little beside steps, and for batches that come
    ready-made. Many on a GPU or TPU, if the images fill no more than half its memory.
    """
    if jax.default_backend() == "cpu" or not isinstance(data, Dataset):
        return 1
    size = sum(part.nbytes for split in data for part in split)
    memory = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    return MANY if memory is None or size <= SHARE * memory else 1


def order_of(split: Split, seed: int | None, epoch: int) -> Any:
    """The numbers of a split's images, in the order of `batches`: int32 (count,)."""
    numbers = Split(np.arange(len(split.images), dtype=np.int32), split.labels)
    whole = max(1, len(split.images))
    return next(batches(numbers, whole, seed=seed, epoch=epoch))[0]


def check_split(net: Layer, loss: Loss, split: Split, batch_size: int) -> None:
    """Refuses labels that are no classes of the net, where the loss needs such.

    Raises:
      LayerError: a label is out of range, or the images do not fit the net.
    """
    images, labels = split.images, np.asarray(split.labels)
    for start in range(0, len(labels), batch_size):
        some = labels[start : start + batch_size]
        shape = (len(some), *images.shape[1:])
        example = jax.ShapeDtypeStruct(shape, images.dtype)
        _check_labels(net, loss, example, some)


def _check_labels(net: Layer, loss: Loss, images: Any, labels: Any) -> None:
    if loss is cross_entropy:
        check_labels(labels, net.plan(images).y)


@contextlib.contextmanager
def memory_explained(what: str, instead: str) -> Iterator[None]:
    """Says what to do where the memory does not suffice.

    Raises:
      MemoryError: it does not.
    """
    try:
        yield
    except (jax.errors.JaxRuntimeError, MemoryError) as error:
        text = str(error)
        known = any(words in text for words in OUT_OF_MEMORY)
        if not known and not isinstance(error, MemoryError):
            raise
        raise MemoryError(
            f"{what} needs more memory than there is "
            f"({' '.join(text.split())[:200]}); begin anew with {instead}"
        ) from error
