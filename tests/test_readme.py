"""What README.md shows: its programs run, and the program has its options."""

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
import pytest

import lenetjax as nn
import lenetjax.layers

README = Path(__file__).parents[1] / "README.md"
LINES = README.read_text(encoding="utf-8").splitlines()
FENCE = "```"


def the_programs() -> str:
    """All Python of the README as one script, each statement on its line there.

    That is the blocks marked as Python, and the last column of the table of the
    tutorial's steps.
    """
    script, in_block, in_table = [], False, False
    for line in LINES:
        if line.startswith(FENCE):
            in_block = line == f"{FENCE}python"
            script.append("")
        elif in_block:
            script.append(line)
        else:
            in_table = line.startswith("|") and (in_table or "In PyTorch" in line)
            cells = line.strip("|").split("|") if in_table else [""]
            script.append("; ".join(re.findall(r"`([^`]+)`", cells[-1])))
    return "\n".join(script)


def the_options() -> list[tuple[str, str]]:
    """Each command of the program with each option that the README gives it."""
    text = "\n".join(LINES)
    calls = re.findall(
        r"\blenetjax (train|evaluate|predict|figures|summary|graph)\b([^`\n]*)", text
    )
    found = {(name, option) for name, rest in calls for option in options_in(rest)}
    alone = re.findall(r"`(--[a-z-]+)`", text)  # named in prose: options of train
    alone += options_in(" ".join(re.findall(r'make train ARGS="([^"]*)"', text)))
    found |= {("train", option) for option in alone}
    return sorted(found)


def options_in(text: str) -> list[str]:
    return re.findall(r"--[a-z][a-z-]*", text)


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "COLUMNS": "80"}
    return subprocess.run(  # noqa: S603  # our own interpreter and arguments
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_programs_run(tmp_path):
    """Every program runs as it stands, in order, under JAX's defaults."""
    script = tmp_path / "README.py"
    script.write_text(the_programs(), encoding="utf-8")
    done = run("-W", "error", str(script), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "81,194" in done.stdout
    assert "loss -> mse -> linear" in done.stdout  # the graph, followed backwards


@pytest.mark.parametrize(("command", "option"), the_options())
def test_options_exist(command, option, tmp_path):
    """Each option that the README names is in its command's help."""
    done = run("-m", "lenetjax", command, "--help", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert option in options_in(done.stdout)


def test_error_is_the_one_shown():
    """The message under "Errors" is what the library says."""
    net = nn.models.lenet()
    images = jnp.zeros((8, 32, 32, 1), "float32")
    with pytest.raises(nn.LayerError) as error:
        net.apply(net.init(jax.random.key(0), images), images[0])
    assert f"LayerError: {error.value}" in "\n".join(LINES)


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)#:]+)\)", "\n".join(LINES)))
def test_links_lead_somewhere(path):
    """Each file that the README refers to is in the repository."""
    assert (README.parent / path).exists()


TABLE = [
    [re.findall(r"`([^`]+)`", cell) for cell in line.strip("|").split(" | ")]
    for line in LINES[LINES.index("## Coming from torch.nn") :]
    if line.startswith("| ")
]
TABLE = TABLE[1 : [bool(row[0] == ["torch.optim"]) for row in TABLE].index(True)]


def test_the_table_has_every_module_of_torch():
    """No name of torch.nn is left out, and each stands there once."""
    torch = pytest.importorskip("torch")
    modules = {
        name
        for name, thing in vars(torch.nn).items()
        if isinstance(thing, type) and issubclass(thing, torch.nn.Module)
    }
    listed = [name for theirs, *_ in TABLE for name in theirs]

    assert sorted(name for name in listed if "." not in name) == sorted(modules)


def test_the_table_has_every_layer_and_loss():
    """Every name of ours in the table exists, and no public one is left out."""
    ours = {
        name
        for _, here, *_ in TABLE
        for text in here
        for name in re.findall(r"\b(?:nn|jax|jnp|optax)(?:\.\w+)+", text)
    }
    for name in ours:
        eval(name, {"nn": nn, "jax": jax, "jnp": jnp, "optax": optax})  # noqa: S307

    layers = {f"nn.{name}" for name in lenetjax.layers.__all__}
    losses = {
        f"nn.losses.{name}"
        for name in nn.losses.__all__
        if name not in ("Reduction", "check_labels")
    }
    mentioned = set(re.findall(r"nn(?:\.\w+)+", str(TABLE) + "\n".join(LINES)))
    assert layers | losses <= mentioned
