"""Whether this machine multiplies ``bfloat16`` itself."""

from __future__ import annotations

from pathlib import Path

import torch

_CPUINFO = Path("/proc/cpuinfo")

# What Linux calls it on x86 (the first two) and on Arm.
_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


def multiplies_bfloat16(device: torch.device, cpuinfo: Path = _CPUINFO) -> bool:
    """Whether ``device`` does; where it is not known of a processor, it does not.

    Who does not must imitate it, and a training step of the shipped model's network then takes ten
    times as long as in 32 bits (4.4 s rather than 0.44 s on a core with AVX2 and no more).
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    flags = (line.partition(":") for line in lines)
    first = next((value for name, _, value in flags if name.strip() in {"flags", "Features"}), "")
    return not _FLAGS.isdisjoint(first.split())
