"""Class-activation maps: where in an image a layer finds evidence for a class."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from lenetjax.core import Layer, LayerError, Params, State
from lenetjax.inspection.explaining import check_question, score, spoil_unknown
from lenetjax.specs import shapes_text
from lenetjax.wrappers import taps


def class_activation_maps(
    net: Layer,
    params: Params,
    images: ArrayLike,
    layer: str,
    *,
    classes: ArrayLike | None = None,
    state: State | None = None,
) -> jax.Array:
    """Computes where in each image a layer's output speaks for a class (Grad-CAM).

    The channels of the layer's output are summed up, each weighted with the mean over
    its pixels of the gradient of the class's logit; what is below zero becomes zero.
    The sum is enlarged to the image, linearly. Each image is looked at on its own, in
    evaluation mode. Each call compiles; within a `jax.jit` of yours only the first.

    Args:
      net: any layer that makes logits (n, classes) of images.
      params: what `init` or `fit` returned.
      images: (n, height, width, channels), floating.
      layer: the path of a layer whose output is (n, height, width, channels): best the
        activation behind the last convolution, such as "relu2" or "stage3/block3/relu".
      classes: the class to explain for each image, ints (n,); the predicted one when
        None. Under `jax.jit`, where nothing can be refused, a class out of range makes
        a map of NaN.
      state: the net's state, if it has any.

    Returns:
      Maps (n, height, width) of the images' size, at least 0.

    Raises:
      LayerError: images, params or state do not fit, classes are no class numbers, or
        there is no such layer, or several, or its output is none of images.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> net, images = nn.models.lenet(), jnp.ones((2, 32, 32, 1))
      >>> params = net.init(jax.random.key(0), images)
      >>> nn.inspection.class_activation_maps(net, params, images, "relu2").shape
      (2, 32, 32)

    Reference: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via
    Gradient-based Localization", 2017.
    """
    images = jnp.asarray(images)
    labels = None if classes is None else jnp.asarray(classes)
    n_classes = check_question("class_activation_maps", net, images, labels)
    look = taps(net, layer)
    path, output = _the_output(look, params, images, layer, state)

    def class_score(
        add: jax.Array, image: jax.Array, label: Any, params: Params
    ) -> tuple[jax.Array, jax.Array]:
        logits, seen = look(params, image[None], state=state, add={path: add})
        return score(logits, label), seen[path]

    def heat(image: jax.Array, label: Any, params: Params) -> Any:
        zeros = jnp.zeros(output.shape, output.dtype)
        gradient, seen = jax.grad(class_score, has_aux=True)(
            zeros, image, label, params
        )
        weights = gradient.mean((0, 1, 2))
        evidence = jax.nn.relu(jnp.einsum("hwc,c->hw", seen[0], weights))
        return jax.image.resize(evidence, image.shape[:2], "linear")

    @jax.jit
    def maps(params: Params, images: jax.Array, labels: Any) -> Any:
        by_image = (0, None if labels is None else 0, None)
        return jax.vmap(heat, by_image)(images, labels, params)

    return spoil_unknown(maps(params, images, labels), labels, n_classes)


def _the_output(
    look: Any, params: Params, images: jax.Array, layer: str, state: State | None
) -> tuple[str, jax.ShapeDtypeStruct]:
    """The path and shape of the one output that is looked at, for one image."""

    def outputs(params: Params, images: jax.Array, state: State | None) -> Any:
        return look(params, images, state=state)[1]

    seen = jax.eval_shape(outputs, params, images[:1], state)
    if len(seen) != 1:
        raise LayerError(f"{layer!r} must be one layer, and is {', '.join(seen)}")
    ((path, output),) = seen.items()
    if len(getattr(output, "shape", ())) != 4:
        raise LayerError(
            f"{layer!r} must be a layer that makes (n, height, width, channels), such "
            f"as a convolution, and makes {shapes_text(output)}"
        )
    return path, output
