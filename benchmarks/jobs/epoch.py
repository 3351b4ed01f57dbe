"""An epoch of MNIST: by `fit`, or by a loop in PyTorch."""

import time
from collections.abc import Callable
from typing import Any

from benchmarks.jobs import Started
from benchmarks.jobs.frameworks import prepare
from benchmarks.peers import OURS, PEERS
from benchmarks.setup import LEARNING_RATE, MOMENTUM
from lenetjax import data

Epoch = Callable[[], dict[str, Any]]


def start(spec: dict[str, Any]) -> Started:
    """Reads the images, of which ``spec["images"]`` are used (None: all)."""
    prepare(spec)
    train = data.mnist(download=False).train
    train = data.Split(*(array[: spec["images"]] for array in train))
    make = by_fit if spec["peer"] == OURS else by_torch
    run = make(spec, train)
    losses = []

    def epoch(seconds: float) -> dict[str, Any]:
        done = run()
        losses.append(done["loss"])
        return done

    def loss() -> dict[str, Any]:
        return {"loss": losses[-1]}

    return {"images": len(train.labels)}, {"epoch": epoch, "loss": loss}


def by_fit(spec: dict[str, Any], train: data.Split) -> Epoch:
    import jax
    import optax

    import lenetjax as nn

    if spec["platform"] == "gpu":
        train = jax.device_put(train)  # as PyTorch's

    def epoch() -> dict[str, Any]:
        started = time.perf_counter()
        result = nn.fit(
            nn.models.lenet(),
            optax.sgd(LEARNING_RATE, momentum=MOMENTUM),
            data.Dataset(train, train),
            epochs=1,
            batch_size=spec["batch"],
            test=(),  # no test: only training counts
            progress=False,
        )
        passed = time.perf_counter() - started
        loss = result.history[0]["train_loss"]
        return {
            "seconds": passed - result.compile_seconds,
            "compile_seconds": result.compile_seconds,
            "loss": loss,
        }

    return epoch


def by_torch(spec: dict[str, Any], train: data.Split) -> Epoch:
    from benchmarks.jobs.torch_loop import Loop

    loop = Loop(PEERS[spec["peer"]].variant, spec["platform"] == "gpu", spec["batch"])
    images, labels = loop.put(train.images, train.labels)
    loop.warm_up(images, labels)

    def epoch() -> dict[str, Any]:
        loop.draw(0)
        started = time.perf_counter()
        loss = loop.epoch(images, labels)
        return {"seconds": time.perf_counter() - started, "loss": loss}

    return epoch
