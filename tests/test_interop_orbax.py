"""Trees of ours go through Orbax's checkpoints, as the manual shows."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lenetjax as nn

ocp = pytest.importorskip("orbax.checkpoint", reason='needs "lenetjax[test]"')

OPTIMIZERS = {
    "momentum": optax.sgd(0.1, momentum=0.9),
    "chain": optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3)),
    "schedule": optax.adam(optax.cosine_decay_schedule(0.1, 10)),
    "masked": optax.masked(optax.add_decayed_weights(0.1), lambda params: {
        name: name == "fc" for name in params
    }),
}  # fmt: skip


def a_net():
    return nn.serial(
        fc=nn.linear(4), bn=nn.batch_norm(), drop=nn.dropout(0.5), out=nn.linear(2)
    )


def trained(optimizer, steps=2):
    """A training that has come some steps far."""
    net, x = a_net(), jnp.asarray(np.random.default_rng(0).normal(size=(6, 3)))
    run = nn.train_state(net, optimizer, jax.random.key(3), x)
    step = nn.train_step(net, optimizer)
    for _ in range(steps):
        run, _ = step(run, (x, jnp.array([0, 1, 0, 1, 0, 1])))
    return run, step


def through_orbax(folder, tree):
    """Saves a tree, and restores it from its shapes alone."""
    like = jax.eval_shape(lambda: tree)
    with ocp.CheckpointManager(folder) as manager:
        manager.save(7, args=ocp.args.StandardSave(tree))
        manager.wait_until_finished()
    with ocp.CheckpointManager(folder) as manager:
        step = manager.latest_step()
        return manager.restore(step, args=ocp.args.StandardRestore(like))


def bits(leaf):
    """What an array is made of; of a random key, its numbers."""
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf).tobytes()


def same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert bits(a) == bits(b)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_whole_training_comes_back(tmp_path, name):
    """Params, state, the optimizer's, the step and the random key, bit for bit."""
    run, step = trained(OPTIMIZERS[name])

    again = through_orbax(tmp_path, run)

    assert isinstance(again, nn.TrainState)
    same(again, run)
    batch = jnp.ones((6, 3)), jnp.zeros(6, jnp.int32)
    (on, _), (on_again, _) = (
        step(jax.tree.map(jnp.copy, run), batch),
        step(again, batch),
    )
    same(on_again, on)


@pytest.mark.parametrize("part", ["params", "state", "opt_state"])
def test_a_part_of_a_training_comes_back(tmp_path, part):
    run, _ = trained(OPTIMIZERS["chain"])

    same(through_orbax(tmp_path, getattr(run, part)), getattr(run, part))
