"""A safetensors file with a digest of all its bytes.

The digest is an entry of the header's metadata. It is the sha256 of the file with zeros
in the digest's place, so that one changed bit anywhere is found.
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import jax.numpy as jnp
import numpy as np

Arrays = dict[str, np.ndarray[Any, Any]]

DTYPES = {  # safetensors.numpy reads no bfloat16
    "BOOL": np.dtype(bool),
    "BF16": np.dtype(jnp.bfloat16),
    **{f"F{bits}": np.dtype(f"f{bits // 8}") for bits in (16, 32, 64)},
    **{f"I{bits}": np.dtype(f"i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"U{bits}": np.dtype(f"u{bits // 8}") for bits in (8, 16, 32, 64)},
    "C64": np.dtype(np.complex64),
}
DIGEST = "sha256"
NO_DIGEST = "0" * 64
DIGEST_ENTRY = re.compile(rb'"%s":"([0-9a-f]{64})"' % DIGEST.encode())
LARGEST_HEADER = 2**20  # bytes; enough for some 8,000 arrays
LONGEST_NAME = 1_000
# What JSON of any other form raises when it is looked at as a header.
JSON_ERRORS = (
    ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError
)  # fmt: skip


class DamagedFile(ValueError):
    """A file is not what was written, or was never written here."""


def to_bytes(arrays: Arrays, metadata: Mapping[str, str]) -> bytes:
    """A whole file.

    Raises:
      ValueError: the names or the metadata are too long for a header, or an array has
        a dtype that files cannot hold.
    """
    from safetensors.numpy import save

    for name, array in arrays.items():
        if array.dtype not in DTYPES.values():
            raise ValueError(f"{name}: a file cannot hold {array.dtype}")
        if len(name) > LONGEST_NAME:
            raise ValueError(f"{name[:50]}...: a name of {len(name):,} characters")
        if name == "__metadata__":
            raise ValueError(f"{name}: this name means something else in a file")
    plain = save(arrays)
    length = int.from_bytes(plain[:8], "little")
    # Written here, as safetensors puts metadata in another order each time.
    notes = {DIGEST: NO_DIGEST, **dict(sorted(metadata.items()))}
    entries = {"__metadata__": notes, **json.loads(plain[8 : 8 + length])}
    header = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # the arrays are aligned
    if len(header) > LARGEST_HEADER:
        raise ValueError(
            f"{len(arrays):,} names and the metadata take {len(header):,} bytes; a "
            f"file holds {LARGEST_HEADER:,}"
        )
    content = len(header).to_bytes(8, "little") + header + plain[8 + length :]
    digest = hashlib.sha256(content).hexdigest()
    return content.replace(NO_DIGEST.encode(), digest.encode(), 1)


def read(path: Path) -> tuple[Arrays, dict[str, str]]:
    """The arrays and the metadata of a file, after its digest was found right.

    Raises:
      OSError: the file cannot be read.
      DamagedFile: it is no safetensors file, has no digest, or another one.
    """
    content, notes = _checked(path)
    return arrays_in(content, path), notes


def read_foreign(path: Path) -> Arrays:
    """The arrays of any safetensors file, such as another library has written.

    Raises:
      OSError: the file cannot be read.
      DamagedFile: it is no safetensors file, or cut short; a changed number in it is
        not found.
    """
    if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would wait forever
        raise DamagedFile(f"{path} is no regular file")
    return arrays_in(path.read_bytes(), path)


def arrays_in(content: bytes, path: Path) -> Arrays:
    """The arrays in a file's bytes.

    Raises:
      DamagedFile: they are no safetensors file's.
    """
    from safetensors import SafetensorError, deserialize

    try:
        return {name: _array(name, entry) for name, entry in deserialize(content)}
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DamagedFile(f"{path} is no whole safetensors file: {error}") from None


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a file, after its digest was found right.

    Raises:
      OSError, DamagedFile: as `read`.
    """
    return _checked(path)[1]


def _checked(path: Path) -> tuple[bytes, dict[str, str]]:
    if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would wait forever
        raise DamagedFile(f"{path} is no regular file")
    with path.open("rb") as file:
        header = _header(file, path)
        notes, end = _notes_and_end(header, path)
        size = os.fstat(file.fileno()).st_size
        if end != size:  # seen before a byte of the arrays is read
            raise DamagedFile(
                f"{path} is damaged: it has {size:,} bytes instead of {end:,}; take an "
                "older checkpoint or another copy"
            )
        content = len(header).to_bytes(8, "little") + header + file.read()
    place = DIGEST_ENTRY.search(header)
    if place is None:
        raise DamagedFile(
            f"{path} is a foreign safetensors file: it has no {DIGEST} in its header, "
            "so nothing tells whether it is whole; "
            "nn.interop.from_torch(net, path, x) reads PyTorch's weights, and "
            "safetensors.numpy.load_file(path) any arrays"
        )
    digest = hashlib.sha256(content[: 8 + place.start(1)])
    digest.update(NO_DIGEST.encode())
    digest.update(memoryview(content)[8 + place.end(1) :])
    if digest.hexdigest().encode() != place[1]:
        raise DamagedFile(
            f"{path} is damaged: its {DIGEST} is not the one in its header; take an "
            "older checkpoint or another copy"
        )
    return content, notes


def _header(file: IO[bytes], path: Path) -> bytes:
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if size < 10 or length > size - 8:
        raise DamagedFile(
            f"{path} is no safetensors file, or cut short: it has {size:,} bytes"
        )
    if length > LARGEST_HEADER:
        raise DamagedFile(
            f"{path} is no file of lenetjax: its header has {length:,} bytes, more "
            f"than {LARGEST_HEADER:,}"
        )
    return file.read(length)


def _notes_and_end(header: bytes, path: Path) -> tuple[dict[str, str], int]:
    """The metadata, and how long the file has to be."""
    try:
        entries = json.loads(header)
        notes = entries.pop("__metadata__", {})
        ends = [int(entry["data_offsets"][1]) for entry in entries.values()]
        if not all(type(text) is str for text in notes.values()):
            raise ValueError("its metadata are no strings")
    except JSON_ERRORS as error:
        raise DamagedFile(f"{path} is no safetensors file: {error}") from None
    notes.pop(DIGEST, None)
    return notes, 8 + len(header) + max(ends, default=0)


def _array(name: str, entry: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    if len(name) > LONGEST_NAME:
        raise ValueError(f"a name of {len(name):,} characters")
    if entry["dtype"] not in DTYPES:
        raise ValueError(f"{name!r} is of a type that is not used here")
    return np.frombuffer(entry["data"], DTYPES[entry["dtype"]]).reshape(entry["shape"])
