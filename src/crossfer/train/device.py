"""Device and precision, chosen by what the machine is found to do best."""

from __future__ import annotations

import time
from typing import Literal

import torch
from torch import nn

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


def choose_device(wanted: str) -> Literal["cpu", "cuda"]:
    """``"auto"`` takes a CUDA device where there is one.

    Raises:
        ValueError: if CUDA is asked for and absent.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ValueError("optim.device = 'cuda', but torch finds no CUDA device; use 'auto' or 'cpu'")
    return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"


def choose_precision(wanted: str, device: str) -> Precision:
    """``"auto"`` is what trains fastest here.

    On CUDA bfloat16, or float16 where the device lacks that; on a CPU bfloat16 if measured to be faster.
    """
    if wanted != "auto":
        return wanted  # type: ignore[return-value]
    if device == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    return "bf16-mixed" if _training_step_seconds(False) > 1.3 * _training_step_seconds(True) else "32-true"


def _training_step_seconds(bfloat16: bool) -> float:
    """Best of a few forward and backward passes of a typical convolution (about 0.1 s in all)."""
    # torch documents `memory_format`, but its type stubs leave it out.
    conv = nn.Conv2d(64, 64, 3, padding=1)
    conv.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    x = torch.zeros(32, 64, 24, 24).to(memory_format=torch.channels_last)
    seconds = []
    for _ in range(6):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            conv(x).sum().backward()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
