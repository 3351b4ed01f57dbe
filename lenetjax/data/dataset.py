"""The shape of a data set: train and test, each with images and labels."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Split(NamedTuple):
    """Images and their labels, or sequences and theirs.

    Fields:
      images: (count, height, width, channels), float32 in [0, 1]; of digits ink is 1
        and paper is 0. Of text, ids of characters (count, length), int32.
      labels: (count,), int32; of text (count, length), what comes next.

    Example:
      >>> split = Split(np.zeros((2, 32, 32, 1)), np.array([7, 3]))
      >>> split.labels
      array([7, 3])
    """

    images: NDArray[Any]
    labels: NDArray[np.int32]


class Dataset(NamedTuple):
    """What to train on, and what to test with.

    Example:
      >>> split = Split(np.zeros((2, 32, 32, 1)), np.array([7, 3]))
      >>> Dataset(train=split, test=split).test.images.shape
      (2, 32, 32, 1)
    """

    train: Split
    test: Split
