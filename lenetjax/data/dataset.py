"""The shape of a data set: train and test, each with images and labels."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Split(NamedTuple):
    """Images and their labels.

    Fields:
      images: (count, size, size, 1), float32 in [0, 1]; ink is 1 and paper is 0.
      labels: (count,), int32.

    Example:
      >>> split = Split(np.zeros((2, 32, 32, 1)), np.array([7, 3]))
      >>> split.labels
      array([7, 3])
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int32]


class Dataset(NamedTuple):
    """The images to train on, and the images to test with.

    Example:
      >>> split = Split(np.zeros((2, 32, 32, 1)), np.array([7, 3]))
      >>> Dataset(train=split, test=split).test.images.shape
      (2, 32, 32, 1)
    """

    train: Split
    test: Split
