from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from crossfer.data.splitfile import SplitFile, read_split_file
from crossfer.train.checkpoint import load_meta
from crossfer.train.run import run_recipe
from data.layouts import write_class_folders
from support.toy_faces import toy_recipe


def test_what_is_left_out_is_named_as_it_is(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "faces", {"Bored": 8, "Happy": 8}, size=(32, 32))
    (root / "Bored" / "[bold]a[0].png").write_bytes(b"none")
    data = {"name": "folder", "target": "label", "classes": "found", "valid_share": 0.3, "skip_bad": True}
    recipe = toy_recipe(data=data, optim={"epochs": 1, "batch_size": 4})
    told = io.StringIO()
    run_recipe(recipe, tmp_path / "run", root=root, console=Console(file=told, width=500))
    assert "[bold]a[0].png" in told.getvalue()


def test_where_the_data_lies_is_not_kept_and_may_be_elsewhere_on_resuming(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "faces", {"Bored": 8, "Happy": 8}, size=(32, 32))
    data = {"name": "folder", "target": "label", "classes": "found", "valid_share": 0.3}
    recipe, quiet = toy_recipe(data=data, optim={"epochs": 1, "batch_size": 4}), Console(quiet=True)
    run_recipe(recipe, tmp_path / "run", root=root, console=quiet)
    for name in ("best", "last"):
        assert load_meta(tmp_path / "run" / f"{name}.safetensors")["recipe"]["data"]["root"] is None
    moved = root.rename(tmp_path / "moved")
    assert run_recipe(recipe, tmp_path / "run", root=moved, resume=True, console=quiet).best_epoch == 1


def test_the_split_file_that_a_run_is_told_to_use_stays(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "faces", {"Bored": 4, "Happy": 4}, size=(32, 32))
    names = {f"{name}/{i}.png": "valid" if i else "train" for name in ("Bored", "Happy") for i in range(4)}
    mine = tmp_path / "run" / "split.csv"
    mine.parent.mkdir()
    mine.write_text(SplitFile("folder", "", names).to_text())
    data = {"name": "folder", "target": "label", "classes": "found", "split_file": str(mine)}
    recipe = toy_recipe(data=data, optim={"epochs": 1, "batch_size": 2})
    told = io.StringIO()
    run_recipe(recipe, mine.parent, root=root, console=Console(file=told, width=500))
    assert "valid: 6 faces" in told.getvalue()
    assert read_split_file(mine).split_of == names


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ({"optim": {"batch_size": 4, "accumulate": 2}}, "CLBS makes 2 clusters and not 8 (method.k_batch; "),
        ({"data": {"samples": 5}}, "by optim.batch_size 16, optim.accumulate 1 and 5 training faces\n"),
        ({"optim": {"batch_size": 4}, "objective": "views", "augment": {"mixup": 0.0}}, ""),
        ({"optim": {"batch_size": 4}, "method": {"batch": False}}, ""),
    ],
)
def test_fewer_clusters_than_classes_are_told_once_with_their_keys(
    tmp_path: Path, tables: dict[str, Any], told: str
) -> None:
    recipe = toy_recipe(**{"data": {"name": "synthetic", "samples": 8}} | tables)
    recipe = recipe.model_copy(update={"optim": recipe.optim.model_copy(update={"epochs": 1})})
    text = io.StringIO()
    run_recipe(recipe, tmp_path / "run", console=Console(file=text, width=500))
    assert told in text.getvalue()
    assert text.getvalue().count("CLBS") == bool(told)
