"""A net as a folder in the Hugging Face layout: written, read, and refused."""

import json
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import CATALOGUE
from hostile import checkpoints
from safetensors import safe_open
from safetensors.numpy import load_file

import lenetjax as nn
from lenetjax.checkpoint.archive import LARGEST_HEADER
from lenetjax.runs import LARGEST_CONFIG, Run

FILES = ["config.json", "model.safetensors"]
FIRST = {case.name.split()[0]: case for case in reversed(CATALOGUE)}  # of each function


def stateful():
    net = nn.serial(fc=nn.linear(2), bn=nn.batch_norm())
    params, state = net.init_with_state(jax.random.key(0), jnp.ones((1, 3)))
    state = jax.tree.map(lambda leaf: leaf + 0.25, state)
    return net, params, state


def described(net):
    """As JSON, which has no tuples."""
    return json.dumps(nn.describe(net))


def same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.fixture
def folder(tmp_path):
    """A folder that holds a net with state."""
    nn.interop.save_pretrained(tmp_path / "net", *stateful())
    return tmp_path / "net"


def test_a_net_comes_back_with_its_params_and_state(folder):
    net, params, state = stateful()
    x = jnp.arange(6.0).reshape(2, 3)

    again, read, read_state = nn.interop.load_pretrained(folder)

    assert sorted(os.listdir(folder)) == FILES
    assert described(again) == described(net)
    same(read, params)
    same(read_state, state)
    np.testing.assert_array_equal(
        again.apply(read, x, state=read_state), net.apply(params, x, state=state)
    )


@pytest.mark.parametrize("name", sorted(set(FIRST) - {"compose", "noisy"}))
def test_every_net_that_can_be_described_comes_back(name, tmp_path):
    """A layer of each kind, with its params' names, shapes and values."""
    case = FIRST[name]
    params, state, _ = case.example()

    nn.interop.save_pretrained(tmp_path / "net", case.layer, params, state)

    net, read, read_state = nn.interop.load_pretrained(tmp_path / "net")
    assert described(net) == described(case.layer)
    same(read, params)
    same(read_state, state)


def test_others_read_the_files(folder):
    """safetensors finds the arrays and their names, any JSON reader the net."""
    _, params, state = stateful()

    arrays = load_file(folder / "model.safetensors")

    assert sorted(arrays) == [
        "#state.bn.mean", "#state.bn.var", "bn.bias", "bn.weight", "fc.bias",
        "fc.weight",
    ]  # fmt: skip
    np.testing.assert_array_equal(arrays["fc.weight"], params["fc"]["weight"])
    np.testing.assert_array_equal(arrays["#state.bn.var"], state["bn"]["var"])
    with safe_open(folder / "model.safetensors", "np") as file:
        assert file.metadata()["format"] == "lenetjax 1"
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == "lenetjax"
    assert config["architectures"] == ["serial"]
    assert config["net"]["children"]["fc"]["settings"]["features"] == 2
    assert config["versions"]["lenetjax"]


def test_saving_again_replaces_what_was_saved(folder):
    net = nn.serial(other=nn.linear(1))
    params = net.init(jax.random.key(1), jnp.ones((1, 2)))

    nn.interop.save_pretrained(folder, net, params)

    again, read, state = nn.interop.load_pretrained(folder)
    assert list(again.children) == ["other"]
    same(read, params)
    assert state == {}


def test_layers_of_your_own_come_back_by_name(tmp_path):
    """Only the functions that the caller names are called."""

    def scaled(by=1.0):
        def apply(params, x):
            return by * x

        return nn.layer(scaled, nn.no_params, apply, settings={"by": by})

    net, kinds = nn.serial(s=scaled(3.0)), {"scaled": scaled}
    with pytest.raises(nn.LayerError, match=r"unknown kind 'scaled'.*\n.*checkpoint"):
        nn.interop.save_pretrained(tmp_path, net, {})
    assert os.listdir(tmp_path) == []

    nn.interop.save_pretrained(tmp_path, net, {}, kinds=kinds)

    again, _, _ = nn.interop.load_pretrained(tmp_path, kinds=kinds)
    np.testing.assert_array_equal(again.apply({}, jnp.ones((1, 2))), [[3.0, 3.0]])
    with pytest.raises(ValueError, match="unknown kind 'scaled'"):
        nn.interop.load_pretrained(tmp_path)


def test_a_forward_function_cannot_be_written_down(tmp_path):
    """It is said what else to do, and nothing is written."""
    net = nn.compose(lambda net, x: net.fc(x) + x, fc=nn.linear(3))
    params = net.init(jax.random.key(0), jnp.ones((1, 3)))

    with pytest.raises(nn.LayerError, match=r"unknown kind 'compose'.*\n.*checkpoint"):
        nn.interop.save_pretrained(tmp_path / "net", net, params)

    assert os.listdir(tmp_path) == []


def test_a_description_of_another_net_is_noticed(tmp_path):
    """A kind whose function makes something else would come back as that."""
    net = nn.serial(fc=nn.linear(2))
    params = net.init(jax.random.key(0), jnp.ones((1, 3)))

    with pytest.raises(nn.LayerError, match="another net"):
        nn.interop.save_pretrained(
            tmp_path, net, params, kinds={"linear": lambda **_: nn.flatten()}
        )


def test_the_folder_of_a_run_is_read(tmp_path):
    """As `lenetjax train` leaves it; nothing is saved into it."""
    net = nn.models.mlp(3, hidden=(4,))
    x = jnp.ones((2, 4, 4, 1), jnp.float32)
    params = net.init(jax.random.key(0), x)
    run = Run(
        tmp_path, net, x.shape[1:], model="mlp", data="digits", training={"seed": 0}
    )
    with run.writing(anew=True):
        run.save(params, {})

    again, read, state = nn.interop.load_pretrained(tmp_path)

    assert described(again) == described(net)
    same(read, params)
    assert state == {}
    before = {name: (tmp_path / name).read_bytes() for name in FILES}
    with pytest.raises(ValueError, match="give another folder"):
        nn.interop.save_pretrained(tmp_path, net, params)
    assert before == {name: (tmp_path / name).read_bytes() for name in FILES}


def test_the_folder_of_another_library_is_left_alone(tmp_path):
    config = tmp_path / "config.json"
    config.write_text('{"model_type": "bert", "architectures": ["BertModel"]}')

    with pytest.raises(ValueError, match=r"model_type 'bert'.*reads 'lenetjax'"):
        nn.interop.load_pretrained(tmp_path)
    with pytest.raises(ValueError, match="give another folder"):
        nn.interop.save_pretrained(tmp_path, *stateful())

    assert os.listdir(tmp_path) == ["config.json"]
    assert "bert" in config.read_text()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda net, params, state: (net, params, {}), "has state, in 'bn'.*none was"),
        (lambda net, params, state: (net, {"x": params}, state), "no 'x'; it has 'fc'"),
        (lambda net, params, state: (net, [1], state), "params must be a dict"),
        (lambda net, params, state: (nn.linear(2), params, state), "has no state"),
        (lambda net, params, state: (net, {"fc": {"w": "text"}}, state), "fc.w: exp"),
    ],
)
def test_what_is_not_the_nets_is_not_written(tmp_path, change, said):
    net, params, state = change(*stateful())

    with pytest.raises(ValueError, match=said):
        nn.interop.save_pretrained(tmp_path / "net", net, params, state)

    assert list(tmp_path.rglob("*.*")) == []


def test_files_of_two_savings_are_noticed(folder, tmp_path):
    """As after a crash between the two, or a careless copy."""
    other = nn.serial(fc=nn.linear(2), bn=nn.batch_norm(momentum=0.5))
    nn.interop.save_pretrained(tmp_path / "other", other, *stateful()[1:])
    shutil.copy(tmp_path / "other" / "config.json", folder)

    with pytest.raises(ValueError, match="weights of another net"):
        nn.interop.load_pretrained(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder, tmp_path, name):
    (folder / name).unlink()

    with pytest.raises(ValueError, match=f"there is no .*{name}"):
        nn.interop.load_pretrained(folder)
    with pytest.raises(ValueError, match="nowhere"):
        nn.interop.load_pretrained(tmp_path / "nowhere")


def test_a_file_in_the_folders_place_stays(tmp_path):
    path = tmp_path / "net"
    path.write_text("a file")

    with pytest.raises(OSError, match="net"):
        nn.interop.save_pretrained(path, *stateful())
    with pytest.raises(ValueError, match="holds no model"):
        nn.interop.load_pretrained(path)

    assert path.read_text() == "a file"


LINEAR = {"kind": "linear", "settings": {"features": 2}, "children": {}}


CONFIGS = {
    "no object": [],
    "null": None,
    "no net": {"net": None},
    "net is a list": {"net": [LINEAR]},
    "net is text": {"net": "lenet"},
    "a kind that is unknown": {"net": {**LINEAR, "kind": "system"}},
    "a kind with dots": {"net": {**LINEAR, "kind": "os.system"}},
    "a kind of Python": {"net": {**LINEAR, "kind": "__import__"}},
    "a kind that is a list": {"net": {**LINEAR, "kind": ["linear"]}},
    "a kind that is a number": {"net": {**LINEAR, "kind": 1e999}},
    "settings that are a list": {"net": {**LINEAR, "settings": [2]}},
    "settings that are unknown": {"net": {**LINEAR, "settings": {"n": 2}}},
    "settings of another type": {"net": {**LINEAR, "settings": {"features": "2"}}},
    "negative settings": {"net": {**LINEAR, "settings": {"features": -2}}},
    "children that are text": {"net": {**LINEAR, "children": "ab"}},
    "children that are numbers": {"net": {"kind": "serial", "settings": {},
                                          "children": {"a": 1}}},
    "another format": {"format": 2},
    "no format": {"format": None},
    "another type": {"model_type": "gpt2"},
    "a type that is a list": {"model_type": ["lenetjax"]},
    "a net of other params": {"net": LINEAR},
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_a_hostile_configuration_is_refused(folder, name):
    """With an error of ours that names the file; nothing is imported or run."""
    path, change = folder / "config.json", CONFIGS[name]
    config = json.loads(path.read_text())
    changed = {**config, **change} if isinstance(change, dict) else change
    path.write_text(json.dumps(changed))

    with pytest.raises(ValueError, match=r"config\.json|model\.safetensors"):
        nn.interop.load_pretrained(folder)


@pytest.mark.parametrize("levels", [300, 450, 3_000, 100_000])
def test_children_without_end_are_refused(folder, levels):
    """Too deep for JSON, or for us: an error that names the file."""
    path = folder / "config.json"
    start, end = path.read_text().split('"net": {')
    nested = '{"kind": "serial", "settings": {}, "children": {"a": ' * levels
    nested += json.dumps(LINEAR) + "}}" * levels
    path.write_text(f'{start}"net": {nested}, "old": {{{end}')

    with pytest.raises(ValueError, match=r"config\.json|model\.safetensors"):
        nn.interop.load_pretrained(folder)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a": ' * 50_000, b"9" * 10_000,
     b'{"model_type": "lenetjax"', b"<html>403 Forbidden</html>"],
)  # fmt: skip
def test_a_configuration_that_is_no_json_is_refused(folder, content):
    (folder / "config.json").write_bytes(content)

    with pytest.raises(ValueError, match=r"config\.json is no"):
        nn.interop.load_pretrained(folder)


def test_a_configuration_is_not_read_without_end(folder):
    """A file too large, a pipe and a folder are refused before they are read."""
    path = folder / "config.json"
    with path.open("r+b") as file:
        file.truncate(LARGEST_CONFIG + 1)
    with pytest.raises(ValueError, match="16,777,217 bytes"):
        nn.interop.load_pretrained(folder)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ValueError, match="no regular file"):
        nn.interop.load_pretrained(folder)
    path.unlink()
    path.mkdir()
    with pytest.raises(ValueError, match="no regular file"):
        nn.interop.load_pretrained(folder)
    assert LARGEST_CONFIG > LARGEST_HEADER


@pytest.mark.parametrize(("name", "content"), list(checkpoints()))
def test_hostile_weights_are_refused(folder, name, content):
    """Each bad file of the list: an error that names it."""
    (folder / "model.safetensors").write_bytes(content)

    with pytest.raises(ValueError, match=r"model\.safetensors"):
        nn.interop.load_pretrained(folder)


def test_a_flipped_bit_in_the_weights_is_noticed(folder):
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    with pytest.raises(nn.checkpoint.DamagedFile, match="sha256"):
        nn.interop.load_pretrained(folder)
