"""A data-parallel step on emulated devices: what it communicates, and its time."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import lenetjax as nn
from benchmarks.bursts import burst
from benchmarks.collectives import collectives
from benchmarks.jobs import Started
from benchmarks.jobs.frameworks import prepare
from benchmarks.setup import LEARNING_RATE, MOMENTUM
from lenetjax.sharding import Layout

AXIS = "data"  # of the mesh


def start(spec: dict[str, Any]) -> Started:
    """Prepares a net on ``spec["devices"]`` devices, or all-reduces without a net.

    `model` names a function of `lenetjax.models` and `arguments` what to call it with,
    `batch` are the images of all devices, and `way` is one of `WAYS`.
    """
    jax.config.update("jax_num_cpu_devices", spec["devices"])
    prepare(spec)
    layout = Layout(spec["devices"])
    if "model" not in spec:
        return {}, {"all_reduce": all_reduces(layout.mesh)}
    net = getattr(nn.models, spec["model"])(*spec.get("arguments", ()))
    image = (32, 32, 1 if spec["model"].startswith("lenet") else 3)
    random = np.random.default_rng(0)
    batch = layout.place_batch(
        (
            random.normal(size=(spec["batch"], *image)).astype("float32"),
            random.integers(0, 10, spec["batch"]).astype("int32"),
        )
    )
    step, optimizer = WAYS[spec["way"]](net, layout)
    run = nn.train_state(net, optimizer, jax.random.key(0), jnp.zeros((1, *image)))
    state = {"run": layout.place(run)}
    with layout.in_force():
        compiled = step.lower(state["run"], batch).compile()
    costs = compiled.cost_analysis()
    greeting = {
        "collectives": collectives(compiled.as_text()),
        "flops": (costs[0] if isinstance(costs, list) else costs)["flops"],
    }

    def one(number: int) -> jax.Array:
        state["run"], metrics = compiled(state["run"], batch)
        return metrics["loss"]

    def steps(seconds: float) -> dict[str, Any]:
        return burst(one, jax.block_until_ready, seconds)

    def losses(count: int) -> dict[str, Any]:
        return {"losses": [float(one(number)) for number in range(count)]}

    return greeting, {"step": steps, "losses": losses}


def by_layout(net: nn.Layer, layout: Layout) -> Any:
    """The library's step as `fit(devices=...)` runs it."""
    optimizer = optax.sgd(LEARNING_RATE, momentum=MOMENTUM)
    return layout.keeping(nn.train_step(net, optimizer)), optimizer


def by_shard_map(net: nn.Layer, layout: Layout) -> Any:
    """The library's step on each device's images, with the mean of all gradients.

    Batch norms take the mean and variance of the device's own images.
    """

    def mean(tree: Any) -> Any:
        return jax.lax.pmean(tree, AXIS)

    optimizer = optax.chain(
        optax.stateless(lambda updates, params: mean(updates)),
        optax.sgd(LEARNING_RATE, momentum=MOMENTUM),
    )
    step = nn.train_step(net, optimizer)

    def on_each(run: nn.TrainState, batch: Any) -> tuple[nn.TrainState, Any]:
        run, metrics = step(run, batch)
        return run._replace(state=mean(run.state)), mean(metrics)

    mapped = jax.shard_map(
        on_each, mesh=layout.mesh, in_specs=(P(), P(AXIS)), out_specs=P(),
        check_vma=False,
    )  # fmt: skip
    return jax.jit(mapped, donate_argnums=0), optimizer


WAYS = {"fit": by_layout, "shard_map": by_shard_map}


def all_reduces(mesh: jax.sharding.Mesh) -> Callable[..., dict[str, Any]]:
    """A command that times an all-reduce of so many bytes on each device."""
    programs: dict[tuple[int, str], Any] = {}

    def prepared(size: int, way: str) -> Any:
        function = {
            "all-reduce": lambda x: jax.lax.psum(x, AXIS),
            "nothing": lambda x: x + 1,
        }[way]
        x = jnp.ones((mesh.size, size // 4))
        x = jax.device_put(x, NamedSharding(mesh, P(AXIS)))
        mapped = jax.shard_map(
            function, mesh=mesh, in_specs=P(AXIS), out_specs=P(AXIS),
            check_vma=False,
        )  # fmt: skip
        return jax.jit(mapped), x

    def all_reduce(seconds: float, size: int, way: str) -> dict[str, Any]:
        if (size, way) not in programs:
            programs[size, way] = prepared(size, way)
        program, x = programs[size, way]

        def call(number: int) -> jax.Array:
            # One at a time: of many at once on few cores, the devices may each wait in
            # another one, for ever.
            return jax.block_until_ready(program(x))

        return burst(call, lambda result: None, seconds)

    return all_reduce
