"""Whether the time per image of a LeNet step grows with the batch."""

from contextlib import ExitStack

from benchmarks.bursts import summary
from benchmarks.options import SCALING_BATCHES
from benchmarks.peers import OURS
from benchmarks.processes import Failure
from benchmarks.session import Session
from benchmarks.turns import Task, take_turns


def measure(session: Session) -> None:
    """All batches take turns, each in a process of its own."""
    options = session.options
    batches = SCALING_BATCHES[:: 3 if options.quick else 1]
    session.say("scaling: measuring the LeNet step")
    with ExitStack() as stack:
        workers = {}
        for batch in batches:
            try:
                worker = session.worker(
                    "training", "jax", peer=OURS, model="lenet", batch=batch, forward=[]
                )
            except Failure as failure:
                session.leave_out(OURS, f"scaling, batch {batch}", str(failure))
                continue
            workers[str(batch)] = stack.enter_context(worker)
        times = take_turns(
            workers,
            lambda name: [Task("step", "step", {})],
            rounds=options.rounds,
            seconds=options.seconds,
            failed=lambda name, why: session.leave_out(
                OURS, f"scaling, batch {name}", why
            ),
        )
    for (name, _), seconds in times.items():
        timed = summary(seconds)
        per_image = timed["median"] / int(name)
        row = {"batch": int(name), **timed, "seconds_per_image": per_image}
        session.add("scaling", row)
