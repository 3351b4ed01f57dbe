"""Where the order of features cannot be found, and what must not mislead."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import CATALOGUE

import lenetjax as nn
from lenetjax.interop.feature_codes import (
    KEEPS_FEATURES,
    KEEPS_IMAGES,
    MAKES_FEATURES,
    MAKES_IMAGES,
    kind_of,
)
from lenetjax.interop.feature_order import feature_orders

joined = functools.partial(jnp.concatenate, axis=-1)
IMAGE, LINE = (4, 4, 6, 3), (4, 6, 3)


def small_part(net, x):
    """The order of a flattened image, and a little of another."""
    y = x.reshape(len(x), -1)
    return net.fc(y + 1e-4 * net.other(y))


def shared_badly(net, x):
    """One layer on an image's order and on PyTorch's own."""
    y = net.conv(x)
    one, other = y.reshape(len(x), -1), y.transpose(0, 3, 1, 2).reshape(len(x), -1)
    return net.fc(one) + net.fc(other)


def patches(x):
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, -1, 4 * channels)


def together(net, x):
    x = joined([net.a(x), net.b(x)])
    return net.fc(x.reshape(len(x), -1))


REFUSED = {  # a net, the shape of its input, the path and why
    "turned round": (
        nn.serial(nn.conv2d(2, 1), lambda x: -x, nn.flatten(), nn.linear(2)),
        IMAGE, "3", "in an order of their own",
    ),
    "constant": (
        nn.serial(nn.conv2d(2, 1), lambda x: jnp.clip(x, 0, 0.6), nn.flatten(),
                  nn.linear(2)),
        IMAGE, "3", "in an order of their own",
    ),
    "hidden from the codes": (
        nn.serial(nn.conv2d(2, 1), lambda x: jnp.clip(x, -9, 0.4), nn.flatten(),
                  nn.linear(2)),
        IMAGE, "3", "stand between others",
    ),
    "softmax": (
        nn.serial(nn.conv2d(2, 1), jax.nn.softmax, nn.flatten(), nn.linear(2)),
        IMAGE, "3", "in an order of their own",
    ),
    "rows of pixels flattened": (
        nn.serial(nn.conv2d(2, 1), lambda x: x[:, ::-1], nn.flatten(), nn.linear(2)),
        IMAGE, "3", "in an order of their own",
    ),
    "two images joined by hand": (
        nn.compose(together, a=nn.conv2d(2, 1), b=nn.conv2d(2, 1), fc=nn.linear(2)),
        IMAGE, "fc", "in an order of their own",
    ),
    "a little of another order": (
        nn.compose(small_part, other=nn.linear(72), fc=nn.linear(2)),
        IMAGE, "fc", "mixed",
    ),
    "two orders for one layer": (
        nn.compose(shared_badly, conv=nn.conv2d(2, 1), fc=nn.linear(2)),
        IMAGE, "fc", "on several orders",
    ),
    "patches by hand": (
        nn.serial(patches, nn.linear(2)), IMAGE, "1", "from place to place",
    ),
    "groups of features": (
        nn.serial(nn.conv2d(2, 1), nn.flatten(), nn.group_norm(2)),
        IMAGE, "2", "depends on the order",
    ),
    "attention": (
        nn.serial(nn.conv2d(2, 1), nn.reshape((1, -1)), nn.multi_head_attention(2)),
        IMAGE, "2", "depends on the order",
    ),
    "channels mixed by a linear map": (
        nn.serial(nn.conv2d(2, 1), nn.linear(2), nn.flatten(), nn.linear(2)),
        IMAGE, "3", "in an order of their own",
    ),
    "channels normalized last": (
        nn.serial(nn.conv2d(2, 1), nn.layer_norm(), nn.flatten(), nn.linear(2)),
        IMAGE, "3", "in an order of their own",
    ),
    "a sequence normalized as an image": (
        nn.serial(nn.lstm(2), nn.batch_norm(), nn.flatten(), nn.linear(2)),
        LINE, "3", "in an order of their own",
    ),
    "the copies of a repeat": (
        nn.serial(nn.conv2d(2, 1), nn.flatten(), nn.repeat(2, nn.linear(48))),
        IMAGE, "2", "differs from place to place",
    ),
    "an image made of features": (
        nn.serial(nn.linear(24), nn.unflatten(1, (2, 3, 4)), nn.conv2d(2, 1)),
        (3, 5), "2", "made of features",
    ),
    "an upsampled image of features": (
        nn.serial(nn.linear(24), nn.unflatten(1, (2, 3, 4)), nn.upsample((4, 6))),
        (3, 5), "2", "made of features",
    ),
    "an image of features as output": (
        nn.serial(nn.linear(24), nn.unflatten(1, (2, 3, 4))), (3, 5), "",
        "of the net is made of features",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_found_is_refused(name):
    """With the path of the layer, and what to do."""
    net, shape, path, why = REFUSED[name]

    with pytest.raises(nn.LayerError, match=why) as raised:
        feature_orders(net, jnp.zeros(shape))

    assert raised.value.path == path
    assert "nn.transpose" in str(raised.value)


def test_images_given_as_bytes():
    """Their order is that of other images, once they are numbers."""
    net = nn.serial(lambda x: x.astype(jnp.float32) / 255, nn.flatten(), nn.linear(2))

    orders = feature_orders(net, jnp.zeros((2, 4, 5, 3), jnp.uint8))

    want = np.arange(60).reshape(3, 20).T.ravel()
    np.testing.assert_array_equal(orders["2"][0], want)


def test_small_dtypes_do_not_blur_the_order():
    """bfloat16 cannot tell so many places apart."""
    net = nn.serial(nn.flatten(), nn.linear(2))
    x = jnp.zeros((1, 32, 32, 3))

    orders = feature_orders(nn.mixed_precision(net), x)

    np.testing.assert_array_equal(orders["1"][0], feature_orders(net, x)["1"][0])


@pytest.mark.parametrize(
    "net",
    [
        nn.serial(nn.embedding(9, 4), nn.flatten(), nn.linear(2)),
        nn.serial(
            lambda x: jax.nn.one_hot(x, 9), nn.gru(3), nn.flatten(), nn.linear(2)
        ),
    ],
)  # fmt: skip
def test_sequences_are_alike_in_both(net):
    """No image, no other order."""
    assert feature_orders(net, jnp.zeros((2, 5), int)) == {}


def test_a_function_with_the_name_of_a_layer_is_none():
    """Padding features is no padding of images."""
    widen = functools.partial(jnp.pad, pad_width=((0, 0), (0, 2)))
    net = nn.serial(nn.conv2d(2, 1), nn.flatten(), widen, nn.linear(2))
    assert dict(net.walk())["2"].kind in ("pad", "partial.pad")

    order = feature_orders(net, jnp.zeros((1, 4, 5, 3)))["3"][0]

    want = np.arange(40).reshape(2, 20).T.ravel()
    np.testing.assert_array_equal(order, [*want, 40, 41])


def test_every_layer_is_known_by_its_settings():
    names = {layer.kind for case in CATALOGUE for _, layer in case.layer.walk()}
    ours = {kind_of(layer) for case in CATALOGUE for _, layer in case.layer.walk()}

    assert ours - {""} == names & set(nn.layers.__all__)
    known = MAKES_IMAGES | KEEPS_IMAGES | MAKES_FEATURES | KEEPS_FEATURES
    assert known <= set(nn.layers.__all__)
    assert set(nn.layers.__all__) - known == {
        "alpha_dropout", "dropout", "dropout1d", "dropout2d", "dropout3d", "flatten",
        "reshape", "rotary_positions", "stochastic_depth", "transpose", "unflatten",
    }  # fmt: skip


def scanned(net, x):
    x = net.conv(x).reshape(len(x), -1)
    return jax.lax.scan(lambda y, _: (net.fc(y), None), x, length=2)[0]


def test_a_scan_hides_what_is_inside():
    net = nn.compose(scanned, conv=nn.conv2d(2, 1), fc=nn.linear(40))

    with pytest.raises(nn.LayerError, match=r"'fc' .* inside a jax transform"):
        feature_orders(net, jnp.zeros((1, 4, 5, 3)))
    scan = nn.compose(
        lambda net, x: jax.lax.scan(lambda y, _: (net.fc(y), None), x, length=2)[0],
        fc=nn.linear(3),
    )
    assert feature_orders(scan, jnp.zeros((1, 3))) == {}


def test_nothing_stays_switched_on():
    """64 bits are used for the codes alone."""
    feature_orders(nn.models.lenet(), jnp.zeros((1, 12, 12, 1)))

    assert jnp.ones(1).dtype == (
        jnp.float64 if jax.config.jax_enable_x64 else "float32"
    )
