"""One step of an ensemble of LeNets beside a step of each of as many single nets."""

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


def start(spec: dict[str, Any]) -> Started:
    """Prepares both, from the same values: ``spec["members"]`` nets."""
    prepare(spec)
    members = spec["members"]
    setup = Setup("lenet", spec["batch"], {}, spec["platform"])
    batch = jax.device_put(setup.batches()[0])
    optimizer = optax.sgd(LEARNING_RATE, momentum=MOMENTUM)
    key = jax.random.key(0)
    one, many = make_net("lenet"), nn.ensemble(members, make_net("lenet"))

    def summed(outputs: jax.Array, labels: jax.Array) -> jax.Array:
        # The sum, not the mean: each member's gradient is then that of its own loss.
        each = jax.vmap(nn.losses.cross_entropy, in_axes=(0, None))
        return each(outputs, labels).sum()

    single = nn.train_step(one, optimizer)
    together = nn.train_step(many, optimizer, summed)
    run = nn.train_state(many, optimizer, key, batch[0][:1])
    runs = [nn.train_state(one, optimizer, key, batch[0][:1]) for _ in range(members)]
    runs = [
        alone._replace(params=jax.tree.map(lambda p, i=i: p[i].copy(), run.params))
        for i, alone in enumerate(runs)
    ]

    def step_together(number: int) -> jax.Array:
        nonlocal run
        run, metrics = together(run, batch)
        return metrics["loss"]

    def step_singles(number: int) -> list[jax.Array]:
        losses = []
        for i, alone in enumerate(runs):
            runs[i], metrics = single(alone, batch)
            losses.append(metrics["loss"])
        return losses

    ways = {"ensemble": step_together, "singles": step_singles}
    for number in range(3):
        totals = float(step_together(number)), float(sum(step_singles(number)))
        if not np.isclose(*totals, rtol=1e-4):
            raise ArithmeticError(f"the losses differ: {totals}")

    def step(seconds: float, way: str) -> dict[str, Any]:
        return burst(ways[way], jax.block_until_ready, seconds)

    return {}, {"step": step}
