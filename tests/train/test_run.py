from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from crossfer.data.splitfile import SplitFile, read_split_file
from crossfer.train.checkpoint import load_meta
from crossfer.train.config import RecipeError, refuse_in_vain
from crossfer.train.faults import TrainingError
from crossfer.train.record import Progress
from crossfer.train.run import run_recipe
from data.layouts import write_class_folders
from support.observers import EachStep
from support.toy_faces import toy_recipe

FOLDER = {"name": "folder", "target": "label", "classes": "found", "valid_share": 0.3}


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


IN_VAIN: list[tuple[dict[str, Any], str]] = [
    (
        {"feature_map": False, "batch": False},
        r"toy: method.lambdas \[0.0, 0.1, 0.0\] weigh no term, since feature_map and batch are false; ",
    ),
    (
        {"contrast": "cosine", "temperature": 0.2},
        "toy: method.temperature 0.2 is that of contrast 'infonce', got it with 'cosine', .*; leave it out$",
    ),
    (
        {"lambdas": [0.0, 0.0, 0.0], "target": "permuted"},
        r"toy: method.target 'permuted' is a control of terms that method.lambdas \[0.0, 0.0, 0.0\] leave",
    ),
]


@pytest.mark.parametrize(("method", "message"), IN_VAIN)
def test_what_other_keys_leave_out_is_refused_before_the_data_is_looked_at(
    tmp_path: Path, method: dict[str, Any], message: str
) -> None:
    recipe = toy_recipe(data={"name": "folder", "target": "label", "classes": "found"}, method=method)
    with pytest.raises(RecipeError, match=f"^{message}"):
        run_recipe(recipe, tmp_path / "run", root=tmp_path / "absent", console=Console(quiet=True))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("method", [method for method, _ in IN_VAIN])
def test_a_run_that_began_with_such_a_recipe_goes_on(tmp_path: Path, method: dict[str, Any]) -> None:
    recipe, root = toy_recipe(method=method, data=FOLDER, optim={"batch_size": 4}), tmp_path / "faces"
    write_class_folders(root, {"Bored": 8, "Happy": 8}, size=(32, 32))
    run, quiet = tmp_path / "run", Console(quiet=True)
    with pytest.MonkeyPatch.context() as older:
        older.setattr("crossfer.train.run.refuse_in_vain", lambda _: None)
        with pytest.raises(KeyboardInterrupt):
            run_recipe(recipe, run, root=root, console=quiet, observers=[EachStep(stop_in_epoch_2)])
    assert len(run_recipe(recipe, run, root=root, resume=True, console=quiet).history) == 3


def stop_in_epoch_2(progress: Progress) -> None:
    if progress.epoch == 2:
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    "tables",
    [
        {"method": {"contrast": "cosine", "temperature": 0.1}},
        {"method": {"contrast": "cosine", "feature_map": False}},
        {"method": {"lambdas": [0.0, 0.0, 0.0], "feature_map": False, "batch": False}},
        {"method": {"lambdas": [0.0, 0.0, 0.0], "temperature": 0.2}},
        {"method": {"target": "random", "batch": False}},
        {"variant": "released", "model": {"image_size": 96}},
    ],
)
def test_what_is_not_in_vain_is_taken(tables: dict[str, Any]) -> None:
    refuse_in_vain(toy_recipe(**tables))


@pytest.mark.parametrize(
    ("tables", "found"),
    [
        ({"optim": {"batch_size": 4}}, "4, by optim.batch_size 4, optim.accumulate 1 and 64 training faces"),
        ({"optim": {"accumulate": 4}}, "4, by optim.batch_size 16, optim.accumulate 4 and 64 training"),
        ({"data": {"limit": 7}}, "7, by optim.batch_size 16, optim.accumulate 1 and 7 training faces"),
    ],
)
def test_the_released_variant_wants_a_face_a_cluster_before_faces_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tables: dict[str, Any], found: str
) -> None:
    monkeypatch.setattr("crossfer.train.run.load_split", None)
    data = {"name": "synthetic", "samples": 64} | tables.get("data", {})
    recipe = toy_recipe(variant="released", model={"image_size": 96}, **tables | {"data": data})
    with pytest.raises(
        TrainingError, match=rf"^CLBS of variant 'released': .* 8 faces at once.*found {found}"
    ):
        run_recipe(recipe, tmp_path / "run", console=Console(quiet=True))
    assert not (tmp_path / "run").exists()
