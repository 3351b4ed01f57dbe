"""lenetjax export."""

import argparse

import jax

from lenetjax import interop
from lenetjax.interop.exporting import need_flatbuffers
from lenetjax.runs import CONFIG, METRICS, MODEL, open_run
from lenetjax.specs import shapes_text


def export(options: argparse.Namespace) -> int:
    """Writes a trained net for other programs, and prints what it wrote."""
    if options.format == "huggingface":
        return _export_folder(options)
    path = options.out or options.run_dir / "model.stablehlo"
    if path.name in (CONFIG, METRICS, MODEL):
        raise ValueError(f"{path} is the name of a run's own file; give another --out")
    need_flatbuffers()  # before the work
    run = open_run(options.run_dir)
    # Else the program has the paths of all source files, on this machine.
    jax.config.update("jax_traceback_in_locations_limit", 0)
    any_number = options.batch_size in (None, "symbolic")
    shape = (1 if any_number else options.batch_size, *run.example.shape[1:])
    exported = interop.export(
        run.net,
        run.params,
        jax.ShapeDtypeStruct(shape, run.example.dtype),
        state=run.state,
        batch="b" if any_number else None,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    interop.save_exported(path, exported)
    (images,), (logits,) = exported.in_avals, exported.out_avals
    print(
        f"{path}: {shapes_text(images)} to {shapes_text(logits)} on "
        f"{', '.join(exported.platforms)}; {path.stat().st_size:,} bytes"
    )
    return 0


def _export_folder(options: argparse.Namespace) -> int:
    if options.batch_size is not None:
        raise ValueError("--format huggingface has no --batch-size; stablehlo has")
    run = open_run(options.run_dir)
    folder = options.out or options.run_dir / "huggingface"
    interop.save_pretrained(folder, run.net, run.params, run.state)
    print(f"{folder}: {MODEL} and {CONFIG}")
    return 0
