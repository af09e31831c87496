from __future__ import annotations

from pathlib import Path

import pytest

from crossfer.system import cores
from crossfer.system.cores import inference_threads, usable_cores


@pytest.fixture(autouse=True)
def group(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A control group without a quota."""
    monkeypatch.setattr(cores, "CONTROL_GROUP", tmp_path)
    return tmp_path


def test_only_cores_that_the_process_is_bound_to_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 3}, raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert usable_cores() == 2


@pytest.mark.parametrize(("there", "usable"), [(8, 8), (None, 1)])
def test_where_no_process_is_bound_all_count(
    monkeypatch: pytest.MonkeyPatch, there: int | None, usable: int
) -> None:
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: there)
    assert usable_cores() == usable


@pytest.mark.parametrize(
    ("files", "usable"),
    [
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "10000 100000\n"}, 1),
        ({"cpu.max": "6400000 100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu.max": "what is this\n"}, 8),
    ],
)
def test_a_containers_share_of_time_counts(
    monkeypatch: pytest.MonkeyPatch, group: Path, files: dict[str, str], usable: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    for name, content in files.items():
        (group / name).parent.mkdir(exist_ok=True)
        (group / name).write_text(content)
    assert usable_cores() == usable


def test_inference_is_told_a_containers_share_only(monkeypatch: pytest.MonkeyPatch, group: Path) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert (inference_threads(None), inference_threads(3)) == (0, 3)
    (group / "cpu.max").write_text("1600000 100000")
    assert inference_threads(None) == 0, "it knows how many physical cores there are"
    (group / "cpu.max").write_text("200000 100000")
    assert (inference_threads(None), inference_threads(3)) == (2, 3)
