"""One writer to a folder."""

import contextlib
import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

LOCK = ".lock"
LONGEST = 500  # bytes of a holder's name that are shown


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps other processes out of a folder.

    The system lets go of the lock when its holder (and what it has forked) ends,
    however that happens: a file that was left by a killed one holds nobody up.

    Raises:
      OSError: another process has the lock, and which; or the folder cannot be written.
    """
    descriptor = _acquire(folder / LOCK)
    try:
        yield
    finally:
        # Removed while it is held: whoever waits for this very file sees that it is
        # gone from its place, and makes another.
        with contextlib.suppress(OSError):
            if _is_at(descriptor, folder / LOCK):
                os.unlink(folder / LOCK)
        os.close(descriptor)


def _acquire(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(descriptor, path)
            if _is_at(descriptor, path):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, _me().encode())
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            reason = f"{error.strerror}: this file system has no locks"
            raise OSError(error.errno, reason, str(path)) from error
        reason = f"in use by {_holder(descriptor)}; wait for it, or take another folder"
        raise OSError(errno.EWOULDBLOCK, reason, str(path.parent)) from None


def _holder(descriptor: int) -> str:
    for _ in range(10):
        if text := os.pread(descriptor, LONGEST, 0):
            return text.decode(errors="replace").strip()
        time.sleep(0.01)  # it has the lock, and writes its name next
    return "another process"


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _me() -> str:
    started = datetime.now().astimezone().isoformat(timespec="seconds")
    return f"process {os.getpid()} on {socket.gethostname()} since {started}\n"
