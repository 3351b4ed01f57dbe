"""Many trainings at once: seeds and hyperparameters, in one compiled program."""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import optax

from lenetjax.core import Layer
from lenetjax.data.dataset import Dataset, Split
from lenetjax.feeding import check_split, memory_explained, order_of
from lenetjax.functional.arguments import size
from lenetjax.losses import cross_entropy
from lenetjax.measuring import METRICS
from lenetjax.members import Member, Numbers, Sweep, ranked, settings
from lenetjax.population import OptimizerOf, Population
from lenetjax.training import Loss


def sweep(
    net: Layer,
    optimizer_of: OptimizerOf,
    hyperparameters: Mapping[str, Sequence[float]] | Sequence[Mapping[str, float]],
    data: Dataset,
    *,
    seeds: Sequence[int] = (0,),
    epochs: int = 10,
    batch_size: int = 64,
    loss: Loss = cross_entropy,
    devices: Sequence[jax.Device] | None = None,
    at_once: int | None = None,
    progress: bool = True,
) -> Sweep:
    """Trains a net with many hyperparameters and seeds, in one compiled program.

    Each member is trained as `fit` trains it alone: the same initial values, order of
    images and random keys, so the same result, up to the rounding of another program.
    A member whose loss is no longer finite goes on without disturbing the others, and
    ranks last.

    The members are spread over the devices, which need nothing of each other. Where
    they do not divide, some devices have one less to do.

    Args:
      net: any layer.
      optimizer_of: ``optimizer_of(**hyperparameters)`` makes a member's optax
        optimizer. It is called while JAX traces, so that it may compute with the
        numbers, and not look at them: no ``if rate > 0``.
      hyperparameters: values by name, such as ``{"rate": [0.1, 0.3]}``, of which each
        combination is trained; or a list of dicts, one for each.
      data: a `Dataset` of train and test images; all of it is kept on each device.
      seeds: each set of hyperparameters is trained with each of them. A seed decides
        initial values, order and all randomness, as `fit`'s does.
      epochs: how often to go through the data.
      batch_size: images in a batch.
      loss: ``loss(outputs, labels)``, a scalar.
      devices: where to compute; None takes all that this process has of JAX's default
        kind.
      at_once: members that a device works on side by side. None takes all, except on a
        CPU: there one after the other is faster.
      progress: whether to print a line for each epoch, to stderr.

    Returns:
      A `Sweep`: members, ranking, best, seconds.

    Raises:
      LayerError: the images do not fit the net, or labels are out of range.
      ValueError: there is no member, hyperparameters are no finite numbers, there are
        no images, or `optimizer_of` looks at a number.
      TypeError: data is no `Dataset`, or `optimizer_of` makes no optimizer or does not
        take these names.
      MemoryError: there is less memory than needed.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn, optax
      >>> points = nn.data.Split(jnp.eye(2), jnp.arange(2))
      >>> found = nn.sweep(
      ...     nn.linear(2), optax.sgd, {"learning_rate": [0.0, 1.0]},
      ...     nn.data.Dataset(points, points), epochs=20, progress=False)
      >>> found.best.hyperparameters, found.best.test_accuracy
      ({'learning_rate': 1.0}, 1.0)
    """
    size("epochs", epochs)
    size("batch_size", batch_size)
    if at_once is not None:
        size("at_once", at_once)
    members = settings(hyperparameters, seeds)
    _check_optimizer(optimizer_of, members[0][1])
    _check_data(net, loss, data, batch_size)
    chosen = jax.local_devices() if devices is None else list(devices)
    if not chosen:
        raise ValueError("devices must be at least one, or None for all, got none")

    started = time.perf_counter()
    advice = "fewer members, a smaller batch_size or at_once, or more devices"
    with memory_explained(f"a sweep of {len(members)} members", advice):
        population = Population(
            net, optimizer_of, loss, members, data, batch_size, chosen, at_once
        )
        setting_up = time.perf_counter() - started
        curves = _Curves(len(members), epochs, data, batch_size)
        for epoch in range(1, epochs + 1):
            orders = {
                seed: order_of(data.train, seed, epoch)
                for seed in {seed for seed, _ in members}
            }
            curves.add(epoch, *population.epoch(orders))
            if progress:
                print(curves.line(), file=sys.stderr, flush=True)
        runs = population.member_runs()
    compiling = setting_up + population.program.seconds
    seconds = time.perf_counter() - started - compiling
    found = [
        Member(
            seed,
            numbers,
            run.params,
            run.state,
            curves.histories[i],
            curves.histories[i][-1].get("test_accuracy"),
            curves.diverged[i],
            rank=0,
        )
        for i, ((seed, numbers), run) in enumerate(zip(members, runs, strict=True))
    ]
    return Sweep(ranked(found), seconds, compiling)


class _Curves:
    """What each member's epochs gave, as they come."""

    def __init__(
        self, members: int, epochs: int, data: Dataset, batch_size: int
    ) -> None:
        self.epochs = epochs
        self.counts = {
            "train": _images_in_batches(data.train, batch_size),
            "test": _images_in_batches(data.test, batch_size),
        }
        self.histories: list[list[dict[str, float]]] = [[] for _ in range(members)]
        self.diverged: list[int | None] = [None] * members

    def add(self, epoch: int, trained: Any, tested: Any) -> None:
        """Notes an epoch's metrics, each an array (members, batches)."""
        steps = len(self.counts["train"])
        for i, history in enumerate(self.histories):
            row: dict[str, float] = {"epoch": epoch, "step": epoch * steps}
            for part, metrics in (("train", trained), ("test", tested)):
                for name in METRICS:
                    if name not in metrics:
                        continue
                    each = np.asarray(metrics[name][i], float)
                    mean = np.average(each, weights=self.counts[part])
                    row[f"{part}_{name}"] = float(mean)
            history.append(row)
            wrong = np.flatnonzero(~np.isfinite(trained["loss"][i]))
            if self.diverged[i] is None and wrong.size:
                self.diverged[i] = (epoch - 1) * steps + int(wrong[0]) + 1
            ruined = not np.isfinite(tested["loss"][i]).all()  # by the last step
            if self.diverged[i] is None and ruined:
                self.diverged[i] = epoch * steps

    def line(self) -> str:
        """What to say of the last epoch."""
        rows = [history[-1] for history in self.histories]
        parts = [f"epoch {int(rows[0]['epoch']):3d}/{self.epochs}"]
        name = "test_accuracy" if "test_accuracy" in rows[0] else "test_loss"
        values = [row[name] for row in rows if np.isfinite(row[name])]
        if values:
            best = (max if name == "test_accuracy" else min)(values)
            for word, value in (("best", best), ("median", np.median(values))):
                shown = f"{value:.2%}" if name == "test_accuracy" else f"{value:.4f}"
                parts.append(f"{word} {name.replace('_', ' ')} {shown}")
        failed = sum(step is not None for step in self.diverged)
        if failed:
            parts.append(f"{failed} of {len(rows)} diverged")
        return "  ".join(parts)


def _images_in_batches(split: Split, batch_size: int) -> list[int]:
    whole, rest = divmod(len(split.labels), batch_size)
    return [batch_size] * whole + [rest] * (rest > 0)


def _check_data(net: Layer, loss: Loss, data: Dataset, batch_size: int) -> None:
    if not isinstance(data, Dataset):
        raise TypeError(
            "sweep keeps all images on the device, so it needs a Dataset of train and "
            f"test images, got {type(data).__name__}"
        )
    for split in data:
        order_of(split, None, 0)  # refuses a split that is empty or unequal
        check_split(net, loss, split, batch_size)


def _check_optimizer(optimizer_of: OptimizerOf, numbers: Numbers) -> None:
    """Says what is wrong with it before anything is traced."""
    made = optimizer_of(**numbers)
    if not isinstance(made, optax.GradientTransformation):
        raise TypeError(
            "optimizer_of must make an optax optimizer of the hyperparameters "
            f"{', '.join(numbers) or '(none)'}, got {type(made).__name__}"
        )
