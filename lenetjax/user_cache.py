"""The user's cache folder: what is in it can be made or downloaded again."""

import hashlib
import os
import platform
from pathlib import Path


def user_cache() -> Path | None:
    """Where this package's part of it is, or None for a user without a home folder."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(cache):  # the XDG rules say to ignore any other
        return Path(cache, "lenetjax")
    try:
        return Path.home() / ".cache" / "lenetjax"
    except RuntimeError:
        return None


def keep_programs() -> None:
    """Lets JAX keep what it compiles, so that the next run need not.

    Called before JAX is imported. It changes nothing where the user has said where to
    keep programs, or where they cannot be kept.
    """
    cache = user_cache()
    if cache is None or "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    folder = cache / "programs" / _processor()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


def _processor() -> str:
    """A name for this kind of processor: programs are made for what it can do."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    telling = ("flags", "Features", "model name")
    kinds = {line for line in lines if line.startswith(telling)}
    text = "\n".join([platform.machine(), platform.processor(), *sorted(kinds)])
    return hashlib.sha256(text.encode()).hexdigest()[:12]
