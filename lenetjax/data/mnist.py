"""MNIST: 70,000 handwritten digits, from files here or a checked download."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenetjax.data.checks import positive_int
from lenetjax.data.dataset import Dataset, Split
from lenetjax.data.download import fetch
from lenetjax.data.idx import read_idx
from lenetjax.data.images import resize as resized
from lenetjax.user_cache import user_cache

# The sha256 of each file's decompressed content.
SHA256 = {
    "train-images-idx3-ubyte": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
    ),
    "train-labels-idx1-ubyte": (
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
    ),
    "t10k-images-idx3-ubyte": (
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
    ),
    "t10k-labels-idx1-ubyte": (
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
    ),
}
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
VARIABLE = "LENETJAX_DATA"


class _Raw(NamedTuple):
    """A pair of files and what they hold: uint8 (count, height, width) and (count,)."""

    images_path: Path
    images: NDArray[Any]
    labels: NDArray[Any]


def mnist(
    data_dir: str | os.PathLike[str] | None = None,
    *,
    image_size: int = 32,
    resize: bool = False,
    download: bool = True,
) -> Dataset:
    """Loads MNIST: 60,000 handwritten digits to train on and 10,000 to test with.

    The four files, gzipped or plain, are looked for in `data_dir`; without it in the
    folder that the variable LENETJAX_DATA names; without that in the user's cache
    folder, into which they are downloaded (11 MB) if need be. Any data in MNIST's
    format will do, such as Fashion-MNIST.

    Args:
      data_dir: the only folder to look in.
      image_size: height and width of the images returned, in pixels. The files have 28;
        more pads with paper on all sides.
      resize: interpolates to `image_size` instead of padding.
      download: whether files may be downloaded.

    Returns:
      A `Dataset`: images (count, image_size, image_size, 1), float32 in [0, 1] with
      ink 1 and paper 0; labels (count,), int32 in 0 to 9.

    Raises:
      FileNotFoundError: there are no such files, and there was no download.
      OSError: a file cannot be read.
      ValueError: a file is damaged, the files do not belong together, or `image_size`
        is no positive int, or smaller than the images without `resize`.

    Example:
      >>> data = mnist()  # doctest: +SKIP
      >>> data.train.images.shape  # doctest: +SKIP
      (60000, 32, 32, 1)

    Reference: LeCun et al., "Gradient-based learning applied to document recognition",
      1998.
    """
    size = positive_int("image_size", image_size)
    files = _find_files(data_dir, download)
    train, test = _read(files, "train"), _read(files, "t10k")
    if train.images.shape[1:] != test.images.shape[1:]:
        raise ValueError(
            f"images to train and test with must have the same sides: "
            f"{train.images_path} has {train.images.shape[1:]}, "
            f"{test.images_path} has {test.images.shape[1:]}"
        )
    return Dataset(_split(train, size, resize), _split(test, size, resize))


def _find_files(
    data_dir: str | os.PathLike[str] | None, download: bool
) -> dict[str, Path]:
    if data_dir is not None:
        return _all_in(_path(data_dir), f"{data_dir} lacks")
    if named := os.environ.get(VARIABLE):
        return _all_in(_path(named), f"{VARIABLE} is set to {named}, which lacks")
    folder = _cache_folder()
    if download:
        _download_missing(folder)
    return _all_in(folder, f"MNIST is not on this machine: {folder} lacks")


def _path(folder: str | os.PathLike[str]) -> Path:
    # Shells leave the ~ in --data-dir=~/mnist to us. Unlike Path.expanduser, this
    # does not fail for a user without a home folder.
    return Path(os.path.expanduser(folder))


def _all_in(folder: Path, problem: str) -> dict[str, Path]:
    files = _present(folder)
    missing = [name for name in SHA256 if name not in files]
    if missing:
        raise FileNotFoundError(
            f"{problem} {', '.join(missing)} (plain or .gz); put the files there, or "
            f"name their folder with --data-dir (data_dir=) or {VARIABLE}"
        )
    return files


def _present(folder: Path) -> dict[str, Path]:
    places = ((name, folder / (name + end)) for name in SHA256 for end in (".gz", ""))
    return {name: path for name, path in places if path.is_file()}


def _cache_folder() -> Path:
    cache = user_cache()
    if cache is None:
        raise FileNotFoundError(
            f"MNIST was not found, as this user has no home folder to look in; name "
            f"the folder of the files with --data-dir (data_dir=) or {VARIABLE}"
        )
    return cache / "mnist"


def _download_missing(folder: Path) -> None:
    present = _present(folder)
    missing = [name for name in SHA256 if name not in present]
    try:
        for name in missing:
            fetch(f"{name}.gz", SHA256[name], folder, MIRRORS)
    except OSError as error:
        raise FileNotFoundError(
            f"MNIST is not on this machine and could not be downloaded; put "
            f"{', '.join(missing)} (plain or .gz) in {folder}, or name their folder "
            f"with --data-dir (data_dir=) or {VARIABLE}. The reason: {error}"
        ) from error


def _read(files: dict[str, Path], prefix: str) -> _Raw:
    images_path = files[f"{prefix}-images-idx3-ubyte"]
    labels_path = files[f"{prefix}-labels-idx1-ubyte"]
    images = read_idx(images_path, kind="images")
    labels = read_idx(labels_path, kind="labels")
    if len(images) != len(labels):
        raise ValueError(
            f"each image needs a label: {images_path} has {len(images)} images, "
            f"{labels_path} has {len(labels)} labels; are both from the same data?"
        )
    return _Raw(images_path, images, labels)


def _split(raw: _Raw, size: int, resize: bool) -> Split:
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
