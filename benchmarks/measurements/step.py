"""Training steps and forward passes of every peer, for each net at each batch."""

from benchmarks.agreement import outliers
from benchmarks.bursts import summary
from benchmarks.peers import PEERS
from benchmarks.processes import Failure, Worker
from benchmarks.session import Session
from benchmarks.turns import Task, Times, take_turns

LIKE_REQUESTS = 1  # a forward pass is also measured at this batch, as in serving


def measure(session: Session) -> None:
    """Measures the parts "step" and "forward", those that were asked for."""
    for model in session.options.models:
        batches = session.options.batches_of(model)
        for batch in batches:
            extra = [LIKE_REQUESTS] if batch == batches[0] else []
            measure_one(session, model, batch, [batch, *extra])


def measure_one(
    session: Session, model: str, batch: int, forward_batches: list[int]
) -> None:
    """Measures one net at one batch."""
    options = session.options
    where = f"{model}, batch {batch}"
    session.say(f"{where}: starting the peers")
    wanted = forward_batches if "forward" in options.parts else []
    specs = {
        name: {"job": "training", "family": PEERS[name].family, "peer": name,
               "model": model, "batch": batch, "forward": forward_batches}
        for name in session.installed("jax", "torch")
    }  # fmt: skip
    with session.workers(where, specs) as workers:
        refuse_outliers(session, workers, model, where)

        def tasks(name: str) -> list[Task]:
            found = []
            if "step" in options.parts:
                found.append(Task("step", "step", {}))
            if workers[name].greeting["logits"] is not None:
                found += [
                    Task(f"forward {size}", "forward", {"batch": size})
                    for size in wanted
                ]
            return found

        session.say(f"{where}: measuring {', '.join(workers)}")
        times = take_turns(
            workers,
            tasks,
            rounds=options.rounds,
            seconds=options.seconds,
            failed=lambda name, why: session.leave_out(name, where, why),
        )
        for name, worker in workers.items():
            note_forward(session, times, name, model, wanted)
            if (name, "step") in times:
                note_step(session, times, name, worker)


def refuse_outliers(
    session: Session, workers: dict[str, Worker], model: str, where: str
) -> None:
    """Takes out the peers that compute something else; this is an error."""
    greetings = {name: worker.greeting for name, worker in workers.items()}
    found = outliers(
        model,
        {name: given["losses"] for name, given in greetings.items()},
        {
            name: given["logits"]
            for name, given in greetings.items()
            if given["logits"] is not None
        },
        exact=session.options.precision != "tf32",
    )
    for name, why in found.items():
        session.errors.append(f"{name} computes something else ({where}): {why}")
        session.leave_out(name, where, f"computes something else: {why}")
        del workers[name]


def note_step(session: Session, times: Times, name: str, worker: Worker) -> None:
    model, batch = worker.spec["model"], worker.spec["batch"]
    try:
        memory = worker.ask("memory")["bytes"]
    except Failure:
        memory = None
    flops = session.flops[model]["step"] * batch
    timed = summary(times[name, "step"])
    row = {
        "peer": name,
        "model": model,
        "batch": batch,
        **timed,
        "images_per_second": batch / timed["median"],
        "gflops": flops / timed["median"] / 1e9,
        "compile_seconds": worker.greeting["compile_seconds"],
        "memory_bytes": memory,
        "losses": worker.greeting["losses"],
    }
    session.add("step", row)


def note_forward(
    session: Session, times: Times, name: str, model: str, batches: list[int]
) -> None:
    for batch in batches:
        if (name, f"forward {batch}") in times:
            timed = summary(times[name, f"forward {batch}"])
            row = {"peer": name, "model": model, "batch": batch, **timed}
            session.add("forward", row)
