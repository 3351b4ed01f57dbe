"""Settings of JAX and PyTorch that hold for a whole process, and its memory."""

import sys
from typing import Any

from benchmarks.memory import most_resident

# What --precision stands for on a GPU. A CPU computes float32 in full either way.
JAX_PRECISION = {"highest": "highest", "tf32": "tensorfloat32"}


def prepare(spec: dict[str, Any]) -> None:
    """Sets threads and precision of the library that this process is to use."""
    gpu = spec["platform"] == "gpu"
    if spec["family"] == "torch":
        import torch

        if spec.get("threads"):
            torch.set_num_threads(spec["threads"])
        torch.set_float32_matmul_precision(
            "highest" if spec["precision"] == "highest" else "high"
        )
        torch.backends.cudnn.allow_tf32 = spec["precision"] == "tf32"
        torch.backends.cudnn.benchmark = gpu
    else:
        import jax

        if gpu:
            precision = JAX_PRECISION[spec["precision"]]
            jax.config.update("jax_default_matmul_precision", precision)
        jax.devices()  # starts the backend, or says that there is none


def most_memory(platform: str) -> int:
    """The largest memory in use so far: the device's on a GPU, else the process's."""
    if platform != "gpu":
        return most_resident()
    if "torch" in sys.modules:
        import torch

        return int(torch.cuda.max_memory_allocated())
    import jax

    stats = jax.local_devices()[0].memory_stats() or {}
    return int(stats.get("peak_bytes_in_use", 0))
