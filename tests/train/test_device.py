from __future__ import annotations

import pytest
import torch

from crossfer.train.device import choose_device, choose_precision


def test_cpu_is_the_cpu_and_auto_takes_what_there_is() -> None:
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_absent_cuda_is_named() -> None:
    with pytest.raises(
        ValueError, match=r"optim.device = 'cuda', but torch finds no CUDA device; use 'auto' or 'cpu'"
    ):
        choose_device("cuda")


@pytest.mark.parametrize("wanted", ["32-true", "bf16-mixed", "16-mixed"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_precision_asked_for_is_taken(wanted: str, device: str) -> None:
    assert choose_precision(wanted, device) == wanted


def test_precision_on_a_cpu_is_measured() -> None:
    assert choose_precision("auto", "cpu") in {"32-true", "bf16-mixed"}
