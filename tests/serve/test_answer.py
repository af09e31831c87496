"""Answers of many faces are written beside the event loop, those of few at once."""

from __future__ import annotations

import asyncio
import threading

import pytest

from crossfer.serve.answer import FEW, Answer, write


@pytest.mark.parametrize(
    ("images", "at_once"), [([FEW], True), ([FEW + 1], False), ([FEW, 1], False), ([], True)]
)
def test_many_faces_are_written_beside_the_event_loop(images, at_once):
    answers = [Answer(8, 8, [None] * faces) for faces in images]  # type: ignore[list-item]
    thread = asyncio.run(write([*answers, ValueError("no image")], threading.get_ident))
    assert (thread == threading.get_ident()) == at_once
