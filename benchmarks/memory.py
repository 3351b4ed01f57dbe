"""How much memory this process has used at most."""

import resource
import sys
from pathlib import Path


def most_resident() -> int:
    """The largest resident size so far, in bytes."""
    try:
        # Not getrusage: on Linux it starts from the size of the parent.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
