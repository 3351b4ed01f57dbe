"""Takes part in races for a folder: a line on stdin is "START FOLDER"."""

import sys
import time

import numpy as np

from lenetjax.checkpoint import Folder
from lenetjax.locks import locked

for line in sys.stdin:
    start, path = line.strip().split(" ", 1)
    while time.time() < float(start):
        pass
    folder = Folder(path, keep=2)
    try:
        with locked(folder.path):
            for step in range(5):
                folder.save(step, {"who": np.full(3000, int(sys.argv[1]))})
        print("wrote", flush=True)
    except OSError as error:
        print(error, flush=True)
