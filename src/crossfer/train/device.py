"""Device and precision, chosen by what the machine is found to do best, and the ranks that share the work."""

from __future__ import annotations

import atexit
import gc
import time
import warnings
from inspect import signature
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.utilities import distributed as launched
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from crossfer.system.processor import processor
from crossfer.train.ranks import Rank, this_rank

Device = Literal["cpu", "cuda"]
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


class HalfPrecision(MixedPrecision):
    """Gives what the network gives: Fabric would make another copy of all maps, in single precision.

    The losses convert what they look at, once it is small; the head's logits are in single precision anyway.
    """

    def convert_output(self, data: Any) -> Any:
        """The same."""
        return data


def choose_device(wanted: Literal["auto"] | Device) -> Device:
    """``"auto"`` takes a CUDA device where there is one.

    Raises:
        ValueError: if CUDA is asked for and absent, has fewer devices than ranks, or cannot be used.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ValueError("optim.device = 'cuda', but torch finds no CUDA device; use 'auto' or 'cpu'")
    if wanted == "cpu" or not torch.cuda.is_available():
        return "cpu"
    _require_gpu(this_rank())
    return "cuda"


def _require_gpu(rank: Rank) -> None:
    """Each rank has a GPU to itself, which answers."""
    if rank.here > (found := torch.cuda.device_count()):
        raise ValueError(
            f"expected at most as many ranks as this machine has GPUs ({found}), found {rank.here}; start "
            f"torchrun with --nproc_per_node={found}, or train with --set optim.device=cpu"
        )
    own = rank.number % rank.here
    try:
        torch.zeros(1, device=f"cuda:{own}")
    except RuntimeError as error:
        first = str(error).partition("\n")[0]
        raise ValueError(
            f"GPU {own} cannot be used ({first}); look at it with nvidia-smi, or train with --set "
            "optim.device=cpu"
        ) from None


def device_name(device: Device) -> str:
    """What it is, as a result should say: processors and GPUs choose their kernels differently."""
    return torch.cuda.get_device_name() if device == "cuda" else processor()


def choose_precision(wanted: Literal["auto"] | Precision, device: Device) -> Precision:
    """``"auto"`` is what trains fastest here.

    On CUDA bfloat16, or float16 where the device lacks that; on a CPU bfloat16 if measured to be faster, but
    not with several ranks: each would measure for itself, and they might not agree.
    """
    if wanted != "auto":
        return wanted
    if device == "cuda":
        # GPUs before compute capability 8 only emulate bfloat16, without their tensor cores.
        own = torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16-mixed" if own else "16-mixed"
    if this_rank().count > 1:
        return "32-true"
    return "bf16-mixed" if _training_step_seconds(False) > 1.3 * _training_step_seconds(True) else "32-true"


def open_fabric(device: Device, precision: Precision) -> Fabric:
    """Device and arithmetic of this process: alone, or one of the ranks that ``torchrun`` started.

    Ranks talk over gloo on CPUs and NCCL on GPUs. Statistics of batch norm are not sent from rank 0 to the
    others, since the run averages them.
    """
    rank = this_rank()
    # The older name of the option warns where the newer one is known.
    known = signature(DistributedDataParallel).parameters
    sync = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    options: dict[str, Any] = {sync: False}
    if rank.count > 1:  # kernels on one channel have two layouts that are one, and torch warns of the other
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    fabric = Fabric(
        accelerator=device,
        devices=rank.here,
        num_nodes=rank.count // rank.here,
        strategy=DDPStrategy(**options) if rank.count > 1 else "auto",
        # Made here: left to choose, Fabric takes bfloat16 where float16 was asked for on a CPU.
        plugins=[] if precision == "32-true" else [HalfPrecision(precision, device)],
    )
    fabric.launch()
    # Fabric leaves the group of NCCL at exit, even after an error, when other ranks are waited for in vain.
    if (leave := getattr(launched, "_destroy_dist_connection", None)) is not None:
        atexit.unregister(leave)
    return fabric


def part_at_exit(fabric: Fabric) -> None:
    """Let this process leave its ranks before the interpreter ends; nothing to do for one that is alone.

    torch does not do so by itself, and gloo's threads, which may hold the last reference to a Python object,
    then abort the process. For a training that ended well: after an error another rank may be waited for in
    vain. Not earlier than at exit: torch cannot open a second group under one ``torchrun``.
    """
    if fabric.world_size > 1:
        atexit.unregister(_leave_group)
        atexit.register(_leave_group)


def _leave_group() -> None:
    distributed.destroy_process_group()
    gc.collect()  # the threads end with the group, which the network holds in a cycle


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
