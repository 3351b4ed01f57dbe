"""What a peer hands over: one training step, one forward pass, and how to wait."""

from typing import Any, Protocol

from benchmarks.setup import Array


class Trainer(Protocol):
    """A net in training, on batches that are already on the device."""

    can_infer: bool  # whether there is a forward pass to compare

    def step(self, number: int) -> Any:
        """Starts a training step on a batch of the pool; returns the coming loss."""

    def forward(self, batch: int) -> Any:
        """Starts a forward pass of the first `batch` images, as for inference."""

    def training(self, on: bool) -> None:
        """Called before steps and before forward passes; what it takes is not timed."""

    def wait(self, result: Any) -> None:
        """Waits until a loss or an output has been computed."""

    def numbers(self, result: Any) -> Array:
        """A loss or an output as NumPy."""
