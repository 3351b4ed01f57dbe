"""Trees on disk: they come back bit for bit, or not at all."""

import os
import stat
import sys
import time
import tracemalloc
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest
from hostile import checkpoints as hostile_checkpoints
from safetensors.numpy import load_file, save_file

import lenetjax as nn
from lenetjax.checkpoint import DamagedFile, Folder

TREE = {
    "conv1": {"weight": jnp.arange(6.0).reshape(2, 3), "bias": jnp.zeros(3)},
    "scale": jnp.float32(2.5),
    "half": jnp.ones(2, jnp.bfloat16),
}


class Pair(NamedTuple):
    """A node of a tree."""

    left: object
    right: object


@pytest.fixture
def saved(tmp_path):
    """A small file, and its path."""
    path = tmp_path / "m.safetensors"
    nn.checkpoint.save(path, {"fc": {"weight": jnp.ones((2, 3))}, "step": 7})
    return path


def same(ours, theirs):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert a.tobytes() == b.tobytes()


def test_a_tree_comes_back_bit_for_bit(tmp_path):
    """Names, shapes, dtypes and values survive, scalars and bfloat16 included."""
    nn.checkpoint.save(tmp_path / "m.safetensors", TREE)

    same(nn.checkpoint.load(tmp_path / "m.safetensors", like=TREE), TREE)
    same(nn.checkpoint.load(tmp_path / "m.safetensors"), TREE)


def test_every_dtype_and_odd_value_survives(tmp_path):
    """NaN with a payload, infinities, -0.0, the smallest; and every dtype of NumPy."""
    odd = np.array([np.nan, np.inf, -np.inf, -0.0, 1e-45], np.float32)
    odd = np.concatenate([odd, np.array([0x7FC12345], np.uint32).view(np.float32)])
    kinds = [*"?bhilBHILefdF", ">f4", ">i8"]
    tree = {f"array {i}": np.ones(3, kind) for i, kind in enumerate(kinds)}
    tree |= {
        "odd": odd,
        "empty": np.zeros((0, 3)),
        "bf16": odd.astype(ml_dtypes.bfloat16),
    }
    nn.checkpoint.save(tmp_path / "m", tree)

    loaded = nn.checkpoint.load(tmp_path / "m")

    for name, array in tree.items():
        native = array.astype(array.dtype.newbyteorder("="), copy=False)
        assert np.asarray(loaded[name]).tobytes() == native.tobytes(), name
        assert loaded[name].dtype == native.dtype


def test_any_pytree_comes_back_in_its_structure(tmp_path):
    """Tuples, lists, named tuples, optimizer states, numbers, and nothing at all."""
    net = nn.serial(fc1=nn.linear(3), bn=nn.batch_norm(), fc2=nn.linear(2))
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(0.1))
    run = nn.train_state(net, optimizer, jax.random.key(0), jnp.zeros((1, 4)))
    tree = {"run": run, "more": [(1, 2.5), None, {}, Pair(jnp.ones(2), ())], "on": True}
    nn.checkpoint.save(tmp_path / "m", tree)

    loaded = nn.checkpoint.load(tmp_path / "m", like=tree)

    plain = lambda t: jax.tree.map(  # noqa: E731
        lambda a: jax.random.key_data(a) if _is_key(a) else a, t
    )
    same(plain(loaded), plain(tree))
    raw = nn.checkpoint.load(tmp_path / "m")
    assert raw["more"]["3"]["left"].shape == (2,)
    assert raw["run"]["params"]["fc1"]["weight"].shape == (4, 3)


def _is_key(leaf):
    return jnp.issubdtype(getattr(leaf, "dtype", None), jax.dtypes.prng_key)


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_random_keys_go_on_as_they_were(tmp_path, impl):
    """A typed key, or an array of them, draws the same numbers afterwards."""
    tree = {
        "key": jax.random.key(3, impl=impl),
        "keys": jax.random.split(jax.random.key(4, impl=impl), 2),
    }
    nn.checkpoint.save(tmp_path / "m", tree)

    for loaded in (
        nn.checkpoint.load(tmp_path / "m"),
        nn.checkpoint.load(tmp_path / "m", like=jax.eval_shape(lambda: tree)),
    ):
        assert loaded["key"].dtype == tree["key"].dtype
        for mine, theirs in (
            (loaded["key"], jax.random.clone(tree["key"])),
            (loaded["keys"][1], jax.random.clone(tree["keys"])[1]),
        ):
            np.testing.assert_array_equal(
                jax.random.normal(mine, 3), jax.random.normal(theirs, 3)
            )


def test_the_file_is_plain_safetensors_with_dotted_names(tmp_path):
    """safetensors alone reads it, under the names that a torch user knows."""
    nn.checkpoint.save(tmp_path / "m.safetensors", {"conv1": TREE["conv1"]})

    assert set(load_file(tmp_path / "m.safetensors")) == {"conv1.weight", "conv1.bias"}


def test_equal_trees_give_equal_files(tmp_path):
    """A file says nothing of when or where it was written."""
    for name in ("a", "b"):
        nn.checkpoint.save(tmp_path / name, TREE, {"data": "mnist"})

    assert nn.checkpoint.metadata(tmp_path / "a") == {"data": "mnist"}
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


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
    nn.checkpoint.save(
        path,
        {
            "fc": {
                "weight": jnp.zeros((3, 2), "float32"),
                "old": jnp.zeros(1, "float32"),
            }
        },
    )
    like = {
        "fc": {"weight": jnp.zeros((2, 3), "float32"), "bias": jnp.zeros(3, "float32")}
    }

    with pytest.raises(ValueError, match="does not hold") as refusal:
        nn.checkpoint.load(path, like=like)

    message = str(refusal.value)
    assert not isinstance(refusal.value, DamagedFile)
    assert "fc.weight: expected float32[2,3], got float32[3,2]" in message
    assert "fc.bias: expected float32[3], got nothing" in message
    assert "fc.old: expected nothing, got float32[1]" in message


def test_each_change_of_a_leaf_is_refused(tmp_path):
    """Renamed, dropped, added, transposed, of another dtype: each leaf by its name."""
    params = nn.models.lenet().init(jax.random.key(0), jnp.zeros((1, 32, 32, 1)))
    flat = nn.flat(params)
    nn.checkpoint.save(tmp_path / "m", params)
    for name, leaf in flat.items():
        rest = {n: a for n, a in flat.items() if n != name}
        changes = [
            rest,
            {**rest, f"{name}_": leaf},
            {**flat, f"{name}_": leaf},
            {**flat, name: leaf.astype(jnp.bfloat16)},
            {**flat, name: leaf[None]},
        ]
        changes += [{**flat, name: leaf.T}] if leaf.ndim > 1 else []
        for changed in changes:
            with pytest.raises(ValueError, match=name.replace(".", r"\.")):
                nn.checkpoint.load(tmp_path / "m", like=nn.unflat(changed))


def test_a_flipped_bit_is_found(tmp_path):
    """1,000 of them, drawn over the whole file: header, digest and values."""
    path = tmp_path / "m"
    params = nn.models.lenet().init(jax.random.key(0), jnp.zeros((1, 32, 32, 1)))
    nn.checkpoint.save(path, {"fc3": params["fc3"], "conv1": params["conv1"]})
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    draw = np.random.default_rng(0)
    places = [int(draw.integers(8 * len(content))) for _ in range(700)]
    places += [int(draw.integers(8 * (8 + length))) for _ in range(300)]
    for place in places:
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(DamagedFile, match="m"):
            nn.checkpoint.load(path)


def test_a_file_cut_anywhere_is_refused(saved):
    """Every length short of the whole, and some beyond."""
    content = saved.read_bytes()
    for length in range(len(content)):
        saved.write_bytes(content[:length])
        with pytest.raises(DamagedFile, match=saved.name):
            nn.checkpoint.load(saved)
    for more in (b"\0", b"\n", content):
        saved.write_bytes(content + more)
        with pytest.raises(DamagedFile, match="damaged"):
            nn.checkpoint.load(saved)


def test_a_foreign_file_is_refused_with_the_way_to_read_it(tmp_path):
    """A safetensors file without our digest may be whole or not: nothing tells."""
    save_file({"a": np.ones(3, np.float32)}, tmp_path / "m.safetensors")

    with pytest.raises(
        DamagedFile,
        match=r"foreign.*interop\.from_torch.*safetensors\.numpy\.load_file",
    ):
        nn.checkpoint.load(tmp_path / "m.safetensors")


HOSTILE = dict(hostile_checkpoints())
AUDITED: list[str] = []
WATCHED = ("pickle.find_class", "exec", "os.system", "os.exec", "os.posix_spawn",
           "subprocess.Popen", "socket.connect", "import")  # fmt: skip


@pytest.fixture(scope="module")
def audit():
    """Events of code, processes and sockets, while the flag is set."""
    watching = []

    def hook(event, args):
        if watching and event in WATCHED:
            AUDITED.append(f"{event} {args!r:.80}")

    sys.addaudithook(hook)
    nn.checkpoint.load  # noqa: B018  # its imports are no events of the file
    return watching


def test_there_are_many_kinds_of_hostile_files():
    assert len(HOSTILE) >= 100
    assert len(set(HOSTILE.values())) == len(HOSTILE)


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused_cheaply(tmp_path, content, audit):
    """With our own error, within a second and 64 MB, and without any code run."""
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    like = {"fc": {"bias": jnp.ones(3), "weight": jnp.ones((2, 3))}}
    with pytest.raises(ValueError):  # noqa: PT011  # what is imported late is now there
        nn.checkpoint.load(path, like)
    AUDITED.clear()
    tracemalloc.start()
    started = time.perf_counter()
    audit.append(True)
    try:
        with pytest.raises(ValueError, match=r"m\.safetensors"):
            nn.checkpoint.load(path, like)
    finally:
        audit.clear()
        seconds = time.perf_counter() - started
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert AUDITED == []
    assert seconds < 1
    assert peak < 64e6


def test_what_is_no_file_is_refused_at_once(tmp_path):
    """A pipe would keep the reader waiting, a device never ends."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", tmp_path):
        with pytest.raises(DamagedFile, match="no regular file"):
            nn.checkpoint.load(path)
    with pytest.raises(FileNotFoundError):
        nn.checkpoint.load(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"a": np.array([object()])}, "a: expected an array"),
        ({"a": "text"}, "a: expected an array"),
        ({"a.b": jnp.zeros(1)}, r"a\.b"),
        ({("a", "b"): 2}, "str or an int"),
        ({"z": {True: 1}}, "str or an int"),
        ({"a": np.ones(2, np.longdouble)}, "cannot hold"),
        ({"a": np.ones(2, ml_dtypes.float8_e4m3)}, "cannot hold"),
        ({"a" * 2000: np.ones(2)}, "2,000 characters"),
        ({"__metadata__": np.ones(2)}, "something else"),
        ({f"a{i}": 1 for i in range(20_000)}, "a file holds 1,048,576"),
    ],
)
def test_what_cannot_be_read_back_is_not_written(tmp_path, tree, message):
    """It is refused first: the old file stays, and no temporary one is left."""
    path = tmp_path / "m.safetensors"
    nn.checkpoint.save(path, TREE)
    before = path.read_bytes()

    with pytest.raises((ValueError, TypeError), match=message):
        nn.checkpoint.save(path, tree)

    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_metadata_of_our_names_is_refused(tmp_path):
    with pytest.raises(ValueError, match="sha256"):
        nn.checkpoint.save(tmp_path / "m", TREE, {"sha256": "mine"})


def test_the_mode_follows_the_umask(tmp_path):
    """Others may read the file if the user's umask lets them."""
    old = os.umask(0o027)
    try:
        nn.checkpoint.save(tmp_path / "m.safetensors", TREE)
    finally:
        os.umask(old)

    assert stat.S_IMODE((tmp_path / "m.safetensors").stat().st_mode) == 0o640


def test_a_failed_write_names_the_file_and_its_size(tmp_path):
    """No folder to write to: the error says what was to be written where."""
    with pytest.raises(FileNotFoundError, match=r"bytes.*none/m"):
        nn.checkpoint.save(tmp_path / "none" / "m", TREE)


def tree_of(step):
    return {"w": jnp.full(3, float(step)), "step": jnp.int32(step)}


def test_a_folder_keeps_the_newest_and_the_best(tmp_path):
    """keep= of them, and the one with the highest score; NaN is never the best."""
    folder = Folder(tmp_path / "c", keep=2)
    for step, score in enumerate([0.1, 0.9, float("nan"), 0.9, 0.2, 0.3, None]):
        folder.save(step, tree_of(step), score=score)

    assert folder.steps() == [3, 5, 6]
    assert folder.best() == 3
    assert folder.load(step=3).tree["w"][0] == 3
    found = folder.load(like=tree_of(0))
    assert found.step == 6
    same(found.tree, tree_of(6))


def test_a_step_that_is_saved_again_ends_the_later_ones(tmp_path):
    """Whoever goes back to an earlier step has given the later ones up."""
    folder = Folder(tmp_path, keep=5)
    for step in (1, 2, 3):
        folder.save(step, tree_of(step))
    folder.save(2, tree_of(2))

    assert folder.steps() == [1, 2]


def test_a_damaged_checkpoint_is_passed_over_with_a_warning(tmp_path):
    """The one before is taken; where none is left, it is an error."""
    folder = Folder(tmp_path, keep=5)
    for step in (1, 2, 3):
        folder.save(step, tree_of(step), {"note": str(step)})
    for step in (3, 2):
        folder.file(step).write_bytes(folder.file(step).read_bytes()[:-1])

    with pytest.warns(UserWarning, match="going back to the one before"):
        found = folder.load(like=tree_of(0))

    assert (found.step, found.metadata) == (1, {"note": "1"})
    with pytest.raises(DamagedFile, match="step-000000003"):
        folder.load(step=3)
    folder.file(1).write_bytes(b"")
    with pytest.raises(DamagedFile), pytest.warns(UserWarning, match="back"):
        folder.load()


def test_the_best_is_one_that_can_be_read(tmp_path):
    """A damaged file has no score, and what is about to be removed is not the best."""
    folder = Folder(tmp_path, keep=1)
    folder.save(1, tree_of(1), score=0.9)
    folder.save(3, tree_of(3), score=0.95)
    folder.file(3).write_bytes(folder.file(3).read_bytes()[:-1] + b"\1")
    folder = Folder(tmp_path, keep=1)  # as after a start
    assert folder.best() is None
    folder.save(2, tree_of(2), score=0.1)

    assert folder.best() == 2
    assert folder.steps() == [2]


def test_a_checkpoint_that_cannot_be_read_is_passed_over(tmp_path):
    folder = Folder(tmp_path)
    folder.save(1, tree_of(1))
    folder.file(2).symlink_to(folder.file(2).name)  # to itself

    with pytest.warns(UserWarning, match="going back"):
        assert folder.load().step == 1


def test_a_checkpoint_of_another_tree_is_not_passed_over(tmp_path):
    """An older one would be of another tree too."""
    folder = Folder(tmp_path)
    for step in (1, 2):
        folder.save(step, tree_of(step))

    with pytest.raises(ValueError, match="does not hold"):
        folder.load(like={"v": jnp.ones(3)})


def test_only_whole_checkpoints_are_listed(tmp_path):
    """Other files are not touched; leftovers go when asked for."""
    folder = Folder(tmp_path)
    assert folder.steps() == []
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        folder.load()
    folder.save(7, tree_of(7))
    (tmp_path / ".step-000000008.safetensors.abc.unfinished").write_bytes(b"part")
    (tmp_path / "notes.txt").write_text("mine")

    assert folder.steps() == [7]
    folder.sweep()
    assert sorted(os.listdir(tmp_path)) == ["notes.txt", "step-000000007.safetensors"]


@pytest.mark.parametrize("keep", [0, -1, True, 2.0])
def test_a_folder_keeps_at_least_one(tmp_path, keep):
    with pytest.raises(ValueError, match="keep must be a positive int"):
        Folder(tmp_path, keep=keep)
