"""Images in one folder per class, read when they are asked for."""

import operator
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from lenetjax.data.images import check_reading, read_image

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")


class ImageFolder:
    """The images of a folder, by number: a source for grain and other loaders.

    Make one with `image_folder`.

    Attributes:
      classes: the names of the classes; a label is a place in this list.
      labels: (count,), int32, of all images.

    Example:
      >>> import tempfile
      >>> from PIL import Image
      >>> with tempfile.TemporaryDirectory() as root:
      ...     for name, color in {"night": "black", "snow": "white"}.items():
      ...         Path(root, name).mkdir()
      ...         Image.new("RGB", (9, 9), color).save(f"{root}/{name}/1.png")
      ...     image, label = image_folder(root, image_size=8)[1]
      >>> image.shape, float(image.min()), label
      ((8, 8, 3), 1.0, 1)
    """

    def __init__(
        self, root: str | os.PathLike[str], image_size: int, channels: int
    ) -> None:
        check_reading(image_size, channels)
        self.root = Path(root)
        self.image_size, self.channels = image_size, channels
        self.classes = _classes(self.root)
        found = [list(_images(self.root / name)) for name in self.classes]
        for name, images in zip(self.classes, found, strict=True):
            if not images:
                raise ValueError(
                    f"{self.root / name}: expected images of this class, "
                    f"{', '.join(ENDINGS)}, and found none"
                )
        self.labels: NDArray[np.int32] = np.repeat(
            np.arange(len(found), dtype=np.int32), [len(images) for images in found]
        )
        self._paths = [path for images in found for path, _, _ in images]
        # Of what each file was; millions of Python tuples would fill the memory.
        self._stamps: NDArray[np.int64] = np.array(
            [stamp for images in found for _, *stamp in images], np.int64
        )

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, number: SupportsIndex) -> tuple[NDArray[np.float32], int]:
        i = operator.index(number)
        if not -len(self) <= i < len(self):
            raise IndexError(f"{self!r} has no image {i}")
        path = self.path(i)
        with path.open("rb") as file:
            if (*self._stamps[i],) != _stamp(os.fstat(file.fileno())):
                raise ValueError(
                    f"{path}: has changed since image_folder looked at it; call "
                    "image_folder again, and begin the training anew"
                )
            image = read_image(file, path, self.image_size, self.channels)
        return image, int(self.labels[i])

    def path(self, number: SupportsIndex) -> Path:
        """Where an image is."""
        return self.root / self._paths[operator.index(number)]

    def __repr__(self) -> str:
        # The same in another process: grain's DataLoader compares it when it goes on.
        return (
            f"image_folder({str(self.root)!r}, image_size={self.image_size}, "
            f"channels={self.channels}): {len(self):,} images of "
            f"{len(self.classes):,} classes"
        )


def image_folder(
    root: str | os.PathLike[str], *, image_size: int = 32, channels: int = 3
) -> ImageFolder:
    """Lists the images of a folder that has one folder per class, as torchvision does.

    The classes are the folders in `root`, sorted by name, and their images are sorted
    by folder and name. Folders in them count too, and links are followed. Files with
    other endings than .png, .jpg, .jpeg, .bmp, .gif and .webp are passed over, and so
    is what has a name that begins with a dot.

    Only the names are read here. ``source[i]`` reads an image, as `load_image` does, so
    that the images need not fit the memory. Threads and other processes may read too.
    The source is what `grain.MapDataset.source`, `grain.DataLoader` and PyTorch's
    `DataLoader` take.

    Args:
      root: the folder.
      image_size: height and width of each image, in pixels: the longer side is scaled
        to it, and the shorter one padded.
      channels: 3 for red, green and blue as they are, with black padding; 1 for light
        ink on dark paper, as a net trained on digits sees it.

    Returns:
      An `ImageFolder`. ``len(source)`` is the number of images, ``source[i]`` is
      (image, label): float32 (image_size, image_size, channels) in [0, 1], and an int,
      the place of its class in ``source.classes``.

    Raises:
      ImportError: Pillow is not installed.
      OSError: there is no such folder, or it cannot be read; at ``source[i]``, a file
        is gone.
      ValueError: there are no classes, one has no images, or an argument is wrong; at
        ``source[i]``, a file is no whole image or has changed since.

    Example:
      >>> import tempfile
      >>> from PIL import Image
      >>> with tempfile.TemporaryDirectory() as root:
      ...     for name in "cat/1.png", "cat/young/2.png", "dog/1.png":
      ...         path = Path(root, name)
      ...         path.parent.mkdir(parents=True, exist_ok=True)
      ...         Image.new("RGB", (40, 60)).save(path)
      ...     source = image_folder(root)
      >>> source.classes, source.labels.tolist()
      (['cat', 'dog'], [0, 0, 1])
    """
    return ImageFolder(root, image_size, channels)


def _classes(root: Path) -> list[str]:
    with os.scandir(root) as entries:
        names = [entry.name for entry in entries if entry.is_dir()]
    classes = sorted(name for name in names if not _hidden(name))
    if not classes:
        raise ValueError(
            f"{root}: expected one folder for each class, with its images, and found "
            "no folder"
        )
    return classes


def _images(top: Path) -> Iterator[tuple[str, int, int]]:
    """Paths from the root, sizes and times of the images of a class, in order."""
    folders = []
    for folder, inner, names in os.walk(top, onerror=_raise, followlinks=True):
        inner[:] = [name for name in inner if not _hidden(name)]
        for name in inner:
            _refuse_loop(Path(folder, name), top)
        folders.append((folder, names))
    for folder, names in sorted(folders):
        for name in sorted(names):
            if name.lower().endswith(ENDINGS) and not _hidden(name):
                path = Path(folder, name)
                if not path.is_file() and path.exists():  # to read a pipe may block
                    raise ValueError(f"{path}: expected an image, and it is no file")
                yield str(path.relative_to(top.parent)), *_stamp(path.stat())


def _stamp(found: os.stat_result) -> tuple[int, int]:
    return found.st_size, found.st_mtime_ns


def _hidden(name: str) -> bool:
    return name.startswith(".")


def _refuse_loop(folder: Path, top: Path) -> None:
    """Refuses a link to one of the folders around it."""
    around = Path(os.path.realpath(folder.parent))
    if folder.is_symlink() and Path(os.path.realpath(folder)) in (
        around,
        *around.parents,
    ):
        raise ValueError(f"{folder}: a link to a folder that it is in; remove it")


def _raise(error: OSError) -> Any:
    raise error
