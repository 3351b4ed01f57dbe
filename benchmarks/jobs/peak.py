"""The fastest product of matrices in float32 that a library reaches here."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.bursts import burst
from benchmarks.jobs import Started
from benchmarks.jobs.frameworks import prepare


def start(spec: dict[str, Any]) -> Started:
    """Prepares square products of ``spec["sizes"]`` with one library."""
    if spec["library"] != "numpy":
        prepare(spec | {"family": spec["library"]})
    random = np.random.default_rng(0)
    products = {}
    for size in spec["sizes"]:
        a, b = (random.normal(size=(size, size)).astype("float32") for _ in range(2))
        products[size] = LIBRARIES[spec["library"]](a, b, spec["platform"])

    def gflops(seconds: float, size: int) -> dict[str, Any]:
        call, finish = products[size]
        done = burst(call, finish, seconds)
        return done | {"gflops": 2 * size**3 / done["seconds"] / 1e9}

    return {}, {"gflops": gflops}


Product = tuple[Callable[[int], Any], Callable[[Any], None]]


def with_numpy(a: Any, b: Any, platform: str) -> Product:
    return lambda number: a @ b, lambda result: None


def with_jax(a: Any, b: Any, platform: str) -> Product:
    import jax

    a, b = jax.device_put((a, b))
    product = jax.jit(lambda a, b: a @ b)
    return lambda number: product(a, b), lambda y: y.block_until_ready()


def with_torch(a: Any, b: Any, platform: str) -> Product:
    import torch

    gpu = platform == "gpu"
    a, b = (torch.from_numpy(x).to("cuda" if gpu else "cpu") for x in (a, b))

    def finish(result: Any) -> None:
        if gpu:
            torch.cuda.synchronize()

    return lambda number: a @ b, finish


LIBRARIES = {"numpy": with_numpy, "jax": with_jax, "torch": with_torch}
