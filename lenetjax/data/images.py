"""Images from files, and images of another size."""

import os
import struct
import warnings
import zlib
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
    path: str | os.PathLike[str], *, image_size: int = 32
) -> NDArray[np.float32]:
    """Loads an image file as a net trained on digits sees it: light ink on dark paper.

    The image becomes gray, with white behind transparent parts. Dark ink on light paper
    is inverted; the border tells which it is. The longer side is scaled to `image_size`
    and the shorter one padded with paper.

    Args:
      path: a PNG, JPEG, BMP, GIF or WEBP file; of several frames the first is taken.
      image_size: height and width of the image returned, in pixels.

    Returns:
      (image_size, image_size, 1), float32 in [0, 1]; ink is 1 and paper is 0.

    Raises:
      ImportError: Pillow is not installed.
      OSError: the file cannot be opened.
      ValueError: it is no whole image of these formats, has too many pixels, or
        `image_size` is no positive int.

    Example:
      >>> import tempfile
      >>> from PIL import Image
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     Image.new("L", (40, 60), "white").save(f"{folder}/blank.png")
      ...     load_image(f"{folder}/blank.png", image_size=28).shape
      (28, 28, 1)
    """
    size = positive_int("image_size", image_size)
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise ImportError(
            'load_image() needs Pillow: pip install "lenetjax[data]"'
        ) from error
    with Path(path).open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata, which change no pixel
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            gray = _to_gray(_decode(file))
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
    return _to_square(gray, size)


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


def _decode(file: IO[bytes]) -> "Image":
    from PIL import Image, ImageOps

    image = Image.open(file, formats=FORMATS)
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


def _to_square(gray: "Image", size: int) -> NDArray[np.float32]:
    from PIL.Image import Resampling

    scale = size / max(gray.size)
    width, height = (max(1, round(side * scale)) for side in gray.size)
    # Scaled before padding: a strip of 1 x 60,000 pixels padded first takes 3.6 GB.
    small = gray.resize((width, height), Resampling.BILINEAR)
    ink = np.asarray(small, np.float32) / 255
    if _has_light_border(np.asarray(gray)):
        ink = 1 - ink
    top, left = (size - height) // 2, (size - width) // 2
    square = np.zeros((size, size, 1), np.float32)
    square[top : top + height, left : left + width, 0] = ink
    return square


def _has_light_border(gray: NDArray[np.uint8]) -> bool:
    border = [gray[0], gray[-1], gray[:, 0], gray[:, -1]]
    return bool(np.concatenate(border).mean() > 127.5)
