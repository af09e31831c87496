"""Started by ``torchrun``: a toy run on all ranks, and which threads are left when Python ends."""

from __future__ import annotations

import atexit
import sys
from pathlib import Path

from crossfer.train.loop import train
from support.toy_faces import LABELS, toy_faces, toy_recipe


def tell_of_threads() -> None:
    names = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
    sys.stdout.write(f"{sum('gloo' in name for name in names)} of gloo's threads\n")


if __name__ == "__main__":
    atexit.register(tell_of_threads)  # runs last, being the first
    train(toy_recipe(optim={"epochs": 1}), LABELS, toy_faces(48), toy_faces(24, seed=1), Path(sys.argv[1]))
