"""A training step in chunks gives what the step on the whole batch gives."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lenetjax as nn
from lenetjax import cache, chunks


def draw(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def stepped(net, batch, chunk_size, loss=nn.losses.cross_entropy):
    optimizer = optax.sgd(0.1, momentum=0.9)
    run = nn.train_state(net, optimizer, jax.random.key(0), batch[0])
    step = nn.train_step(net, optimizer, loss, chunk_size=chunk_size)
    run, metrics = step(run, batch)
    return run.params, metrics, run.step


def close(ours, theirs):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("chunk_size", [1, 3, 4, 9, 10, 11])
def test_chunks_change_nothing(chunk_size):
    net = nn.serial(fc1=nn.linear(5), act=jnp.tanh, fc2=nn.linear(3))
    batch = draw(0, 10, 4), jnp.arange(10) % 3
    close(stepped(net, batch, chunk_size), stepped(net, batch, 10))


def test_chunks_of_bfloat16_are_summed_in_float32():
    """In bfloat16, 1 + 2 ** -9 is 1 again, however often it is added."""
    batch = jnp.full(256, 2**-9, jnp.bfloat16).at[0].set(1)

    mean = chunks.mean_over_chunks(jnp.mean, batch, 1)

    assert mean.dtype == jnp.bfloat16
    np.testing.assert_allclose(float(mean), (1 + 255 / 512) / 256, rtol=2**-8)


def test_inputs_may_be_a_pytree_and_the_loss_another():
    net = nn.serial(both=nn.parallel(nn.linear(2), nn.linear(2)), add=sum)
    batch = (draw(0, 6, 3), draw(1, 6, 4)), draw(2, 6, 2)
    loss = nn.losses.mse
    close(stepped(net, batch, 2, loss), stepped(net, batch, None, loss))


def test_a_large_batch_is_chunked_by_itself(monkeypatch):
    net, images = nn.models.lenet(), jnp.zeros((256, 32, 32, 1))
    loss = nn.losses.cross_entropy
    size = chunks.chunk_size(net, images, loss, None)
    assert size < 128
    assert 256 % size == 0
    assert chunks.chunk_size(net, images[:8], loss, None) == 8
    monkeypatch.setattr(cache, "CACHE", 2**17)  # a few images at a time
    small = draw(0, 10, 32, 32, 1), jnp.arange(10)
    assert chunks.chunk_size(net, small[0], loss, None) < 5
    close(stepped(net, small, None), stepped(net, small, 10))


@pytest.mark.parametrize(
    "net",
    [
        nn.serial(bn=nn.batch_norm(), fc=nn.linear(2)),
        nn.serial(drop=nn.dropout(0.5), fc=nn.linear(2)),
    ],
)
def test_layers_that_see_the_whole_batch_are_not_chunked(net, monkeypatch):
    monkeypatch.setattr(cache, "CACHE", 1)
    images = jnp.zeros((4, 3))
    loss = nn.losses.cross_entropy
    assert chunks.chunk_size(net, images, loss, None) == 4
    with pytest.raises(nn.LayerError, match="works on the batch as a whole, and chunk"):
        chunks.chunk_size(net, images, loss, 2)


@pytest.mark.parametrize(
    "net",
    [
        nn.serial(centre=lambda x: x - x.mean(0, keepdims=True), fc=nn.linear(2)),
        nn.serial(flat=nn.flatten(0), wide=lambda x: x[None], fc=nn.linear(2)),
    ],
)
def test_what_a_function_does_is_unknown(net, monkeypatch):
    monkeypatch.setattr(cache, "CACHE", 1)
    loss = nn.losses.cross_entropy
    assert chunks.chunk_size(net, jnp.zeros((4, 3)), loss, None) == 4


def test_another_loss_is_not_chunked_by_itself(monkeypatch):
    monkeypatch.setattr(cache, "CACHE", 1)
    net, images = nn.linear(2), jnp.zeros((4, 3))
    assert chunks.chunk_size(net, images, nn.losses.mse, None) == 4
    assert chunks.chunk_size(net, images, nn.losses.cross_entropy, None) == 1


def test_a_chunk_has_a_size():
    with pytest.raises(nn.LayerError, match="chunk_size must be a positive int, got 0"):
        stepped(nn.linear(2), (jnp.zeros((4, 3)), jnp.zeros(4, int)), 0)


@pytest.mark.parametrize("batch", [1, 8, 9, 10, 11])
def test_a_forward_pass_in_chunks_gives_the_same(batch, monkeypatch):
    net = nn.models.lenet()
    images, labels = draw(0, batch, 32, 32, 1), jnp.arange(batch) % 10
    params = net.init(jax.random.key(0), images)
    monkeypatch.setattr(cache, "CACHE", 2**19)  # 8 images or so
    whole = net.apply(params, images)
    close(nn.predict_step(net)(params, {}, images), whole)
    metrics = nn.eval_step(net)(params, {}, (images, labels))
    close(metrics["loss"], nn.losses.cross_entropy(whole, labels))


@pytest.mark.compiled
def test_a_forward_pass_is_chunked_where_it_pays(monkeypatch):
    """Only layers that work on each example by themselves are, and on a CPU."""
    monkeypatch.setattr(cache, "CACHE", 2**8)

    def loops(net):
        images = jax.ShapeDtypeStruct((64, 64), jnp.float32)
        params, state = net.init_with_state(jax.random.key(0), images)
        jaxpr = jax.make_jaxpr(nn.predict_step(net))(params, state, images)
        return str(jaxpr).count("scan[")

    assert loops(nn.linear(8)) == 1
    assert loops(nn.serial(fc=nn.linear(8), centre=lambda x: x - x.mean())) == 0
    assert loops(nn.serial(fc=nn.linear(8), bn=nn.batch_norm())) == 0


def test_a_forward_pass_of_any_batch_can_be_exported(monkeypatch):
    monkeypatch.setattr(cache, "CACHE", 1)
    net = nn.linear(2)
    params = net.init(jax.random.key(0), jnp.zeros((1, 3)))
    any_batch = jax.export.symbolic_shape("n, 3")
    images = jax.ShapeDtypeStruct(any_batch, jnp.float32)
    exported = jax.export.export(nn.predict_step(net))(params, {}, images)
    x = draw(0, 5, 3)
    close(exported.call(params, {}, x), net.apply(params, x))
