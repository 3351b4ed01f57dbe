"""What a peer hands over: one training step, one forward pass, and how to wait."""

from collections.abc import Callable
from typing import Any, Protocol

import jax
import numpy as np

from benchmarks.setup import Array, Setup


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


class JaxTrainer:
    """A net of any JAX library.

    Args:
      setup: the task.
      carry: params, state and optimizer's state, however the library holds them.
      step: ``step(carry, images, labels) -> (carry, loss)``, jitted; the carry is
        donated.
      variables: takes from the carry what `forward` needs.
      forward: ``forward(variables, images) -> logits``, jitted; None where the library
        has no such thing.
      channels_first: whether the library's images are NCHW.
    """

    def __init__(
        self,
        setup: Setup,
        carry: Any,
        step: Callable[[Any, jax.Array, jax.Array], tuple[Any, jax.Array]],
        variables: Callable[[Any], Any],
        forward: Callable[[Any, jax.Array], jax.Array] | None,
        *,
        channels_first: bool = False,
    ) -> None:
        self.pool = [
            jax.device_put((_channels_first(x) if channels_first else x, labels))
            for x, labels in setup.batches()
        ]
        jax.block_until_ready(self.pool)
        self.images: dict[int, jax.Array] = {}
        self.carry = jax.device_put(carry)
        self._step = step
        self._variables = variables
        self._forward = forward
        self.can_infer = forward is not None

    def step(self, number: int) -> jax.Array:
        images, labels = self.pool[number % len(self.pool)]
        self.carry, loss = self._step(self.carry, images, labels)
        return loss

    def forward(self, batch: int) -> jax.Array:
        if batch not in self.images:
            self.images[batch] = jax.block_until_ready(self.pool[0][0][:batch])
        if self._forward is None:
            raise NotImplementedError("this library has no such forward pass")
        return self._forward(self.inference, self.images[batch])

    def training(self, on: bool) -> None:
        # Params outlive no step, which donates them: they are taken anew each time.
        self.inference = None if on else self._variables(self.carry)

    def wait(self, result: Any) -> None:
        jax.block_until_ready(result)

    def numbers(self, result: Any) -> Array:
        return np.asarray(result)


def _channels_first(images: Array) -> Array:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
