"""Saves while the kernel refuses one system call: python syscalls.py FOLDER.

Each refusal is tried in a process of its own, by a seccomp filter: the error comes from
the kernel. Prints a line for each: the call, the error, what happened.
"""

import ctypes
import errno
import os
import platform
import struct
import sys
from pathlib import Path

import numpy as np

from lenetjax import checkpoint

CALLS = {
    "x86_64": {
        "write": 1, "close": 3, "fsync": 74, "rename": 82, "openat": 257,
    },
    "aarch64": {
        "write": 64, "close": 57, "fsync": 82, "renameat": 38, "openat": 56,
    },
}  # fmt: skip
OLD, NEW = {"a": np.zeros(30_000)}, {"a": np.ones(30_000)}
NO_NEW_PRIVILEGES, SECCOMP, FILTER = 38, 22, 2
LOAD, EQUAL, RETURN, ALLOW, ERRNO = 0x20, 0x15, 0x06, 0x7FFF0000, 0x00050000


def refuse(call, error):
    """Lets the kernel answer a system call of this process with an error."""
    program = b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in (
            (LOAD, 0, 0, 0),
            (EQUAL, 0, 1, call),
            (RETURN, 0, 0, ERRNO | error),
            (RETURN, 0, 0, ALLOW),
        )
    )
    code = ctypes.create_string_buffer(program)
    size_and_code = struct.pack("HxxxxxxP", 4, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    one, mode, zero = map(ctypes.c_ulong, (1, FILTER, 0))
    for arguments in (
        (NO_NEW_PRIVILEGES, one, zero, zero, zero),
        (SECCOMP, mode, size_and_code),
    ):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


def attempt(path, call, error):
    """The exit status of a process that saves: 0 saved, 3 refused, else bad."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 9
    try:
        refuse(call, error)
        checkpoint.save(path, NEW)
        status = 0
    except OSError as found:
        status = 3 if found.errno == error and str(path) in str(found) else 8
    finally:
        os._exit(status)


def main(folder):
    path = Path(folder, "m.safetensors")
    for name, call in CALLS[platform.machine()].items():
        for error in (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS):
            checkpoint.save(path, OLD)
            status = attempt(path, call, error)
            value = int(checkpoint.load(path)["a"][0])
            print(
                name, errno.errorcode[error], status, value, *sorted(os.listdir(folder))
            )


if __name__ == "__main__":
    main(sys.argv[1])
