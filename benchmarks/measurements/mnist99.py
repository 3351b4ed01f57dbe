"""MNIST to 99 %: from the first step to 99 % of the test images, over ten seeds."""

import statistics

from benchmarks.peers import PEERS
from benchmarks.processes import Failure
from benchmarks.session import Session

SEEDS = 10


def measure(session: Session) -> None:
    """One peer after the other: a training run is long enough."""
    options = session.options
    for name in session.installed("torch"):
        session.say(f"mnist99: training with {name}")
        runs = []
        try:
            with session.worker(
                "mnist99",
                PEERS[name].family,
                variables=session.kept_programs(),  # compiling does not count
                peer=name,
            ) as worker:
                for seed in range(1 if options.quick else SEEDS):
                    runs.append(worker.ask("run", 1800, seed=seed))
        except Failure as failure:
            session.leave_out(name, "mnist99", str(failure))
            continue
        seconds = [run["seconds"] for run in runs if run["seconds"] is not None]
        row = {
            "peer": name,
            "seeds": len(runs),
            "reached": len(seconds),
            "mean": statistics.fmean(seconds) if seconds else None,
            "runs": runs,
        }
        session.add("mnist99", row)
