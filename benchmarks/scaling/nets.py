"""What a net brings to a step: params, arithmetic, memory; counted, not typed in."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp

import lenetjax as nn
from benchmarks.flops import per_image, products
from lenetjax.core import Plan

# All-reduces of a batch norm over the whole batch, as compiled: mean, what rounding
# left of it, and variance on the way forward; two sums on the way back.
NORM_FORWARD, NORM_BACKWARD = 3, 2


class Part(NamedTuple):
    """A layer with params: their bytes, and the operations of its forward pass."""

    bytes: int
    flops: int


class Net(NamedTuple):
    """A net in numbers, for one image.

    Fields:
      name: of the net.
      parts: its layers with params, in order.
      flops: operations of a training step.
      outputs: bytes of the outputs of all layers.
      norms: bytes of a channel statistic, for each batch norm.
    """

    name: str
    parts: tuple[Part, ...]
    flops: int
    outputs: int
    norms: tuple[int, ...]

    @property
    def gradients(self) -> int:
        """Bytes of the gradients, in float32."""
        return sum(part.bytes for part in self.parts)

    @property
    def products(self) -> int:
        """How many layers multiply: convolutions and linear layers."""
        return sum(part.flops > 0 for part in self.parts)

    @property
    def norm_reductions(self) -> int:
        """All-reduces of batch norms that a step waits for, besides the gradients'."""
        return (NORM_FORWARD + NORM_BACKWARD) * len(self.norms)

    def with_own_norms(self) -> "Net":
        """The same net, with batch norms over each device's own images."""
        return self._replace(norms=())


def count(name: str, layer: nn.Layer, channels: int) -> Net:
    """Counts a net on an image of 32x32."""
    example = jax.ShapeDtypeStruct((1, 32, 32, channels), jnp.float32)
    leaves = list(leaves_of(layer.plan(example)))
    parts = tuple(
        Part(nbytes(leaf.params), sum(products(leaf))) for leaf in leaves if leaf.params
    )
    return Net(
        name,
        parts,
        per_image(layer, example).step,
        sum(nbytes(leaf.y) for leaf in leaves),
        tuple(nbytes(leaf.state["mean"]) for leaf in leaves if "mean" in leaf.state),
    )


def leaves_of(plan: Plan) -> Iterator[Plan]:
    if not plan.children:
        yield plan
    for child in plan.children:
        yield from leaves_of(child)


def nbytes(tree: object) -> int:
    leaves = jax.tree.leaves(tree)
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)


def all_nets() -> tuple[Net, ...]:
    """The nets of the note."""
    return (
        count("LeNet", nn.models.lenet(), 1),
        count("ResNet-20", nn.models.resnet20(), 3),
    )
