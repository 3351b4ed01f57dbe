"""The command: ``python -m benchmarks``, or ``make bench``."""

import json
import signal
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.machine import describe
from benchmarks.measurements import (
    calls,
    compiling,
    devices,
    ensemble,
    epoch,
    mnist99,
    overhead,
    peak,
    saving,
    scaling,
    step,
)
from benchmarks.options import RESULTS, Options, parse
from benchmarks.processes import Failure
from benchmarks.session import Session, new_session

MEASURES = {
    "peak": peak.measure,
    "step": step.measure,
    "forward": step.measure,
    "epoch": epoch.measure,
    "scaling": scaling.measure,
    "overhead": overhead.measure,
    "calls": calls.measure,
    "ensemble": ensemble.measure,
    "devices": devices.measure,
    "split": devices.measure_times,
    "compile": compiling.measure,
    "saving": saving.measure,
    "mnist99": mnist99.measure,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and writes; 1 where a peer computed something else, 2 on a slip.

    Of a run that is interrupted, what it has measured is written beside the published
    results.
    """
    options = parse(arguments)
    status = 0
    try:
        with new_session(options) as session:
            session.prepare()
            # "step" and "forward" are measured together, by the same processes.
            for measure in dict.fromkeys(MEASURES[part] for part in options.parts):
                measure(session)
    except Failure as failure:
        print(f"benchmarks: lenetjax does not run here: {failure}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        status = 130
        session.leave_out("the rest", "everywhere", "interrupted")
    results = collect(session)
    print(report.plain(results))
    write(results, options, complete=options.complete and not status)
    return status or (1 if session.errors else 0)


def collect(session: Session) -> dict[str, Any]:
    """All that a run has found, ready for JSON."""
    options = session.options
    return {
        "platform": options.platform,
        "precision": options.precision,
        "threads": options.threads,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "quick": options.quick,
        "machine": describe(session.device),
        "flops": session.flops,
        "left_out": session.left_out,
        "errors": session.errors,
        **session.results,
    }


def write(results: dict[str, Any], options: Options, *, complete: bool) -> None:
    """Writes the JSON and the picture; of a complete run, RESULTS.md too.

    What a shorter run finds does not replace the published results.
    """
    usual = RESULTS if complete else Path("runs") / "bench"
    path = options.out or usual / f"{options.platform}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    written = [path]
    if find_spec("matplotlib") is not None and "step" in results:
        from benchmarks.figure import draw

        picture = path.with_suffix(".png")
        draw(results, picture)
        written.append(picture)
    if complete and options.out is None:
        published = [RESULTS / f"{name}.json" for name in ("cpu", "gpu")]
        out = RESULTS.parent / "RESULTS.md"
        report.write([file for file in published if file.exists()], out)
        written.append(out)
    print(f"\nwrote {', '.join(map(str, written))}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    sys.exit(main())
