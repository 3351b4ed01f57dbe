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
MOST_COMPRESSED = 32 * 1024**2  # Fashion-MNIST's largest file has 26.4 MB,
MOST_BYTES = 64 * 1024**2  # and 47 MB when decompressed
GZIP = 16 + zlib.MAX_WBITS


def fetch(
    name: str,
    sha256: str,
    folder: Path,
    mirrors: Sequence[str],
    *,
    zipped: bool = False,
    most: int = MOST_COMPRESSED,
) -> Path:
    """Downloads a gzip file into a folder from the first mirror that has it right.

    The file appears in the folder when it is whole and has the given sha256, and not
    before.

    Args:
      name: the file's, to be added to a mirror's address.
      sha256: of its decompressed content, so that any gzip of it will do.
      folder: where it goes; made if need be.
      mirrors: the beginnings of addresses.
      zipped: whether the sha256 is that of the gzip file itself.
      most: bytes that the file may have.

    Raises:
      OSError: no mirror gave that file, or the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    reasons = []
    for mirror in mirrors:
        url = mirror + name
        try:
            content = _download(url, most)
            _check_sha256(content if zipped else _unzip(content), sha256)
        except (OSError, ValueError, http.client.HTTPException) as error:
            reasons.append(f"{url}: {error or type(error).__name__}")
            continue
        return _write_whole(folder / name, content)
    raise OSError("; ".join(reasons))


def _download(url: str, most: int) -> bytes:
    # The mirrors are constants of this package, and the content has a pinned hash.
    with urllib.request.urlopen(url, timeout=TIMEOUT) as response:  # noqa: S310
        content: bytes = response.read(most + 1)
    if len(content) > most:
        raise ValueError(f"the server sent more than {most} bytes")
    return content


def _unzip(content: bytes) -> bytes:
    inflate = zlib.decompressobj(GZIP)
    try:
        values = inflate.decompress(content, MOST_BYTES)
    except zlib.error:
        raise ValueError("the server sent no gzip file") from None
    if not inflate.eof:
        raise ValueError("the server sent a gzip file that is cut short, or too large")
    return values


def _check_sha256(content: bytes, sha256: str) -> None:
    if hashlib.sha256(content).hexdigest() != sha256:
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
