"""Equinox: modules of one image under `jax.vmap`, images channels first.

The step keeps to its documentation's page on tricks, "Low-overhead training loops":
models are flattened once, and their leaves pass through `jax.jit`.
"""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.peers.jax_trainer import JaxTrainer
from benchmarks.peers.layouts import Block, blocks, features_first, place
from benchmarks.peers.trainer import Trainer
from benchmarks.setup import (
    CLASSES,
    EPSILON,
    KERNELS,
    LEARNING_RATE,
    MOMENTUM,
    Setup,
)

BATCH = "batch"  # the axis over which batch norm takes its statistics
KEY = jax.random.key(0)


class LeNet(eqx.Module):
    conv1: eqx.nn.Conv2d
    conv2: eqx.nn.Conv2d
    pool: eqx.nn.MaxPool2d
    fc1: eqx.nn.Linear
    fc2: eqx.nn.Linear
    fc3: eqx.nn.Linear

    def __init__(self, kernel: int) -> None:
        side = ((32 - kernel + 1) // 2 - kernel + 1) // 2
        self.conv1 = eqx.nn.Conv2d(1, 6, kernel, key=KEY)
        self.conv2 = eqx.nn.Conv2d(6, 16, kernel, key=KEY)
        self.pool = eqx.nn.MaxPool2d(2, 2)
        self.fc1 = eqx.nn.Linear(16 * side * side, 120, key=KEY)
        self.fc2 = eqx.nn.Linear(120, 84, key=KEY)
        self.fc3 = eqx.nn.Linear(84, CLASSES, key=KEY)

    def __call__(self, x: jax.Array, state: Any) -> tuple[jax.Array, Any]:
        x = self.pool(jax.nn.relu(self.conv1(x)))
        x = self.pool(jax.nn.relu(self.conv2(x)))
        x = jax.nn.relu(self.fc2(jax.nn.relu(self.fc1(x.reshape(-1)))))
        return self.fc3(x), state


class Body(eqx.Module):
    conv1: eqx.nn.Conv2d
    bn1: eqx.nn.BatchNorm
    conv2: eqx.nn.Conv2d
    bn2: eqx.nn.BatchNorm
    entry: Block = eqx.field(static=True)

    def __init__(self, entry: Block) -> None:
        self.conv1 = conv(entry.inputs, entry.channels, entry.stride)
        self.bn1 = norm(entry.channels)
        self.conv2 = conv(entry.channels, entry.channels, 1)
        self.bn2 = norm(entry.channels)
        self.entry = entry

    def __call__(self, x: jax.Array, state: Any) -> tuple[jax.Array, Any]:
        y, state = self.bn1(self.conv1(x), state)
        y, state = self.bn2(self.conv2(jax.nn.relu(y)), state)
        if self.entry.stride == 2:
            sides = (self.entry.channels // 4, self.entry.channels // 4)
            x = jnp.pad(x[:, ::2, ::2], (sides, (0, 0), (0, 0)))
        return jax.nn.relu(x + y), state


class ResNet20(eqx.Module):
    conv: eqx.nn.Conv2d
    bn: eqx.nn.BatchNorm
    blocks: list[Body]
    fc: eqx.nn.Linear

    def __init__(self) -> None:
        self.conv = conv(3, 16, 1)
        self.bn = norm(16)
        self.blocks = [Body(entry) for entry in blocks()]
        self.fc = eqx.nn.Linear(64, CLASSES, key=KEY)

    def __call__(self, x: jax.Array, state: Any) -> tuple[jax.Array, Any]:
        x, state = self.bn(self.conv(x), state)
        x = jax.nn.relu(x)
        for body in self.blocks:
            x, state = body(x, state)
        return self.fc(x.mean((1, 2))), state


def conv(inputs: int, channels: int, stride: int) -> eqx.nn.Conv2d:
    return eqx.nn.Conv2d(
        inputs, channels, 3, stride, padding=1, use_bias=False, key=KEY
    )


def norm(channels: int) -> eqx.nn.BatchNorm:
    return eqx.nn.BatchNorm(channels, BATCH, EPSILON, momentum=1 - 0.1, mode="batch")


def make(setup: Setup, variant: str = "") -> Trainer:
    """Prepares the training."""
    deep = setup.model == "resnet20"
    arguments = [] if deep else [KERNELS[setup.model]]
    model, state = eqx.nn.make_with_state(ResNet20 if deep else LeNet)(*arguments)
    model = with_values(model, setup)
    optimizer = optax.sgd(LEARNING_RATE, momentum=MOMENTUM)
    opt_state = optimizer.init(eqx.filter(model, eqx.is_inexact_array))
    first, structure = jax.tree.flatten((model, state, opt_state))
    dynamic, static = eqx.partition(first, eqx.is_array)

    def call(model: Any, state: Any, images: jax.Array) -> tuple[jax.Array, Any]:
        batched = jax.vmap(
            model, axis_name=BATCH, in_axes=(0, None), out_axes=(0, None)
        )
        logits, state = batched(images, state)
        return logits, state

    def loss_of(
        model: Any, state: Any, images: jax.Array, labels: jax.Array
    ) -> tuple[jax.Array, Any]:
        logits, state = call(model, state, images)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean(), state

    def step(carry: Any, images: jax.Array, labels: jax.Array) -> tuple[Any, jax.Array]:
        leaves = eqx.combine(carry, static)
        model, state, opt_state = jax.tree.unflatten(structure, leaves)
        (loss, state), grads = eqx.filter_value_and_grad(loss_of, has_aux=True)(
            model, state, images, labels
        )
        updates, opt_state = optimizer.update(grads, opt_state)
        model = eqx.apply_updates(model, updates)
        leaves = jax.tree.leaves((model, state, opt_state))
        return eqx.filter(leaves, eqx.is_array), loss

    def forward(carry: Any, images: jax.Array) -> jax.Array:
        leaves = eqx.combine(carry, static)
        model, state, _ = jax.tree.unflatten(structure, leaves)
        return call(eqx.nn.inference_mode(model), state, images)[0]

    return JaxTrainer(
        setup,
        dynamic,
        jax.jit(step, donate_argnums=0),
        lambda carry: carry,
        jax.jit(forward),
        channels_first=True,
    )


def with_values(model: Any, setup: Setup) -> Any:
    """The model with the first values in place of its own."""
    for path, array in features_first(setup.values).items():
        where = functools.partial(value_at, place=place(path))
        new = jnp.asarray(np.reshape(array, where(model).shape))
        model = eqx.tree_at(where, model, new)
    return model


def value_at(model: Any, place: tuple[int | None, str, str]) -> Any:
    block, name, kind = place
    return getattr(getattr(model if block is None else model.blocks[block], name), kind)
