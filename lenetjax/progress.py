"""What a run shows while it trains: a bar on a terminal, else a line per epoch."""

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import numpy as np

SECONDS_BETWEEN_READINGS = 0.2  # reading the loss waits for the device


class Progress:
    """Shows epochs, loss, accuracy, images per second and the time left."""

    def __init__(
        self, epochs: int, images: int | None, *, shown: bool, done: int = 0
    ) -> None:
        self.epochs = epochs
        self.shown = shown
        self.bar: Any = None
        self.last_reading = 0.0
        if shown and sys.stderr.isatty():
            try:
                from tqdm import tqdm
            except ImportError:  # an extra; the lines do without it
                return
            total = images * epochs if images else None
            self.bar = tqdm(
                total=total, initial=done, unit="img", unit_scale=True, leave=False
            )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.bar is not None:
            self.bar.close()

    def advance(self, epoch: int, images: int, metrics: Mapping[str, Any]) -> None:
        """Moves the bar by the images of a call."""
        if self.bar is None:
            return
        self.bar.update(images)
        if time.monotonic() - self.last_reading > SECONDS_BETWEEN_READINGS:
            self.last_reading = time.monotonic()
            self.bar.set_description(f"epoch {epoch}/{self.epochs}", refresh=False)
            self.bar.set_postfix_str(
                ", ".join(
                    f"{name} {np.ravel(metrics[name])[-1]:.3f}"
                    for name in ("loss", "accuracy")
                    if name in metrics
                )
            )

    def epoch_done(self, row: Mapping[str, float]) -> None:
        """Writes the line of a finished epoch."""
        parts = [f"epoch {row['epoch']:3d}/{self.epochs}"]
        for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy"):
            if name in row:
                value = f"{row[name]:.2%}" if "accuracy" in name else f"{row[name]:.4f}"
                parts.append(f"{name.replace('_', ' ')} {value}")
        parts.append(f"{row['images_per_second']:,.0f} images/s")
        self.say("  ".join(parts))

    def say(self, line: str) -> None:
        """Writes a line, above the bar if there is one."""
        if not self.shown:
            return
        if self.bar is None:
            print(line, file=sys.stderr, flush=True)
        else:
            self.bar.write(line, file=sys.stderr)
