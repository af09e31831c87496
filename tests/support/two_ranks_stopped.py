"""Started by ``torchrun``: a toy run on all ranks; ``stopped`` ends it in the second epoch."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from crossfer.train.loop import train
from crossfer.train.record import Progress
from support.observers import EachStep
from support.toy_faces import LABELS, toy_faces, toy_recipe


def kill(progress: Progress) -> None:
    if (progress.epoch, progress.step) == (2, 2):
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    train(
        toy_recipe(),
        LABELS,
        toy_faces(48),
        toy_faces(24, seed=1),
        Path(sys.argv[1]),
        resume=True,
        observers=[EachStep(kill)] if sys.argv[2] == "stopped" else (),
    )
