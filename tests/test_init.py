"""What ``import crossfer`` gives."""

from __future__ import annotations

import subprocess
import sys

import pytest

import crossfer


def test_every_public_name_is_there_and_no_other_is_shown():
    assert dir(crossfer) == sorted([*crossfer.__all__, "__version__"])
    for name in crossfer.__all__:
        assert getattr(crossfer, name).__name__ == name


def test_help_needs_no_part_of_an_extra():
    hidden = "import sys; sys.modules['trackers'] = None; import crossfer, pydoc; pydoc.render_doc(crossfer)"
    subprocess.run([sys.executable, "-c", hidden], check=True)


def test_each_late_name_is_public():
    assert set(crossfer._LATE) <= set(crossfer.__all__)


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'crossfer' has no attribute 'Recogniser'"):
        _ = crossfer.Recogniser
