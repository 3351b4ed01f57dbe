"""The machine's own limit: its fastest product of matrices in float32."""

from importlib.util import find_spec

from benchmarks.bursts import summary
from benchmarks.session import Session
from benchmarks.turns import Task, take_turns

SIZES = {"cpu": [512, 1024, 2048], "gpu": [4096, 8192]}


def measure(session: Session) -> None:
    """Notes, for each library and size, the speed; the highest is the peak."""
    options = session.options
    libraries = ["jax"] + (["torch"] if find_spec("torch") else [])
    if options.platform == "cpu":
        libraries.append("numpy")
    sizes = SIZES[options.platform][: 2 if options.quick else None]
    session.say("peak: measuring products of matrices")
    specs = {
        library: {"job": "peak", "family": library, "library": library, "sizes": sizes}
        for library in libraries
    }
    with session.workers("peak", specs) as workers:
        times = take_turns(
            workers,
            lambda name: [Task(str(size), "gflops", {"size": size}) for size in sizes],
            rounds=options.rounds,
            seconds=options.seconds,
            failed=lambda name, why: session.leave_out(name, "peak", why),
        )
    for (library, size), seconds in times.items():
        timed = summary(seconds)
        gflops = 2 * int(size) ** 3 / timed["median"] / 1e9
        row = {"library": library, "size": int(size), **timed, "gflops": gflops}
        session.add("peak", row)
