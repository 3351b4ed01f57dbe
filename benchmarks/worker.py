"""One process that is measured: it reads requests, a line of JSON each, and answers.

The first line says which job of `benchmarks.jobs` to prepare. Between requests the
process sleeps in a read, so that it does not disturb the others.
"""

import importlib
import json
import os
import sys
import traceback
from typing import Any


def main() -> int:
    # Libraries print what they like: what they print must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(content: dict[str, Any]) -> None:
        print(json.dumps(content), file=answers, flush=True)

    try:
        spec = json.loads(sys.stdin.readline())
        use_threads(spec.get("threads"))
        job = importlib.import_module(f"benchmarks.jobs.{spec['job']}")
        greeting, commands = job.start(spec)
        answer(greeting)
        for line in sys.stdin:
            request = json.loads(line)
            answer(commands[request.pop("do")](**request))
    except Exception as error:
        traceback.print_exc()
        lines = str(error).strip().splitlines() or [""]
        answer({"error": f"{type(error).__name__}: {lines[0]}"})
        return 1
    return 0


def use_threads(count: int | None) -> None:
    """Keeps this process to so many cores, before any library counts them."""
    if count and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        if count < len(cores):
            os.sched_setaffinity(0, cores[:count])


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # at once: the threads of a library may hang when it is unloaded
