"""What many steps in one call save, and what the own ways of computing do."""

from benchmarks.measurements.pairs import compare
from benchmarks.processes import Failure
from benchmarks.session import Session

BATCHES = (64, 256)
PAIRS = (("many", "one"), ("many", "xla"))
STEPS = 50  # as in `jobs.calls`


def measure(session: Session) -> None:
    """Notes the seconds of fifty steps of LeNet, and their ratios."""
    for batch in BATCHES:
        session.say(f"calls: measuring {STEPS} steps of LeNet, batch {batch}")
        try:
            with session.worker("calls", "jax", batch=batch) as worker:
                for pair in PAIRS:
                    found = compare(session, worker, pair)
                    session.add("calls", {"batch": batch, "ways": pair, **found})
        except Failure as failure:
            session.leave_out("calls", f"batch {batch}", str(failure))
