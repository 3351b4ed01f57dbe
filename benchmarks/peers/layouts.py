"""lenetjax's first values in the layouts of the others."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from benchmarks.setup import Array


def filters_first(weight: Array) -> Array:
    """(height, width, in, out) as (out, in, height, width)."""
    return np.ascontiguousarray(weight.transpose(3, 2, 0, 1))


def channels_outer(weight: Array, channels: int) -> Array:
    """The weight of a linear layer over a flattened image, whose channel runs fastest,
    for an image whose channel runs slowest: (in, out) with `in` in another order.
    """
    features, out = weight.shape
    side = round((features / channels) ** 0.5)
    image = weight.reshape(side, side, channels, out)
    return np.ascontiguousarray(image.transpose(2, 0, 1, 3)).reshape(features, out)


LAST_CHANNELS = 16  # of LeNet's second convolution


def features_first(values: Mapping[str, Array]) -> dict[str, Array]:
    """All values as PyTorch and Equinox have them: (out, in, ...), channels first.

    Names stay as they are.
    """
    result = {}
    for path, array in values.items():
        if array.ndim == 4:
            array = filters_first(array)
        elif array.ndim == 2:
            if path == "fc1.weight":
                array = channels_outer(array, LAST_CHANNELS)
            array = np.ascontiguousarray(array.T)
        result[path] = array
    return result


class Block(NamedTuple):
    """A block of ResNet-20: where its values are, and its shape."""

    path: str
    inputs: int
    channels: int
    stride: int


def place(path: str) -> tuple[int | None, str, str]:
    """Where a value belongs: the block's number (None outside of them), the module in
    it, and the kind, as in (0, "conv1", "weight").
    """
    *block, name, kind = path.rsplit(".", 2)
    numbers = {entry.path: number for number, entry in enumerate(blocks())}
    return (numbers[block[0]] if block else None), name, kind


def blocks() -> list[Block]:
    """All blocks of ResNet-20, in order."""
    found = []
    inputs = 16
    for stage, channels in ((1, 16), (2, 32), (3, 64)):
        for number in (1, 2, 3):
            path = f"stage{stage}.block{number}.add.body"
            stride = 1 if inputs == channels else 2
            found.append(Block(path, inputs, channels, stride))
            inputs = channels
    return found
