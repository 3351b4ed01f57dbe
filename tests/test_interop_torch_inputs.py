"""What may hold PyTorch's weights, what is refused, and how it is said."""

import os
import pickle
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

import lenetjax as nn
from lenetjax.interop import from_torch, parity, to_torch

NET = nn.serial(
    features=nn.serial(nn.conv2d(4, 3), nn.batch_norm(), jax.nn.relu),
    flatten=nn.flatten(),
    fc=nn.linear(5),
)
X = jnp.zeros((2, 6, 5, 3))
SHAPES = {
    "features.0.weight": (4, 3, 3, 3),
    "features.0.bias": (4,),
    "features.1.weight": (4,),
    "features.1.bias": (4,),
    "features.1.running_mean": (4,),
    "features.1.running_var": (4,),
    "fc.weight": (5, 48),
    "fc.bias": (5,),
}


def arrays(dtype="float32", shapes=SHAPES):
    rng = np.random.default_rng(0)
    made = {name: rng.random(shape).astype(dtype) for name, shape in shapes.items()}
    return made | {"features.1.num_batches_tracked": np.array(7)}


def equal(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_a_dict_of_numpy_or_jax_arrays_will_do():
    """PyTorch is not needed."""
    params, state = from_torch(NET, arrays(), X)

    again = from_torch(NET, {k: jnp.asarray(a) for k, a in arrays().items()}, X)
    equal(again, (params, state))
    weight = arrays()["fc.weight"].reshape(5, 4, 4, 3)  # (out, channels, height, width)
    np.testing.assert_array_equal(
        params["fc"]["weight"].reshape(4, 3, 4, 5), weight.transpose(2, 3, 1, 0)
    )
    assert NET.apply(params, X, state=state).shape == (2, 5)


def test_a_shape_will_do_as_input():
    spec = jax.ShapeDtypeStruct(X.shape, X.dtype)

    equal(from_torch(NET, arrays(), spec), from_torch(NET, arrays(), X))


def test_the_counter_of_batch_norm_may_be_missing():
    theirs = arrays()
    del theirs["features.1.num_batches_tracked"]

    equal(from_torch(NET, theirs, X), from_torch(NET, arrays(), X))


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_floating_dtypes_become_the_nets(dtype):
    params, state = from_torch(NET, arrays(dtype), X)

    assert {a.dtype for a in jax.tree.leaves((params, state))} == {X.dtype}
    np.testing.assert_array_equal(
        params["fc"]["bias"], arrays(dtype)["fc.bias"].astype(X.dtype)
    )


@pytest.mark.parametrize("as_path", [str, os.fspath, lambda path: path])
def test_a_safetensors_file(tmp_path, as_path):
    """Written by other hands, without our digest."""
    save_file(arrays(), tmp_path / "net.safetensors")

    equal(
        from_torch(NET, as_path(tmp_path / "net.safetensors"), X),
        from_torch(NET, arrays(), X),
    )


def test_what_to_torch_makes_can_be_written(tmp_path):
    """safetensors writes arrays that are not contiguous wrongly."""
    params, state = NET.init_with_state(jax.random.key(0), X)

    save_file(to_torch(NET, params, state, X), tmp_path / "net.safetensors")

    equal(from_torch(NET, tmp_path / "net.safetensors", X), (params, state))


def test_tensors_modules_and_files_of_pytorch(tmp_path):
    """bfloat16 too, which NumPy has not."""
    torch = pytest.importorskip("torch", reason="needs lenetjax[torch]")
    safetensors_torch = pytest.importorskip("safetensors.torch")
    module = torch.nn.Module()
    module.features = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)
    )
    module.fc = torch.nn.Linear(48, 5)
    want = from_torch(NET, module.state_dict(), X)

    equal(from_torch(NET, module, X), want)
    safetensors_torch.save_file(module.state_dict(), tmp_path / "net.safetensors")
    equal(from_torch(NET, tmp_path / "net.safetensors", X), want)
    module.bfloat16()
    safetensors_torch.save_file(module.state_dict(), tmp_path / "small.safetensors")
    equal(
        from_torch(NET, tmp_path / "small.safetensors", X), from_torch(NET, module, X)
    )
    assert jax.tree.leaves(from_torch(NET, module, X))[0].dtype == X.dtype


def pickled(path):
    path.write_bytes(pickle.dumps({"fc.bias": [1.0]}))


def zipped(path):
    path.write_bytes(b"PK\x03\x04" + bytes(100))


def text(path):
    path.write_text("weights")


def nothing(path):
    path.write_bytes(b"")


def cut_short(path):
    save_file(arrays(), path)
    path.write_bytes(path.read_bytes()[:-5])


@pytest.mark.parametrize("write", [pickled, zipped, text, nothing, cut_short])
@pytest.mark.parametrize("name", ["net.pt", "net.safetensors"])
def test_pickles_and_other_files_are_refused(tmp_path, write, name):
    """Unread, with the way to convert them."""
    write(tmp_path / name)

    with pytest.raises(nn.LayerError, match=r"no whole safetensors file") as raised:
        from_torch(NET, tmp_path / name, X)
    for part in ("pickle", "weights_only=True", "save_file", name):
        assert part in str(raised.value)


def test_the_way_to_convert_a_pickle_works(tmp_path, monkeypatch):
    """What the message says, run as it stands."""
    torch = pytest.importorskip("torch", reason="needs lenetjax[torch]")
    monkeypatch.chdir(tmp_path)
    torch.save({k: torch.tensor(a) for k, a in arrays().items()}, "net.pt")
    with pytest.raises(nn.LayerError) as raised:
        from_torch(NET, "net.pt", X)

    code = re.search(r"\n((  .*\n?)+)", str(raised.value))[1]
    exec(re.sub("(?m)^  ", "", code), {})  # noqa: S102

    equal(from_torch(NET, "weights.safetensors", X), from_torch(NET, arrays(), X))


def test_a_folder_a_pipe_and_a_missing_file(tmp_path):
    with pytest.raises(nn.LayerError, match="is a folder"):
        from_torch(NET, tmp_path, X)
    with pytest.raises(FileNotFoundError):
        from_torch(NET, tmp_path / "none.safetensors", X)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(nn.LayerError, match="no regular file"):
        from_torch(NET, tmp_path / "pipe", X)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "expected a state dict, a torch module or the path .* got NoneType"),
        ([np.ones(3)], "got list"),
        ({3: np.ones(3)}, "a state dict has names, got 3"),
        ({"fc.bias": 1.0}, "'fc.bias': expected an array, got float"),
        ({"fc.bias": np.array(["a"])}, "'fc.bias': expected numbers, got <U1"),
        ({"fc.bias": np.array([None])}, "'fc.bias': expected numbers, got object"),
        ({"epoch": np.array(3), "model": arrays()}, r"checkpoint\['model'\]"),
    ],
)
def test_other_things_are_refused(source, message):
    with pytest.raises(nn.LayerError, match=message):
        from_torch(NET, source, X)


def test_all_differences_are_listed_at_once():
    """By our path and by their name, with shapes."""
    theirs = arrays()
    theirs["fc.weight"] = np.ones((5, 40), "float32")
    theirs["fc.bias"], theirs["head.bias"] = np.ones(5, int), np.ones(3)
    del theirs["features.0.bias"], theirs["features.1.running_var"]

    with pytest.raises(nn.LayerError) as raised:
        from_torch(NET, theirs, X)

    lines = str(raised.value).splitlines()
    assert lines[1:-1] == [
        "  features/0/bias = features.0.bias: expected (4,), and it is missing",
        "  features/1/var = features.1.running_var: expected (4,), and it is missing",
        "  fc/weight = fc.weight: expected (5, 48), got (5, 40)",
        "  fc/bias = fc.bias: expected floating numbers, got int64",
        "  nothing of ours = head.bias: got (3,) of float64",
    ]
    assert "names=" in lines[-1]


def test_another_architecture_and_no_weights_at_all():
    """Everything is said to be missing, and everything left over."""
    with pytest.raises(nn.LayerError, match="is missing") as raised:
        from_torch(nn.models.lenet(), arrays(), jnp.zeros((1, 32, 32, 1)))
    assert str(raised.value).count("is missing") == 10
    assert str(raised.value).count("nothing of ours") == 9
    with pytest.raises(nn.LayerError, match=r"fc/bias = fc\.bias.*is missing"):
        from_torch(NET, {}, X)


def test_an_input_of_another_size():
    """The layer after the image has other weights then."""
    with pytest.raises(nn.LayerError, match=r"expected \(5, 64\), got \(5, 48\)"):
        from_torch(NET, arrays(), jnp.zeros((2, 6, 6, 3)))
    with pytest.raises(nn.LayerError, match="channels"):
        from_torch(NET, arrays(), jnp.zeros((2, 6)))


def test_names_are_given_for_the_longest_start():
    """Also for the whole net, and for a layer inside another that has a name."""
    names = {"": "model", "features": "model.body", "features/1": "norm"}
    theirs = {
        name.replace("features.0", "model.body.0")
        .replace("features.1", "norm")
        .replace("fc", "model.fc"): array
        for name, array in arrays().items()
    }

    params, state = from_torch(NET, theirs, X, names=names)

    equal((params, state), from_torch(NET, arrays(), X))
    back = to_torch(NET, params, state, X, names=names)
    assert sorted(back) == sorted(theirs)


def test_a_common_start_is_pointed_out():
    """As `torch.nn.DataParallel` puts before all names."""
    theirs = {f"module.{name}": array for name, array in arrays().items()}

    with pytest.raises(nn.LayerError, match=r"names=\{'': 'module'\}"):
        from_torch(NET, theirs, X)
    from_torch(NET, theirs, X, names={"": "module"})


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"feature/0": "a"}, "names has 'feature/0', and the paths .* 'features/0'"),
        ({"fc/weight": "a"}, "names has 'fc/weight'"),
        ({"fc": 3}, "names must be a dict of strings"),
        (["fc"], "names must be a dict of strings"),
        ({"fc": "features.0"}, "'features/0' and 'fc' would both have"),
    ],
)
def test_names_that_do_not_fit(names, message):
    with pytest.raises(nn.LayerError, match=message):
        from_torch(NET, arrays(), X, names=names)


def test_names_inside_a_repeat():
    net = nn.serial(blocks=nn.repeat(2, nn.serial(fc=nn.linear(3))))
    x = jnp.ones((1, 3))
    params = net.init(jax.random.key(0), x)

    theirs = to_torch(net, params, {}, x, names={"blocks": "layers"})

    assert "layers.1.fc.weight" in theirs
    with pytest.raises(nn.LayerError, match=r"'blocks/fc', which is repeated"):
        to_torch(net, params, {}, x, names={"blocks/fc": "fc"})


def test_params_and_state_that_do_not_fit():
    params, state = NET.init_with_state(jax.random.key(0), X)

    with pytest.raises(nn.LayerError, match=r"the state do not fit.*"):
        to_torch(NET, params, {}, X)
    wrong = params | {"fc": {"weight": jnp.ones((47, 5)), "bias": jnp.ones(5)}}
    with pytest.raises(nn.LayerError, match=r"fc/weight: expected \(48, 5\)"):
        to_torch(NET, wrong, state, X)
    with pytest.raises(nn.LayerError, match="must be a dict"):
        to_torch(NET, None, state, X)


def test_params_in_bfloat16_come_back():
    """As float32, which `torch.tensor` takes."""
    net = nn.mixed_precision(NET, params="bfloat16")
    params, state = net.init_with_state(jax.random.key(0), X)

    theirs = to_torch(net, params, state, X)

    assert {str(a.dtype) for a in theirs.values()} == {"float32", "int64"}
    equal(from_torch(net, theirs, X), (params, state))


def test_a_tensor_is_no_example_input():
    """It would have the channels first."""
    torch = pytest.importorskip("torch", reason="needs lenetjax[torch]")

    with pytest.raises(nn.LayerError, match="x must be an input in our layout"):
        from_torch(NET, arrays(), torch.zeros(2, 3, 6, 5))


def test_a_net_without_params():
    assert to_torch(nn.serial(jax.nn.relu), {}, {}, X) == {}
    assert from_torch(nn.serial(jax.nn.relu), {}, X) == ({}, {})


def test_parity_with_another_net():
    """Other weights, another output, and inputs of several arrays."""
    torch = pytest.importorskip("torch", reason="needs lenetjax[torch]")
    net, x = nn.serial(fc=nn.linear(2)), jnp.ones((3, 4))
    params = net.init(jax.random.key(0), x)
    module = torch.nn.Sequential()
    module.add_module("fc", torch.nn.Linear(4, 2))
    with pytest.raises(nn.LayerError, match="is missing"):
        parity(net, params, torch.nn.Linear(4, 2), x)
    module.add_module("sum", torch.nn.Flatten(0))
    with pytest.raises(nn.LayerError, match=r"\(3, 2\).* and PyTorch's is \(6,\)"):
        parity(net, params, module, x)
    bilinear, pair = torch.nn.Bilinear(2, 2, 1), (jnp.ones((1, 2)), jnp.ones((1, 2)))
    net = nn.bilinear(1)
    with pytest.raises(nn.LayerError, match="one array"):
        parity(net, net.init(jax.random.key(0), pair), bilinear, pair)


def test_parity_finds_gradients_that_differ():
    """Where the outputs are equal."""
    torch = pytest.importorskip("torch", reason="needs lenetjax[torch]")

    class Cut(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = torch.nn.Linear(4, 3), torch.nn.Linear(3, 2)

        def forward(self, x):
            return self.fc2(self.fc1(x).detach())

    net, x, module = (
        nn.serial(fc1=nn.linear(3), fc2=nn.linear(2)),
        jnp.ones((3, 4)),
        Cut(),
    )
    params, _ = from_torch(net, module, x)

    first, second, last = parity(net, params, module, x).rows

    assert first.gradient > 1e-2
    assert max(first.output, second.output, second.gradient, last.output) < 1e-5


def test_parity_leaves_the_module_as_it_was():
    """Its mode, gradients and hooks."""
    torch = pytest.importorskip("torch", reason="needs lenetjax[torch]")
    module = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.Dropout()).train()
    module[1].eval()
    net, x = nn.serial(nn.linear(2), nn.dropout(0.5)), jnp.ones((3, 4))
    params, _ = from_torch(net, module, x)

    found = parity(net, params, module, x)

    assert found.largest < 1e-5
    assert (module.training, module[0].training, module[1].training) == (
        True, True, False,
    )  # fmt: skip
    assert module[0].weight.grad is None
    assert not module[0]._forward_hooks
    head, row, output = (line.split() for line in repr(found).splitlines())
    assert head == ["layer", "in", "PyTorch", "output", "gradient"]
    assert (row[:2], output[0], output[-1]) == (["0", "0"], "(output)", "-")
