"""What a run measures: the seconds of compiling, and means over batches."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from lenetjax.specs import shapes_text


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
    """The means of metrics over batches of different sizes."""

    def __init__(self) -> None:
        self.images = 0
        self.batches: list[tuple[Mapping[str, Any], int]] = []

    def add(self, metrics: Mapping[str, Any], images: int) -> None:
        """Notes a batch's metrics, without waiting for the device."""
        self.images += images
        self.batches.append((metrics, images))

    def result(self, prefix: str) -> dict[str, float]:
        """The means so far, as Python numbers; waits for the device."""
        weights = [images for _, images in self.batches]
        return {
            f"{prefix}_{name}": float(
                np.average([batch[name] for batch, _ in self.batches], weights=weights)
            )
            for name in ("loss", "accuracy")
            if all(name in batch for batch, _ in self.batches) and self.batches
        }
