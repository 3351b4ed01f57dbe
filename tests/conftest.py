"""Settings and fixtures that all tests share."""

import gc
import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_ENABLE_COMPILATION_CACHE", "0")  # of the program's runs

import hypothesis
import jax
import jaxlib
import pytest
from jax.experimental.compilation_cache import compilation_cache

# Devices that share this machine's processor; a test that names none uses the first.
jax.config.update("jax_num_cpu_devices", 8)

# Ways of XLA that compile small programs in half the time. Newer ones have no such
# option, and end the process where an option is unknown.
QUICK_WAYS = "--xla_cpu_use_fusion_emitters=false"
HAVING_QUICK_WAYS = (0, 11)  # jaxlib below

# Programs by the thousand stay in memory; looking for garbage among them as often as
# Python does by itself takes a tenth of the time.
gc.set_threshold(100_000, 20, 50)

hypothesis.settings.register_profile(
    "lenetjax", deadline=None, derandomize=True, database=None, max_examples=10
)
# pytest --hypothesis-profile=sweep: ten times as many examples
hypothesis.settings.register_profile(
    "sweep", deadline=None, derandomize=True, database=None, max_examples=100
)
# of the suite in modes.py
hypothesis.settings.register_profile(
    "brief", deadline=None, derandomize=True, database=None, max_examples=4
)
hypothesis.settings.load_profile("lenetjax")


def pytest_configure(config):
    """Has XLA compile quickly in this process, except in a sweep; programs that tests
    start compile as users do.
    """
    version = tuple(int(part) for part in jaxlib.__version__.split(".")[:2])
    if is_sweep(config) or version >= HAVING_QUICK_WAYS or "XLA_FLAGS" in os.environ:
        return
    os.environ["XLA_FLAGS"] = QUICK_WAYS
    jax.devices()  # reads it
    del os.environ["XLA_FLAGS"]


def is_sweep(config):
    """Whether pytest was called to look at much, as users compile."""
    return config.getoption("--hypothesis-profile") == "sweep"


def pytest_collection_modifyitems(config, items):
    """Leaves variants to the sweep; what is named on the command line stays."""
    named = any("::" in argument for argument in config.args)
    if named or is_sweep(config):
        return
    variants = [item for item in items if item.get_closest_marker("variant")]
    config.hook.pytest_deselected(items=variants)
    items[:] = [item for item in items if not item.get_closest_marker("variant")]


@pytest.fixture(autouse=True)
def rank_promotion():
    """Forbids silent broadcasting between arrays of different rank."""
    with jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture(autouse=True)
def with_jit(request):
    """Skips what is about compiled programs where there are none."""
    if request.node.get_closest_marker("compiled") and jax.config.jax_disable_jit:
        pytest.skip("jit is disabled")


@pytest.fixture(autouse=True, scope="module")
def quick_compilation(request):
    """Compiles without XLA's optimizations, except where much is computed or shown.

    A sweep compares with PyTorch as users compile.
    """
    name = request.module.__name__
    as_users_do = name in ("test_training", "test_design") or (
        is_sweep(request.config) and name.startswith("test_torch")
    )
    jax.config.update("jax_disable_most_optimizations", not as_users_do)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def kept_programs(tmp_path_factory):
    """Keeps what is compiled, for tests that train one net again and again.

    What other modules have left in memory may be compiled with optimizations, and round
    otherwise; if JAX dropped it in between, trainings would differ in the last bit.
    """
    jax.clear_caches()
    names = {
        "jax_enable_compilation_cache": True,
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("programs")),
        "jax_persistent_cache_min_compile_time_secs": 0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in names}
    for settings in (names, before):
        for name, value in settings.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
        if settings is names:
            yield


@pytest.fixture
def key():
    """A random key for whatever a test draws."""
    return jax.random.key(0)
