"""ResNet for small images."""

import operator

import jax

from lenetjax.combinators import AnyLayer, residual, serial
from lenetjax.core import Layer, LayerError
from lenetjax.layers import (
    avg_pool2d,
    batch_norm,
    conv2d,
    flatten,
    global_avg_pool,
    linear,
    pad,
    unflatten,
)


def resnet20(classes: int = 10) -> Layer:
    """Builds the ResNet of 20 layers for 32x32 images: 269,722 params on 3 channels.

    It is ``resnet(20, classes)``.

    Args:
      classes: how many classes to tell apart.

    Input: images (batch, 32, 32, 3), floating; other sizes and channels will do.
    Output: logits (batch, classes).
    Params, state: see `resnet`.

    Raises:
      LayerError: classes is no positive int.

    Example:
      >>> import jax, jax.numpy as jnp, lenetjax as nn
      >>> net = nn.models.resnet20()
      >>> params, state = net.init_with_state(
      ...     jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
      >>> sum(p.size for p in jax.tree.leaves(params))
      269722

    Reference: He et al., "Deep Residual Learning for Image Recognition", 2015, 4.2.
    """
    return resnet(20, classes)


def resnet(depth: int, classes: int = 10) -> Layer:
    """Builds the ResNet of 6n + 2 layers that He et al. trained on CIFAR-10.

    A 3x3 convolution, then three stages of n blocks at 16, 32 and 64 channels, then the
    mean over the image and a linear layer. Where a stage halves the image, the
    shortcut takes every second pixel and adds channels of zeros, half of them on either
    side (the paper's option A): it has no params.

    Args:
      depth: how many layers with weights, on the longest way through the net: 20, 32,
        44, 56, ... (also 8 and 14).
      classes: how many classes to tell apart.

    Input: images (batch, height, width, channels), floating.
    Output: logits (batch, classes).
    Params: conv, bn and fc; in "stage1/block1/add/body" and so on conv1, bn1, conv2 and
      bn2. Convolutions have no bias.
    State: the running mean and var of each batch norm.

    Raises:
      LayerError: depth is not 6n + 2, or classes is no positive int.

    Example:
      >>> import jax, jax.numpy as jnp, lenetjax as nn
      >>> net = nn.models.resnet(8)
      >>> params, state = net.init_with_state(
      ...     jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
      >>> net.apply(params, jnp.zeros((2, 32, 32, 3)), state=state).shape
      (2, 10)

    Reference: He et al., "Deep Residual Learning for Image Recognition", 2015, 4.2.
    """
    blocks = _blocks(depth)
    return serial(
        conv=conv2d(16, 3, padding=1, bias=False), bn=batch_norm(), relu=jax.nn.relu,
        stage1=_stage(blocks, 16),
        stage2=_stage(blocks, 32, halves=True),
        stage3=_stage(blocks, 64, halves=True),
        pool=global_avg_pool(),
        fc=linear(classes),
    )  # fmt: skip


def _blocks(depth: int) -> int:
    """How many blocks each stage has."""
    try:
        n, rest = divmod(operator.index(depth) - 2, 6)
    except TypeError:
        n, rest = 0, 0
    if n < 1 or rest:
        raise LayerError(f"depth must be 6n + 2, as 8, 14 and 20 are, got {depth!r}")
    return n


def _stage(blocks: int, channels: int, *, halves: bool = False) -> Layer:
    """Blocks one after the other, of which the first may halve the image."""
    names = [f"block{number}" for number in range(1, blocks + 1)]
    layers: dict[str, AnyLayer] = {
        name: _block(channels, halves=halves and name == "block1") for name in names
    }
    return serial(**layers)


def _block(channels: int, *, halves: bool) -> Layer:
    body = serial(
        conv1=conv2d(channels, 3, stride=2 if halves else 1, padding=1, bias=False),
        bn1=batch_norm(), relu=jax.nn.relu,
        conv2=conv2d(channels, 3, padding=1, bias=False),
        bn2=batch_norm(),
    )  # fmt: skip
    shortcut = _halved(channels) if halves else None
    return serial(add=residual(body, shortcut=shortcut), relu=jax.nn.relu)


def _halved(channels: int) -> Layer:
    """Every second pixel, between channels of zeros: as many again as there were.

    `pad` widens spatial axes, so the channels become one for a moment.
    """
    return serial(
        every_second=avg_pool2d(1, stride=2),
        as_axis=unflatten(3, (-1, 1)),
        zeros=pad((0, 0, channels // 4)),
        as_channels=flatten(3),
    )
