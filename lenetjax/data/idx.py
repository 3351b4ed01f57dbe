"""The IDX file format, in which MNIST and its relatives are distributed.

A file is `00 00 code axes`, then one big-endian uint32 per axis, then the values. Every
number in the header is checked before anything of that size is read, so a hostile or
damaged file costs neither memory nor time.
"""

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lenetjax.data.checks import is_web_page

DTYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(np.uint8),
    0x09: np.dtype(np.int8),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
KIND_AXES = {"images": 3, "labels": 1}
MOST_AXES = 8
MOST_BYTES = 2 * 1024**3
CHUNK = 1024**2


class Stream(Protocol):
    """What is read from: a plain file or a gzipped one."""

    def read(self, size: int, /) -> bytes: ...


def read_idx(path: str | os.PathLike[str], kind: str | None = None) -> NDArray[Any]:
    """Reads an array from an IDX file, gzipped or plain.

    Args:
      path: the file. Its first bytes tell whether it is gzipped, not its name.
      kind: "images" demands uint8 with three axes; "labels" demands uint8 with one axis
        and values 0 to 9; None takes any IDX file.

    Returns:
      An array of the shape and type that the file states, in native byte order: uint8,
      int8, int16, int32, float32 or float64.

    Raises:
      OSError: the file cannot be read.
      ValueError: it is not a whole IDX file of that kind, has a side of zero, or
        states more than 2 GiB; the message says which.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder, "two-labels")
      ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 3]))
      ...     read_idx(path, kind="labels")
      array([7, 3], dtype=uint8)

    Reference: LeCun, Cortes and Burges, "The MNIST database of handwritten digits".
    """
    if kind is not None and kind not in KIND_AXES:
        raise ValueError(f'kind must be "images", "labels" or None, got {kind!r}')
    path = Path(path)
    with path.open("rb") as file:
        gzipped = file.peek(2)[:2] == b"\x1f\x8b"
        if not gzipped:
            return _read_array(file, path, kind)
        try:
            with gzip.GzipFile(fileobj=file) as stream:
                return _read_array(stream, path, kind)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ValueError(
                f"{path}: expected whole gzip data, got a damaged file ({error}); "
                f"get the file again"
            ) from error


def _read_array(stream: Stream, path: Path, kind: str | None) -> NDArray[Any]:
    dtype, axes = _read_type(stream, path)
    shape = _read_shape(stream, path, axes)
    size = _size(path, dtype, shape)
    if kind is not None:
        _check_kind(path, kind, dtype, axes)
    values = _read_at_most(stream, size + 1)
    if len(values) < size:
        raise ValueError(
            f"{path}: expected {size} bytes for shape {shape}, got {len(values)}; "
            f"the file is cut short, get it again"
        )
    if len(values) > size:
        raise ValueError(
            f"{path}: expected {size} bytes for shape {shape}, got more; "
            f"the file is no plain IDX file, get it again"
        )
    array = np.frombuffer(values, dtype).reshape(shape)
    if kind == "labels":
        _check_labels(path, array)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _read_type(stream: Stream, path: Path) -> tuple[np.dtype[Any], int]:
    start = stream.read(4)
    if not start:
        raise ValueError(
            f"{path}: expected an IDX file, got an empty one; get one again"
        )
    if _is_web_page(start, stream):
        raise ValueError(
            f"{path}: expected an IDX file, got a web page: the download failed; "
            f"delete the file and get it again"
        )
    if len(start) < 4:
        raise ValueError(_cut_header(path, 4, len(start)))
    if start[:2] != b"\0\0":
        raise ValueError(
            f"{path}: expected an IDX file, which starts with 00 00, got "
            f"{start.hex(' ')}; is this the right file?"
        )
    code, axes = start[2], start[3]
    if code not in DTYPES:
        known = ", ".join(f"{known:02x}" for known in DTYPES)
        raise ValueError(
            f"{path}: expected an IDX type code ({known}), got {code:02x}; "
            f"is this the right file?"
        )
    if not 1 <= axes <= MOST_AXES:
        raise ValueError(
            f"{path}: expected 1 to {MOST_AXES} axes, got {axes}; "
            f"is this the right file?"
        )
    return DTYPES[code], axes


def _is_web_page(start: bytes, stream: Stream) -> bool:
    # No IDX file starts with "<" or a space, so what is read on here is not missed.
    if start[0] not in b"< \t\r\n\xef":
        return False
    return is_web_page(start + stream.read(508))


def _read_shape(stream: Stream, path: Path, axes: int) -> tuple[int, ...]:
    sizes = stream.read(4 * axes)
    if len(sizes) < 4 * axes:
        raise ValueError(_cut_header(path, 4 + 4 * axes, 4 + len(sizes)))
    return tuple(np.frombuffer(sizes, ">u4").tolist())


def _cut_header(path: Path, expected: int, got: int) -> str:
    return (
        f"{path}: expected an IDX header of {expected} bytes, got {got}; "
        f"the file is cut short, get it again"
    )


def _size(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> int:
    # Python's ints do not overflow, so a product of 2**64 cannot pass for zero.
    size = math.prod(shape) * dtype.itemsize
    if size > MOST_BYTES:
        raise ValueError(
            f"{path}: expected at most {MOST_BYTES} bytes of values, got a header that "
            f"states {size}, for shape {shape}; the file is damaged, get it again"
        )
    if size == 0:
        raise ValueError(
            f"{path}: expected sides of at least 1, got shape {shape}; "
            f"the file holds nothing, get it again"
        )
    return size


def _check_kind(path: Path, kind: str, dtype: np.dtype[Any], axes: int) -> None:
    wanted = KIND_AXES[kind]
    if dtype == np.uint8 and axes == wanted:
        return
    raise ValueError(
        f"{path}: expected {kind} (uint8, axes: {wanted}), got {dtype.name}, axes: "
        f"{axes}; were the files of images and labels swapped?"
    )


def _read_at_most(stream: Stream, limit: int) -> bytearray:
    # In chunks: read(limit) would set aside at once what the file only claims to hold.
    values = bytearray()
    while chunk := stream.read(min(CHUNK, limit - len(values))):
        values += chunk
    return values


def _check_labels(path: Path, labels: NDArray[Any]) -> None:
    wrong = np.flatnonzero(labels > 9)
    if wrong.size:
        raise ValueError(
            f"{path}: expected labels 0 to 9, got {labels[wrong[0]]} at index "
            f"{wrong[0]}; is this a file of ten classes?"
        )
