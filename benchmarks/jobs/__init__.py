"""What runs in the processes that are measured, one module for each kind of job.

Each has ``start(spec)``, which prepares the work and returns what to report at once,
and the commands that may follow: functions by name, of JSON values.
"""

from collections.abc import Callable, Mapping
from typing import Any

Commands = Mapping[str, Callable[..., dict[str, Any]]]
Started = tuple[dict[str, Any], Commands]
