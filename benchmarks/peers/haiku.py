"""Haiku: modules within `hk.transform_with_state`, with optax."""

from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import optax

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
    Setup,
)


def make(setup: Setup, variant: str = "") -> Trainer:
    """Prepares the training."""

    def net(x: jax.Array, train: bool) -> jax.Array:
        if setup.model == "resnet20":
            return resnet20(x, train)
        return lenet(x, KERNELS[setup.model])

    init, apply = hk.without_apply_rng(hk.transform_with_state(net))
    optimizer = optax.sgd(LEARNING_RATE, momentum=MOMENTUM)

    def loss_of(
        params: Any, state: Any, images: jax.Array, labels: jax.Array
    ) -> tuple[jax.Array, Any]:
        logits, state = apply(params, state, images, train=True)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean(), state

    def step(carry: Any, images: jax.Array, labels: jax.Array) -> tuple[Any, jax.Array]:
        params, state, opt_state = carry
        (loss, state), grads = jax.value_and_grad(loss_of, has_aux=True)(
            params, state, images, labels
        )
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), state, opt_state), loss

    def forward(variables: Any, images: jax.Array) -> jax.Array:
        logits: jax.Array = apply(*variables, images, train=False)[0]
        return logits

    params, state = values(init, setup)
    return JaxTrainer(
        setup,
        (params, state, optimizer.init(params)),
        jax.jit(step, donate_argnums=0),
        lambda carry: carry[:2],
        jax.jit(forward),
    )


def lenet(x: jax.Array, kernel: int) -> jax.Array:
    x = jax.nn.relu(hk.Conv2D(6, kernel, padding="VALID", name="conv1")(x))
    x = hk.max_pool(x, 2, 2, "VALID")
    x = jax.nn.relu(hk.Conv2D(16, kernel, padding="VALID", name="conv2")(x))
    x = hk.max_pool(x, 2, 2, "VALID")
    x = hk.Flatten()(x)
    x = jax.nn.relu(hk.Linear(120, name="fc1")(x))
    x = jax.nn.relu(hk.Linear(84, name="fc2")(x))
    logits: jax.Array = hk.Linear(CLASSES, name="fc3")(x)
    return logits


def resnet20(x: jax.Array, train: bool) -> jax.Array:
    x = jax.nn.relu(norm("bn")(conv(16, 1, "conv")(x), train))
    for entry in blocks():
        x = block(x, entry, train)
    logits: jax.Array = hk.Linear(CLASSES, name="fc")(x.mean((1, 2)))
    return logits


def block(x: jax.Array, entry: Block, train: bool) -> jax.Array:
    name, channels = entry.path.replace(".", "_"), entry.channels
    y = conv(channels, entry.stride, f"{name}_conv1")(x)
    y = jax.nn.relu(norm(f"{name}_bn1")(y, train))
    y = norm(f"{name}_bn2")(conv(channels, 1, f"{name}_conv2")(y), train)
    if entry.stride == 2:
        x = halved(x)
    return jax.nn.relu(x + y)


def conv(channels: int, stride: int, name: str) -> hk.Module:
    one = (1, 1)
    return hk.Conv2D(
        channels, 3, stride, padding=(one, one), with_bias=False, name=name
    )


def norm(name: str) -> hk.Module:
    return hk.BatchNorm(True, True, 1 - 0.1, EPSILON, name=name)


def values(init: Any, setup: Setup) -> tuple[Any, Any]:
    """The first values under Haiku's names; its running variance starts at one too."""
    images = jnp.zeros((2, *IMAGES[setup.model]))
    params, state = init(jax.random.key(0), images, train=True)
    by_module = {
        path.rpartition(".")[0].replace(".", "_"): path.rpartition(".")[0]
        for path in setup.values
    }

    def entry(module: str, name: str, array: jax.Array) -> Any:
        kind = {"w": "weight", "b": "bias", "scale": "weight", "offset": "bias"}[name]
        given = setup.values[f"{by_module[module]}.{kind}"]
        return given.reshape(array.shape)

    params = hk.data_structures.map(entry, params)
    for module, entries in state.items():
        if module.endswith("~/var_ema"):
            entries["average"] = jnp.ones_like(entries["average"])
    return params, state
