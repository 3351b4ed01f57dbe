"""The table of a net, against counts by hand."""

import html
import re

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


def test_bytes_are_those_of_the_outputs():
    """Four for each float32, and two for each half."""
    net = nn.serial(
        fc=nn.linear(3), half=nn.mixed_precision(nn.linear(5), output="bfloat16")
    )

    table = nn.summary(net, jnp.ones((2, 7), jnp.float32))

    assert [row.bytes for row in table.rows] == [2 * 3 * 4, 2 * 5 * 2]


def test_products_of_a_forward_function_have_a_row():
    """What `compose` computes itself is counted, once, below its layers."""

    def forward(net, x):
        y = net.fc(x)
        return y @ y.T

    net = nn.serial(first=nn.linear(3), own=nn.compose(forward, fc=nn.linear(3)))

    table = nn.summary(net, jnp.ones((4, 3)))

    flops = {(row.path, row.layer): row.flops for row in table.rows}
    assert flops[("own", "its own products")] == 2 * 4 * 4 * 3
    assert table.total("flops") == 2 * (4 * 3 * 3) * 2 + 2 * 4 * 4 * 3


def test_copies_of_a_layer_are_counted_all():
    """A net inside of `repeat` has one row for all copies of each layer."""
    net = nn.repeat(3, nn.serial(fc=nn.linear(4), norm=nn.batch_norm()))

    table = nn.summary(net, jnp.ones((2, 4)))

    assert [row.params for row in table.rows] == [3 * (4 * 4 + 4), 3 * 8]
    assert table.total("state") == 3 * 8
    assert table.total("flops") == 3 * 2 * 2 * 4 * 4


MISFITS = {
    "in a serial": (nn.models.lenet(), (1, 6, 6, 1), ["conv1", "relu1", "pool1"]),
    "further in": (
        nn.serial(a=jnp.tanh, b=nn.serial(c=nn.linear(2), d=nn.conv2d(3, 3))),
        (4, 5),
        ["a", "b/c"],
    ),
    "at once": (nn.conv2d(3, 3), (4, 5), []),
}


@pytest.mark.parametrize("name", MISFITS)
def test_a_net_that_does_not_fit_says_where(name):
    """The rows go up to the layer at fault, whose error stands below."""
    net, shape, fitting = MISFITS[name]
    x = jnp.ones(shape)
    with pytest.raises(nn.LayerError) as error:
        net.plan(x)

    table = nn.summary(net, x)

    assert [row.path for row in table.rows] == fitting
    assert str(table).endswith(f"-\n{error.value}")
    assert html.escape(str(error.value)) in table._repr_html_()
    with pytest.raises(nn.LayerError, match=r"expected|larger"):
        table.total("params")


def test_html_has_the_same_cells():
    """A notebook shows what `print` does, with names escaped."""
    net = nn.serial(**{"a<b": nn.linear(2)}, act=jax.nn.relu)
    table = nn.summary(net, jnp.ones((1, 3)))

    cells = re.findall(r"<t[hd][^>]*>([^<]*)</t", table._repr_html_())

    assert cells == [html.escape(cell) for line in table.table() for cell in line]
    assert "a&lt;b" in table._repr_html_() + net._repr_html_()


def test_a_net_in_a_notebook_has_the_lines_of_its_text():
    """Nested lists with the same names and settings, in the same order."""
    net = nn.models.resnet20()
    lines = re.sub(r"\n *", "", re.sub(r"\((\w+)\): ", r"\1: ", repr(net)))

    shown = html.unescape(re.sub(r"<[^>]+>", "", net._repr_html_()))

    assert shown == lines
