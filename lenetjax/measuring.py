"""What a run measures: the seconds of compiling, and means over batches."""

import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from lenetjax.specs import shapes_text

METRICS = ("loss", "accuracy")


class Compiled:
    """A jitted function, compiled once for each shape of batch; counts the seconds."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.programs: dict[str, Any] = {}
        self.seconds = 0.0

    def __call__(self, *args: Any) -> Any:
        if jax.config.jax_disable_jit:  # type: ignore[attr-defined]
            return self.function(*args)  # as there is nothing to compile
        shapes = shapes_text(args[-1])
        if shapes not in self.programs:
            # What still computes would go on beside the compiler, and not count.
            jax.block_until_ready(args)
            started = time.perf_counter()
            self.programs[shapes] = self.function.lower(*args).compile()
            self.seconds += time.perf_counter() - started
        return self.programs[shapes](*args)


class Means:
    """The means of metrics over batches of different sizes.

    The sums are made in the order of the batches, in Python's floats: it makes no
    difference when, or in how many processes.
    """

    def __init__(self) -> None:
        self.images = 0
        self.counted = 0  # images whose metrics are in the sums
        self.sums: dict[str, float] = {}
        self.pending: list[tuple[Mapping[str, Any], int]] = []
        self.waiting = 0  # batches that are pending

    def add(self, metrics: Mapping[str, Any], images: int, batches: int = 1) -> None:
        """Notes the metrics of a batch, or of some, without waiting for the device.

        Args:
          metrics: scalars, or arrays with one value for each batch.
          images: in each batch.
          batches: how many.
        """
        self.images += images * batches
        self.pending.append((metrics, images))
        self.waiting += batches

    def settle(self, leave: int = 0) -> list[tuple[dict[str, Any], int]]:
        """Sums up what is pending, except the last few calls; waits for the device.

        Returns:
          The metrics of each of these batches, and how many images it has, in order.
        """
        count = len(self.pending) - leave
        settled, self.pending = self.pending[:count], self.pending[count:]
        found: list[tuple[dict[str, Any], int]] = []
        for metrics, images in jax.device_get(settled):
            columns = {name: np.ravel(values) for name, values in metrics.items()}
            for values in zip(*columns.values(), strict=True):
                found.append((dict(zip(columns, values, strict=True)), images))
                self.count(*found[-1])
        self.waiting -= len(found)
        return found

    def count(self, row: Mapping[str, Any], images: int) -> None:
        """Adds a batch's metrics, unless they have a "skipped" that is not 0."""
        if row.get("skipped"):
            return
        self.counted += images
        for name in METRICS:
            if name in row:
                part = float(row[name]) * images
                self.sums[name] = self.sums.get(name, 0.0) + part

    def result(self, prefix: str) -> dict[str, float]:
        """The means so far, as Python numbers; waits for the device."""
        self.settle()
        return {f"{prefix}_{name}": s / self.counted for name, s in self.sums.items()}

    def to_json(self) -> dict[str, Any]:
        """What `from_json` takes; nothing may be pending."""
        return {"images": self.images, "counted": self.counted, "sums": self.sums}

    def from_json(self, found: Mapping[str, Any]) -> "Means":
        """Goes on from what another had summed up."""
        self.images, self.counted = int(found["images"]), int(found["counted"])
        self.sums = {name: float(found["sums"][name]) for name in found["sums"]}
        return self
