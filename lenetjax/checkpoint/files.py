"""Files that after a crash are the old ones or the new ones, never a part."""

import contextlib
import errno
import os
import secrets
from pathlib import Path

UNFINISHED = ".unfinished"
# What a file system answers that cannot sync a folder, or lets nobody read it.
NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EACCES)


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file beside its place, flushes it to the disk, and moves it there.

    Raises:
      OSError: it cannot be written, and how many bytes it needs; an old file is still
        there, whole. (Where the folder alone cannot be flushed it is the new one.)
    """
    try:
        _write_beside(path, content)
        _sync_folder(path.parent)
    except OSError as error:
        reason = f"{error.strerror or error} while writing {len(content):,} bytes"
        raise OSError(error.errno, reason, str(path)) from error


def sweep(folder: Path) -> None:
    """Removes what writers left that were killed; no other may be at work."""
    for leftover in folder.glob(f".*{UNFINISHED}"):
        leftover.unlink(missing_ok=True)


def _write_beside(path: Path, content: bytes) -> None:
    name = path.parent / f".{path.name}.{secrets.token_hex(4)}{UNFINISHED}"
    # Opened so, its mode is what the umask leaves, as with any new file.
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _sync_folder(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in NO_FOLDER_SYNC:
            raise
