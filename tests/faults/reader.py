"""Reads every hostile file, and says what it took: python reader.py FILE."""

import resource
import sys
import time
from pathlib import Path

import numpy as np

from lenetjax import checkpoint
from lenetjax.data import read_idx

sys.path.insert(0, str(Path(__file__).parent.parent))
import hostile

path = Path(sys.argv[1])
LIKE = {"fc": {"bias": np.ones(3, np.float32), "weight": np.ones((2, 3), np.float32)}}


def refused(read, content):
    """The seconds until a file was refused; None if it was not."""
    path.write_bytes(content)
    started = time.perf_counter()
    try:
        read()
    except ValueError:
        return time.perf_counter() - started
    return None


def memory():
    """The most that was used, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def readings():
    for name, content in hostile.checkpoints():
        yield name, refused(lambda: checkpoint.load(path, LIKE), content)
    for name, content in hostile.idx_files():
        yield name, refused(lambda: read_idx(path, "images"), content)


checkpoint.save(path, LIKE)
checkpoint.load(path, LIKE)
kinds = [len(content) for _, content in hostile.checkpoints()]  # made once before
before = memory()
for name, seconds in readings():
    print(name, seconds, sep="\t")
print("memory", memory() - before, sep="\t")
