"""How the house is built: who imports whom, what is public, how long files are."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from catalogue import CATALOGUE
from catalogue.losses import LOSSES

import lenetjax as nn

PACKAGE = Path(nn.__file__).parent
BASE = {"specs", "checks", "signatures", "listing", "core"}
MAY_IMPORT = {
    "specs": set(),
    "checks": {"specs"},
    "signatures": {"checks"},
    "listing": set(),
    "core": {"specs", "checks", "signatures", "listing"},
    "cache": {"core"},
    "inner_outputs": BASE,
    "spreading": set(),
    "processes": {"specs"},
    "combinators": BASE | {"inner_outputs"},
    "wrappers": BASE | {"cache", "functional", "inner_outputs", "trees"},
    "trees": {"specs", "checks"},
    "testing": {"specs", "core"},
    "functional": BASE | {"spreading"},
    "layers": BASE | {"functional"},
    "losses": BASE | {"functional"},
    "metrics": BASE | {"functional", "losses"},
    "models": BASE | {"combinators", "functional", "layers", "wrappers"},
    "description": BASE | {"combinators", "layers", "wrappers"},
    "measuring": {"specs"},
    "progress": set(),
    "user_cache": set(),
    "data": {"user_cache"},
    "checkpoint": {"specs", "trees"},
    "inspection": BASE
    | {"functional", "inner_outputs", "losses", "training", "trees", "wrappers"},
    "chunks": BASE | {"cache", "functional", "losses", "spreading"},
    "scaling": BASE | {"functional"},
    "training": BASE | {"chunks", "functional", "losses", "scaling"},
    "sharding": {"functional", "specs", "spreading", "training"},
    "callbacks": BASE | {"measuring", "training"},
    "tracking": BASE | {"callbacks", "training"},
    "interruption": set(),
    "locks": set(),
    "positions": set(),
    "keeping": {"checkpoint", "functional", "measuring", "positions", "processes"}
    | {"specs", "training"},
    "feeding": BASE
    | {"data", "functional", "losses", "measuring", "positions", "processes"}
    | {"sharding", "training"},
    "loop": BASE
    | {"callbacks", "feeding", "interruption", "keeping", "losses", "measuring"}
    | {"processes", "progress", "scaling", "sharding", "training"},
    "fitting": BASE
    | {"callbacks", "checkpoint", "data", "feeding", "functional", "interruption"}
    | {"keeping", "locks", "loop", "losses", "processes", "progress", "scaling"}
    | {"sharding", "training"},
    "members": BASE | {"functional"},
    "population": BASE | {"data", "measuring", "members", "training"},
    "sweeping": BASE
    | {"data", "feeding", "functional", "losses", "measuring", "members"}
    | {"population", "training"},
    "runs": BASE
    | {"callbacks", "checkpoint", "description", "keeping", "locks", "training"},
    "interop": BASE
    | {"checkpoint", "description", "functional", "inner_outputs", "layers", "runs"}
    | {"trees", "wrappers"},
    "checking": {"checkpoint", "data", "keeping", "runs", "specs", "trees"},
    "gallery": BASE
    | {"data", "inspection", "losses", "runs", "training", "trees", "wrappers"},
    "commands": BASE
    | {"callbacks", "checking", "data", "fitting", "gallery", "inspection", "interop"}
    | {"checkpoint", "losses", "members", "models", "options", "processes", "runs"}
    | {"scaling", "sharding", "sweeping", "tracking", "training", "wrappers"},
    "options": set(),
    "cli": {"commands", "options", "processes", "user_cache"},
    "__main__": {"cli"},
}  # fmt: skip
PUBLIC = ["lenetjax"] + [
    f"lenetjax.{name}"
    for name in (
        "checkpoint",
        "data",
        "functional",
        "inspection",
        "inspection.figures",
        "interop",
        "interop.stax",
        "layers",
        "losses",
        "models",
        "wrappers",
    )
]


def units():
    for path in sorted(PACKAGE.rglob("*.py")):
        unit = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if unit != "__init__":
            yield unit, path


def imported_units(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            if node.module == "lenetjax":
                yield from (alias.name for alias in node.names)
            elif (node.module or "").startswith("lenetjax."):
                yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                assert alias.name.partition(".")[0] != "lenetjax", (
                    f"{path}: {alias.name}"
                )


def test_imports_point_one_way():
    """A module imports from the levels below its own."""
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {target}"
        for unit, path in units()
        for target in imported_units(path)
        if target not in MAY_IMPORT[unit] | {unit}
    ]

    assert not wrong, "\n".join(wrong)


def test_a_layer_file_imports_no_other():
    """Families of layers stand beside each other."""
    wrong = [
        f"{path.name} imports {node.module}"
        for unit, path in units()
        if unit == "layers" and path.name != "__init__.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("lenetjax.layers.")
        and node.module != "lenetjax.layers.initial"
    ]

    assert not wrong


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_sorted_and_there(name):
    """__all__ is sorted, constants first; it has all imports; every name resolves."""
    module = importlib.import_module(name)

    assert module.__all__ == sorted(
        module.__all__, key=lambda name: (not name.isupper(), name)
    )
    assert all(getattr(module, public) is not None for public in module.__all__)
    imported = {
        alias.asname or alias.name
        for node in ast.walk(ast.parse(Path(module.__file__).read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and "lenetjax" in (node.module or "")
        for alias in node.names
    }
    assert imported <= set(module.__all__)
    if name == "lenetjax":
        assert imported == set(module.__all__)
        assert dir(module) == module.__all__
        with pytest.raises(AttributeError, match="no attribute 'conv5d'"):
            module.conv5d  # noqa: B018


def test_the_catalogue_is_complete():
    """Every public function that makes a layer has a case there."""
    makers = {
        name
        for module in (nn, nn.models)
        for name in module.__all__
        if inspect.isfunction(getattr(module, name))
        and inspect.signature(getattr(module, name)).return_annotation is nn.Layer
    }
    makers -= {"build", "layer"}  # they make what they are told

    shown = {case.name.split()[0] for case in CATALOGUE}

    assert makers - shown == set()
    assert {"conv2d", "serial", "lenet"} <= makers


def test_the_catalogue_has_every_loss():
    """Every public loss has a case there."""
    losses = {
        name
        for name in nn.losses.__all__
        if inspect.isfunction(getattr(nn.losses, name)) and name != "check_labels"
    }

    assert {case.name.split()[0] for case in LOSSES} == losses


def test_public_functions_have_an_example():
    """A docstring says what it does in one line, and shows it."""
    bare = [
        f"{module}.{name}"
        for module in (*PUBLIC, "lenetjax.metrics")
        for name, thing in vars(importlib.import_module(module)).items()
        if inspect.isfunction(thing)
        and not name.startswith("_")
        and thing.__module__.startswith(module)
        and name not in ("no_params", "check_labels")
        and not (thing.__doc__ and ">>> " in thing.__doc__)
    ]

    assert not bare


def test_files_are_short_and_use_public_jax():
    """No file holds more than 400 lines, and none reaches into jax's own parts."""
    for _, path in units():
        text = path.read_text(encoding="utf-8")
        assert "jax._src" not in text, path
        assert len(text.splitlines()) <= 400, path


def test_importing_the_library_is_light():
    """Extras are imported where they are used, not with the library."""
    code = (
        "import sys, lenetjax as nn\n"
        "for name in nn.__all__: getattr(nn, name)\n"
        "extras = {'sklearn', 'matplotlib', 'PIL', 'tqdm', 'torch', 'flax'}\n"
        "extras |= {'tensorboardX', 'haiku', 'equinox', 'grain', 'blackjax'}\n"
        "assert not extras & set(sys.modules), extras & set(sys.modules)"
    )

    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
