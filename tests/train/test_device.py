from __future__ import annotations

import atexit
from typing import Literal

import pytest
import torch
from lightning_fabric.utilities import distributed as launched

from crossfer.train.device import choose_device, choose_precision, open_fabric


def test_cpu_is_the_cpu_and_auto_takes_what_there_is() -> None:
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_absent_cuda_is_named() -> None:
    with pytest.raises(
        ValueError, match=r"optim.device = 'cuda', but torch finds no CUDA device; use 'auto' or 'cpu'"
    ):
        choose_device("cuda")


def with_gpus(monkeypatch: pytest.MonkeyPatch, count: int, ranks: int = 1, number: int = 0) -> None:
    told = {"RANK": number, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks, "TORCHELASTIC_RUN_ID": "none"}
    for name, value in told.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


@pytest.mark.parametrize("wanted", ["auto", "cuda"])
def test_more_ranks_than_gpus_are_named_before_anything_is_read(
    monkeypatch: pytest.MonkeyPatch, wanted: Literal["auto", "cuda"]
) -> None:
    with_gpus(monkeypatch, 2, ranks=4)
    with pytest.raises(
        ValueError, match=r"^expected .* GPUs \(2\), found 4; .*--nproc_per_node=2, or .*=cpu$"
    ):
        choose_device(wanted)
    assert choose_device("cpu") == "cpu"


def test_a_gpu_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def zeros(*_: int, device: str) -> None:
        asked.append(device)
        if device == "cuda:1":
            raise torch.AcceleratorError("CUDA error: device(s) is/are busy or unavailable\nmuch more")

    monkeypatch.setattr(torch, "zeros", zeros)
    with_gpus(monkeypatch, 2, ranks=2)
    assert choose_device("auto") == "cuda"
    with_gpus(monkeypatch, 2, ranks=2, number=1)
    with pytest.raises(
        ValueError, match=r"^GPU 1 cannot be used \(CUDA error: .* unavailable\); look .*=cpu$"
    ):
        choose_device("auto")
    assert asked == ["cuda:0", "cuda:1"]


@pytest.mark.parametrize(("own", "chosen"), [(True, "bf16-mixed"), (False, "16-mixed")])
def test_emulated_bfloat16_is_not_what_a_gpu_does_best(
    monkeypatch: pytest.MonkeyPatch, own: bool, chosen: str
) -> None:
    def supported(including_emulation: bool = True) -> bool:
        return including_emulation or own

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert choose_precision("auto", "cuda") == chosen


def test_a_rank_that_fails_does_not_wait_for_the_others_at_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fabric leaves NCCL's group at exit, errors or not: a collective that the others would have to join."""
    left: list[object] = []
    monkeypatch.setattr(atexit, "unregister", left.append)
    open_fabric("cpu", "32-true")
    assert launched._destroy_dist_connection in left


@pytest.mark.parametrize("wanted", ["32-true", "bf16-mixed", "16-mixed"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_precision_asked_for_is_taken(wanted: str, device: str) -> None:
    assert choose_precision(wanted, device) == wanted


def test_precision_on_a_cpu_is_measured() -> None:
    assert choose_precision("auto", "cpu") in {"32-true", "bf16-mixed"}
