"""Arithmetic instead of measurement: what a feed needs at least, on a core and on a GPU.

Of the model's own figures (multiply-adds, state, hop) and of what a machine does at best: measured
for the core (:mod:`genred.bench.calibrate`), taken from its maker for the GPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

FLOAT: Final = 4
"""Bytes of a float32."""

FEEDS: Final = 100_000
"""What a GPU shall bear."""


@dataclass(frozen=True, slots=True)
class Accelerator:
    """A GPU's peaks, from its data sheet."""

    name: str
    fp32_tflops: float
    tf32_tflops: float
    """Dense, without the doubling that sparsity would bring."""
    memory_tb_s: float
    link_gb_s: float
    """One way over the host's bus."""


H200: Final = Accelerator("NVIDIA H200 SXM", 67.0, 494.0, 4.8, 64.0)
"""NVIDIA's data sheet of the H200: 67 TFLOPS in float32, 989 in TF32 with sparsity, 4.8 TB/s of
HBM3e, PCIe 5.0 x16 (128 GB/s both ways together)."""


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that a second of audio of one feed, or a tick of many, needs at least."""

    what: str
    amount: str
    ms: float


def core(model: dict[str, Any], yardsticks: dict[str, Any]) -> list[Need]:
    """What a second of audio of one feed needs of a core at least, the network included."""
    frames = model["sample_rate"] / model["hop_length"]
    bins = model["n_fft"] // 2 + 1
    rate = model["decisions_per_second"]
    flops = yardsticks["gflops"] * 1e9
    # A triangular filter bank has each bin in two filters at most.
    mel = 2 * bins * frames
    moved = _moved(model)
    return [
        Need(
            f"{frames:.0f} real transforms of {model['n_fft']} samples",
            f"{yardsticks['rfft_us']:.2f} µs each, numpy's",
            frames * yardsticks["rfft_us"] / 1e3,
        ),
        Need(
            "mel bands, only what is not zero",
            f"{mel / 1e6:.3f} million multiply-adds",
            2 * mel / flops * 1e3,
        ),
        Need(
            "network",
            f"{model['network_macs'] / 1e6:.2f} million multiply-adds",
            2 * model["network_macs"] / flops * 1e3,
        ),
        Need(
            "audio, state and log-mel, read and written once",
            f"{moved / 1e3:.0f} kB",
            moved / (yardsticks["copy_gb_s"] * 1e9) * 1e3,
        ),
        Need(
            f"{rate:g} times Python: gate, judge, messages",
            f"a call that does nothing is {yardsticks['call_ns']:.0f} ns; 20 of them a decision",
            rate * 20 * yardsticks["call_ns"] / 1e6,
        ),
    ]


def _moved(model: dict[str, Any]) -> float:
    """Bytes a second of one feed: samples in, state in and out, frames out."""
    frames = model["sample_rate"] / model["hop_length"]
    state = 2 * model["state"] * model["decisions_per_second"]
    answers = model["labels"] * model["decisions_per_second"]
    return float(FLOAT * (model["sample_rate"] + state + frames * model["n_mels"] + answers))


def core_table(
    model: dict[str, Any],
    yardsticks: dict[str, Any],
    measured_ms: float,
    parts: dict[str, Any] | None = None,
) -> str:
    """The arithmetic as a table, against what was measured for one of many feeds.

    With ``parts`` (:class:`genred.bench.parts.Parts`) the way from the one to the other as well.
    """
    needs = core(model, yardsticks)
    total = sum(need.ms for need in needs)
    lines = ["| one feed, one second of audio, one core | at least | ms |", "|---|---|---|"]
    lines += [f"| {need.what} | {need.amount} | {need.ms:.3f} |" for need in needs]
    lines.append(
        f"| together | {yardsticks['gflops']:.0f} GFLOP/s, {yardsticks['copy_gb_s']:.0f} GB/s | "
        f"{total:.3f} |"
    )
    if parts is not None:
        lines += _parts(parts, needs, measured_ms)
    lines.append(f"| measured | {measured_ms / total:.1f} times that | {measured_ms:.3f} |")
    return "\n".join(lines) + "\n"


def _parts(parts: dict[str, Any], needs: list[Need], measured_ms: float) -> list[str]:
    """Lines of what each part takes alone, and what is left."""
    transforms, mel, network, *_ = (need.ms for need in needs)
    front_end_ms, network_ms = parts["front_end_ms"], parts["network_ms"]
    rest_ms, rings_ms = parts["rest_ms"], parts["rings_ms"]
    least = network if front_end_ms else transforms + mel + network
    lines = []
    if front_end_ms:
        times = front_end_ms / (transforms + mel)
        lines.append(
            "| the front end alone | window, transforms, power, mel bands, logarithms; "
            f"{times:.1f} times its least | {front_end_ms:.3f} |"
        )
    lines.append(
        f"| the network alone | under onnxruntime, {parts['batch']} rows at once, their states "
        f"fetched and put back; {network_ms / least:.1f} times its least | {network_ms:.3f} |"
    )
    lines.append(
        f"| all else alone | {parts['feeds']:,} feeds whose network answers at once; "
        f"{rings_ms:.3f} ms of it to copy audio out of the rings | {rest_ms:.3f} |"
    )
    beyond = measured_ms - front_end_ms - network_ms - rest_ms
    lines.append(
        f"| beyond these | audio, states, weights and Python's objects of {parts['feeds']:,} feeds "
        f"push each other out of the caches | {beyond:.3f} |"
    )
    return lines


def accelerator(model: dict[str, Any], gpu: Accelerator = H200, feeds: int = FEEDS) -> list[Need]:
    """What one tick of ``feeds`` feeds needs of a GPU at least, whole graph and all.

    The layers' activations are taken to stay in the caches, so that these are lower bounds.
    """
    rate = model["decisions_per_second"]
    flops = 2 * model["macs"] / rate * feeds
    audio = FLOAT * model["hop"] * feeds
    answers = FLOAT * model["labels"] * feeds
    memory = _moved(model) / rate * feeds + model["bytes"]
    return [
        Need(
            "samples over the bus, float32",
            f"{audio / 1e9:.2f} GB at {gpu.link_gb_s:g} GB/s",
            audio / gpu.link_gb_s / 1e6,
        ),
        Need(
            "the same as 16-bit integers",
            f"{audio / 2e9:.2f} GB",
            audio / 2 / gpu.link_gb_s / 1e6,
        ),
        Need(
            "logits back over the bus",
            f"{answers / 1e6:.1f} MB",
            answers / gpu.link_gb_s / 1e6,
        ),
        Need(
            "samples, state, log-mel and weights through its memory",
            f"{memory / 1e9:.2f} GB at {gpu.memory_tb_s:g} TB/s",
            memory / gpu.memory_tb_s / 1e9,
        ),
        Need(
            "multiply-adds, float32",
            f"{flops / 2e9:.0f} thousand million at {gpu.fp32_tflops:g} TFLOPS",
            flops / gpu.fp32_tflops / 1e9,
        ),
        Need(
            "the same in TF32, where tensor cores can be used",
            f"at {gpu.tf32_tflops:g} TFLOPS",
            flops / gpu.tf32_tflops / 1e9,
        ),
    ]


def accelerator_table(model: dict[str, Any], gpu: Accelerator = H200, feeds: int = FEEDS) -> str:
    """The roofline (Williams, Waterman and Patterson, CACM 2009) as a table: computed."""
    needs = accelerator(model, gpu, feeds)
    tick = 1e3 / model["decisions_per_second"]
    link, _, back, memory, fp32, _ = (need.ms for need in needs)
    bound = max(link + back, memory, fp32)
    most = math.floor(feeds * tick / bound / 1e4) * 10_000
    decides = "bus" if bound == link + back else "chip"
    lines = [
        f"| a tick of {feeds:,} feeds, every {tick:.0f} ms, {gpu.name} | at least | ms |",
        "|---|---|---|",
        *(f"| {need.what} | {need.amount} | {need.ms:.2f} |" for need in needs),
        f"| the roofline: the longest, all overlapping | computed, not measured | {bound:.1f} |",
        f"| within twice of it | {bound * 2 / tick:.0%} of the tick | {2 * bound:.1f} |",
        f"| feeds at the roofline | the {decides} decides | {most:,} |",
    ]
    return "\n".join(lines) + "\n"
