"""How long the LeNet step takes to compile, and whether it must be done again."""

from benchmarks.bursts import summary
from benchmarks.peers import OURS
from benchmarks.processes import Failure
from benchmarks.session import Session

BATCH = 64
TIMES = 5


def measure(session: Session) -> None:
    """Compiles in fresh processes, one at a time, in turns."""
    options = session.options
    names = session.installed("jax")
    session.say(f"compile: compiling the LeNet step of {', '.join(names)}")
    seconds: dict[str, list[float]] = {}
    for _ in range(1 if options.quick else TIMES):
        for name in names:
            spec = {"peer": name, "model": "lenet", "batch": BATCH, "forward": []}
            try:
                with session.worker("training", "jax", **spec) as worker:
                    taken = worker.greeting["compile_seconds"]
                    seconds.setdefault(name, []).append(taken)
            except Failure as failure:
                session.leave_out(name, "compile", str(failure))
    for name, taken_times in seconds.items():
        session.add("compile", {"peer": name, "batch": BATCH, **summary(taken_times)})
    measure_cache(session)


def measure_cache(session: Session) -> None:
    """Runs a program twice with JAX's persistent cache."""
    variables = session.kept_programs()
    for number in (1, 2):
        try:
            with session.worker(
                "cache", "jax", variables=variables, batch=BATCH
            ) as worker:
                session.add("cache", {"run": number, **worker.greeting})
        except Failure as failure:
            session.leave_out(OURS, "compilation cache", str(failure))
            return
