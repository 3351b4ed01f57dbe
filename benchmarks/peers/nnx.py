"""Flax NNX, in the fastest form that its guide on performance documents.

`nnx.jit` walks the object graph in Python at every call. The guide splits model and
optimizer once, passes their state through `jax.jit` and merges them within.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from benchmarks.peers.jax_trainer import JaxTrainer, halved
from benchmarks.peers.layouts import Block, blocks, place
from benchmarks.peers.trainer import Trainer
from benchmarks.setup import (
    CLASSES,
    EPSILON,
    KERNELS,
    LEARNING_RATE,
    MOMENTUM,
    Setup,
)


class LeNet(nnx.Module):  # type: ignore[misc]
    def __init__(self, kernel: int, rngs: nnx.Rngs) -> None:
        size = (kernel, kernel)
        side = ((32 - kernel + 1) // 2 - kernel + 1) // 2
        self.conv1 = nnx.Conv(1, 6, size, padding="VALID", rngs=rngs)
        self.conv2 = nnx.Conv(6, 16, size, padding="VALID", rngs=rngs)
        self.fc1 = nnx.Linear(side * side * 16, 120, rngs=rngs)
        self.fc2 = nnx.Linear(120, 84, rngs=rngs)
        self.fc3 = nnx.Linear(84, CLASSES, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.max_pool(nnx.relu(self.conv1(x)), (2, 2), (2, 2))
        x = nnx.max_pool(nnx.relu(self.conv2(x)), (2, 2), (2, 2))
        x = x.reshape(len(x), -1)
        logits: jax.Array = self.fc3(nnx.relu(self.fc2(nnx.relu(self.fc1(x)))))
        return logits


class Body(nnx.Module):  # type: ignore[misc]
    def __init__(self, entry: Block, rngs: nnx.Rngs) -> None:
        self.stride = entry.stride
        self.conv1 = conv(entry.inputs, entry.channels, entry.stride, rngs)
        self.bn1 = norm(entry.channels, rngs)
        self.conv2 = conv(entry.channels, entry.channels, 1, rngs)
        self.bn2 = norm(entry.channels, rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        y = nnx.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.stride == 2:
            x = halved(x)
        return nnx.relu(x + y)


class ResNet20(nnx.Module):  # type: ignore[misc]
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv = conv(3, 16, 1, rngs)
        self.bn = norm(16, rngs)
        self.blocks = nnx.List([Body(entry, rngs) for entry in blocks()])
        self.fc = nnx.Linear(64, CLASSES, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.relu(self.bn(self.conv(x)))
        for body in self.blocks:
            x = body(x)
        logits: jax.Array = self.fc(x.mean((1, 2)))
        return logits


def conv(inputs: int, channels: int, stride: int, rngs: nnx.Rngs) -> nnx.Conv:
    return nnx.Conv(
        inputs, channels, (3, 3), stride, padding=1, use_bias=False, rngs=rngs
    )


def norm(channels: int, rngs: nnx.Rngs) -> nnx.BatchNorm:
    return nnx.BatchNorm(channels, momentum=1 - 0.1, epsilon=EPSILON, rngs=rngs)


def make(setup: Setup, variant: str = "") -> Trainer:
    """Prepares the training."""
    rngs = nnx.Rngs(0)
    deep = setup.model == "resnet20"
    model: Any = ResNet20(rngs) if deep else LeNet(KERNELS[setup.model], rngs)
    set_values(model, setup)
    optimizer = nnx.Optimizer(
        model, optax.sgd(LEARNING_RATE, momentum=MOMENTUM), wrt=nnx.Param
    )
    graph, first = nnx.split((model, optimizer))
    evaluation = nnx.split(model)[0]

    def loss_of(model: Any, images: jax.Array, labels: jax.Array) -> jax.Array:
        logits = model(images)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    def step(state: Any, images: jax.Array, labels: jax.Array) -> tuple[Any, jax.Array]:
        model, optimizer = nnx.merge(graph, state)
        model.train()
        loss, grads = nnx.value_and_grad(loss_of)(model, images, labels)
        optimizer.update(model, grads)
        return nnx.state((model, optimizer)), loss

    def forward(state: Any, images: jax.Array) -> jax.Array:
        model = nnx.merge(evaluation, state)
        model.eval()
        logits: jax.Array = model(images)
        return logits

    return JaxTrainer(
        setup,
        first,
        jax.jit(step, donate_argnums=0),
        lambda state: state[0],
        jax.jit(forward),
    )


def set_values(model: Any, setup: Setup) -> None:
    """Puts the first values into the model."""
    for path, array in setup.values.items():
        block, name, kind = place(path)
        owner = getattr(model if block is None else model.blocks[block], name)
        if kind == "weight":
            kind = "kernel" if array.ndim > 1 else "scale"
        variable = getattr(owner, kind)
        if variable[...].shape != array.shape:
            raise ValueError(f"{path}: {array.shape} for {variable[...].shape}")
        variable[...] = jnp.asarray(array)
