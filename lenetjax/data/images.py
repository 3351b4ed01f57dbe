"""Images from files, and images of another size."""

import contextlib
import os
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lenetjax.data.checks import positive_int

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
CHUNK = 1000  # images resized at a time, to need little memory beside the result

# What Pillow's decoders raise when a file is not what it says, besides its bomb errors.
BAD_FILE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
)


def load_image(
    path: str | os.PathLike[str], *, image_size: int = 32, channels: int = 1
) -> NDArray[np.float32]:
    """Loads an image file as a net trained on digits sees it: light ink on dark paper.

    The image becomes gray, with white behind transparent parts. Dark ink on light paper
    is inverted; the border tells which it is. The longer side is scaled to `image_size`
    and the shorter one padded with paper. With three channels the colors stay as they
    are, and the padding is black.

    Args:
      path: a PNG, JPEG, BMP, GIF or WEBP file; of several frames the first is taken.
      image_size: height and width of the image returned, in pixels.
      channels: 1 for ink on paper, or 3 for red, green and blue.

    Returns:
      (image_size, image_size, channels), float32 in [0, 1]; of one channel, ink is 1
      and paper is 0.

    Raises:
      ImportError: Pillow is not installed.
      OSError: the file cannot be opened.
      ValueError: it is no whole image of these formats, has too many pixels,
        `image_size` is no positive int, or `channels` is neither 1 nor 3.

    Example:
      >>> import tempfile
      >>> from PIL import Image
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     Image.new("L", (40, 60), "white").save(f"{folder}/blank.png")
      ...     load_image(f"{folder}/blank.png", image_size=28).shape
      (28, 28, 1)
    """
    check_reading(image_size, channels)
    with Path(path).open("rb") as file:
        return read_image(file, path, image_size, channels)


def check_reading(image_size: int, channels: int) -> None:
    """Refuses what `load_image` cannot do, before any file is opened."""
    positive_int("image_size", image_size)
    if positive_int("channels", channels) not in (1, 3):
        raise ValueError(f"channels must be 1 or 3, got {channels!r}")
    try:
        import PIL  # noqa: F401
    except ImportError as error:
        raise ImportError(
            'reading images needs Pillow: pip install "lenetjax[data]"'
        ) from error


def read_image(
    file: IO[bytes], path: str | os.PathLike[str], image_size: int, channels: int
) -> NDArray[np.float32]:
    """What `load_image` gives of an open file; errors name the path."""
    from PIL import Image, UnidentifiedImageError

    with _quiet():
        try:
            image = _decode(file)
            image = _to_gray(image) if channels == 1 else _to_colors(image)
        except UnidentifiedImageError:
            formats = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
            raise ValueError(
                f"{path}: expected a whole {formats} image, got something else"
            ) from None
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise ValueError(f"{path}: the image is too large: {error}") from None
        except BAD_FILE as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"{path}: the image is damaged: {reason}") from error
    return _to_square(image, image_size)


def resize(images: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Interpolates images bilinearly to another size, without aliasing.

    Args:
      images: (count, height, width, channels), float32 in [0, 1].
      size: height and width of the images returned, in pixels.

    Returns:
      (count, size, size, channels), float32 in [0, 1].

    Raises:
      ValueError: `size` is no positive int, or `images` are not floats with four axes.

    Example:
      >>> resize(np.ones((2, 8, 8, 1), np.float32), 32).shape
      (2, 32, 32, 1)
    """
    import jax

    size = positive_int("size", size)
    if images.ndim != 4 or images.dtype.kind != "f":
        raise ValueError(
            f"expected float images of shape (count, height, width, channels), got "
            f"{images.dtype} {images.shape}"
        )
    count, channels = images.shape[0], images.shape[3]
    result = np.empty((count, size, size, channels), np.float32)
    for start in range(0, count, CHUNK):
        chunk = images[start : start + CHUNK]
        shape = (len(chunk), size, size, channels)
        result[start : start + CHUNK] = jax.image.resize(chunk, shape, "bilinear")
    return np.clip(result, 0, 1, out=result)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Ignores warnings of odd metadata, which change no pixel.

    In the main thread alone: the threads of a loader share the filters of warnings, and
    would put them back in the wrong order.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _decode(file: IO[bytes]) -> "Image":
    from PIL import Image, ImageOps

    image = Image.open(file, formats=FORMATS)
    # What Pillow itself only warns of, where warnings are no errors.
    if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:
        raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels")
    image.load()
    if 0 in image.size:
        raise ValueError(f"it has no pixels: {image.size}")
    ImageOps.exif_transpose(image, in_place=True)
    return image


def _to_gray(image: "Image") -> "Image":
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits, which Pillow's own conversion clips
        return Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("L")
    image = image.convert("RGBA")
    white = Image.new("L", image.size, 255)
    white.paste(image.convert("L"), mask=image.getchannel("A"))
    return white


def _to_colors(image: "Image") -> "Image":
    from PIL import Image

    if image.mode.startswith("I"):
        return _to_gray(image).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    white = Image.new("RGB", image.size, (255, 255, 255))
    white.paste(image, mask=image.getchannel("A"))
    return white


def _to_square(image: "Image", size: int) -> NDArray[np.float32]:
    from PIL.Image import Resampling

    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    # Scaled before padding: a strip of 1 x 60,000 pixels padded first takes 3.6 GB.
    small = image.resize((width, height), Resampling.BILINEAR)
    values = np.asarray(small, np.float32).reshape(height, width, -1) / 255
    if image.mode == "L" and _has_light_border(np.asarray(image)):
        values = 1 - values
    top, left = (size - height) // 2, (size - width) // 2
    square = np.zeros((size, size, values.shape[-1]), np.float32)
    square[top : top + height, left : left + width] = values
    return square


def _has_light_border(gray: NDArray[np.uint8]) -> bool:
    border = [gray[0], gray[-1], gray[:, 0], gray[:, -1]]
    return bool(np.concatenate(border).mean() > 127.5)
