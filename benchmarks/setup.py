"""What every peer is given: the net's name, its first values, the same batches."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

IMAGES = {"lenet": (32, 32, 1), "lenet5": (32, 32, 1), "resnet20": (32, 32, 3)}
KERNELS = {"lenet": 3, "lenet5": 5}  # of the convolutions
CLASSES = 10
LEARNING_RATE = 0.01
MOMENTUM = 0.9
EPSILON = 1e-5  # of batch norm, everywhere
# A training run sees new images at each step, and so does a burst: the same few batches
# over and over would stay in the cache, and the net would learn them by heart.
POOL = 4


class Setup(NamedTuple):
    """One task for a peer.

    Fields:
      model: "lenet", "lenet5" or "resnet20".
      batch: images in a batch.
      values: the first values by path, as lenetjax names and shapes them: weights are
        (in, out) and (height, width, in, out).
      device: "cpu" or "gpu".
    """

    model: str
    batch: int
    values: Mapping[str, Array]
    device: str = "cpu"

    def batches(self) -> list[tuple[Array, Array]]:
        """Draws the batches, the same for all: images NHWC, float32, and labels."""
        random = np.random.default_rng(0)
        return [
            (
                random.normal(size=(self.batch, *IMAGES[self.model])).astype("float32"),
                random.integers(0, CLASSES, self.batch).astype("int32"),
            )
            for _ in range(POOL)
        ]


def read_values(path: str, model: str) -> dict[str, Array]:
    """Reads one net's first values from the file that the job `values` wrote."""
    with np.load(path) as file:
        prefix = f"{model}/"
        return {
            name.removeprefix(prefix): file[name]
            for name in file.files
            if name.startswith(prefix)
        }
