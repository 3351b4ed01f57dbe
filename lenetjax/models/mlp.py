"""The multi-layer perceptron."""

from collections.abc import Callable, Sequence

import jax

from lenetjax.combinators import serial
from lenetjax.core import Layer
from lenetjax.layers import flatten, linear


def mlp(
    classes: int = 10,
    *,
    hidden: Sequence[int] = (256, 128),
    activation: Callable[[jax.Array], jax.Array] = jax.nn.relu,
) -> Layer:
    """Builds a net of linear layers with an activation between them.

    Args:
      classes: the size of the output.
      hidden: the sizes of the layers before it.
      activation: a function of one array.

    Input: (batch, ...), floating; all axes but the first are flattened.
    Output: logits (batch, classes).
    Params: fc1, fc2, ..., each with weight and bias.

    Raises:
      LayerError: a size is no positive int.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> net = nn.models.mlp(hidden=(32,))
      >>> params = net.init(jax.random.key(0), jnp.zeros((1, 32, 32, 1)))
      >>> params["fc1"]["weight"].shape
      (1024, 32)
    """
    layers: dict[str, Layer | Callable[[jax.Array], jax.Array]] = {"flatten": flatten()}
    for number, features in enumerate(hidden, start=1):
        layers[f"fc{number}"] = linear(features)
        layers[f"act{number}"] = activation
    layers[f"fc{len(hidden) + 1}"] = linear(classes)
    return serial(**layers)
