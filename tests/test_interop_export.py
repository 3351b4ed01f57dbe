"""Programs for `jax.export`: complete, for any batch and any platform."""

import functools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import CATALOGUE

import lenetjax as nn

pytest.importorskip("flatbuffers", reason='needs "lenetjax[export]"')
pytestmark = pytest.mark.compiled

BATCHES = (1, 7)
LONG = [pytest.mark.variant]  # of the long run, which CONTRIBUTING.md tells of


def small_lenet():
    return nn.serial(
        conv=nn.conv2d(6, 3), relu1=jax.nn.relu, pool=nn.max_pool2d(2),
        bn=nn.batch_norm(), drop=nn.dropout(0.5), flatten=nn.flatten(),
        fc=nn.linear(10),
    )  # fmt: skip


def images(number, seed=0):
    drawn = np.random.default_rng(seed).normal(size=(number, 8, 8, 1))
    return jnp.asarray(drawn, jnp.float32)


@pytest.fixture(scope="module")
def trained():
    """A net with state whose running averages are not those of the start."""
    net = small_lenet()
    params, state = jax.jit(net.init_with_state)(jax.random.key(0), images(1))
    train = jax.jit(functools.partial(net.apply_with_state, train=True))
    _, state = train(params, state, 3 + images(9), key=jax.random.key(1))
    return net, params, state


def close(one, other, tolerance=1e-6):
    np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def test_one_program_for_any_batch_and_three_platforms(trained):
    """Its values are those of `apply` in evaluation, whatever the batch."""
    net, params, state = trained

    exported = nn.interop.export(net, params, images(3), state=state)

    assert exported.platforms == ("cpu", "cuda", "tpu")
    for number in BATCHES:
        x = images(number, seed=number)
        close(exported.call(x), net.apply(params, x, state=state))


def test_the_values_of_x_are_not_read(trained):
    """Its shape alone will do, and of that the batch is left open."""
    net, params, state = trained
    spec = jax.ShapeDtypeStruct((2, 8, 8, 1), jnp.float32)

    exported = nn.interop.export(net, params, spec, state=state, batch="n")

    (x,), (y,) = exported.in_avals, exported.out_avals
    assert str(x.shape) == "(n, 8, 8, 1)"
    assert str(y.shape) == "(n, 10)"
    close(exported.call(images(5)), net.apply(params, images(5), state=state))


def test_a_fixed_batch_and_one_platform(trained):
    """batch=None keeps x's; another batch and another platform are refused."""
    net, params, state = trained

    exported = nn.interop.export(
        net, params, images(3), state=state, batch=None, platforms=["cuda"]
    )

    assert exported.platforms == ("cuda",)
    assert [aval.shape for aval in exported.in_avals] == [(3, 8, 8, 1)]
    with pytest.raises(ValueError, match="platform"):
        exported.call(images(3))
    here = nn.interop.export(net, params, images(3), state=state, batch=None)
    close(here.call(images(3)), net.apply(params, images(3), state=state))
    with pytest.raises(ValueError, match="Shape mismatch"):
        here.call(images(4))


def test_a_program_for_other_platforms_has_their_convolutions(trained):
    """`portable` decides what is written; the values are the same."""
    net, params, state = trained

    with nn.interop.portable():
        portable = nn.interop.export(net, params, images(1), state=state)
    usual = nn.interop.export(net, params, images(1), state=state)

    assert "stablehlo.convolution" in portable.mlir_module()
    assert "stablehlo.convolution" not in usual.mlir_module()
    close(portable.call(images(4)), usual.call(images(4)))


CALL = """
import sys
sys.modules["lenetjax"] = None  # as where it is not installed
from pathlib import Path
import jax, numpy as np
exported = jax.export.deserialize(Path(sys.argv[1]).read_bytes())
np.save(sys.argv[3], exported.call(np.load(sys.argv[2])))
"""


def test_the_file_is_called_without_lenetjax(trained, tmp_path):
    """Another process, which has JAX alone, computes the same."""
    net, params, state = trained
    path, x, y = (tmp_path / name for name in ("net.stablehlo", "x.npy", "y.npy"))
    exported = nn.interop.export(net, params, images(1), state=state)

    path.write_text("an old file")
    nn.interop.save_exported(path, exported)
    np.save(x, images(5))
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", CALL, path, x, y], capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    close(np.load(y), net.apply(params, images(5), state=state))
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "net.stablehlo", "x.npy", "y.npy"
    ]  # fmt: skip


def test_a_file_that_cannot_be_written_leaves_the_old_one(trained, tmp_path):
    """The folder is not there, or a folder stands where the file should."""
    net, params, state = trained
    exported = nn.interop.export(net, params, images(1), state=state)
    (tmp_path / "folder").mkdir()

    with pytest.raises(FileNotFoundError):
        nn.interop.save_exported(tmp_path / "no" / "net", exported)
    with pytest.raises(OSError, match="while writing"):
        nn.interop.save_exported(tmp_path / "folder", exported)

    assert [path.name for path in tmp_path.rglob("*")] == ["folder"]


def test_without_flatbuffers_the_command_is_said(trained, tmp_path, monkeypatch):
    net, params, state = trained
    exported = nn.interop.export(net, params, images(1), state=state)
    monkeypatch.setitem(sys.modules, "flatbuffers", None)

    with pytest.raises(ImportError, match=r'pip install "lenetjax\[export\]"'):
        nn.interop.save_exported(tmp_path / "net", exported)


SHORT = ("bilinear", "embedding", "gru", "lp_pool2d", "repeat", "rms_norm", "upsample")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.name, marks=[] if case.name in SHORT else LONG)
        for case in CATALOGUE
        if case.batched
    ],
)
def test_every_layer_is_exported_for_any_batch(case):
    """For all platforms, with the values of `apply`."""
    params, state, x = case.example()

    exported = nn.interop.export(case.layer, params, x, state=state)

    want = case.layer.apply(params, x, state=state)
    # In bfloat16 the rounding depends on which operations run as one.
    tolerance = 1e-2 if "bfloat16" in case.name else 1e-6
    jax.tree.map(
        lambda one, other: close(one, other, tolerance), exported.call(x), want
    )


def test_a_net_for_a_fixed_batch_only_is_told_how():
    """What made it so is said, with the layer; batch=None exports it."""
    net = nn.serial(fc=nn.linear(4), split=lambda x: x.reshape(2, -1, 4))
    x = jnp.ones((6, 3), jnp.float32)
    params = net.init(jax.random.key(0), x)

    with pytest.raises(nn.LayerError, match=r"layer 'split'.*\n.*batch=None") as found:
        nn.interop.export(net, params, x)

    assert "float32[6,3]" in str(found.value)
    assert found.value.path == "split"
    exported = nn.interop.export(net, params, x, batch=None)
    close(exported.call(x), net.apply(params, x))


def test_what_does_not_fit_is_said_as_always(trained):
    """Wrong images, foreign params or a forgotten state are no matter of the batch."""
    net, params, state = trained

    with pytest.raises(nn.LayerError, match="expected 4 axes"):
        nn.interop.export(net, params, images(1)[0], state=state)
    with pytest.raises(nn.LayerError, match="the params do not fit"):
        nn.interop.export(net, params, jnp.zeros((1, 10, 10, 1)), state=state)
    with pytest.raises(nn.LayerError, match="this net has state"):
        nn.interop.export(net, params, images(1))
    with pytest.raises(nn.LayerError, match="params must be a dict"):
        nn.interop.export(net, None, images(1), state=state)


def test_a_failure_for_every_batch_is_not_blamed_on_it():
    """A call of Python fails for x itself as well."""
    net = nn.serial(sine=lambda x: jax.pure_callback(np.sin, x, x))

    with pytest.raises(NotImplementedError, match="callback"):
        nn.interop.export(net, {}, jnp.ones((2, 3)))


@pytest.mark.parametrize("platforms", [[], ["abacus"], ["cpu", "gpu"], "cpu"])
def test_what_is_no_platform(platforms):
    with pytest.raises(ValueError, match="platforms must be some of cpu, cuda, rocm"):
        nn.interop.export(nn.flatten(), {}, jnp.ones((2, 3)), platforms=platforms)


@pytest.mark.parametrize("batch", ["", "2b", "a b", "mod", 3, b"b"])
def test_what_is_no_name_of_a_batch(batch):
    with pytest.raises(ValueError, match="batch must be a name"):
        nn.interop.export(nn.flatten(), {}, jnp.ones((2, 3)), batch=batch)


def test_arrays_without_a_batch_are_told_how():
    """A number among the inputs has no axis for the batch."""
    net = nn.layer("scaled", nn.no_params, lambda params, x: x["x"] * x["by"])
    x = {"x": jnp.ones((2, 3)), "by": jnp.float32(2)}

    with pytest.raises(ValueError, match="batch=None"):
        nn.interop.export(net, {}, x)

    exported = nn.interop.export(net, {}, x, batch=None)
    close(exported.call(x), 2 * np.ones((2, 3)))
