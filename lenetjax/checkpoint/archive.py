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
PIECE = 2**20


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
    from safetensors import SafetensorError, deserialize

    with _open(path) as file:
        header = _header(file, path)
        _check_digest(file, header, path)
        file.seek(0)
        content = file.read()
    try:
        entries = deserialize(content)
        arrays = {name: _array(name, entry) for name, entry in entries}
        metadata = _metadata(header)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedFile(f"{path} is no whole safetensors file: {error}") from None
    return arrays, metadata


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata alone, without a look at the digest.

    Raises:
      OSError: the file cannot be read.
      ValueError: it has none.
    """
    with _open(path) as file:
        return _metadata(_header(file, path))


def _open(path: Path) -> IO[bytes]:
    if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would wait forever
        raise DamagedFile(f"{path} is no regular file")
    return path.open("rb")


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


def _check_digest(file: IO[bytes], header: bytes, path: Path) -> None:
    """Reads the file piece by piece: a wrong one takes no memory."""
    place = DIGEST_ENTRY.search(header)
    if place is None:
        kind = "a foreign safetensors" if header[:1] == b"{" else "no safetensors"
        raise DamagedFile(
            f"{path} is {kind} file: it has no {DIGEST} in its header, so nothing "
            "tells whether it is whole; safetensors.numpy.load_file(path) reads "
            "foreign ones"
        )
    zeroed = header[: place.start(1)] + NO_DIGEST.encode() + header[place.end(1) :]
    digest = hashlib.sha256(len(header).to_bytes(8, "little") + zeroed)
    while piece := file.read(PIECE):
        digest.update(piece)
    if digest.hexdigest().encode() != place[1]:
        raise DamagedFile(
            f"{path} is damaged: its {DIGEST} is not the one in its header; take an "
            "older checkpoint or another copy"
        )


def _metadata(header: bytes) -> dict[str, str]:
    metadata = json.loads(header)["__metadata__"]
    return {name: text for name, text in metadata.items() if name != DIGEST}


def _array(name: str, entry: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    if len(name) > LONGEST_NAME:
        raise ValueError(f"a name of {len(name):,} characters")
    if entry["dtype"] not in DTYPES:
        raise ValueError(f"{name} is of a type that is not used here: {entry['dtype']}")
    return np.frombuffer(entry["data"], DTYPES[entry["dtype"]]).reshape(entry["shape"])
