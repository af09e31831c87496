"""What a run says of itself on a terminal and elsewhere."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from crossfer.train.display import Display
from crossfer.train.record import EpochRecord, Progress

STEP = Progress(
    objective="labels",
    epoch=1,
    epochs=2,
    step=1,
    steps=2,
    loss=0.5,
    classification=0.4,
    feature_map=0.1,
    batch=0.0,
    images_per_second=100.0,
    data_wait=0.0,
    seconds_left=9.0,
    valid_accuracy=None,
)
EPOCH = EpochRecord(1, 0.5, 0.4, 0.1, 0.0, 0.75, 1.0, 0.1, 9.0)


def show(display: Display) -> None:
    """Two epochs of two steps each, the second with what is known from the first, as the loop tells them."""
    with display:
        for epoch, known, found in ((1, None, 0.75), (2, 0.75, 0.875)):
            for step in (1, 2):
                display.after_step(replace(STEP, epoch=epoch, step=step, valid_accuracy=known))
            display.after_epoch(replace(EPOCH, epoch=epoch, valid_accuracy=found))


def test_off_a_terminal_each_epoch_is_a_line_with_its_own_accuracy() -> None:
    said = io.StringIO()
    show(Display(Console(file=said, width=200), epochs=2))
    first, second = said.getvalue().splitlines()
    assert first.startswith("epoch 1/2  loss 0.500 (class 0.400, maps 0.100, batch 0.000)  valid 75.00 %  ")
    assert second.startswith("epoch 2/2  loss 0.500")
    assert "valid 87.50 %" in second


def test_a_terminal_is_left_with_the_accuracy_of_the_last_epoch() -> None:
    said = io.StringIO()
    show(Display(Console(file=said, width=200, force_terminal=True), epochs=2))
    assert "valid 87.50 %" in said.getvalue()


def test_the_epoch_that_a_run_goes_on_from_is_not_said_again() -> None:
    said = io.StringIO()
    with Display(Console(file=said, width=200), epochs=2) as display:
        display.after_epoch(EPOCH)
    assert said.getvalue() == ""
