"""The arithmetic that a net needs, counted from its layers' shapes.

Only products count, two operations for each multiply-add, as is usual. They are those
of the definition, whatever a library makes of them: a faster way to compute a
convolution does not change what was to be computed.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax

import lenetjax as nn
from lenetjax.core import Plan


class Flops(NamedTuple):
    """Operations per image: of the forward pass, and of a training step."""

    forward: int
    step: int


def per_image(net: nn.Layer, example: Any) -> Flops:
    """Counts for one image.

    The gradient of a layer's weight takes as many operations as its forward pass, and
    so does that of its input; the first layer needs none for the images.

    Args:
      net: a net of convolutions and linear layers.
      example: a batch of one image, or its `jax.ShapeDtypeStruct`.
    """
    layers = list(products(net.plan(example)))
    forward = sum(layers)
    return Flops(forward, 3 * forward - layers[0])


def products(plan: Plan) -> Iterator[int]:
    """The operations of each layer that has products, in order."""
    if plan.layer.kind in ("conv2d", "linear"):
        weight: jax.ShapeDtypeStruct = plan.params["weight"]
        *depth, _ = weight.shape
        yield 2 * math.prod(depth) * math.prod(plan.y.shape)
    for child in plan.children:
        yield from products(child)
