"""What a checkpoint costs beyond the writing of its bytes."""

import tempfile

from benchmarks.measurements.pairs import compare
from benchmarks.processes import Failure
from benchmarks.session import Session


def measure(session: Session) -> None:
    """Notes the times of a save of LeNet's training and of writing as many bytes."""
    session.say("saving: measuring checkpoints beside bare files")
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            session.worker("saving", "jax", folder=folder) as worker,
        ):
            for state, size in worker.greeting["sizes"].items():
                found = compare(session, worker, ("save", "write"), state=state)
                session.add("saving", {"state": state, "bytes": size, **found})
    except Failure as failure:
        session.leave_out("checkpoint", "saving", str(failure))
