"""Times something for a moment, and sums up what many moments gave.

Free of the libraries that are measured: both sides of the pipe use it.
"""

import math
import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

WARM = 0.02  # seconds to run before the clock: the others have had the caches


def burst(
    call: Callable[[int], Any], finish: Callable[[Any], None], seconds: float
) -> dict[str, float]:
    """Calls for so many seconds, and returns the seconds per call.

    Args:
      call: called with 0, 1, 2, ...; may return before its work is done.
      finish: waits until the work of a call is done, and with it that of all before.
      seconds: how long to go on; at least one call is timed.
    """
    started = time.perf_counter()
    warm = 0
    while True:
        finish(call(warm))
        warm += 1
        passed = time.perf_counter() - started
        if passed > WARM:
            break
    calls = max(1, round(seconds / (passed / warm)))
    started = time.perf_counter()
    for number in range(calls):
        result = call(number)
    finish(result)
    return {"seconds": (time.perf_counter() - started) / calls, "calls": calls}


def summary(seconds: Iterable[float]) -> dict[str, float]:
    """The median and the quartiles."""
    values = sorted(seconds)
    if len(values) == 1:
        low = middle = high = values[0]
    else:
        low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": middle, "q1": low, "q3": high, "rounds": len(values)}


def geometric_mean(values: Iterable[float]) -> float:
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs))
