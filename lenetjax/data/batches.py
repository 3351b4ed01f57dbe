"""Batches of a split, in order or shuffled."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lenetjax.data.checks import positive_int
from lenetjax.data.dataset import Split

Batch = tuple[NDArray[np.float32], NDArray[np.int32]]


def batches(
    split: Split,
    batch_size: int,
    *,
    seed: int | None = None,
    epoch: int = 0,
    drop_last: bool = False,
) -> Iterator[Batch]:
    """Goes once through a split, one batch of images and labels at a time.

    The order depends on `seed` and `epoch` and on nothing else, so a run that stopped
    can go on with the batches it would have seen.

    Args:
      split: images (count, ...) and labels (count,).
      batch_size: images in a batch.
      seed: shuffles with this seed; None keeps the order, and gives views.
      epoch: with the seed, decides the order; each epoch has its own.
      drop_last: leaves out a last batch that is smaller than the others.

    Yields:
      images (batch_size, ...) and labels (batch_size,); the last may be smaller.

    Raises:
      ValueError: at the call: the split is empty, images and labels differ in number,
        `batch_size` is no positive int, `seed` or `epoch` is negative, or `drop_last`
        leaves no batch.

    Example:
      >>> split = Split(np.zeros((5, 32, 32, 1)), np.arange(5))
      >>> [labels.tolist() for images, labels in batches(split, 2)]
      [[0, 1], [2, 3], [4]]
    """
    batch_size = positive_int("batch_size", batch_size)
    count = _count(split)
    stop = count - count % batch_size if drop_last else count
    if stop == 0:
        raise ValueError(
            f"drop_last leaves no batch: batch_size is {batch_size} and there are "
            f"{count} images; pass a batch_size of at most {count}"
        )
    order = None
    if seed is not None:
        order = np.random.default_rng([seed, epoch]).permutation(count)
    return _cut(split, batch_size, stop, order)


def _count(split: Split) -> int:
    images, labels = len(split.images), len(split.labels)
    if images != labels:
        raise ValueError(f"each image needs a label: {images} images, {labels} labels")
    if images == 0:
        raise ValueError("the split is empty: there are no images to make batches of")
    return images


def _cut(
    split: Split, batch_size: int, stop: int, order: NDArray[np.int64] | None
) -> Iterator[Batch]:
    for start in range(0, stop, batch_size):
        end = start + batch_size
        chosen = slice(start, end) if order is None else order[start:end]
        yield split.images[chosen], split.labels[chosen]
