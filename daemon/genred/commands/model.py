"""``genred model``: what a model file says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "model",
        help="show what a model file says of itself",
        description="Load a model file, check that it fits, and show its metadata.",
    )
    parser.add_argument(
        "path", nargs="?", type=Path, metavar="PATH", help="a model.onnx, or its folder"
    )
    parser.add_argument("--json", action="store_true", help="all of the metadata as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Carry out the command."""
    from genred.model.session import load_model

    model = load_model(args.path)
    metadata = model.metadata
    if args.json:
        print(metadata.model_dump_json(indent=2))
        return 0
    file = model.path / "model.onnx" if model.path.is_dir() else model.path
    front_end = metadata.front_end
    judging = metadata.judging.model_dump() if metadata.judging else {}
    kinds: dict[str, list[str]] = {}
    for label in metadata.labels:
        kinds.setdefault(label.kind.value, []).append(label.name)
    rows = {
        "file": f"{file} ({file.stat().st_size / 1e6:.2f} MB)",
        "name": f"{metadata.name} (network {metadata.network.name}, "
        f"{metadata.network.parameters:,} parameters)",
        "hears": f"{metadata.sample_rate} Hz mono, windows of "
        f"{metadata.window / metadata.sample_rate:.3f} s, "
        f"{metadata.decisions_per_second:g} decisions a second",
        "front end": f"{front_end.kind}, {front_end.n_mels} mels from {front_end.f_min:g} to "
        f"{front_end.f_max:g} Hz, {front_end.n_fft}-point frames every {front_end.hop_length}",
        "costs": f"{metadata.macs_per_second / 1e6:.1f} million multiply-adds a second of audio",
        **{kind: " ".join(names) for kind, names in kinds.items()},
        "temperature": f"{metadata.calibration.temperature:.3f}",
        "judged by": ", ".join(f"{key} {value:g}" for key, value in judging.items())
        or "the settings",
        "trained": f"{metadata.training.created}, seed {metadata.training.seed}, on data "
        f"{metadata.training.data_fingerprint[:12]}; the whole recipe: --json",
        "licence": metadata.license,
    }
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:>{width}}  {value}")
    return 0
