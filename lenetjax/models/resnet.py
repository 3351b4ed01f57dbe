"""Residual nets: those for small images, and the one of 18 layers."""

import operator
from collections.abc import Callable

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
    max_pool2d,
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
        stage2=_stage(blocks, 32, halved=_every_second),
        stage3=_stage(blocks, 64, halved=_every_second),
        pool=global_avg_pool(),
        fc=linear(classes),
    )  # fmt: skip


def resnet18(
    classes: int = 1000, *, width: int = 64, small_images: bool = False
) -> Layer:
    """Builds the ResNet of 18 layers for ImageNet: 11,689,512 params on 3 channels.

    A 7x7 convolution and a max-pool, each of which halves the image, then four stages
    of two blocks at 64, 128, 256 and 512 channels, then the mean over the image and a
    linear layer. Where a stage halves the image, the shortcut is a 1x1 convolution and
    a batch norm (the paper's option B).

    Args:
      classes: how many classes to tell apart.
      width: the channels of the first stage; each one after it has twice as many.
      small_images: whether to begin with a 3x3 convolution that keeps the image's size
        instead, and no max-pool, as is usual for images of 32x32.

    Input: images (batch, height, width, channels), floating.
    Output: logits (batch, classes).
    Params: conv, bn and fc; in "stage1/block1/add/body" and so on conv1, bn1, conv2 and
      bn2, and in "stage2/block1/add/shortcut" and so on conv and bn. Convolutions have
      no bias.
    State: the running mean and var of each batch norm.

    Raises:
      LayerError: classes or width is no positive int.

    Example:
      >>> import jax, jax.numpy as jnp, lenetjax as nn
      >>> net = nn.models.resnet18()
      >>> nn.count(net.plan(jnp.zeros((1, 224, 224, 3))).params)
      11689512

    Reference: He et al., "Deep Residual Learning for Image Recognition", 2015, 4.1.
    Follows `torchvision.models.resnet18`.
    """
    stem: dict[str, AnyLayer] = {
        "conv": conv2d(width, 7, stride=2, padding=3, bias=False),
        "bn": batch_norm(),
        "relu": jax.nn.relu,
        "max_pool": max_pool2d(3, stride=2, padding=1),
    }
    if small_images:
        stem["conv"] = conv2d(width, 3, padding=1, bias=False)
        del stem["max_pool"]
    return serial(
        **stem,
        stage1=_stage(2, width),
        stage2=_stage(2, 2 * width, halved=_projected),
        stage3=_stage(2, 4 * width, halved=_projected),
        stage4=_stage(2, 8 * width, halved=_projected),
        pool=global_avg_pool(),
        fc=linear(classes),
    )


def _blocks(depth: int) -> int:
    """How many blocks each stage has."""
    try:
        n, rest = divmod(operator.index(depth) - 2, 6)
    except TypeError:
        n, rest = 0, 0
    if n < 1 or rest:
        raise LayerError(f"depth must be 6n + 2, as 8, 14 and 20 are, got {depth!r}")
    return n


def _stage(
    blocks: int, channels: int, *, halved: Callable[[int], Layer] | None = None
) -> Layer:
    """Blocks one after the other.

    `halved` makes the shortcut of the first one, where that halves the image.
    """
    shortcuts = [None if halved is None else halved(channels), *[None] * (blocks - 1)]
    return serial(
        **{
            f"block{number}": _block(channels, shortcut)
            for number, shortcut in enumerate(shortcuts, start=1)
        }
    )


def _block(channels: int, shortcut: Layer | None) -> Layer:
    """Two convolutions and what is added to them; a shortcut halves the image."""
    stride = 1 if shortcut is None else 2
    body = serial(
        conv1=conv2d(channels, 3, stride=stride, padding=1, bias=False),
        bn1=batch_norm(), relu=jax.nn.relu,
        conv2=conv2d(channels, 3, padding=1, bias=False),
        bn2=batch_norm(),
    )  # fmt: skip
    return serial(add=residual(body, shortcut=shortcut), relu=jax.nn.relu)


def _every_second(channels: int) -> Layer:
    """Every second pixel, between channels of zeros: as many again as there were.

    `pad` widens spatial axes, so the channels become one for a moment.
    """
    return serial(
        every_second=avg_pool2d(1, stride=2),
        as_axis=unflatten(3, (-1, 1)),
        zeros=pad((0, 0, channels // 4)),
        as_channels=flatten(3),
    )


def _projected(channels: int) -> Layer:
    """Every second pixel, with its channels mapped linearly."""
    return serial(conv=conv2d(channels, 1, stride=2, bias=False), bn=batch_norm())
