"""What the maps that explain a prediction share: which class's score they explain."""

from typing import Any

import jax
import jax.numpy as jnp

from lenetjax.core import Layer, LayerError
from lenetjax.functional.arguments import check_images
from lenetjax.losses import check_labels
from lenetjax.specs import shapes_text


def check_question(
    who: str, net: Layer, images: jax.Array, classes: jax.Array | None
) -> int:
    """Refuses images, a net or classes that no such map can be made of.

    Returns:
      How many classes there are.

    Raises:
      LayerError: images are no floating (n, height, width, channels), the net makes no
        logits of them, or classes are no class numbers for these.
    """
    check_images(images, 2)
    if len(images) == 0:
        raise LayerError(f"{who}: expected at least one image, got none")
    logits = net.plan(images).y
    shape: tuple[int, ...] = getattr(logits, "shape", ())
    if len(shape) != 2 or shape[0] != len(images):
        raise LayerError(
            f"{who}: expected a net that makes logits (n, classes) of images, got "
            f"{shapes_text(logits)} for {shapes_text(images)}"
        )
    if classes is not None:
        check_labels(classes, logits)
    return shape[1]


def score(logits: jax.Array, label: Any) -> jax.Array:
    """One image's logit (1, classes) of a class, or of the predicted one if None."""
    label = logits[0].argmax() if label is None else label
    chosen = jax.nn.one_hot(label, logits.shape[-1], dtype=bool)
    return jnp.where(chosen, logits[0], 0).sum()


def spoil_unknown(maps: jax.Array, labels: jax.Array | None, classes: int) -> jax.Array:
    """Makes the maps NaN of classes that are none, where nothing could refuse them."""
    if labels is None:
        return maps
    known = (labels >= 0) & (labels < classes)
    return jnp.where(known[:, None, None], maps, jnp.nan)
