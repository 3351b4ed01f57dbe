"""The examples in the docstrings."""

import doctest
import importlib
import pkgutil

import jax
import pytest

import lenetjax

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(lenetjax.__path__, "lenetjax.")
    if not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_hold(name, tmp_path, monkeypatch):
    """Each example prints what it says, under JAX's defaults."""
    monkeypatch.chdir(tmp_path)

    with jax.numpy_rank_promotion("allow"), jax.enable_x64(False):
        result = doctest.testmod(importlib.import_module(name))

    assert result.failed == 0
