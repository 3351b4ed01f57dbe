"""Saliency maps: which pixels a prediction hangs on."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from lenetjax.core import Layer, Params, State
from lenetjax.inspection.explaining import check_question, score, spoil_unknown


def saliency_maps(
    net: Layer,
    params: Params,
    images: ArrayLike,
    *,
    classes: ArrayLike | None = None,
    state: State | None = None,
) -> jax.Array:
    """Computes how much each pixel moves the score of a class, |d logit / d pixel|.

    Of several channels the largest counts. Each image is looked at on its own, in
    evaluation mode. Each call compiles; within a `jax.jit` of yours only the first.

    Args:
      net: any layer that makes logits (n, classes) of images.
      params: what `init` or `fit` returned.
      images: (n, height, width, channels), floating.
      classes: the class to explain for each image, ints (n,); the predicted one when
        None. Under `jax.jit`, where nothing can be refused, a class out of range makes
        a map of NaN.
      state: the net's state, if it has any.

    Returns:
      Maps (n, height, width) of the logits' dtype, at least 0, in logits per unit of
      the pixels.

    Raises:
      LayerError: images, params or state do not fit, or classes are no class numbers.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> net, images = nn.models.lenet(), jnp.ones((2, 32, 32, 1))
      >>> params = net.init(jax.random.key(0), images)
      >>> nn.inspection.saliency_maps(net, params, images).shape
      (2, 32, 32)

    Reference: Simonyan et al., "Deep Inside Convolutional Networks: Visualising Image
    Classification Models and Saliency Maps", 2013.
    """
    images = jnp.asarray(images)
    labels = None if classes is None else jnp.asarray(classes)
    n_classes = check_question("saliency_maps", net, images, labels)

    def class_score(image: jax.Array, label: Any, params: Params) -> jax.Array:
        return score(net.apply(params, image[None], state=state), label)

    @jax.jit
    def maps(params: Params, images: jax.Array, labels: Any) -> Any:
        by_image = (0, None if labels is None else 0, None)
        gradients = jax.vmap(jax.grad(class_score), by_image)(images, labels, params)
        return jnp.abs(gradients).max(-1)

    return spoil_unknown(maps(params, images, labels), labels, n_classes)
