"""Flax Linen: modules, and `TrainState`."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax.training import train_state

from benchmarks.peers.jax_trainer import JaxTrainer, halved
from benchmarks.peers.layouts import Block, blocks
from benchmarks.peers.trainer import Trainer
from benchmarks.setup import (
    CLASSES,
    EPSILON,
    IMAGES,
    KERNELS,
    LEARNING_RATE,
    MOMENTUM,
    Array,
    Setup,
)


class TrainState(train_state.TrainState):  # type: ignore[misc, no-untyped-call]
    batch_stats: Any = None


class LeNet(nn.Module):  # type: ignore[misc]
    kernel: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        size = (self.kernel, self.kernel)
        x = nn.relu(nn.Conv(6, size, padding="VALID", name="conv1")(x))
        x = nn.max_pool(x, (2, 2), (2, 2))
        x = nn.relu(nn.Conv(16, size, padding="VALID", name="conv2")(x))
        x = nn.max_pool(x, (2, 2), (2, 2))
        x = x.reshape(len(x), -1)
        x = nn.relu(nn.Dense(120, name="fc1")(x))
        x = nn.relu(nn.Dense(84, name="fc2")(x))
        logits: jax.Array = nn.Dense(CLASSES, name="fc3")(x)
        return logits


class ResNet20(nn.Module):  # type: ignore[misc]
    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = nn.relu(norm("bn", train)(conv(16, 1, "conv")(x)))
        for entry in blocks():
            x = block(x, entry, train)
        logits: jax.Array = nn.Dense(CLASSES, name="fc")(x.mean((1, 2)))
        return logits


def block(x: jax.Array, entry: Block, train: bool) -> jax.Array:
    name, channels = entry.path.replace(".", "_"), entry.channels
    y = conv(channels, entry.stride, f"{name}_conv1")(x)
    y = nn.relu(norm(f"{name}_bn1", train)(y))
    y = norm(f"{name}_bn2", train)(conv(channels, 1, f"{name}_conv2")(y))
    if entry.stride == 2:
        x = halved(x)
    return nn.relu(x + y)


def conv(channels: int, stride: int, name: str) -> nn.Module:
    return nn.Conv(channels, (3, 3), stride, padding=1, use_bias=False, name=name)


def norm(name: str, train: bool) -> nn.Module:
    return nn.BatchNorm(not train, momentum=1 - 0.1, epsilon=EPSILON, name=name)


def make(setup: Setup, variant: str = "") -> Trainer:
    """Prepares the training."""
    deep = setup.model == "resnet20"
    net = ResNet20() if deep else LeNet(KERNELS[setup.model])
    images = jnp.zeros((1, *IMAGES[setup.model]))
    variables = net.init(jax.random.key(0), images, train=False)
    first = TrainState.create(
        apply_fn=net.apply,
        params=params(setup.values),
        batch_stats=variables.get("batch_stats", {}),
        tx=optax.sgd(LEARNING_RATE, momentum=MOMENTUM),
    )

    def step(run: Any, images: jax.Array, labels: jax.Array) -> tuple[Any, jax.Array]:
        def loss_of(params: Any) -> tuple[jax.Array, Any]:
            variables = {"params": params, "batch_stats": run.batch_stats}
            logits, changed = run.apply_fn(
                variables, images, train=True, mutable=["batch_stats"]
            )
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses.mean(), changed

        (loss, changed), grads = jax.value_and_grad(loss_of, has_aux=True)(run.params)
        stats = changed.get("batch_stats", {})
        return run.apply_gradients(grads=grads, batch_stats=stats), loss

    def forward(variables: Any, images: jax.Array) -> jax.Array:
        logits: jax.Array = net.apply(variables, images, train=False)
        return logits

    return JaxTrainer(
        setup,
        first,
        jax.jit(step, donate_argnums=0),
        lambda run: {"params": run.params, "batch_stats": run.batch_stats},
        jax.jit(forward),
    )


def params(values: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    """The first values under Linen's names."""
    result: dict[str, dict[str, Array]] = {}
    for path, array in values.items():
        module, _, kind = path.rpartition(".")
        if kind == "weight":
            kind = "kernel" if array.ndim > 1 else "scale"
        result.setdefault(module.replace(".", "_"), {})[kind] = array
    return result
