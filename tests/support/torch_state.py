"""Fixtures for tests that use torch: the same random state at the start of each, and one thread.

The tensors are too small for more threads, and one thread makes sums come out the same in every run.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def same_random_state() -> None:
    torch.manual_seed(0)
