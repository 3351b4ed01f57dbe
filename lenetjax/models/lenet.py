"""LeNet: the tutorial's, and the original of 1998."""

from collections.abc import Callable
from typing import Literal

import jax

from lenetjax.combinators import serial
from lenetjax.core import Layer, LayerError
from lenetjax.layers import avg_pool2d, conv2d, flatten, linear, max_pool2d


def lenet(classes: int = 10) -> Layer:
    """Builds the convolutional net of PyTorch's "Neural Networks" tutorial.

    Two 3x3 convolutions, each with ReLU and 2x2 max-pooling, then 576-120-84-classes:
    81,194 params and 549,312 FLOPs per 32x32x1 image.

    Args:
      classes: how many classes to tell apart.

    Input: images (batch, 32, 32, 1), floating; other sizes get another fc1.
    Output: logits (batch, classes).
    Params: conv1, conv2, fc1, fc2, fc3, each with weight and bias.

    Raises:
      LayerError: classes is no positive int.

    Example:
      >>> import jax, jax.numpy as jnp, lenetjax as nn
      >>> net = nn.models.lenet()
      >>> params = net.init(jax.random.key(0), jnp.zeros((1, 32, 32, 1)))
      >>> sum(p.size for p in jax.tree.leaves(params))
      81194
    """
    return serial(
        conv1=conv2d(6, 3), relu1=jax.nn.relu, pool1=max_pool2d(2),
        conv2=conv2d(16, 3), relu2=jax.nn.relu, pool2=max_pool2d(2),
        flatten=flatten(),
        fc1=linear(120), relu3=jax.nn.relu,
        fc2=linear(84), relu4=jax.nn.relu,
        fc3=linear(classes),
    )  # fmt: skip


ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": jax.nn.relu,
    "tanh": jax.nn.tanh,
}
POOLS: dict[str, Callable[[int], Layer]] = {"max": max_pool2d, "avg": avg_pool2d}


def lenet5(
    classes: int = 10,
    *,
    activation: Literal["relu", "tanh"] = "relu",
    pooling: Literal["max", "avg"] = "max",
) -> Layer:
    """Builds LeNet-5 with 5x5 convolutions: 61,706 params on 32x32x1 images.

    With ``activation="tanh", pooling="avg"`` it is near the net of 1998; the original
    also learns a scale per pooled channel, connects its third layer sparsely and ends
    in radial basis functions.

    Args:
      classes: how many classes to tell apart.
      activation: "relu" or "tanh".
      pooling: "max" or "avg".

    Input: images (batch, 32, 32, 1), floating; other sizes get another fc1.
    Output: logits (batch, classes).
    Params: conv1, conv2, fc1, fc2, fc3, each with weight and bias.

    Raises:
      LayerError: classes is no positive int, or an option is unknown.

    Example:
      >>> import jax, jax.numpy as jnp, lenetjax as nn
      >>> net = nn.models.lenet5(activation="tanh", pooling="avg")
      >>> params = net.init(jax.random.key(0), jnp.zeros((1, 32, 32, 1)))
      >>> sum(p.size for p in jax.tree.leaves(params))
      61706

    Reference: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to
    document recognition", 1998.
    """
    if activation not in ACTIVATIONS or pooling not in POOLS:
        raise LayerError(
            f"activation must be one of {', '.join(ACTIVATIONS)} and pooling one of "
            f"{', '.join(POOLS)}, got {activation!r} and {pooling!r}"
        )
    act, pool2d = ACTIVATIONS[activation], POOLS[pooling]
    return serial(
        conv1=conv2d(6, 5), act1=act, pool1=pool2d(2),
        conv2=conv2d(16, 5), act2=act, pool2=pool2d(2),
        flatten=flatten(),
        fc1=linear(120), act3=act,
        fc2=linear(84), act4=act,
        fc3=linear(classes),
    )  # fmt: skip
