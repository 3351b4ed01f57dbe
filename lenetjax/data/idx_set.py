"""A data set of four IDX files, which MNIST and its relatives are."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenetjax.data.checks import positive_int
from lenetjax.data.dataset import Dataset, Split
from lenetjax.data.download import fetch
from lenetjax.data.idx import read_idx
from lenetjax.data.images import resize as resized
from lenetjax.data.places import ELSEWHERE, PathLike, Place, place_of


class IdxSet(NamedTuple):
    """What such a data set is called, and where its files come from.

    Fields:
      title: its name, for messages.
      part: its folder inside of the one that LENETJAX_DATA names.
      cached: its folder in the user's cache.
      sha256: the hash of each file, by name: train images and labels, then test.
      mirrors: addresses that a file's name, with .gz, is added to.
      zipped: whether the hashes are those of the .gz files, not of what is in them.
    """

    title: str
    part: str
    cached: str
    sha256: Mapping[str, str]
    mirrors: Sequence[str]
    zipped: bool


class Raw(NamedTuple):
    """A pair of files and what they hold: uint8 (count, height, width) and (count,)."""

    images_path: Path
    images: NDArray[Any]
    labels_path: Path
    labels: NDArray[Any]


def read_set(
    source: IdxSet, data_dir: PathLike | None, *, download: bool
) -> tuple[Raw, Raw]:
    """Finds or downloads the four files, and reads them.

    Returns:
      What is there to train on, and to test with.

    Raises:
      FileNotFoundError: there are no such files, and there was no download.
      OSError: a file cannot be read.
      ValueError: a file is damaged, or the files do not belong together.
    """
    files = _find_files(source, data_dir, download)
    names = list(source.sha256)
    train, test = (
        _read(*(files[name] for name in pair)) for pair in (names[:2], names[2:])
    )
    if train.images.shape[1:] != test.images.shape[1:]:
        raise ValueError(
            f"images to train and test with must have the same sides: "
            f"{train.images_path} has {train.images.shape[1:]}, "
            f"{test.images_path} has {test.images.shape[1:]}"
        )
    return train, test


def to_dataset(parts: tuple[Raw, Raw], *, image_size: int, resize: bool) -> Dataset:
    """Makes square images of float32 in [0, 1], and int32 labels.

    Raises:
      ValueError: `image_size` is no positive int, or smaller than the images without
        `resize`.
    """
    size = positive_int("image_size", image_size)
    train, test = parts
    return Dataset(_split(train, size, resize), _split(test, size, resize))


def _find_files(
    source: IdxSet, data_dir: PathLike | None, download: bool
) -> dict[str, Path]:
    place = place_of(source.title, data_dir, part=source.part, cached=source.cached)
    if place.ours and download:
        _download_missing(source, place)
    files = _present(source, place.folder)
    missing = [name for name in source.sha256 if name not in files]
    if missing:
        raise FileNotFoundError(
            f"{place.lacks} {', '.join(missing)} (plain or .gz); put the files there, "
            f"or {ELSEWHERE}"
        )
    return files


def _present(source: IdxSet, folder: Path) -> dict[str, Path]:
    places = (
        (name, folder / (name + end)) for name in source.sha256 for end in (".gz", "")
    )
    return {name: path for name, path in places if path.is_file()}


def _download_missing(source: IdxSet, place: Place) -> None:
    present = _present(source, place.folder)
    missing = [name for name in source.sha256 if name not in present]
    try:
        for name in missing:
            fetch(
                f"{name}.gz",
                source.sha256[name],
                place.folder,
                source.mirrors,
                zipped=source.zipped,
            )
    except OSError as error:
        raise FileNotFoundError(
            f"{source.title} is not on this machine and could not be downloaded; put "
            f"{', '.join(missing)} (plain or .gz) in {place.folder}, or {ELSEWHERE}. "
            f"The reason: {error}"
        ) from error


def _read(images_path: Path, labels_path: Path) -> Raw:
    images = read_idx(images_path, kind="images")
    labels = read_idx(labels_path, kind="labels")
    if len(images) != len(labels):
        raise ValueError(
            f"each image needs a label: {images_path} has {len(images)} images, "
            f"{labels_path} has {len(labels)} labels; are both from the same data?"
        )
    return Raw(images_path, images, labels_path, labels)


def _split(raw: Raw, size: int, resize: bool) -> Split:
    labels = raw.labels.astype(np.int32)
    if resize:
        scaled = np.divide(raw.images[..., np.newaxis], 255, dtype=np.float32)
        return Split(resized(scaled, size), labels)
    if size < max(raw.images.shape[1:]):
        raise ValueError(
            f"image_size={size} is smaller than the images of {raw.images_path}, "
            f"{raw.images.shape[1:]}; pass resize=True to shrink them"
        )
    return Split(_pad(raw.images, size), labels)


def _pad(images: NDArray[Any], size: int) -> NDArray[np.float32]:
    count, height, width = images.shape
    top, left = (size - height) // 2, (size - width) // 2
    padded = np.zeros((count, size, size, 1), np.float32)
    inside = padded[:, top : top + height, left : left + width, 0]
    # Into the result at once: another copy of 60,000 images would be 188 MB.
    np.divide(images, 255, out=inside, dtype=np.float32)
    return padded
