"""One peer on one net at one batch: training steps and forward passes."""

import importlib
import time
from typing import Any

from benchmarks.bursts import burst
from benchmarks.jobs import Started
from benchmarks.jobs.frameworks import most_memory, prepare
from benchmarks.peers import PEERS
from benchmarks.setup import Setup, read_values

STEPS = 5  # whose losses are compared


def start(spec: dict[str, Any]) -> Started:
    """Compiles both programs and takes the first steps.

    ``spec["forward"]`` lists the batches of the forward passes; the first is also
    computed from the first values, to be compared.
    """
    prepare(spec)
    peer = PEERS[spec["peer"]]
    module = importlib.import_module(f"benchmarks.peers.{peer.module}")
    setup = Setup(
        spec["model"],
        spec["batch"],
        read_values(spec["values"], spec["model"]),
        spec["platform"],
    )
    trainer = module.make(setup, peer.variant)
    before = most_memory(spec["platform"])

    logits: list[float] | None = None
    if spec["forward"] and trainer.can_infer:
        trainer.training(False)
        output = trainer.numbers(trainer.forward(spec["forward"][0]))
        logits = output[:4].ravel().tolist()

    trainer.training(True)
    started = time.perf_counter()
    losses = [trainer.numbers(trainer.step(0)).item()]
    first = time.perf_counter() - started
    for number in range(1, STEPS):
        started = time.perf_counter()
        losses.append(trainer.numbers(trainer.step(number)).item())
    later = time.perf_counter() - started

    def step(seconds: float) -> dict[str, Any]:
        trainer.training(True)
        return burst(trainer.step, trainer.wait, seconds)

    def forward(seconds: float, batch: int) -> dict[str, Any]:
        trainer.training(False)

        def call(number: int) -> None:
            # Each is waited for: a forward pass is over when one can read its output.
            trainer.wait(trainer.forward(batch))

        return burst(call, lambda result: None, seconds)

    def memory() -> dict[str, Any]:
        return {"bytes": most_memory(spec["platform"]) - before}

    greeting = {
        "losses": losses,
        "logits": logits,
        "compile_seconds": max(0.0, first - later),
    }
    return greeting, {"step": step, "forward": forward, "memory": memory}
