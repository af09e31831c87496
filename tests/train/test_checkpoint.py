from __future__ import annotations

import gc
import pickle
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from crossfer.train import checkpoint
from crossfer.train.checkpoint import CheckpointError

TENSORS = {
    "a.weight": torch.randn(3, 4),
    "a.half": torch.randn(5).bfloat16(),
    "b.count": torch.tensor(7),
    "b.channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
}
META = {"epoch": 3, "labels": ["neutral", "überrascht"], "best": 0.5, "nested": {"x": None}}


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    checkpoint.save(path, TENSORS, META)
    tensors, meta = checkpoint.load(path)
    assert meta == META
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[k], v) and tensors[k].dtype == v.dtype for k, v in TENSORS.items())
    assert [p.name for p in tmp_path.iterdir()] == ["last.safetensors"]


def test_saving_again_replaces(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    checkpoint.save(path, TENSORS, META)
    checkpoint.save(path, {"x": torch.ones(2)}, {})
    tensors, meta = checkpoint.load(path)
    assert list(tensors) == ["x"]
    assert meta == {}


def test_a_file_is_readable_as_others_are(tmp_path: Path) -> None:
    like, path = tmp_path / "like", tmp_path / "a.safetensors"
    like.touch()
    checkpoint.save(path, {"x": torch.zeros(1)}, {})
    assert path.stat().st_mode == like.stat().st_mode
    path.chmod(0o640)
    checkpoint.save(path, {"x": torch.ones(1)}, {})
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("meta", [3, None, "text", [1]])
def test_metadata_that_is_no_object_is_named(meta: object, tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "a.safetensors", {"x": torch.zeros(1)}, meta)  # type: ignore[arg-type]
    for read in (checkpoint.load, checkpoint.load_meta):
        with pytest.raises(CheckpointError, match="expected metadata by key, found"):
            read(tmp_path / "a.safetensors")


def test_prefixes_keep_state_dicts_apart() -> None:
    both = checkpoint.with_prefix("model", {"w": torch.ones(1)}) | checkpoint.with_prefix(
        "mode", {"w": torch.zeros(1)}
    )
    assert checkpoint.under("model", both) == {"w": torch.ones(1)}
    assert checkpoint.under("mode", both) == {"w": torch.zeros(1)}


def test_a_full_disk_leaves_the_old_file_whole(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "last.safetensors"
    checkpoint.save(path, TENSORS, META)
    old = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        with pytest.raises(
            CheckpointError, match=f"{re.escape(str(path))}: could not be written: .*File too large"
        ):
            checkpoint.save(path, {"x": torch.zeros(100_000)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["last.safetensors"]


def test_a_file_that_was_there_passes_on_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    checkpoint.save(path, TENSORS, META)
    path.chmod(0o440)
    checkpoint.save(path, TENSORS, META)
    assert path.stat().st_mode & 0o777 == 0o440


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    path = tmp_path / "absent" / "last.safetensors"
    with pytest.raises(CheckpointError, match=f"{re.escape(str(path))}: could not be written"):
        checkpoint.save(path, TENSORS, META)


SAVE_FOR_EVER = """
import itertools, sys
from pathlib import Path
import torch
from crossfer.train import checkpoint

for epoch in itertools.count(1):
    checkpoint.save(Path(sys.argv[1]), {"x": torch.full((2_000_000,), float(epoch))}, {"epoch": epoch})
"""


def test_a_kill_while_writing_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    partial = tmp_path / ".last.safetensors.part"
    writer = subprocess.Popen([sys.executable, "-c", SAVE_FOR_EVER, str(path)])
    deadline = time.monotonic() + 60
    while not (path.exists() and partial.exists()) and time.monotonic() < deadline:
        time.sleep(0.0005)
    writer.kill()
    assert writer.wait() == -9
    assert {p.name for p in tmp_path.iterdir()} <= {path.name, partial.name}
    tensors, meta = checkpoint.load(path)
    assert meta["epoch"] >= 1
    assert (tensors["x"] == meta["epoch"]).all()
    checkpoint.save(path, TENSORS, META)  # what the kill left behind is in nobody's way
    assert checkpoint.load(path)[1] == META
    assert [p.name for p in tmp_path.iterdir()] == ["last.safetensors"]


@pytest.mark.parametrize("kept", [0, 7, 100, -1])
def test_truncated_file_is_named(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "last.safetensors"
    checkpoint.save(path, TENSORS, META)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=f"{re.escape(str(path))}: not a whole safetensors file"):
        checkpoint.load(path)


def test_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"absent.safetensors: no such checkpoint"):
        checkpoint.load(tmp_path / "absent.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(CheckpointError, match=r"folder.safetensors: not a whole safetensors file"):
        checkpoint.load(tmp_path / "folder.safetensors")


def test_a_name_that_is_taken_by_a_folder_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    path.mkdir()
    with pytest.raises(CheckpointError, match=r"last.safetensors: could not be written: .*directory"):
        checkpoint.save(path, TENSORS, META)
    assert [p.name for p in tmp_path.iterdir()] == ["last.safetensors"]


class Evil:
    """Unpickling this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return open, (str(self.path), "w")  # type: ignore[return-value]


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt", ".bin", ".PTH", ".pth.tar", ".safetensors"])
def test_pickled_weights_are_refused_and_never_run(tmp_path: Path, suffix: str) -> None:
    path, trace = tmp_path / f"weights{suffix}", tmp_path / "trace"
    torch.save(Evil(trace), path)
    with pytest.raises(CheckpointError, match=f"weights{re.escape(suffix)}: .*pickle") as caught:
        checkpoint.load(path)
    assert "safetensors.torch.save_file(torch.load(FILE, weights_only=True)" in str(caught.value)
    assert not trace.exists()


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_bare_pickle_is_known_by_how_it_begins(tmp_path: Path, protocol: int) -> None:
    path, trace = tmp_path / "weights.safetensors", tmp_path / "trace"
    path.write_bytes(pickle.dumps(Evil(trace), protocol))
    with pytest.raises(CheckpointError, match=r"weights.safetensors: pickled weights are not loaded"):
        checkpoint.load(path)
    assert not trace.exists()


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_an_optimiser_s_memory_goes_back_to_where_it_was(kind: str) -> None:
    def optimizer() -> torch.optim.Optimizer:
        torch.manual_seed(0)
        conv = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        groups = [{"params": [conv.weight]}, {"params": [conv.bias]}]
        return torch.optim.SGD(groups, lr=0.1, momentum=0.9) if kind == "sgd" else torch.optim.Adam(groups)

    one, other = optimizer(), optimizer()
    for p in (p for group in one.param_groups for p in group["params"]):
        p.grad = torch.randn(p.shape).contiguous(memory_format=torch.preserve_format)
    one.step()
    kept = {k: v.contiguous() for k, v in checkpoint.optimizer_tensors(one).items()}
    checkpoint.restore_optimizer(other, kept)
    for ours, theirs in zip(one.param_groups, other.param_groups, strict=True):
        expected, found = one.state[ours["params"][0]], other.state[theirs["params"][0]]
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            if value is not None:
                assert torch.equal(found[name], value), name
                # Another order in memory may round otherwise, and a resumed run would drift.
                like = theirs["params"][0] if value.ndim else value
                assert found[name].stride() == like.stride(), name


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="asks /proc for what is mapped")
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_a_checkpoint_is_let_go_once_the_optimiser_has_it(kind: type, tmp_path: Path) -> None:
    """Windows replaces no file that is mapped into memory."""
    path, weight = tmp_path / "last.safetensors", torch.nn.Parameter(torch.randn(3, 4))
    optimizer = kind([weight], lr=0.1, **({"momentum": 0.9} if kind is torch.optim.SGD else {}))
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    checkpoint.save(path, checkpoint.optimizer_tensors(optimizer), META)
    checkpoint.restore_optimizer(optimizer, checkpoint.load(path)[0])
    gc.collect()
    assert str(path) not in Path("/proc/self/maps").read_text()
