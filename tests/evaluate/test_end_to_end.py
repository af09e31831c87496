"""From photo to answer on many real faces: what the detector and the crop may cost."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "end_to_end.py"


@pytest.mark.long
def test_finding_the_face_costs_little_accuracy(ferplus_root: Path) -> None:
    printed = subprocess.run(
        [sys.executable, str(BENCHMARK), "--root", str(ferplus_root), "--split", "valid"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    crops, end_to_end, found = (float(x) for x in re.findall(r"([\d.]+)%", printed))
    assert crops - end_to_end < 2, printed
    assert crops - found < 1, printed
