"""The fast ways to convolve and to pool compute what lax does, in every transform."""

import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export, lax
from jax.flatten_util import ravel_pytree

import lenetjax as nn
from lenetjax.functional import fast_paths
from lenetjax.functional.batch_minor import from_batch_minor, to_batch_minor
from lenetjax.functional.columns import convolve_columns, convolve_rows
from lenetjax.functional.convolution import LAYOUTS
from lenetjax.functional.disjoint_windows import max_pool_disjoint


def draw(seed, *shape, dtype="float32"):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def by_lax(x, weight, bias, stride, pads, dilation):
    y = lax.conv_general_dilated(
        x,
        weight,
        stride,
        pads,
        rhs_dilation=dilation,
        dimension_numbers=LAYOUTS[x.ndim - 2],
    )
    return y if bias is None else y + bias.reshape((1,) * (y.ndim - 1) + (-1,))


def close(ours, theirs, rtol=1e-5):
    """Equal to rtol of the largest value."""
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=0, atol=rtol * (np.abs(b).max() or 1))


CONVOLUTIONS = [
    ((4, 9, 3), (3, 3, 5), True, (1,), ((0, 0),), (1,)),
    ((4, 9, 8, 1), (3, 3, 1, 6), True, (1, 1), ((0, 0), (0, 0)), (1, 1)),
    ((4, 9, 8, 2), (3, 2, 2, 5), False, (2, 3), ((1, 2), (0, 3)), (2, 1)),
    ((1, 5, 5, 8), (5, 5, 8, 16), True, (1, 1), ((0, 0), (0, 0)), (1, 1)),
    ((2, 32, 32, 1), (5, 5, 1, 6), True, (1, 1), ((2, 2), (2, 2)), (1, 1)),
    (
        (2, 5, 6, 4, 2),
        (2, 3, 1, 2, 3),
        True,
        (2, 1, 1),
        ((1, 0), (0, 0), (0, 1)),
        (1, 2, 3),
    ),
]


@pytest.mark.parametrize("by_product", [convolve_columns, convolve_rows])
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_a_product_is_a_convolution(case, by_product):
    x_shape, weight_shape, with_bias, *rest = case
    args = [draw(0, *x_shape), draw(1, *weight_shape)]
    args.append(draw(2, weight_shape[-1]) if with_bias else None)

    def both(function):
        def total(x, weight, bias):
            y = function(x, weight, bias, *rest)
            return (y * draw(3, *y.shape)).sum(), y

        wanted = (0, 1, 2) if with_bias else (0, 1)
        return jax.jit(jax.value_and_grad(total, wanted, has_aux=True))(*args)

    close(both(by_product), both(by_lax))


@pytest.mark.parametrize(
    ("sizes", "kernel", "stride", "padding", "by_rows"),
    [
        ((2, 2), 3, 1, 1, True),  # the image is smaller than the kernel
        ((6, 6), 5, 1, 0, True),  # the output is
        ((3, 3), 3, 1, 1, False),
        ((2, 100), 3, 1, 1, False),  # along one axis only
        ((2, 2, 2), 3, 1, 1, True),
        ((9, 9), 9, 1, 0, False),  # rows would take 81 times the image
    ],
)
def test_images_smaller_than_the_kernel_become_a_product(
    sizes, kernel, stride, padding, by_rows
):
    build = {2: nn.conv2d, 3: nn.conv3d}[len(sizes)]
    layer = build(20, kernel, stride=stride, padding=padding)
    x = jnp.ones((1, *sizes, 1))
    params = layer.init(jax.random.key(0), x)
    text = str(jax.make_jaxpr(layer.apply)(params, x))
    assert ("conv_general_dilated" not in text) is by_rows


@pytest.mark.parametrize(
    ("shape", "window"),
    [
        ((3, 7, 4), (2,)),
        ((3, 7, 8, 4), (2, 3)),
        ((1, 4, 4, 1), (4, 4)),
        ((2, 4, 5, 6, 2), (2, 2, 2)),
        ((3, 5, 5, 2), (1, 1)),
    ],
)
@pytest.mark.parametrize("ties", [False, True])
def test_disjoint_windows_pool_as_lax_does(shape, window, ties):
    x = draw(0, *shape)
    if ties:
        x = jnp.round(x)
    out = [n // k for n, k in zip(shape[1:-1], window, strict=True)]
    upstream = draw(1, 1, *out, 1)

    def by_lax(x):
        whole = (1, *window, 1)
        return lax.reduce_window(x, -np.inf, lax.max, whole, whole, "VALID")

    def both(pool):
        return jax.value_and_grad(lambda x: (pool(x) * upstream).sum())(x)

    ours = both(lambda x: max_pool_disjoint(x, window))
    theirs = both(by_lax)
    close(ours[0], theirs[0])
    np.testing.assert_array_equal(ours[1], theirs[1])


def test_a_window_with_nan_has_no_largest_value():
    x = jnp.array([1.0, jnp.nan, 3.0, 2.0]).reshape(1, 4, 1)
    y = max_pool_disjoint(x, (2,))
    np.testing.assert_array_equal(y.ravel(), [jnp.nan, 3.0])


def test_turning_images_and_back_changes_nothing():
    for shape in [(3, 32, 32, 1), (2, 5, 4), (2, 3, 4, 5, 6)]:
        x = draw(0, *shape)
        turned = to_batch_minor(x)
        assert turned.shape == (shape[-1], *shape[1:-1], shape[0])
        np.testing.assert_array_equal(from_batch_minor(turned), x)


@pytest.fixture(scope="module")
def net():
    """A net of which the convolutions and the pooling take the fast paths."""
    net = nn.serial(
        conv1=nn.conv2d(3, 3, padding=1), act=jnp.tanh, pool=nn.max_pool2d(2),
        conv2=nn.conv2d(4, 3), conv3=nn.conv2d(20, 3, padding=1),
        flatten=nn.flatten(), fc=nn.linear(2),
    )  # fmt: skip
    return net, net.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))


IMAGES = draw(5, 6, 8, 8, 1)
LABELS = jnp.array([0, 1, 1, 0, 1, 0])


def loss_of(net):
    def loss(params, x=IMAGES, y=LABELS):
        return nn.losses.cross_entropy(net.apply(params, x), y)

    return loss


@pytest.fixture
def without_fast_paths(monkeypatch):
    def switch():
        monkeypatch.setattr(fast_paths, "_plain", lambda x: False)

    return switch


def transforms(net, params):
    """What each transform of JAX makes of the net, by name."""
    loss = loss_of(net)
    pair = jax.tree.map(lambda p: jnp.stack([p, 2 * p]), params)
    flat, unravel = ravel_pytree(params)

    def scanned(params):
        def body(total, x):
            return total + net.apply(params, x[None]).sum(), None

        return lax.scan(body, jnp.zeros(()), IMAGES)[0]

    return {
        "forward": lambda: net.apply(params, IMAGES),
        "gradient": lambda: jax.grad(loss)(params),
        "of images": lambda: jax.grad(loss, 1)(params, IMAGES),
        "tangent": lambda: jax.jvp(loss, (params,), (params,)),
        "curvature": lambda: jax.jvp(jax.grad(loss), (params,), (params,)),
        "reverse twice": lambda: jax.grad(
            lambda p: sum(jnp.sum(g**2) for g in jax.tree.leaves(jax.grad(loss)(p)))
        )(params),
        "hessian": lambda: jax.hessian(
            lambda head: loss(unravel(jnp.concatenate([head, flat[8:]])))
        )(flat[:8]),
        "over images": lambda: jax.vmap(
            lambda x, y: jax.grad(loss)(params, x[None], y[None])
        )(IMAGES, LABELS),
        "over params": lambda: jax.vmap(jax.grad(loss))(pair),
        "scan": lambda: jax.grad(scanned)(params),
        "remat": lambda: jax.grad(jax.checkpoint(loss))(params),
        "bfloat16": lambda: net.apply(
            jax.tree.map(lambda p: p.astype(jnp.bfloat16), params),
            IMAGES.astype(jnp.bfloat16),
        ).astype(jnp.float32),
    }


NAMES = [
    "forward", "gradient", "of images", "tangent", "curvature", "reverse twice",
    "hessian", "over images", "over params", "scan", "remat", "bfloat16",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_transform_gives_the_values_of_lax(net, without_fast_paths, name):
    fast = jax.jit(transforms(*net)[name])()
    without_fast_paths()
    close(fast, jax.jit(transforms(*net)[name])(), rtol=1e-4)


def test_the_net_takes_the_fast_paths(net):
    net, params = net
    text = str(jax.make_jaxpr(jax.grad(lambda p: net.apply(p, IMAGES).sum()))(params))
    assert "dot_general" in text
    for slow in ("conv_general_dilated", "reduce_window", "scatter"):
        assert slow not in text


def test_a_net_is_exported_and_called_again(net):
    net, params = net
    (batch,) = export.symbolic_shape("batch")
    spec = jax.ShapeDtypeStruct((batch, 8, 8, 1), jnp.float32)
    for x in (IMAGES, spec):
        exported = export.export(jax.jit(net.apply))(params, x)
        again = export.deserialize(exported.serialize())
        close(again.call(params, IMAGES), net.apply(params, IMAGES))


def test_many_devices_give_the_same_gradients():
    program = """
    import jax, jax.numpy as jnp, numpy as np, lenetjax as nn
    from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
    net = nn.serial(conv=nn.conv2d(3, 3), pool=nn.max_pool2d(2), flat=nn.flatten())
    x = jnp.asarray(np.random.default_rng(0).normal(size=(8, 8, 8, 1)), jnp.float32)
    params = net.init(jax.random.key(0), x)
    grad = jax.jit(jax.grad(lambda p, x: (net.apply(p, x) ** 2).sum()))
    want = grad(params, x)
    for kind in (AxisType.Auto, AxisType.Explicit):
        mesh = jax.make_mesh((4,), ("batch",), axis_types=(kind,))
        images = jax.device_put(x, NamedSharding(mesh, P("batch")))
        whole = jax.device_put(params, NamedSharding(mesh, P()))
        for a, b in zip(jax.tree.leaves(grad(whole, images)), jax.tree.leaves(want)):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    mapped = jax.shard_map(
        lambda p, x: jax.grad(
            lambda p: jax.lax.psum((net.apply(p, x) ** 2).sum(), "batch"))(p),
        mesh=jax.make_mesh((4,), ("batch",), axis_types=(AxisType.Auto,)),
        in_specs=(P(), P("batch")), out_specs=P())
    for a, b in zip(jax.tree.leaves(jax.jit(mapped)(params, x)), jax.tree.leaves(want)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    print(jax.device_count())
    """
    found = subprocess.run(  # noqa: S603
        [sys.executable, "-c", textwrap.dedent(program)],
        env={
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert found.stdout == "4\n", found.stderr
