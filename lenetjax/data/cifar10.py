"""CIFAR-10: 60,000 small colour photographs, from the official binary version."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenetjax.data.cifar10_files import FILES, Records, find, read_archive, read_folder
from lenetjax.data.dataset import Dataset, Split
from lenetjax.data.places import PathLike

CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
SHAPE = (3, 32, 32)  # of an image in the files: channel by channel


def cifar10(data_dir: PathLike | None = None, *, download: bool = True) -> Dataset:
    """Loads CIFAR-10: 50,000 colour photographs to train on and 10,000 to test with.

    It is read from ``cifar-10-binary.tar.gz``, of which nothing is unpacked on the
    disk, or from the folder ``cifar-10-batches-bin`` that is in it. They are looked for
    in `data_dir`, which may also be the archive or the folder itself; without it in
    ``cifar-10`` in the folder that the variable LENETJAX_DATA names; without that in
    ``cifar-10`` in the user's cache folder, into which the archive is downloaded
    (170 MB) if need be.

    Args:
      data_dir: the only place to look in.
      download: whether the archive may be downloaded.

    Returns:
      A `Dataset`: images (count, 32, 32, 3), red, green and blue, float32 in [0, 1];
      labels (count,), int32, places in `CIFAR10_CLASSES`.

    Raises:
      FileNotFoundError: there are no such files, and there was no download.
      OSError: a file cannot be read.
      ValueError: a file is damaged, or it is the Python or another version.

    Example:
      >>> data = cifar10()  # doctest: +SKIP
      >>> data.train.images.shape  # doctest: +SKIP
      (50000, 32, 32, 3)
      >>> CIFAR10_CLASSES[3]
      'cat'

    Reference: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images",
      2009, https://www.cs.toronto.edu/~kriz/cifar.html.
    """
    records = read_files(find(data_dir, download=download))
    *train, test = (records[name] for name in FILES)
    return Dataset(_split(train), _split([test]))


def read_files(path: Path) -> Records:
    """Reads the six files of the archive or the folder, with labels of ten classes.

    Raises:
      OSError: they cannot be read.
      ValueError: they are damaged, or others.
    """
    records = read_folder(path) if path.is_dir() else read_archive(path)
    return {name: _checked(path, name, some) for name, some in records.items()}


def _checked(path: Path, name: str, records: NDArray[Any]) -> NDArray[Any]:
    wrong = np.flatnonzero(records[:, 0] >= len(CIFAR10_CLASSES))
    if wrong.size:
        raise ValueError(
            f"{path}: expected labels 0 to 9 in {name}, got {records[wrong[0], 0]} at "
            f"index {wrong[0]}; the file is damaged or not CIFAR-10, get it again"
        )
    return records


def _split(batches: Sequence[NDArray[Any]]) -> Split:
    count = sum(map(len, batches))
    images = np.empty((count, *SHAPE[1:], SHAPE[0]), np.float32)
    labels = np.empty(count, np.int32)
    start = 0
    for records in batches:
        some = slice(start, start + len(records))
        labels[some] = records[:, 0]
        channels_last = records[:, 1:].reshape(-1, *SHAPE).transpose(0, 2, 3, 1)
        # Into the result at once: another copy of 50,000 images would be 614 MB.
        np.divide(channels_last, 255, out=images[some], dtype=np.float32)
        start += len(records)
    return Split(images, labels)
