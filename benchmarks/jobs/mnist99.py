"""How long it takes from the first step until 99 % of MNIST's test images are right.

Both sides do the same: batches of 128, SGD with Nesterov's momentum, a learning rate
that falls along a cosine, a test after each epoch, which counts as well. What is
compiled is compiled before.
"""

import math
import time
from collections.abc import Callable
from typing import Any

from benchmarks.jobs import Started
from benchmarks.jobs.frameworks import prepare
from benchmarks.peers import OURS, PEERS
from benchmarks.setup import MOMENTUM
from lenetjax import data

EPOCHS = 8
BATCH = 128
RATE = 0.1
GOAL = 0.99

Run = Callable[[int], dict[str, Any]]


def start(spec: dict[str, Any]) -> Started:
    """Reads the images; ``run(seed)`` is one training."""
    prepare(spec)
    found = data.mnist(download=False)
    make = by_fit if spec["peer"] == OURS else by_torch
    return {}, {"run": make(spec, found)}


def by_fit(spec: dict[str, Any], found: data.Dataset) -> Run:
    import jax
    import optax

    import lenetjax as nn

    if spec["platform"] == "gpu":
        found = jax.device_put(found)  # as PyTorch's
    steps = EPOCHS * math.ceil(len(found.train.labels) / BATCH)
    rate = optax.cosine_decay_schedule(RATE, steps)
    optimizer = optax.sgd(rate, momentum=MOMENTUM, nesterov=True)

    def run(seed: int) -> dict[str, Any]:
        epochs: list[tuple[float, float]] = []
        started = time.perf_counter()

        class Clock(nn.Callback):
            def on_epoch(self, row: dict[str, float], run: Any) -> None:
                epochs.append((time.perf_counter() - started, row["test_accuracy"]))

        result = nn.fit(
            nn.models.lenet(),
            optimizer,
            found,
            epochs=EPOCHS,
            batch_size=BATCH,
            seed=seed,
            progress=False,
            callbacks=[Clock()],
        )
        # By the end of the first epoch, when the first test is over, all is compiled.
        return outcome([(s - result.compile_seconds, a) for s, a in epochs])

    return run


def by_torch(spec: dict[str, Any], found: data.Dataset) -> Run:
    from benchmarks.jobs.torch_loop import Loop

    loop = Loop(PEERS[spec["peer"]].variant, spec["platform"] == "gpu", BATCH)
    train = loop.put(found.train.images, found.train.labels)
    test = loop.put(found.test.images, found.test.labels)
    loop.warm_up(*train)
    loop.accuracy(*test)
    each = math.ceil(len(found.train.labels) / BATCH)

    def rate(step: int) -> float:
        return RATE * (1 + math.cos(math.pi * step / (EPOCHS * each))) / 2

    def run(seed: int) -> dict[str, Any]:
        loop.draw(seed)
        for group in loop.optimizer.param_groups:
            group["nesterov"] = True
        epochs = []
        started = time.perf_counter()
        for epoch in range(EPOCHS):
            loop.epoch(*train, rate, epoch * each)
            right = loop.accuracy(*test)
            epochs.append((time.perf_counter() - started, right))
        return outcome(epochs)

    return run


def outcome(epochs: list[tuple[float, float]]) -> dict[str, Any]:
    """When the goal was reached, or None, and where the training ended."""
    there = [(s, n) for n, (s, right) in enumerate(epochs, 1) if right >= GOAL]
    seconds, epoch = there[0] if there else (None, None)
    return {"seconds": seconds, "epoch": epoch, "last_accuracy": epochs[-1][1]}
