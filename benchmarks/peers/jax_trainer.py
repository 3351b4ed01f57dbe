"""Training by any JAX library: it differs in its carry and its two programs."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.setup import Array, Setup


class JaxTrainer:
    """A net of any JAX library.

    Args:
      setup: the task.
      carry: params, state and optimizer's state, however the library holds them.
      step: ``step(carry, images, labels) -> (carry, loss)``, jitted; the carry is
        donated.
      variables: takes from the carry what `forward` needs.
      forward: ``forward(variables, images) -> logits``, jitted.
      can_infer: whether `forward` is what the other libraries compute.
      channels_first: whether the library's images are NCHW.
    """

    def __init__(
        self,
        setup: Setup,
        carry: Any,
        step: Callable[[Any, jax.Array, jax.Array], tuple[Any, jax.Array]],
        variables: Callable[[Any], Any],
        forward: Callable[[Any, jax.Array], jax.Array],
        *,
        can_infer: bool = True,
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
        self.can_infer = can_infer

    def step(self, number: int) -> jax.Array:
        images, labels = self.pool[number % len(self.pool)]
        self.carry, loss = self._step(self.carry, images, labels)
        return loss

    def forward(self, batch: int) -> jax.Array:
        if batch not in self.images:
            self.images[batch] = jax.block_until_ready(self.pool[0][0][:batch])
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


def halved(images: jax.Array) -> jax.Array:
    """ResNet's shortcut: every second pixel of NHWC images, between zero channels."""
    half = images.shape[-1] // 2
    return jnp.pad(images[:, ::2, ::2], ((0, 0), (0, 0), (0, 0), (half, half)))
