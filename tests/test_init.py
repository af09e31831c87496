"""What ``import crossfer`` gives."""

from __future__ import annotations

import pytest

import crossfer


def test_every_public_name_is_there_and_no_other_is_shown():
    assert dir(crossfer) == sorted([*crossfer.__all__, "__version__", "video"])
    for name in crossfer.__all__:
        assert getattr(crossfer, name).__name__ == name


def test_without_its_extra_video_is_not_shown(monkeypatch):
    monkeypatch.setattr(crossfer, "find_spec", lambda name: None)
    assert dir(crossfer) == sorted([*crossfer.__all__, "__version__"])


def test_each_late_name_is_public():
    assert set(crossfer._LATE) <= set(crossfer.__all__)


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'crossfer' has no attribute 'Recogniser'"):
        _ = crossfer.Recogniser
