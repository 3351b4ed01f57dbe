"""stax, from `jax.example_libraries`, with optax.

Its layers are pairs of functions and its params lists of tuples. It has no running
statistics: its batch norm always takes the batch's, so that ResNet-20 has no forward
pass to compare. Its convolution cannot do without a bias, nor has it the shortcut of
ResNet-20: both are written here, as users of stax write what is missing.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax
from jax import lax
from jax.example_libraries import stax

from benchmarks.peers.jax_trainer import JaxTrainer, halved
from benchmarks.peers.layouts import Block, blocks
from benchmarks.peers.trainer import Trainer
from benchmarks.setup import (
    CLASSES,
    EPSILON,
    KERNELS,
    LEARNING_RATE,
    MOMENTUM,
    Array,
    Setup,
)

Pair = tuple[Callable[..., Any], Callable[..., Any]]


def make(setup: Setup, variant: str = "") -> Trainer:
    """Prepares the training."""
    deep = setup.model == "resnet20"
    net = resnet20() if deep else lenet(KERNELS[setup.model])
    apply = net[1]
    params = (resnet20_params if deep else lenet_params)(setup.values)
    optimizer = optax.sgd(LEARNING_RATE, momentum=MOMENTUM)

    def loss_of(params: Any, images: jax.Array, labels: jax.Array) -> jax.Array:
        logits = apply(params, images)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    def step(carry: Any, images: jax.Array, labels: jax.Array) -> tuple[Any, jax.Array]:
        params, opt_state = carry
        loss, grads = jax.value_and_grad(loss_of)(params, images, labels)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), loss

    return JaxTrainer(
        setup,
        (params, optimizer.init(params)),
        jax.jit(step, donate_argnums=0),
        lambda carry: carry[0],
        jax.jit(apply),
        can_infer=not deep,
    )


def lenet(kernel: int) -> Pair:
    size = (kernel, kernel)
    net: Pair = stax.serial(
        stax.Conv(6, size), stax.Relu, stax.MaxPool((2, 2), (2, 2)),
        stax.Conv(16, size), stax.Relu, stax.MaxPool((2, 2), (2, 2)),
        stax.Flatten,
        stax.Dense(120), stax.Relu,
        stax.Dense(84), stax.Relu,
        stax.Dense(CLASSES),
    )  # fmt: skip
    return net


def lenet_params(values: Mapping[str, Array]) -> list[Any]:
    def entry(name: str) -> tuple[Array, Array]:
        weight, bias = values[f"{name}.weight"], values[f"{name}.bias"]
        return weight, bias.reshape(1, 1, 1, -1) if weight.ndim == 4 else bias

    conv1, conv2, *rest = (entry(name) for name in ("conv1", "conv2", "fc1", "fc2"))
    fc1, fc2 = rest
    return [conv1, (), (), conv2, (), (), (), fc1, (), fc2, (), entry("fc3")]


def resnet20() -> Pair:
    net: Pair = stax.serial(
        conv(16, 1), stax.BatchNorm(epsilon=EPSILON), stax.Relu,
        *(block(entry) for entry in blocks()),
        mean_pool(), stax.Dense(CLASSES),
    )  # fmt: skip
    return net


def block(entry: Block) -> Pair:
    body = stax.serial(
        conv(entry.channels, entry.stride), stax.BatchNorm(epsilon=EPSILON), stax.Relu,
        conv(entry.channels, 1), stax.BatchNorm(epsilon=EPSILON),
    )  # fmt: skip
    skip = stax.Identity if entry.stride == 1 else shortcut()
    net: Pair = stax.serial(
        stax.FanOut(2), stax.parallel(body, skip), stax.FanInSum, stax.Relu
    )
    return net


def resnet20_params(values: Mapping[str, Array]) -> list[Any]:
    def norm(path: str) -> tuple[Array, Array]:
        return values[f"{path}.bias"], values[f"{path}.weight"]

    def body(path: str) -> list[Any]:
        first = (values[f"{path}.conv1.weight"],), norm(f"{path}.bn1")
        second = (values[f"{path}.conv2.weight"],), norm(f"{path}.bn2")
        return [*first, (), *second]

    inner = [[(), [body(entry.path), ()], (), ()] for entry in blocks()]
    fc = values["fc.weight"], values["fc.bias"]
    return [(values["conv.weight"],), norm("bn"), (), *inner, (), fc]


def conv(channels: int, stride: int) -> Pair:
    """A 3x3 convolution without bias."""
    init, _ = stax.Conv(channels, (3, 3), (stride, stride), [(1, 1), (1, 1)])

    def init_without_bias(key: jax.Array, shape: Any) -> tuple[Any, Any]:
        out, (weight, _) = init(key, shape)
        return out, (weight,)

    def apply(params: Any, x: jax.Array, **kwargs: Any) -> jax.Array:
        return lax.conv_general_dilated(
            x, params[0], (stride, stride), [(1, 1), (1, 1)],
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )  # fmt: skip

    return init_without_bias, apply


def shortcut() -> Pair:
    """Every second pixel, between channels of zeros."""

    def init(key: jax.Array, shape: Any) -> tuple[Any, Any]:
        batch, height, width, channels = shape
        return (batch, height // 2, width // 2, 2 * channels), ()

    def apply(params: Any, x: jax.Array, **kwargs: Any) -> jax.Array:
        return halved(x)

    return init, apply


def mean_pool() -> Pair:
    def init(key: jax.Array, shape: Any) -> tuple[Any, Any]:
        return (shape[0], shape[-1]), ()

    def apply(params: Any, x: jax.Array, **kwargs: Any) -> jax.Array:
        return x.mean((1, 2))

    return init, apply
