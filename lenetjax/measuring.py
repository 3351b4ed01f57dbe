"""What a run measures: the seconds of compiling, and means over batches."""

import math
import time
from collections.abc import Mapping
from typing import Any

import jax

from lenetjax.specs import shapes_text

METRICS = ("loss", "accuracy")


class Compiled:
    """A jitted function, compiled once for each shape of batch; counts the seconds."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.programs: dict[str, Any] = {}
        self.seconds = 0.0

    def __call__(self, *args: Any) -> Any:
        shapes = shapes_text(args[-1])
        if shapes not in self.programs:
            started = time.perf_counter()
            self.programs[shapes] = self.function.lower(*args).compile()
            self.seconds += time.perf_counter() - started
        return self.programs[shapes](*args)


class Means:
    """The means of metrics over batches of different sizes.

    The sums are made in the order of the batches, in Python's floats: it makes no
    difference when, or in how many processes.
    """

    def __init__(self, *, finite_only: bool = False) -> None:
        self.images = 0
        self.counted = 0  # images whose metrics are in the sums
        self.sums: dict[str, float] = {}
        self.finite_only = finite_only
        self.pending: list[tuple[Mapping[str, Any], int]] = []

    def add(self, metrics: Mapping[str, Any], images: int) -> None:
        """Notes a batch's metrics, without waiting for the device."""
        self.images += images
        self.pending.append((metrics, images))

    def settle(self, leave: int = 0) -> list[float]:
        """Sums up what is pending, except the last few; waits for the device.

        Returns:
          The losses of these batches, in order.
        """
        count = len(self.pending) - leave
        settled, self.pending = self.pending[:count], self.pending[count:]
        losses = []
        for metrics, images in jax.device_get(settled):
            losses.append(float(metrics["loss"]))
            if self.finite_only and not math.isfinite(losses[-1]):
                continue
            self.counted += images
            for name in METRICS:
                if name in metrics:
                    part = float(metrics[name]) * images
                    self.sums[name] = self.sums.get(name, 0.0) + part
        return losses

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
