"""What the library costs on top of raw `jax.jit`."""

from benchmarks.measurements.pairs import compare
from benchmarks.processes import Failure
from benchmarks.session import Session

BATCHES = [32, 64]


def measure(session: Session) -> None:
    """Notes the ratio of `train_step` to code by hand, for LeNet and a tiny net."""
    session.say("overhead: measuring train_step beside code by hand")
    try:
        with session.worker("overhead", "jax", batches=BATCHES) as worker:
            for program in worker.greeting["programs"]:
                ways = ("train_step", "by hand")
                found = compare(session, worker, ways, program=program)
                session.add("overhead", {"program": program, **found})
    except Failure as failure:
        session.leave_out("train_step", "overhead", str(failure))
