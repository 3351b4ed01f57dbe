"""Downloads that are checked before anybody can find them on the disk."""

import contextlib
import hashlib
import http.client
import os
import tempfile
import urllib.request
import zlib
from collections.abc import Sequence
from pathlib import Path

TIMEOUT = 15  # seconds without a byte, per mirror
MOST_COMPRESSED = 16 * 1024**2  # MNIST's largest file has 9.9 MB,
MOST_BYTES = 64 * 1024**2  # and 47 MB when decompressed
GZIP = 16 + zlib.MAX_WBITS


def fetch(name: str, sha256: str, folder: Path, mirrors: Sequence[str]) -> Path:
    """Downloads a gzip file into a folder from the first mirror that has it right.

    The file appears in the folder when it is whole and its decompressed content has the
    given sha256, and not before.

    Raises:
      OSError: no mirror gave that file, or the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    reasons = []
    for mirror in mirrors:
        url = mirror + name
        try:
            content = _download(url)
            _check(content, sha256)
        except (OSError, ValueError, http.client.HTTPException) as error:
            reasons.append(f"{url}: {error or type(error).__name__}")
            continue
        return _write_whole(folder / name, content)
    raise OSError("; ".join(reasons))


def _download(url: str) -> bytes:
    # The mirrors are constants of this package, and the content has a pinned hash.
    with urllib.request.urlopen(url, timeout=TIMEOUT) as response:  # noqa: S310
        content: bytes = response.read(MOST_COMPRESSED + 1)
    if len(content) > MOST_COMPRESSED:
        raise ValueError(f"the server sent more than {MOST_COMPRESSED} bytes")
    return content


def _check(content: bytes, sha256: str) -> None:
    inflate = zlib.decompressobj(GZIP)
    try:
        values = inflate.decompress(content, MOST_BYTES)
    except zlib.error:
        raise ValueError("the server sent no gzip file") from None
    if not inflate.eof:
        raise ValueError("the server sent a gzip file that is cut short, or too large")
    if hashlib.sha256(values).hexdigest() != sha256:
        raise ValueError("the server sent a file with another content (sha256)")


def _write_whole(path: Path, content: bytes) -> Path:
    descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        return Path(part).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise
