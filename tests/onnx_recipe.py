"""Nets as ONNX, by jax2onnx and onnxruntime: `make test-onnx` runs it.

Not collected with the tests, as the converter needs an environment of its own.
"""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest
from documents import programs, read
from jax2onnx import to_onnx

import lenetjax as nn

PAGE = Path(__file__).parents[1] / "docs" / "taking_a_net_elsewhere.md"

NETS = {
    "normalized": (
        nn.serial(
            conv=nn.conv2d(4, 3, padding=1, stride=2), bn=nn.batch_norm(),
            act=jax.nn.relu, pool=nn.global_avg_pool(), out=nn.linear(3),
        ),
        (8, 8, 3),
    ),
    "avg_pool2d": (nn.avg_pool2d(2), (8, 8, 3)),
    "max_pool2d": (nn.max_pool2d(2), (8, 8, 32)),
    "max_pool2d, overlapping": (nn.max_pool2d(3, stride=2), (9, 9, 3)),
    "conv_transpose2d": (nn.conv_transpose2d(4, 3, stride=2), (5, 5, 3)),
    "layer_norm": (nn.serial(norm=nn.layer_norm(), drop=nn.dropout(0.5)), (8,)),
    "gru": (nn.gru(5), (4, 3)),
    "transformer": (nn.transformer_encoder_block(2, hidden=16), (4, 8)),
}  # fmt: skip
FIXED = {"max_pool2d, padded": (nn.max_pool2d(3, stride=2, padding=1), (8, 8, 3))}


def converted(net, shape, batch):
    """A session of onnxruntime, and a function that computes the same here."""
    x = jnp.ones((1, *shape))
    params, state = net.init_with_state(jax.random.key(0), x)
    with nn.interop.portable():
        model = to_onnx(
            lambda x: net.apply(params, x, state=state),
            inputs=[(batch, *shape)], input_names=["x"], output_names=["y"],
        )  # fmt: skip
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session, lambda x: net.apply(params, x, state=state)


def compare(session, apply, shape, batch):
    x = np.random.default_rng(batch).normal(size=(batch, *shape)).astype(np.float32)
    (y,) = session.run(["y"], {"x": x})
    np.testing.assert_allclose(y, apply(x), rtol=1e-5, atol=1e-5)


def test_the_recipe_of_the_manual(tmp_path, monkeypatch):
    """Its program runs as it stands; the file takes any batch, and has convolutions."""
    monkeypatch.chdir(tmp_path)
    text = read(PAGE)
    names = {}
    exec(programs(text)[0].source, names)  # noqa: S102  # our own page
    (recipe,) = re.findall(r"^```py\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)

    exec(recipe, names)  # noqa: S102

    kinds = [node.op_type for node in names["model"].graph.node]
    assert kinds.count("Conv") == 2
    for batch in (1, 5):
        images = np.random.default_rng(batch).normal(size=(batch, 32, 32, 1))
        images = images.astype(np.float32)
        (found,) = names["session"].run(["logits"], {"images": images})
        want = names["net"].apply(names["params"], images)
        np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NETS)
def test_nets_for_any_batch(name):
    """onnxruntime computes what `apply` does, for more than one batch."""
    net, shape = NETS[name]
    session, apply = converted(net, shape, "b")

    for batch in (1, 5):
        compare(session, apply, shape, batch)


@pytest.mark.parametrize("name", FIXED)
def test_nets_for_a_fixed_batch(name):
    """What the converter pads, it knows for a fixed batch only."""
    net, shape = FIXED[name]
    session, apply = converted(net, shape, 3)

    compare(session, apply, shape, 3)
    with pytest.raises(Exception, match="Symbolic dimension"):
        converted(net, shape, "b")


def test_without_the_context_the_converter_stops():
    """It names the operation, and converts nothing wrongly."""
    net = nn.max_pool2d(2)

    with pytest.raises(NotImplementedError, match="row_major"):
        to_onnx(lambda x: net.apply({}, x), inputs=[("b", 8, 8, 1)])
