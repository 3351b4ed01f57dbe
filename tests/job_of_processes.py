"""What one of several processes does in tests/test_processes.py.

python job_of_processes.py PORT PROCESSES INDEX FOLDER
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

import lenetjax as nn
from lenetjax import processes

DEVICES = 2  # in each process
RULES = {"fc1/weight": P(None, "model"), "fc1/bias": P("model")}


def data():
    rng = np.random.default_rng(0)

    def split(count):
        images = rng.normal(size=(count, 6)).astype(np.float32)
        return nn.data.Split(images, rng.integers(0, 3, count).astype(np.int32))

    return nn.data.Dataset(split(40), split(13))


def net():
    return nn.serial(
        fc1=nn.linear(8), bn=nn.batch_norm(), relu=jax.nn.relu, fc2=nn.linear(3)
    )


def train(data, **options):
    options = {"epochs": 2, "batch_size": 8, "progress": False, **options}
    return nn.fit(net(), optax.sgd(0.1, momentum=0.9), data, **options)


def shares(index, count):
    """Batches of which each process gives its part, in the order of the files."""
    images, labels = data().train
    size = 8 // count
    parts = [slice(s + index * size, s + (index + 1) * size) for s in range(0, 40, 8)]
    return [(images[part], labels[part]) for part in parts]


def check_messages(index):
    """What process 0 says or fails with reaches all; its arrays too, bit for bit."""
    assert processes.on_first(lambda: f"from {index}, λ") == "from 0, λ"

    def fail():
        raise OSError(f"the disk of {index} is full")

    kind, prefix = (OSError, "^") if index == 0 else (RuntimeError, "^process 0: ")
    with pytest.raises(kind, match=f"{prefix}the disk of 0 is full$"):
        processes.on_first(fail)

    mine = [np.float32(-0.0), np.float32(np.nan), jnp.bfloat16(3), jax.random.key(7)]
    other = [np.float32(1), np.float32(1), jnp.bfloat16(1), jax.random.key(8)]
    zero, nan, three, key = processes.from_first(mine if index == 0 else other)
    assert np.signbit(zero)
    assert np.isnan(nan)
    assert three == 3
    assert three.dtype == jnp.bfloat16
    assert (jax.random.key_data(key) == jax.random.key_data(mine[3])).all()


def check_shares(index, count):
    """Other sizes, another number of batches, and an axis inside of a process."""
    given = shares(index, count)
    images, labels = given[0]
    more = slice(0, 2 if index == 0 else 1)
    for wrong in ([(images[more], labels[more])], given[: 1 + (index == 0)]):
        with pytest.raises(ValueError, match="must give equally many images"):
            train(wrong, epochs=1)
    inside = np.array(jax.devices()).reshape(count, DEVICES)
    with pytest.raises(ValueError, match='axis "data" of the mesh must run over the'):
        train(given, devices=Mesh(inside, ("model", "data")))
    with pytest.raises(ValueError, match=f"equally many of each of the {count} proc"):
        train(data(), devices=DEVICES)


def check_agreement(index):
    """A wish of the last process alone is known to all two calls later, or at once."""
    agreement = processes.Agreement()
    last = jax.process_count() - 1
    wishes = [0, 16, 0, 0, 0]

    heard = [agreement.soon(wish if index == last else 0) for wish in wishes]

    assert heard == [0, 0, 0, 16, 0]
    assert agreement.now(3 if index == last else 0) == 3
    assert agreement.soon(0) == 0


def save(path, found):
    np.savez(path, **nn.flat(found.params), **nn.flat(found.state))


def main(port, count, index, folder):
    jax.config.update("jax_num_cpu_devices", DEVICES)
    processes.join(f"127.0.0.1:{port}", count, index)
    assert processes.together()
    assert processes.is_first() == (index == 0)
    check_messages(index)
    check_agreement(index)
    check_shares(index, count)

    save(folder / f"data-{index}.npz", train(data()))

    given = shares(index, count)
    save(folder / f"shares-{index}.npz", train(given, devices="all"))

    # Params split between processes, saved by the first, and gone on with.
    devices = np.array(jax.devices()).reshape(count, DEVICES)
    layout = {"devices": Mesh(devices, ("model", "data")), "rules": RULES}
    kept = folder / "checkpoints"
    train(data(), **layout, epochs=1, checkpoints=kept)
    save(folder / f"split-{index}.npz", train(data(), **layout, checkpoints=kept))


if __name__ == "__main__":
    port, count, index, folder = sys.argv[1:]
    main(int(port), int(count), int(index), Path(folder))
