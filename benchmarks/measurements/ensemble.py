"""Whether an ensemble is faster than its members one by one."""

from benchmarks.measurements.pairs import compare
from benchmarks.processes import Failure
from benchmarks.session import Session

MEMBERS, BATCHES = 16, (16, 32, 64)


def measure(session: Session) -> None:
    """Notes the ratio of one step of an ensemble to a step of each of its members."""
    session.say(f"ensemble: measuring {MEMBERS} LeNets at once and one by one")
    for batch in BATCHES:
        spec = {"members": MEMBERS, "batch": batch}
        try:
            with session.worker("ensemble", "jax", **spec) as worker:
                found = compare(session, worker, ("ensemble", "singles"))
                session.add("ensemble", {**spec, **found})
        except Failure as failure:
            session.leave_out("ensemble", f"batch {batch}", str(failure))
