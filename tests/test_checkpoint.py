"""Weights on disk."""

import os
import stat

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

import lenetjax as nn

TREE = {
    "conv1": {"weight": jnp.arange(6.0).reshape(2, 3), "bias": jnp.zeros(3)},
    "scale": jnp.float32(2.5),
    "half": jnp.ones(2, jnp.bfloat16),
}


def test_a_tree_comes_back_bit_for_bit(tmp_path):
    """Names, shapes, dtypes and values survive, scalars and bfloat16 included."""
    nn.checkpoint.save(tmp_path / "m.safetensors", TREE)

    tree = nn.checkpoint.load(tmp_path / "m.safetensors", like=TREE)

    assert tree.keys() == TREE.keys()
    assert tree["half"].dtype == jnp.bfloat16
    assert tree["scale"].shape == ()
    np.testing.assert_array_equal(tree["conv1"]["weight"], TREE["conv1"]["weight"])


def test_the_file_is_plain_safetensors_with_dotted_names(tmp_path):
    """safetensors alone reads it, under the names that a torch user knows."""
    nn.checkpoint.save(tmp_path / "m.safetensors", {"conv1": TREE["conv1"]})

    assert set(load_file(tmp_path / "m.safetensors")) == {"conv1.weight", "conv1.bias"}


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3).T,
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(6.0)[::-1],
        np.arange(6.0)[::2],
        np.broadcast_to(np.arange(3.0), (2, 3)),
    ],
    ids=["transposed", "fortran", "reversed", "strided", "broadcast"],
)
def test_arrays_that_are_not_contiguous_are_written_right(tmp_path, array):
    """The values on disk are the array's, whatever its memory looks like."""
    nn.checkpoint.save(tmp_path / "m.safetensors", {"a": array})

    np.testing.assert_array_equal(load_file(tmp_path / "m.safetensors")["a"], array)


def test_every_difference_is_reported_by_name(tmp_path):
    """Missing, unexpected and misshapen entries are named before anything is used."""
    path = tmp_path / "m.safetensors"
    nn.checkpoint.save(path, {"fc": {"weight": jnp.zeros((3, 2)), "old": jnp.zeros(1)}})
    like = {"fc": {"weight": jnp.zeros((2, 3)), "bias": jnp.zeros(3)}}

    with pytest.raises(ValueError, match="does not hold") as refusal:
        nn.checkpoint.load(path, like=like)

    message = str(refusal.value)
    assert "fc.weight: expected float32[2,3], got float32[3,2]" in message
    assert "fc.bias: expected float32[3], got nothing" in message
    assert "fc.old: expected nothing, got float32[1]" in message


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 a pickle or a zip file",
        b"\xff" * 100,
        b"\x02" + b"\0" * 7 + b"{}x",
    ],
)
def test_other_files_are_refused(tmp_path, content):
    """What is no safetensors file is a ValueError that names the file."""
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)

    with pytest.raises(ValueError, match=r"m\.safetensors"):
        nn.checkpoint.load(path)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    """What cannot be written is refused first; no temporary file stays behind."""
    path = tmp_path / "m.safetensors"
    nn.checkpoint.save(path, TREE)
    before = path.read_bytes()

    with pytest.raises(ValueError, match="expected an array"):
        nn.checkpoint.save(path, {"a": np.array([object()])})

    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_the_mode_follows_the_umask(tmp_path):
    """Others may read the file if the user's umask lets them."""
    old = os.umask(0o027)
    try:
        nn.checkpoint.save(tmp_path / "m.safetensors", TREE)
    finally:
        os.umask(old)

    assert stat.S_IMODE((tmp_path / "m.safetensors").stat().st_mode) == 0o640


def test_names_with_dots_are_refused(tmp_path):
    """Two entries can never end under one name."""
    with pytest.raises(ValueError, match=r"a\.b"):
        nn.checkpoint.save(tmp_path / "m.safetensors", {"a.b": jnp.zeros(1)})
