"""Whether the time per image of a LeNet step grows with the batch."""

from benchmarks.bursts import summary
from benchmarks.options import SCALING_BATCHES
from benchmarks.peers import OURS
from benchmarks.session import Session
from benchmarks.turns import Task, take_turns


def measure(session: Session) -> None:
    """All batches take turns, each in a process of its own."""
    options = session.options
    batches = SCALING_BATCHES[:: 3 if options.quick else 1]
    session.say("scaling: measuring the LeNet step")
    specs = {
        f"batch {batch}": {"job": "training", "family": "jax", "peer": OURS,
                           "model": "lenet", "batch": batch, "forward": []}
        for batch in batches
    }  # fmt: skip
    with session.workers("scaling", specs) as workers:
        times = take_turns(
            workers,
            lambda name: [Task("step", "step", {})],
            rounds=options.rounds,
            seconds=options.seconds,
            failed=lambda name, why: session.leave_out(name, "scaling", why),
        )
    for (name, _), seconds in times.items():
        timed = summary(seconds)
        batch = specs[name]["batch"]
        per_image = timed["median"] / batch
        row = {"batch": batch, **timed, "seconds_per_image": per_image}
        session.add("scaling", row)
