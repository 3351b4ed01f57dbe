"""Where batches come from: the host, one by one, or the device, many in one call."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any, NamedTuple, Protocol, cast

import jax
import numpy as np
from jax import lax

from lenetjax import processes
from lenetjax.core import Layer
from lenetjax.data.batches import batches
from lenetjax.data.dataset import Dataset, Split
from lenetjax.functional.arguments import is_int
from lenetjax.losses import check_labels, cross_entropy
from lenetjax.measuring import Compiled
from lenetjax.positions import Asking, Iteration, Position, ahead, nowhere
from lenetjax.sharding import ANYWHERE, AnyLayout
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
      position: says where the data are after them, until the next ones are asked for.
    """

    batch: Any
    steps: int
    images: int
    position: Asking = nowhere


class Feed(Protocol):
    """Gives batches, epoch by epoch, in the form that its compiled steps take."""

    def training(self, step: Any) -> Compiled:
        """Compiles ``step(run, batch) -> (run, metrics)`` for these batches."""

    def testing(self, step: Any) -> Compiled:
        """Compiles ``step(params, state, batch) -> metrics`` for these batches."""

    def open(self, epoch: int, position: Position | None = None) -> Any:
        """Begins an epoch; returns some of its images, or None if it has none.

        Args:
          epoch: its number, from 1.
          position: where to go on in it, as an execution said.
        """

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
      layout: where they go.
      shares: whether each of many processes gives its own part of a batch.
      even: whether to refuse a first batch that does not divide among the devices.
      prefetch: how many batches to put on the device while a step works on another.
    """

    def __init__(
        self,
        net: Layer,
        loss: Loss,
        batches: Callable[[int], Iterable[Batch]],
        layout: AnyLayout = ANYWHERE,
        *,
        prefetch: int = 0,
        shares: bool = False,
        even: bool = False,
    ) -> None:
        self.net, self.loss, self.batches = net, loss, batches
        self.layout, self.prefetch, self.even = layout, prefetch, even
        self.shared = shares
        self.place = layout.place_shares if shares else layout.place_batch
        self.opened: Iterator[tuple[Batch, Asking]] = iter(())
        self.skips = True

    def training(self, step: Any) -> Compiled:
        return Compiled(self.layout.keeping(step))

    def testing(self, step: Any) -> Compiled:
        return Compiled(step)

    def open(self, epoch: int, position: Position | None = None) -> Any:
        batches = self.batches(epoch)
        iteration = Iteration(batches, position, alone=self.layout.shares == 1)
        self.skips = not iteration.restored
        found = ahead(iteration, self.prefetch, self._prepared)
        if self.shared:
            found = processes.in_step(found, lambda pair: len(pair[0][1]))
        first = next(found, None)
        self.opened = iter(()) if first is None else chain([first], found)
        if first is None and iteration.restored:  # behind the last batch
            first = next(ahead(Iteration(self.batches(epoch)), 0, self._checked), None)
        if first is None:
            return None
        images, labels = first[0]
        if self.even and not iteration.restored:
            shares = 1 if self.prefetch else self.layout.shares  # placed ones are whole
            self.layout.refuse_uneven("a batch of", len(labels) * shares)
        return images

    def executions(
        self, done: int, every: int | None = None, before: int = 0
    ) -> Iterator[Execution]:
        for batch, position in islice(self.opened, done if self.skips else 0, None):
            placed = batch if self.prefetch else self.place(batch)
            yield Execution(placed, 1, len(placed[1]), position)

    def _prepared(self, batch: Any) -> Batch:
        arrays = self._checked(batch)
        if not self.prefetch:
            return arrays
        with memory_explained("putting batches on the device ahead", "prefetch=0"):
            return cast(Batch, jax.device_put(self.place(arrays)))

    def _checked(self, batch: Any) -> Batch:
        """The batch as arrays; refuses what would give a wrong number."""
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise ValueError(
                f"expected batches (images, labels), got {shapes_text(batch)}"
            )
        images = jax.tree.map(np.asarray, batch[0])
        labels = np.asarray(batch[1])
        if labels.ndim == 0:
            raise ValueError(
                "expected batches (images, labels), got a single example, "
                f"{shapes_text(images)} and a label; make batches of them, for example "
                "with grain.MapDataset.source(data).batch(64)"
            )
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
      layout: where the images stay.
    """

    def __init__(
        self,
        net: Layer,
        loss: Loss,
        split: Split,
        batch_size: int,
        at_once: int,
        seed: int | None,
        layout: AnyLayout = ANYWHERE,
    ) -> None:
        self.net, self.loss, self.split, self.layout = net, loss, split, layout
        self.batch_size, self.at_once, self.seed = batch_size, at_once, seed
        self.data: Any = None

    def training(self, step: Any) -> Compiled:
        def steps(run: Any, batch: Any) -> Any:
            images, labels, orders = batch

            def one(run: Any, order: Any) -> Any:
                return step(run, (images[order], labels[order]))

            return lax.scan(one, run, orders)

        return Compiled(self.layout.keeping(jax.jit(steps, donate_argnums=0)))

    def testing(self, step: Any) -> Compiled:
        def steps(params: Any, state: Any, batch: Any) -> Any:
            images, labels, orders = batch

            def one(order: Any) -> Any:
                return step(params, state, (images[order], labels[order]))

            return lax.map(one, orders)

        return Compiled(jax.jit(steps))

    def open(self, epoch: int, position: Position | None = None) -> Any:
        self.order = order_of(self.split, self.seed, epoch)
        if self.data is None:
            check_split(self.net, self.loss, self.split, self.batch_size)
            with memory_explained("keeping all images", "steps_per_execution=1"):
                self.data = jax.block_until_ready(
                    self.layout.place_copies(tuple(self.split))
                )
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
        orders = self.layout.place_batch(orders, axis=1)
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


def prefetched(asked: int | None) -> int:
    """How many batches to put on the device ahead; one, where that is left open.

    None on a CPU, which computes on the arrays where they are.

    Raises:
      ValueError: it is no number of batches.
    """
    if asked is None:
        return 0 if jax.default_backend() == "cpu" else 1
    if not is_int(asked) or asked < 0:
        raise ValueError(f"prefetch must be a number of batches from 0, got {asked!r}")
    return asked


def by_epoch(data: Any) -> Callable[[int], Iterable[Batch]]:
    """The batches of an epoch, from its number, for any data but a `Dataset`.

    Raises:
      TypeError: they are neither batches nor a function that returns some.
    """
    if hasattr(data, "__iter__") or hasattr(data, "__getitem__"):
        return lambda epoch: cast(Iterable[Batch], data)
    if not callable(data):
        raise TypeError(
            "data must be a Dataset, batches (images, labels) or a function of the "
            f"epoch's number that returns batches, got {type(data).__name__}"
        )

    def of(epoch: int) -> Iterable[Batch]:
        found = data(epoch)
        if isinstance(found, Dataset):  # its parts look like two batches
            raise TypeError(
                "data(epoch) must return batches (images, labels), got a Dataset; pass "
                "that as data, or its batches: nn.data.batches(dataset.train, 64)"
            )
        return cast(Iterable[Batch], found)

    return of


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
