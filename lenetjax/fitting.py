"""Training as a whole: the loop over epochs and batches."""

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import NamedTuple, cast

import jax
import numpy as np
import optax

from lenetjax.core import Layer, Params, State
from lenetjax.data.batches import batches
from lenetjax.data.dataset import Dataset
from lenetjax.functional.arguments import size
from lenetjax.losses import check_labels, cross_entropy
from lenetjax.measuring import Compiled, Means
from lenetjax.progress import Progress
from lenetjax.specs import shapes_text
from lenetjax.training import (
    Batch,
    Loss,
    TrainState,
    eval_step,
    train_state,
    train_step,
)


class Fit(NamedTuple):
    """What `fit` returns.

    `history` has a dict for each epoch: epoch, step, train_loss and train_accuracy
    (means over the epoch, while the net still learns), test_loss, test_accuracy,
    seconds (of training, without compilation) and images_per_second. `test_accuracy`
    is the last one, or None without test data.
    """

    params: Params
    state: State
    history: list[dict[str, float]]
    test_accuracy: float | None
    compile_seconds: float


def fit(
    net: Layer,
    optimizer: optax.GradientTransformation,
    data: Dataset | Iterable[Batch],
    *,
    epochs: int = 10,
    batch_size: int = 64,
    seed: int = 0,
    loss: Loss = cross_entropy,
    test: Iterable[Batch] | None = None,
    progress: bool = True,
    on_epoch: Callable[[dict[str, float], TrainState], None] | None = None,
) -> Fit:
    """Trains a net on data for some epochs, and tests it after each.

    The images are shuffled anew in each epoch, in an order that follows from
    (seed, epoch). The last, smaller batch of an epoch is trained on as well: it is a
    second shape, compiled once. All test images count.

    Args:
      net: any layer.
      optimizer: any optax optimizer.
      data: a `Dataset` of train and test images, or anything that gives batches
        (images, labels) each time it is iterated over, such as a list or a loader.
      epochs: how often to go through the data.
      batch_size: images in a batch; batches that come ready-made stay as they are.
      seed: decides the initial values, the order of the images and all randomness.
      loss: ``loss(outputs, labels)``, a scalar.
      test: test batches, in place of a dataset's test images.
      progress: whether to show a bar, or a line for each epoch where stderr is no
        terminal.
      on_epoch: called as ``on_epoch(row, run)`` after each epoch, with its row of the
        history and the `TrainState`; the arrays of `run` are donated afterwards.

    Returns:
      A `Fit`: params, state, history, test_accuracy, compile_seconds.

    Raises:
      LayerError: the images do not fit the net, or labels are out of range.
      ValueError: there is no data, or images and labels differ in number.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn, optax
      >>> data = [(jnp.eye(2), jnp.arange(2))]
      >>> result = nn.fit(
      ...     nn.linear(2), optax.sgd(1.0), data, epochs=20, test=data, progress=False)
      >>> result.test_accuracy
      1.0
    """
    size("epochs", epochs)
    size("batch_size", batch_size)
    step = Compiled(train_step(net, optimizer, loss))
    evaluate = Compiled(eval_step(net, loss))
    run: TrainState | None = None
    history: list[dict[str, float]] = []
    started = time.perf_counter()
    with Progress(epochs, _count(data), shown=progress) as bar:
        for epoch in range(1, epochs + 1):
            found = _checked(net, _epoch(data, batch_size, seed, epoch), loss)
            first = next(found, None)
            if first is None:
                raise ValueError(
                    f"the data gave no batches in epoch {epoch}; pass a list, or "
                    "something that can be iterated over once per epoch"
                )
            if run is None:
                run = train_state(net, optimizer, jax.random.key(seed), first[0])
                setting_up = time.perf_counter() - started
            found = chain([first], found)
            run, trained, pace = _train_epoch(step, run, found, epoch, bar)
            tested = _test(net, evaluate, run, data, test, batch_size, loss)
            row = {"epoch": epoch, "step": int(run.step), **trained, **tested, **pace}
            history.append(row)
            bar.epoch_done(row)
            if on_epoch is not None:
                on_epoch(row, run)
    run = cast(TrainState, run)  # there is at least one epoch
    compile_seconds = setting_up + step.seconds + evaluate.seconds
    accuracy = history[-1].get("test_accuracy")
    return Fit(run.params, run.state, history, accuracy, compile_seconds)


def _train_epoch(
    step: Compiled,
    run: TrainState,
    found: Iterable[Batch],
    epoch: int,
    bar: Progress,
) -> tuple[TrainState, dict[str, float], dict[str, float]]:
    started = time.perf_counter() - step.seconds  # compiling does not count
    means = Means()
    for batch in found:
        run, metrics = step(run, batch)
        means.add(metrics, len(batch[1]))
        bar.advance(epoch, len(batch[1]), metrics)
    trained = means.result("train")  # waits for the device
    seconds = time.perf_counter() - step.seconds - started
    pace = {"seconds": seconds, "images_per_second": means.images / seconds}
    return run, trained, pace


def _epoch(
    data: Dataset | Iterable[Batch], batch_size: int, seed: int, epoch: int
) -> Iterable[Batch]:
    if not isinstance(data, Dataset):
        return data
    shuffled: Iterable[Batch] = batches(data.train, batch_size, seed=seed, epoch=epoch)
    return shuffled


def _test(
    net: Layer,
    evaluate: Compiled,
    run: TrainState,
    data: Dataset | Iterable[Batch],
    test: Iterable[Batch] | None,
    batch_size: int,
    loss: Loss,
) -> dict[str, float]:
    if test is None and isinstance(data, Dataset):
        test = batches(data.test, batch_size)
    means = Means()
    for batch in _checked(net, test or (), loss):
        means.add(evaluate(run.params, run.state, batch), len(batch[1]))
    return means.result("test")


def _checked(net: Layer, found: Iterable[Batch], loss: Loss) -> Iterator[Batch]:
    """Passes batches on as arrays, and refuses what would give a wrong number."""
    for batch in found:
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
        if loss is cross_entropy:
            check_labels(labels, net.plan(images).y)  # type: ignore[arg-type]
        yield images, labels


def _count(data: Dataset | Iterable[Batch]) -> int | None:
    """How many images an epoch has, where that is known."""
    return len(data.train.labels) if isinstance(data, Dataset) else None
