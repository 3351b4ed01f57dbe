"""VGG for small images."""

from collections.abc import Sequence

import jax

from lenetjax.combinators import AnyLayer, serial
from lenetjax.core import Layer, LayerError
from lenetjax.layers import batch_norm, conv2d, flatten, linear, max_pool2d

STAGES = ((32,), (64,), (128, 128), (256, 256), (256, 256))


def vgg(classes: int = 10, *, stages: Sequence[Sequence[int]] = STAGES) -> Layer:
    """Builds stages of 3x3 convolutions, each of which ends by halving the image.

    Each convolution keeps the image's size, and batch norm and ReLU follow it. At the
    end stands one linear layer, where the paper has three. Unless told otherwise, the
    convolutions are those of the paper's net of 11 layers, at half its width:
    2,311,562 params on 32x32 images of 3 channels.

    Args:
      classes: how many classes to tell apart.
      stages: for each stage the channels of its convolutions; the paper's net has
        ``((64,), (128,), (256, 256), (512, 512), (512, 512))``.

    Input: images (batch, height, width, channels), floating, 32x32 or larger for five
      stages.
    Output: logits (batch, classes).
    Params: in "stage1" and so on conv1, bn1, conv2, bn2, ...; fc.
    State: the running mean and var of each batch norm.

    Raises:
      LayerError: a size is no positive int, or a stage no sequence of them; later, the
        image is too small to be halved so often.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> net = nn.models.vgg()
      >>> params, state = net.init_with_state(
      ...     jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
      >>> nn.count(params)
      2311562

    Reference: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale
    Image Recognition", 2014; Ioffe and Szegedy, "Batch Normalization", 2015.
    """
    if not isinstance(stages, Sequence) or not all(
        isinstance(stage, Sequence) for stage in stages
    ):
        raise LayerError(
            f"stages must be the channels of each stage, such as ((32,), (64, 64)), "
            f"got {stages!r}"
        )
    blocks = {
        f"stage{number}": _stage(stage) for number, stage in enumerate(stages, start=1)
    }
    return serial(**blocks, flatten=flatten(), fc=linear(classes))


def _stage(stage: Sequence[int]) -> Layer:
    """Convolutions one after the other, and a max-pool."""
    layers: dict[str, AnyLayer] = {}
    for number, channels in enumerate(stage, start=1):
        layers[f"conv{number}"] = conv2d(channels, 3, padding=1)
        layers[f"bn{number}"] = batch_norm()
        layers[f"relu{number}"] = jax.nn.relu
    return serial(**layers, pool=max_pool2d(2))
