"""A short program that trains, with JAX's persistent compilation cache."""

import time
from collections import Counter
from typing import Any

import jax
import numpy as np
import optax

import lenetjax as nn
from benchmarks.jobs import Started
from benchmarks.peers.ours import make_net
from benchmarks.setup import LEARNING_RATE, MOMENTUM, Setup

ASKED = "/jax/compilation_cache/compile_requests_use_cache"
FOUND = "/jax/compilation_cache/cache_hits"


def start(spec: dict[str, Any]) -> Started:
    """Trains and tests LeNet for two epochs; counts programs and compilations."""
    counts: Counter[str] = Counter()
    jax.monitoring.register_event_listener(lambda event, **_: counts.update([event]))
    setup = Setup("lenet", spec["batch"], {}, spec["platform"])
    parts = [nn.data.Split(*batch) for batch in setup.batches()]
    train = nn.data.Split(
        *(np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    )
    optimizer = optax.sgd(LEARNING_RATE, momentum=MOMENTUM)
    started = time.perf_counter()
    result = nn.fit(
        make_net("lenet"),
        optimizer,
        nn.data.Dataset(train, parts[0]),
        epochs=2,
        batch_size=spec["batch"],
        progress=False,
    )
    seconds = time.perf_counter() - started
    return {
        "programs": counts[ASKED],
        "compiled": counts[ASKED] - counts[FOUND],
        "seconds": seconds,
        "compile_seconds": result.compile_seconds,
    }, {}
