"""Two processes that train together do what one does with the whole batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

TESTS = Path(__file__).parents[1]
RECIPES = TESTS.parent / "recipes"
TWO = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]


def start(*command: str | Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [*map(str, command)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )


def test_two_ranks_give_the_gradients_of_one_with_the_whole_batch(tmp_path: Path) -> None:
    methods = ("paper", "stages")
    for ranks in (["-m", "support.two_ranks"],):
        one = start(sys.executable, *ranks, tmp_path / "one", *methods)
        assert one.returncode == 0, one.stderr
        two = start(*TWO, *ranks, tmp_path / "two", *methods)
        assert two.returncode == 0, two.stderr
    for method in methods:
        whole = load_file(tmp_path / "one" / f"{method}-0.safetensors")
        for rank in (0, 1):
            found = load_file(tmp_path / "two" / f"{method}-{rank}.safetensors")
            assert found.keys() == whole.keys()
            for name, expected in whole.items():
                assert expected.dtype == torch.float64
                torch.testing.assert_close(found[name], expected, rtol=1e-5, atol=1e-9, msg=name)
            assert any(name.startswith("loss.project") for name in whole)
            assert float(whole["terms"][2]) != 0
            assert float(whole["terms"][3]) != 0
