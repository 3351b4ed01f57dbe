"""`train_step` beside the same computation written by hand in `jax.jit`."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import lenetjax as nn
from benchmarks.bursts import burst
from benchmarks.jobs import Started
from benchmarks.jobs.frameworks import prepare
from benchmarks.peers.ours import make_net
from benchmarks.peers.ours import start as first_run
from benchmarks.setup import LEARNING_RATE, MOMENTUM, Setup, read_values

Step = Callable[[Any, jax.Array, jax.Array], tuple[Any, jax.Array]]
OPTIMIZER = optax.sgd(LEARNING_RATE, momentum=MOMENTUM)


class Program:
    """A step, and what it has trained so far."""

    def __init__(self, step: Step, carry: Any, images: Any, labels: Any) -> None:
        self.step = step
        self.carry = jax.device_put(carry)
        self.batch = jax.device_put((images, labels))

    def __call__(self, number: int) -> jax.Array:
        self.carry, loss = self.step(self.carry, *self.batch)
        return loss


def start(spec: dict[str, Any]) -> Started:
    """Prepares both ways on LeNet at ``spec["batches"]``, and on a tiny net."""
    prepare(spec)
    programs: dict[str, dict[str, Program]] = {}
    for batch in spec["batches"]:
        values = read_values(spec["values"], "lenet")
        setup = Setup("lenet", batch, values, spec["platform"])
        images, labels = setup.batches()[0]
        net = make_net("lenet")
        run = first_run(net, OPTIMIZER, setup)
        programs[f"lenet, batch {batch}"] = both(net, lenet, run, images, labels)
    # Its arithmetic is nothing: what is left is the time to call a program.
    images, labels = jnp.ones((1, 4)), jnp.zeros(1, jnp.int32)
    net = nn.serial(fc1=nn.linear(4), relu=jax.nn.relu, fc2=nn.linear(2))
    run = nn.train_state(net, OPTIMIZER, jax.random.key(0), images)
    programs["tiny net"] = both(net, tiny, run, images, labels)

    for name, ways in programs.items():
        losses = [[float(way(i)) for i in range(3)] for way in ways.values()]
        if not np.allclose(*losses, rtol=1e-6):
            raise ArithmeticError(f"{name}: the two ways differ: {losses}")

    def step(seconds: float, program: str, way: str) -> dict[str, Any]:
        chosen = programs[program][way]
        return burst(chosen, jax.block_until_ready, seconds)

    return {"programs": list(programs)}, {"step": step}


def both(
    net: nn.Layer, apply: Any, run: nn.TrainState, images: Any, labels: Any
) -> dict[str, Program]:
    """The step of the library and the one by hand, from the same values."""
    train_step = nn.train_step(net, OPTIMIZER)

    def ours(run: Any, images: jax.Array, labels: jax.Array) -> tuple[Any, jax.Array]:
        run, metrics = train_step(run, (images, labels))
        return run, metrics["loss"]

    params = jax.tree.map(jnp.copy, run.params)
    carry = (params, OPTIMIZER.init(params))
    return {
        "train_step": Program(ours, run, images, labels),
        "by hand": Program(by_hand(apply), carry, images, labels),
    }


def by_hand(apply: Callable[[Any, jax.Array], jax.Array]) -> Step:
    """The step as one writes it without the library's."""

    def loss_of(params: Any, images: jax.Array, labels: jax.Array) -> Any:
        logits = apply(params, images)
        return nn.losses.cross_entropy(logits, labels), logits

    @functools.partial(jax.jit, donate_argnums=0)
    def step(carry: Any, images: jax.Array, labels: jax.Array) -> Any:
        params, opt_state = carry
        (loss, logits), grads = jax.value_and_grad(loss_of, has_aux=True)(
            params, images, labels
        )
        updates, opt_state = OPTIMIZER.update(grads, opt_state, params)
        params = optax.apply_updates(params, updates)
        accuracy = (logits.argmax(-1) == labels).mean()
        return (params, opt_state), (loss, accuracy)

    def call(carry: Any, images: jax.Array, labels: jax.Array) -> Any:
        carry, (loss, _) = step(carry, images, labels)
        return carry, loss

    return call


def lenet(params: Any, x: jax.Array) -> jax.Array:
    f = nn.functional
    x = f.conv2d(x, params["conv1"]["weight"], params["conv1"]["bias"])
    x = f.max_pool2d(jax.nn.relu(x), 2)
    x = f.conv2d(x, params["conv2"]["weight"], params["conv2"]["bias"])
    x = f.max_pool2d(jax.nn.relu(x), 2)
    x = x.reshape(len(x), -1)
    for name in ("fc1", "fc2"):
        x = jax.nn.relu(f.linear(x, params[name]["weight"], params[name]["bias"]))
    return f.linear(x, params["fc3"]["weight"], params["fc3"]["bias"])


def tiny(params: Any, x: jax.Array) -> jax.Array:
    f = nn.functional
    x = jax.nn.relu(f.linear(x, params["fc1"]["weight"], params["fc1"]["bias"]))
    return f.linear(x, params["fc2"]["weight"], params["fc2"]["bias"])
