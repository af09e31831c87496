"""What is said of a processor, from what the system says of it."""

from __future__ import annotations

import platform

from crossfer.system import processor
from crossfer.system.processor import cpu_name, instructions

X86 = """processor\t: 0
vendor_id\t: AuthenticAMD
model name\t: AMD EPYC 9R14
flags\t\t: fpu avx2 avx512f avx512_vnni
processor\t: 1
model name\t: AMD EPYC 9R14
"""
ARM = "processor\t: 0\nFeatures\t: fp asimd asimddp i8mm bf16 sve\nCPU implementer\t: 0x41\n"


def test_names_and_instructions_of_either_kind_of_processor():
    assert cpu_name(X86) == "AMD EPYC 9R14"
    assert instructions(X86) == ("avx2", "avx512f", "avx512_vnni")
    assert cpu_name(ARM) == (platform.processor() or platform.machine())
    assert instructions(ARM) == ("asimd", "asimddp", "i8mm", "bf16", "sve")
    assert instructions("") == ()


def test_name_and_instructions_in_one_line(monkeypatch):
    monkeypatch.setattr(processor, "read_cpuinfo", lambda: X86)
    assert processor.processor() == "AMD EPYC 9R14 (avx2, avx512f, avx512_vnni)"
    monkeypatch.setattr(processor, "read_cpuinfo", lambda: "model name\t: Old\n")
    assert processor.processor() == "Old"
