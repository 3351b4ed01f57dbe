"""The vision transformer."""

from jax.nn.initializers import normal

from lenetjax import layers
from lenetjax.combinators import serial
from lenetjax.core import Layer
from lenetjax.functional.arguments import size
from lenetjax.wrappers import repeat


def vit(
    classes: int = 10,
    *,
    patch: int = 4,
    features: int = 64,
    depth: int = 6,
    heads: int = 4,
    dropout: float = 0.1,
) -> Layer:
    """Builds the vision transformer: attention between the patches of an image.

    Each patch is mapped linearly to its features, and gets a learned vector for its
    position. Then come blocks of attention and of two linear layers with four times
    the features between them, each with layer norm before it, and at the end the mean
    over the patches. The sizes are those of a small net for 32x32 images; the paper's
    smallest is ``vit(1000, patch=16, features=768, depth=12, heads=12)``.

    Args:
      classes: how many classes to tell apart.
      patch: the height and width of a patch, which divides that of the image.
      features: the size of each patch's vector.
      depth: how many blocks there are; they are compiled once.
      heads: the number of attention heads, which divides features.
      dropout: the probability of zeroing, in training, as in
        `transformer_encoder_block`, and of what goes into the first one.

    Input: images (batch, height, width, channels), floating; of the size that the
      params were made for, as each position has a vector of its own.
    Output: logits (batch, classes).
    Params: patches, positions, norm and fc, and in "blocks" those of
      `transformer_encoder_block`, each array with a first axis of depth.

    Raises:
      LayerError: a size is no positive int, or dropout out of range; later, patch does
        not divide the image's size, or heads not features.

    Example:
      >>> import jax, jax.numpy as jnp, lenetjax as nn
      >>> net, x = nn.models.vit(), jnp.zeros((2, 32, 32, 1))
      >>> params = net.init(jax.random.key(0), x)
      >>> params["positions"]["weight"].shape, net.apply(params, x).shape
      ((64, 64), (2, 10))

    Reference: Dosovitskiy et al., "An Image is Worth 16x16 Words", 2020; the mean in
    place of a class token is that of appendix D.3.
    """
    size("patch", patch)
    size("features", features)
    size("depth", depth)
    block = layers.transformer_encoder_block(
        heads, hidden=4 * features, activation="gelu", norm_first=True, dropout=dropout
    )
    return serial(
        cut=layers.pixel_unshuffle(patch),
        sequence=layers.flatten(1, 2),
        patches=layers.linear(features),
        positions=layers.learned_positions(weight_init=normal(0.02)),
        drop=layers.dropout(dropout),
        blocks=repeat(depth, block),
        norm=layers.layer_norm(),
        mean=layers.global_avg_pool(),
        fc=layers.linear(classes),
    )
