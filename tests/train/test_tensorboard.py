from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest

from crossfer.train.record import EpochRecord
from crossfer.train.tensorboard import TensorBoard

RECORD = EpochRecord(3, 1.5, 1.0, 0.3, 0.2, 0.75, 0.9, 0.05, 12.0, 0.25)


def events(path: Path) -> list[tuple[str, int, float]]:
    """What an event file holds: records of length, checksum, message, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    data, found = path.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        event = Event.FromString(data[12 : 12 + length])
        found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
        data = data[16 + length :]
    return found


def test_every_number_of_a_record_is_written_at_its_epoch(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path)
    assert not list(tmp_path.iterdir())
    board.after_epoch(RECORD)
    (path,) = tmp_path.iterdir()
    found = {tag: (step, value) for tag, step, value in events(path)}
    assert found["valid_accuracy"] == (3, 0.75)
    assert found["data_wait"] == (3, 0.25)
    assert len(found) == 9
    board.close()


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from crossfer.cli import errors

    monkeypatch.setattr(errors, "find_spec", lambda name: None if name == "tensorboardX" else sys)
    with pytest.raises(
        ValueError, match=r'needs tensorboardX: pip install "\.\[tensorboard\]" in a checkout'
    ):
        errors.need_extra("tensorboard")
