"""Which of several processes this one is, where ``torchrun`` started them. Needs no torch to know."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Rank:
    """This process among those that train together.

    Attributes:
        number: from 0; rank 0 writes and speaks.
        count: how many there are.
        here: how many of them are on this machine.
    """

    number: int = 0
    count: int = 1
    here: int = 1


ALONE = Rank()


def seed_of(seed: int, number: int) -> int:
    """A seed for each of several numbers, far from one another's; that of 0 is ``seed`` itself.

    They differ in their low 32 bits, since torch's generator on a CPU keeps no others.
    """
    return seed + number * 0x9E37_79B1  # odd, so that no two numbers below 2^32 meet


def this_rank() -> Rank:
    """As ``torchrun`` told it; the only one where it did not."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return ALONE
    told = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    return Rank(*told)
