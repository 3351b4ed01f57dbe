"""Inputs that JAX's libraries let pass in silence, and what is said here instead."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lenetjax as nn

LENET = nn.models.lenet()
SMALL = nn.serial(conv=nn.conv2d(4, kernel_size=5), flat=nn.flatten(), fc=nn.linear(10))
LOGITS = jnp.zeros((3, 10), "float32")


def image(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


def params_for(net, *shape):
    return net.init(jax.random.key(0), image(*shape))


def deeper(net):
    """The params of a net with one layer more."""
    return {**params_for(net, 1, 8, 8, 1), "fc2": {"weight": jnp.zeros((10, 10))}}


@pytest.mark.parametrize(
    ("wrong", "parts"),
    [
        (
            lambda: nn.losses.cross_entropy(LOGITS, jnp.array([0, 10, 1])),
            ["from 0 to 9", "got labels from 0 to 10"],
        ),
        (
            lambda: nn.losses.cross_entropy(LOGITS, jnp.array([0, -1, 1])),
            ["from 0 to 9", "got labels from -1 to 1"],
        ),
        (
            lambda: nn.losses.cross_entropy(LOGITS, LOGITS[:, 0]),
            ["labels must be", "float32[3]"],
        ),
        (
            lambda: nn.losses.mse(LOGITS[:, 0], LOGITS[:, :1]),
            ["float32[3]", "float32[3,1]"],
        ),
        (
            lambda: nn.embedding(5, 2).apply(
                {"weight": jnp.ones((5, 2))}, jnp.array([1, 7])
            ),
            ["embedding(5, features=2)", "from 0 to 4", "from 1 to 7"],
        ),
        (
            lambda: SMALL.plan(image(1, 4, 4, 1)),
            ["'conv'", "kernel 5x5", "image 4x4", "float32[1,4,4,1]"],
        ),
        (
            lambda: SMALL.apply(
                params_for(SMALL, 1, 8, 8, 1), image(1, 8, 8, 1, dtype=np.uint8)
            ),
            ["'conv'", "floating-point", "uint8[1,8,8,1]"],
        ),
        (
            lambda: nn.linear(2).init(jax.random.key(0), image(3, 4, dtype=np.uint8)),
            ["linear(2)", "floating-point", "uint8[3,4]"],
        ),
        (
            lambda: LENET.apply(params_for(LENET, 1, 28, 28, 1), image(28, 28, 1)),
            ["'conv1'", "x[None]", "float32[28,28,1]"],
        ),
        (
            lambda: LENET.apply(params_for(LENET, 1, 28, 28, 1), image(1, 32, 32, 1)),
            ["fc1/weight: expected (576, 120), got (400, 120)"],
        ),
        (
            lambda: SMALL.apply(deeper(SMALL), image(1, 8, 8, 1)),
            ["fc2/weight: expected nothing, got (10, 10)"],
        ),
        (
            lambda: LENET.init(jax.random.key(0), image(28, 28)),
            ["'conv1'", "float32[28,28]"],
        ),
        (
            lambda: LENET.init(jax.random.key(0), (28, 28)),
            ["(batch, height, width, channels)", "(int"],
        ),
    ],
    ids=[
        "label beyond", "label below", "float labels", "(B,) and (B, 1)",
        "index beyond", "kernel beyond", "uint8 images",
        "uint8 init", "no batch", "another size", "one layer more", "two axes",
        "a shape for an array",
    ],
)  # fmt: skip
def test_a_wrong_input_is_an_error_that_says_so(wrong, parts):
    """It names the layer, what was expected and what came."""
    with pytest.raises((ValueError, TypeError)) as refusal:
        wrong()
    for part in parts:
        assert part in str(refusal.value), str(refusal.value)


def test_the_mean_of_no_losses_is_nan_and_never_trains():
    """NaN is PyTorch's number for it too; a batch of nothing is refused by `fit`."""
    assert np.isnan(nn.losses.cross_entropy(LOGITS[:0], jnp.zeros(0, int)))
    assert np.isnan(nn.losses.mse(jnp.zeros((0, 3)), jnp.zeros((0, 3))))
    data = [(np.zeros((0, 3), np.float32), np.zeros(0, np.int32))]
    with pytest.raises(ValueError, match="at least one"):
        nn.fit(nn.linear(10), optax.sgd(0.1), data, epochs=1, progress=False)


@pytest.mark.compiled
@pytest.mark.parametrize("label", [10, -1, 12])
def test_under_jit_a_wrong_label_gives_no_number(label):
    """A value cannot be refused there: loss and gradient are NaN, which fit finds."""
    labels = jnp.array([0, label, 1])
    value, slope = jax.jit(jax.value_and_grad(nn.losses.cross_entropy))(LOGITS, labels)

    assert np.isnan(value)
    assert np.isnan(slope[1]).all()


@pytest.mark.compiled
def test_under_jit_an_index_beyond_gives_no_number():
    """Checked mode names it: see the test of `fit`."""
    net, params = nn.embedding(5, 2), {"weight": jnp.ones((5, 2))}

    assert np.isnan(jax.jit(net.apply)(params, jnp.array([1, 7]))[1]).all()


def test_logits_of_nan_are_never_right():
    """The first of equals would be class 0, and one in ten "right"."""
    labels = jnp.zeros(3, int)

    assert np.isnan(nn.metrics.accuracy(LOGITS * jnp.nan, labels))
    net = nn.serial(fc=nn.linear(10), spoil=lambda x: x * jnp.nan)
    params = net.init(jax.random.key(0), LOGITS)
    assert nn.eval_step(net)(params, {}, (LOGITS, labels))["accuracy"] == 0


def test_float64_becomes_what_jax_holds():
    """NumPy's float64 is float32 in JAX, unless x64 is on: params follow the input."""
    held = jax.dtypes.canonicalize_dtype(np.float64)
    params = nn.linear(2).init(jax.random.key(0), np.zeros((1, 3)))

    assert params["weight"].dtype == held
    assert nn.linear(2).apply(params, np.zeros((1, 3))).dtype == held


def test_fit_never_sees_a_wrong_label():
    """They are looked at before the step, where their values can be."""
    data = [(np.zeros((2, 3), np.float32), np.array([0, 10]))]
    with pytest.raises(ValueError, match=r"from 0 to 9, .*got labels from 0 to 10"):
        nn.fit(nn.linear(10), optax.sgd(0.1), data, epochs=1, progress=False)
