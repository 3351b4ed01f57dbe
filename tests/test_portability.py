"""Within `portable`, nets are JAX's own operations, and compute the same."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lenetjax as nn


def draw(*shape):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)


def program(function, *arguments):
    return str(jax.make_jaxpr(function)(*arguments))


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 2},
        {"kernel_size": (3, 2)},
        {"kernel_size": 3, "stride": 2},
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": 2, "ceil_mode": True},
        {"kernel_size": (3, 2), "stride": (2, 3), "padding": 1, "ceil_mode": True},
        {"kernel_size": 2, "stride": 1, "dilation": 2},
        {"kernel_size": 3, "padding": "SAME", "stride": 2},
    ],
)
def test_max_pooling_by_slices(options):
    """The same values for all options, negative ones at the borders too."""
    x = draw(2, 9, 7, 3) - 5

    def pool(x):
        return nn.functional.max_pool2d(x, **options)

    want = pool(x)
    with nn.interop.portable():
        np.testing.assert_array_equal(pool(x), want)
        text = program(pool, x)
    assert "max" in text
    assert "reduce_window" not in text
    assert "argmax" not in text


def test_max_pooling_in_one_and_three_dimensions():
    x, y = draw(2, 8, 3), draw(2, 4, 4, 4, 3)
    want = nn.functional.max_pool1d(x, 3), nn.functional.max_pool3d(y, 2)

    with nn.interop.portable():
        got = nn.functional.max_pool1d(x, 3), nn.functional.max_pool3d(y, 2)

    jax.tree.map(np.testing.assert_array_equal, got, want)


@pytest.mark.compiled
def test_a_convolution_is_one():
    """Of few channels as well, where it is a product of columns outside."""
    net, x = nn.conv2d(4, 3, padding=1), draw(2, 8, 8, 1)
    params = net.init(jax.random.key(0), x)
    want = net.apply(params, x)

    assert "row_major" in program(net.apply, params, x)
    with nn.interop.portable():
        text = program(net.apply, params, x)
        got = net.apply(params, x)

    assert "conv_general_dilated" in text
    assert "row_major" not in text
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.compiled
def test_what_was_traced_before_is_traced_anew():
    """A compiled function follows the context, there and back."""
    net, x = nn.max_pool2d(2), draw(2, 8, 8, 1)
    apply = jax.jit(lambda x: net.apply({}, x))

    def told():
        apply(x)
        return "row_major" in program(apply, x)

    usual = told()
    with nn.interop.portable():
        inside = told()

    assert (usual, inside, told()) == (True, False, True)


@pytest.mark.compiled
def test_the_context_ends_and_holds_for_its_thread():
    """After an error inside of it too; another thread has the usual ways."""
    net, x = nn.max_pool2d(2), draw(2, 8, 8, 1)
    found = []

    def look():
        found.append("row_major" in program(lambda x: net.apply({}, x), x))

    def fail():
        with nn.interop.portable():
            raise ZeroDivisionError

    with nn.interop.portable():
        with nn.interop.portable():
            look()
        look()
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    with pytest.raises(ZeroDivisionError):
        fail()
    look()

    assert found == [False, False, True, True]
