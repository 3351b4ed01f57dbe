"""A batch split over emulated devices: what is communicated, and what it costs.

The devices share one processor's cores, so this is no test of more hardware.
"""

from itertools import product
from typing import Any

from benchmarks.bursts import summary
from benchmarks.processes import Failure
from benchmarks.session import Session
from benchmarks.turns import Task, take_turns

WAYS = ("fit", "shard_map")
COUNTED = (1, 2, 4, 8)  # devices
FOR_EACH = 8  # images, where a program is only counted
TIMED = {"lenet": 256, "resnet20": 32}  # images of all devices
SIZES = [2**power for power in range(6, 25, 3)]  # bytes of an all-reduce


def measure(session: Session) -> None:
    """Notes what the compiled programs communicate and compute."""
    for model, way in programs(session):
        count(session, model, way, COUNTED[: 2 if session.options.quick else None])


def measure_times(session: Session) -> None:
    """Notes the times of steps and all-reduces on two devices."""
    for model, way in programs(session):
        time(session, model, way)
    if session.options.platform == "cpu":
        time_all_reduces(session)


def programs(session: Session) -> list[tuple[str, str]]:
    """The nets, and the ways to split their steps."""
    if session.options.platform != "cpu":
        session.leave_out("devices", "everywhere", "only a CPU's are emulated")
        return []
    models = [model for model in session.options.models if model in TIMED]
    return list(product(models[: 1 if session.options.quick else None], WAYS))


def spec_of(model: str, way: str, devices: int, batch: int) -> dict[str, Any]:
    return {"job": "devices", "family": "jax", "model": model, "way": way,
            "devices": devices, "batch": batch}  # fmt: skip


def count(session: Session, model: str, way: str, devices: tuple[int, ...]) -> None:
    """Notes what a program communicates and computes."""
    session.say(f"devices: counting {model}, {way}")
    for n in devices:
        spec = spec_of(model, way, n, FOR_EACH * n)
        try:
            with session.worker(**spec) as worker:
                found = {
                    kind: {"count": len(sizes), "bytes": sum(sizes)}
                    for kind, sizes in worker.greeting["collectives"].items()
                }
                row = {"model": model, "way": way, "devices": n, "for_each": FOR_EACH}
                row |= {"flops": worker.greeting["flops"], "collectives": found}
                session.add("devices", row)
        except Failure as failure:
            session.leave_out(f"{model}, {way}", f"{n} devices", str(failure))


def time(session: Session, model: str, way: str) -> None:
    """Notes the step on one device, and with the same images on two."""
    session.say(f"split: measuring {model}, {way}")
    batch = TIMED[model]
    specs = {str(n): spec_of(model, way, n, batch) for n in (1, 2)}
    times = in_turns(session, specs, [Task("step", "step", {})])
    if len(times) < 2:
        return
    one, two = (times[str(n), "step"] for n in (1, 2))
    row = {
        "model": model, "way": way, "batch": batch, "one": summary(one),
        "two": summary(two),
        "ratio": summary(a / b for a, b in zip(one, two, strict=True)),
    }  # fmt: skip
    session.add("split", row)


def time_all_reduces(session: Session) -> None:
    """Notes an all-reduce on two devices by its bytes, beside a program without one."""
    session.say("split: measuring all-reduces")
    specs = {"2": {"job": "devices", "family": "jax", "devices": 2}}
    tasks = [
        Task(f"{way} {size}", "all_reduce", {"size": size, "way": way})
        for size, way in product(SIZES, ("all-reduce", "nothing"))
    ]
    for (_, name), seconds in in_turns(session, specs, tasks).items():
        way, size = name.split()
        session.add("all_reduce", {"way": way, "bytes": int(size), **summary(seconds)})


def in_turns(
    session: Session, specs: dict[str, dict[str, Any]], tasks: list[Task]
) -> dict[tuple[str, str], list[float]]:
    with session.workers("split", specs) as workers:
        return take_turns(
            workers,
            lambda name: tasks,
            rounds=session.options.rounds,
            seconds=session.options.seconds,
            failed=lambda name, why: session.leave_out(name, "split", why),
        )
