"""The memory that a net needs, told before it runs."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
import pytest

import lenetjax as nn

pytestmark = [pytest.mark.usefixtures("kept_programs"), pytest.mark.compiled]

LENET = 81_194 * 4  # bytes of the tutorial's net, in float32
MEASURED = """
import sys, jax, jax.numpy as jnp, optax, lenetjax as nn
from benchmarks.memory import most_resident

block = nn.serial(fc1=nn.linear(64), act1=jnp.tanh, fc2=nn.linear(64), act2=jnp.tanh)
inner = {"plain": block, "remat": nn.remat(block)}[sys.argv[1]]
net = nn.serial(first=nn.linear(64), blocks=nn.repeat(8, inner), last=nn.linear(10))
x, y = jnp.zeros((16384, 64)), jnp.zeros(16384, jnp.int32)
optimizer = optax.sgd(0.1)
said = nn.memory(net, x, optimizer=optimizer).training
run = nn.train_state(net, optimizer, jax.random.key(0), x)
step = nn.train_step(net, optimizer).lower(run, (x, y)).compile()
jax.block_until_ready((run, x, y))
before = most_resident()
jax.block_until_ready(step(run, (x, y)))
print(said.temporary, most_resident() - before)
"""


def spec(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def test_the_parts_of_lenet_are_those_counted_by_hand():
    """Params and their gradient, two moments and a step, images and labels."""
    found = nn.memory(
        nn.models.lenet(), spec(2, 32, 32, 1), optimizer=optax.adam(0.001)
    )

    batch = 2 * 32 * 32 * 4 + 2 * 4
    assert (found.params, found.gradients, found.state) == (LENET, LENET, 0)
    assert found.optimizer == 2 * LENET + 4
    assert found.batch == batch
    run = 3 * LENET + 4 + 4 + 8  # with the step's number and the key
    assert found.training.arguments == run + batch
    assert found.inference.arguments == LENET + batch - 2 * 4
    # The run takes the place of the one that goes in, except for single numbers.
    assert 3 * LENET <= found.training.aliased <= run


def test_what_programs_take_is_what_goes_in_and_comes_out():
    """The compiler's figures, against the arrays themselves."""
    net = nn.serial(fc=nn.linear(3), bn=nn.batch_norm())
    optimizer, x = optax.sgd(0.1, momentum=0.9), jnp.ones((4, 5))
    labels = jnp.zeros(4, jnp.int32)
    run = nn.train_state(net, optimizer, jax.random.key(0), x)
    size = sum(a.nbytes for a in jax.tree.leaves((run[:4], x, labels))) + 8  # the key

    found = nn.memory(net, x, labels, optimizer=optimizer)

    assert found.state == sum(a.nbytes for a in jax.tree.leaves(run.state)) > 0
    assert found.training.arguments == size
    assert found.training.outputs >= size - x.nbytes - labels.nbytes
    assert found.training.total == (
        found.training.arguments
        + found.training.outputs
        - found.training.aliased
        + found.training.temporary
    )
    assert found.inference.outputs == 4 * 3 * 4


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_kept_is_what_the_gradient_needs(dtype):
    """Of two products: the first one's result, for the second one's weight."""
    net = nn.serial(fc1=nn.linear(8), fc2=nn.linear(4))
    x = jax.ShapeDtypeStruct((16, 5), dtype)

    found = nn.memory(net, x, x, loss=lambda outputs, labels: outputs.sum())

    assert found.kept == 16 * 8 * jnp.dtype(dtype).itemsize


def deep(wrap):
    block = nn.serial(fc1=nn.linear(32), act1=jnp.tanh, fc2=nn.linear(32), act=jnp.tanh)
    return nn.serial(first=nn.linear(32), blocks=nn.repeat(6, wrap(block)))


def test_remat_keeps_the_inputs_of_blocks():
    """And what the compiler reserves falls with it; chunks reserve less too."""
    x = spec(256, 32)
    plain, again = (nn.memory(deep(wrap), x) for wrap in (lambda a: a, nn.remat))

    inputs = 6 * 256 * 32 * 4
    assert inputs < again.kept < 2 * inputs
    assert plain.kept > 4 * inputs
    saved = plain.kept - again.kept
    assert plain.training.temporary - again.training.temporary > 0.8 * saved
    assert plain.params == again.params
    chunked = nn.memory(deep(lambda a: a), x, chunk_size=64)
    assert chunked.training.temporary < 0.5 * plain.training.temporary
    assert chunked.kept == plain.kept  # which is of the whole batch


def test_the_report_is_a_table():
    """Each number stands in it."""
    found = nn.memory(nn.linear(3), spec(4, 5), optimizer=optax.adam(0.1))

    text = str(found)
    assert text.startswith("bytes for float32[4,5]\n")
    parts = (found.params, found.optimizer, found.batch, found.kept)
    for number in (*parts, found.training.total, *found.inference):
        assert f" {number:,}\n" in f"{text}\n"


def test_labels_are_asked_for_where_they_cannot_be_guessed():
    with pytest.raises(nn.LayerError, match="needs this loss's labels"):
        nn.memory(nn.linear(3), spec(4, 5), loss=nn.losses.mse)
    assert nn.memory(nn.linear(3), spec(4, 5), spec(4, 3), loss=nn.losses.mse).batch


def test_a_wrong_input_is_refused():
    with pytest.raises(nn.LayerError, match="expected 4 axes"):
        nn.memory(nn.models.lenet(), spec(32, 32, 1))


@pytest.mark.variant
@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="measures the resident size on Linux"
)
@pytest.mark.parametrize("kind", ["plain", "remat"])
def test_a_step_takes_what_was_said(kind):
    """The process grows by no less, and by at most a quarter and 16 MB more."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", MEASURED, kind],
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said, grown = map(int, done.stdout.split())
    assert said > 40e6
    assert 0.9 * said < grown < 1.25 * said + 16e6
