"""A checkpoint of LeNet's training beside the bare writing of as many bytes."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

import lenetjax as nn
from benchmarks.bursts import burst
from benchmarks.jobs import Started
from benchmarks.jobs.frameworks import prepare
from benchmarks.peers.ours import make_net
from benchmarks.setup import LEARNING_RATE, MOMENTUM
from lenetjax.checkpoint.files import write_whole


def start(spec: dict[str, Any]) -> Started:
    """Prepares checkpoints of a LeNet in training, in ``spec["folder"]``."""
    prepare(spec)
    folder = Path(spec["folder"])
    images = jax.ShapeDtypeStruct((1, 32, 32, 1), jnp.float32)
    states = {
        "sgd": optax.sgd(LEARNING_RATE, momentum=MOMENTUM),
        "adam": optax.adam(LEARNING_RATE),
    }
    key = jax.random.key(0)
    runs = {
        name: nn.train_state(make_net("lenet"), optimizer, key, images)
        for name, optimizer in states.items()
    }
    kept = {name: nn.checkpoint.Folder(folder / name, keep=2) for name in runs}
    sizes = {}
    for name, run in runs.items():
        kept[name].save(0, run, score=0.0)
        sizes[name] = kept[name].file(0).stat().st_size
    steps = iter(range(1, 10**9))

    def step(seconds: float, state: str, way: str) -> dict[str, Any]:
        def save(number: int) -> None:
            kept[state].save(next(steps), runs[state], score=0.0)

        def write(number: int) -> None:
            # With the removal that a folder of the newest few makes each time.
            write_whole(folder / "bare", bytes(sizes[state]))
            (folder / "bare").unlink()

        return burst({"save": save, "write": write}[way], lambda result: None, seconds)

    return {"sizes": sizes}, {"step": step}
