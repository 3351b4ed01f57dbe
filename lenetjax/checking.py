"""What is in a run or a file, and whether it is whole."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from lenetjax import checkpoint
from lenetjax.checkpoint import Folder
from lenetjax.checkpoint.names import named
from lenetjax.data.cifar10 import read_files
from lenetjax.data.cifar10_files import FILES, is_archive
from lenetjax.data.idx import read_idx
from lenetjax.keeping import CHECKPOINTS
from lenetjax.runs import CONFIG, METRICS, MODEL, open_run, read_config, read_rows
from lenetjax.specs import shapes_text
from lenetjax.trees import count

IDX_STARTS = (b"\x1f\x8b", b"\0\0")  # gzipped, plain
BAD_FILE = (OSError, ValueError)


class Finding(NamedTuple):
    """A line about a file."""

    text: str
    bad: bool = False


def findings(path: Path) -> Iterator[Finding]:
    """Verifies a run's folder, a folder of checkpoints, or a file, and says what it is.

    A tar archive, or a folder with its files, is read as CIFAR-10; a file whose first
    bytes are those of IDX or gzip as IDX, any other as a checkpoint. The net and the
    weights of a run must fit each other; a checkpoint is compared with its digest.
    """
    if not path.is_dir():
        yield from _try(path, _file)
        return
    if (path / CONFIG).exists():
        yield from _try(path, _run)
        yield from _try(path / METRICS, _metrics)
        path = path / CHECKPOINTS
        if not path.is_dir():
            return
    if any((path / name).is_file() for name in FILES):
        yield from _try(path, _cifar10)
        return
    folder = Folder(path)
    steps = folder.steps()
    if not steps and path.name != CHECKPOINTS:
        yield Finding(f"{path} holds no run and no checkpoints", bad=True)
    for step in steps:
        yield from _try(folder.file(step), _saved)


def _try(path: Path, look: Any) -> Iterator[Finding]:
    try:
        yield Finding(f"{path}: {look(path)}")
    except BAD_FILE as error:
        why = getattr(error, "strerror", None) or " ".join(str(error).split())
        yield Finding(why if str(path) in why else f"{path}: {why}", bad=True)


def _file(path: Path) -> str:
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is no regular file")
    if is_archive(path):
        return _cifar10(path)
    with path.open("rb") as file:
        start = file.read(4)
    is_idx = start.startswith(IDX_STARTS) and path.suffix != ".safetensors"
    return _idx(path) if is_idx else _saved(path)


def _idx(path: Path) -> str:
    return f"IDX, {shapes_text(read_idx(path))}"


def _cifar10(path: Path) -> str:
    total = sum(map(len, read_files(path).values()))
    return f"CIFAR-10, {total:,} images"


def _run(path: Path) -> str:
    config, _, plan = read_config(path)
    run = (
        f"a run of {config['model']} on {config['data']}, {count(plan.params):,} params"
    )
    if not (path / MODEL).exists():
        return f"{run}, without {MODEL}: its first epoch is not done"
    open_run(path)
    return f"{run}; {MODEL} fits the net"


def _metrics(path: Path) -> str:
    rows = read_rows(path)
    if not rows:
        return "no epoch yet"
    last = rows[-1]
    accuracy = last.get("test_accuracy")
    tested = f", test accuracy {accuracy:.2%}" if isinstance(accuracy, float) else ""
    return f"{len(rows)} epochs{tested}"


def _saved(path: Path) -> str:
    leaves = named(checkpoint.load(path))
    notes = checkpoint.metadata(path)
    total = sum(leaf.size for leaf in leaves.values())
    lines = [f"whole, {len(leaves)} arrays, {total:,} values"]
    lines += [f"  {name}: {_short(text)}" for name, text in notes.items()]
    lines += [f"  {_short(name)} {shapes_text(leaf)}" for name, leaf in leaves.items()]
    return "\n".join(lines)


def _short(text: str) -> str:
    """A note as it can be shown on one line of a terminal."""
    shown = json.dumps(text)[1:-1].replace('\\"', '"')
    return shown if len(shown) <= 70 else f"{shown[:67]}..."
