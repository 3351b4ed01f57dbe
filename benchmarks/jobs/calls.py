"""Fifty steps of LeNet: a call for each, one call for all, and with XLA's own ways."""

from typing import Any

import jax
import numpy as np
import optax

import lenetjax as nn
from benchmarks.bursts import burst
from benchmarks.jobs import Started
from benchmarks.jobs.frameworks import prepare
from benchmarks.peers.ours import make_net
from benchmarks.setup import LEARNING_RATE, MOMENTUM, Setup
from lenetjax.data import Split, batches
from lenetjax.feeding import Resident
from lenetjax.functional import convolution, pooling

STEPS = 50


def start(spec: dict[str, Any]) -> Started:
    """Prepares all ways, from the same values, on the same batches."""
    prepare(spec)
    size = spec["batch"]
    images, labels = Setup("lenet", size, {}, spec["platform"]).batches()[0]
    split = Split(np.tile(images, (STEPS, 1, 1, 1)), np.tile(labels, STEPS))
    net, optimizer = make_net("lenet"), optax.sgd(LEARNING_RATE, momentum=MOMENTUM)
    step = nn.train_step(net, optimizer)
    feed = Resident(net, nn.losses.cross_entropy, split, size, STEPS, seed=0)
    feed.open(1)
    (everything,) = feed.executions(0)
    one_by_one = list(batches(split, size, seed=0, epoch=1))
    runs = {
        way: nn.train_state(net, optimizer, jax.random.key(0), images)
        for way in ("one", "many", "xla")
    }
    programs = {"many": feed.training(step), "xla": feed.training(step)}

    def many(way: str) -> jax.Array:
        runs[way], metrics = programs[way](runs[way], everything.batch)
        return metrics["loss"][-1]

    def one() -> jax.Array:
        for batch in one_by_one:
            runs["one"], metrics = step(runs["one"], batch)
        return metrics["loss"]

    with_fast_paths = convolution.columns_are_faster, pooling.disjoint_is_faster
    convolution.columns_are_faster = pooling.disjoint_is_faster = lambda *args: False
    losses = [float(many("xla"))]
    convolution.columns_are_faster, pooling.disjoint_is_faster = with_fast_paths
    jax.clear_caches()
    losses += [float(many("many")), float(one())]
    exact = spec["precision"] != "tf32"
    if exact and not np.allclose(losses, losses[0], rtol=1e-2):
        raise ArithmeticError(f"the losses after {STEPS} steps differ: {losses}")

    def steps(seconds: float, way: str) -> dict[str, Any]:
        def call(number: int) -> jax.Array:
            return one() if way == "one" else many(way)

        return burst(call, jax.block_until_ready, seconds)

    return {}, {"step": steps}
