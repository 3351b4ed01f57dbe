"""One epoch of real MNIST: `fit` against PyTorch's loops over preloaded tensors."""

from benchmarks.bursts import summary
from benchmarks.peers import OURS, PEERS
from benchmarks.session import Session
from benchmarks.turns import Task, take_turns

BATCHES = [64, 256]
ROUNDS = 3  # an epoch is long enough to be timed alone
QUICK_IMAGES = 6000
APART = 0.3  # how far mean losses may differ: first values and orders do


def measure(session: Session) -> None:
    """Notes the seconds of an epoch: everything but compilation counts."""
    for batch in BATCHES:
        measure_one(session, batch)


def measure_one(session: Session, batch: int) -> None:
    options = session.options
    where = f"epoch, batch {batch}"
    images = QUICK_IMAGES if options.quick else None
    losses: dict[str, float] = {}
    specs = {
        name: {"job": "epoch", "family": PEERS[name].family, "peer": name,
               "batch": batch, "images": images,
               "variables": session.kept_programs()}  # compiling does not count
        for name in session.installed("torch")
    }  # fmt: skip
    session.say(f"{where}: measuring {', '.join(specs)}")
    with session.workers(where, specs) as workers:
        times = take_turns(
            workers,
            lambda name: [Task("epoch", "epoch", {})],
            rounds=1 if options.quick else ROUNDS,
            seconds=0,
            failed=lambda name, why: session.leave_out(name, where, why),
            timeout=900,
        )
        for name, worker in workers.items():
            if (name, "epoch") in times:
                losses[name] = worker.ask("loss")["loss"]
    for name, loss in losses.items():
        if abs(loss / losses.get(OURS, loss) - 1) > APART:
            session.errors.append(f"{name}: mean loss {loss:.4f} ({where}), of "
                                  f"{OURS} {losses[OURS]:.4f}")  # fmt: skip
        timed = summary(times[name, "epoch"])
        session.add("epoch", {"peer": name, "batch": batch, **timed, "loss": loss})
