"""The table of a net, against counts by hand."""

import jax
import jax.numpy as jnp
import pytest

import lenetjax as nn

IMAGE = jax.ShapeDtypeStruct((1, 32, 32, 1), jnp.float32)

# params; FLOPs, two for each multiply-add: outputs x taps x 2
LENET = {
    "conv1": (9 * 6 + 6, 30 * 30 * 6 * 9 * 2),
    "conv2": (54 * 16 + 16, 13 * 13 * 16 * 54 * 2),
    "fc1": (576 * 120 + 120, 576 * 120 * 2),
    "fc2": (120 * 84 + 84, 120 * 84 * 2),
    "fc3": (84 * 10 + 10, 84 * 10 * 2),
}


def test_lenet_is_counted_by_hand():
    """81,194 params and 549,312 FLOPs, row by row, in the layers' order."""
    net = nn.models.lenet()

    table = nn.summary(net, IMAGE)

    assert [row.path for row in table.rows] == list(net.children)
    counted = {row.path: (row.params, row.flops) for row in table.rows if row.params}
    assert counted == LENET
    assert table.total("params") == 81_194
    assert table.total("flops") == 549_312


def test_flops_grow_with_the_batch_and_the_groups_share_them():
    """Eight images take eight times as many; two groups half."""
    images = jax.ShapeDtypeStruct((8, 32, 32, 1), jnp.float32)
    assert nn.summary(nn.models.lenet(), images).total("flops") == 8 * 549_312

    x = jax.ShapeDtypeStruct((1, 5, 5, 4), jnp.float32)
    flops = [nn.summary(nn.conv2d(6, 3, groups=g), x).total("flops") for g in (1, 2)]
    assert flops == [9 * 6 * 36 * 2, 9 * 6 * 18 * 2]


@pytest.mark.parametrize(
    "net",
    [nn.models.lenet5(), nn.models.lenet5(activation="tanh", pooling="avg")],
)
def test_lenet5_has_61706_params(net):
    """The classic number."""
    assert nn.summary(net, IMAGE).total("params") == 61_706


def test_shared_weights_count_once():
    """The second call is marked; its FLOPs count, its params do not."""
    net = nn.compose(lambda net, x: net.fc(net.fc(x)), fc=nn.linear(3))

    table = nn.summary(net, jnp.ones((1, 3)))

    assert [row.shared for row in table.rows] == [False, True]
    assert table.total("params") == 12
    assert table.total("flops") == 2 * 2 * 9
    assert "shared" in str(table)


def test_state_is_counted_apart():
    """Batch norm has as many running statistics as params."""
    table = nn.summary(nn.serial(bn=nn.batch_norm()), jnp.ones((2, 5)))

    assert (table.total("params"), table.total("state")) == (10, 10)


def test_a_net_that_does_not_fit_says_where():
    """The error has the path of the layer that fails."""
    with pytest.raises(nn.LayerError, match=r"'conv2'.*3x3 is larger"):
        nn.summary(nn.models.lenet(), jnp.ones((1, 6, 6, 1)))
