"""What the system says about itself, as it comes and as it may not come."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.metadata import version

import pytest

import crossfer
from crossfer.bench import machine
from crossfer.bench.machine import Machine, Watch, share_of_others
from crossfer.system import cores


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "150000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1.5),
    ],
)
def test_the_quota_of_either_version_of_control_groups(files, quota, monkeypatch, tmp_path):
    monkeypatch.setattr(cores, "CONTROL_GROUP", tmp_path)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    here = Machine.here()
    assert here.quota == quota
    assert here.cores <= (2 if quota else here.cores_there)


def test_others_at_work_are_seen():
    nothing = "cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 9"
    alone = share_of_others(nothing, "cpu  92 0 10 90 8 0 0 0 0 0\n", own=100)
    stolen = share_of_others(nothing, "cpu  0 0 0 100 0 0 0 100 0 0", own=0)
    guests = share_of_others(nothing, "cpu  50 0 0 50 0 0 0 0 50 0", own=10)
    assert (alone, stolen, guests) == pytest.approx((0.01, 0.5, 0.4))
    assert share_of_others(nothing, "cpu  50 0 0 50 0 0 0 0 0 0", own=51) == 0, "clocks differ by a tick"
    assert share_of_others(nothing, nothing, own=0) is None
    assert share_of_others("", "", own=0) is None


def test_ones_own_work_is_not_that_of_others():
    if not machine.STAT.exists():
        pytest.skip(f"no {machine.STAT} on this system")
    watch = Watch.begin()
    burn = "import time\nwhile time.process_time() < 0.5: pass"
    subprocess.run([sys.executable, "-c", burn], check=True)
    others = watch.others()
    spent = machine.share_of_others(watch.stat, machine.STAT.read_text(), own=0)
    assert others is not None
    assert spent is not None
    assert 0 <= others < spent


def test_facts_are_of_this_machine_and_this_code():
    here = Machine.here()
    assert here.crossfer == crossfer.__version__
    assert here.packages["onnxruntime"] == version("onnxruntime")
    assert here.python == platform.python_version()
    assert 1 <= here.cores <= here.cores_there
    assert here.cpu


def test_a_system_that_tells_nothing_is_no_error(monkeypatch, tmp_path):
    def nothing(name: str) -> int:
        raise ValueError(name)

    monkeypatch.setattr(machine, "text_of", lambda path: "")
    monkeypatch.setattr(machine, "read_cpuinfo", lambda: "")
    monkeypatch.setattr(cores, "CONTROL_GROUP", tmp_path)
    monkeypatch.setattr("os.sysconf", nothing)
    monkeypatch.delattr("os.sched_getaffinity")
    here = Machine.here()
    assert (here.quota, here.memory, here.instructions) == (None, None, ())
    assert Watch.begin().others() is None
    assert here.cores >= 1
