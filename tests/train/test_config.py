from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from crossfer.train.config import Recipe, RecipeError
from crossfer.train.recipe_file import filled, parse_recipe


def parse(**tables: Any) -> Recipe:
    return parse_recipe({"name": "test", **tables}, "test.toml")


def test_a_recipe_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        parse().seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("tables", "key", "allowed"),
    [
        ({"sead": 1}, "sead", "augment, data, method, model, name, optim, seed"),
        ({"data": {"rot": "x"}}, "data.rot", "labels, name, protocol, root, samples"),
        ({"model": {"size": 48}}, "model.size", "branch, color, depth, dim, grid, image_size"),
        ({"method": {"lambda": 1}}, "method.lambda", "k_batch, k_feature_map, lambdas"),
        ({"augment": {"flips": 1}}, "augment.flips", "erasing_area, flip"),
        ({"optim": {"learning_rate": 1}}, "optim.learning_rate", "epochs, lr, momentum"),
    ],
)
def test_unknown_key_names_itself_and_those_allowed_there(
    tables: dict[str, Any], key: str, allowed: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(**tables)
    message = str(caught.value)
    assert message.startswith(f"test.toml: unknown key {key!r}; allowed there: ")
    assert all(name in message.rsplit(": ", maxsplit=1)[-1].split(", ") for name in allowed.split(", "))


@pytest.mark.parametrize(
    ("table", "key", "value", "allowed"),
    [
        ("optim", "lr", -0.1, "greater than 0"),
        ("optim", "lr", float("nan"), "finite"),
        ("optim", "lr", 1e300, "less than or equal to 1000000"),
        ("optim", "weight_decay", -1e-4, "greater than or equal to 0"),
        ("optim", "weight_decay", 1e300, "less than or equal to 1000000"),
        ("optim", "epochs", 0, "greater than 0"),
        ("optim", "batch_size", 1, "greater than 1"),
        ("optim", "batch_size", 10**23, "less than or equal to 2147483648"),
        ("optim", "ema_decay", 1.0, "less than 1"),
        ("optim", "momentum", 1.5, "less than 1"),
        ("optim", "precision", "fp8", "'auto', '32-true', 'bf16-mixed' or '16-mixed'"),
        ("optim", "epochs", "many", "valid integer"),
        ("augment", "flip", 1.5, "less than or equal to 1"),
        ("augment", "rotation", -3.0, "greater than or equal to 0"),
        ("augment", "erasing_area", [0.3, 0.1], "from the smaller to the larger"),
        ("data", "name", "imagenet", "'table' or 'synthetic'"),
        ("data", "samples", 0, "greater than 0"),
        ("model", "depth", 50, "18 or 34"),
        ("model", "grid", 1, "greater than 1"),
        ("model", "image_size", 50, "multiple of 16"),
        ("model", "width", 0, "greater than 0"),
        ("method", "temperature", 0.0, "greater than 0"),
        ("method", "k_feature_map", 0, "greater than 0"),
        ("method", "coding", "soft", "'pooled', 'straight_through' or 'hash'"),
    ],
)
def test_impossible_value_names_key_value_and_what_is_allowed(
    table: str, key: str, value: Any, allowed: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(**{table: {key: value}})
    message = str(caught.value)
    assert message.startswith(f"test.toml: {table}")
    assert key in message
    assert allowed in message
    assert str(value) in message


@pytest.mark.parametrize(
    ("table", "key", "value", "allowed"),
    [
        ("optim", "epochs", True, "valid integer"),
        ("optim", "epochs", 5.0, "valid integer"),
        ("optim", "lr", "0.1", "valid number"),
        ("optim", "compile", 1, "valid boolean"),
        ("model", "embed_norm", "yes", "valid boolean"),
        ("model", "depth", True, "18 or 34"),
        ("augment", "flip", False, "valid number"),
        ("data", "class_limit", "5", "valid integer"),
        ("data", "root", 5, "a path in quotes"),
        ("distill", "teachers", "default", "a list in square brackets"),
    ],
)
def test_a_value_of_another_type_is_refused(table: str, key: str, value: Any, allowed: str) -> None:
    with pytest.raises(RecipeError, match=f"^test.toml: {table}.{key} = {value!r}: .*{allowed}"):
        parse(**{table: {key: value}})


def test_what_is_in_a_list_is_of_its_type_too() -> None:
    with pytest.raises(RecipeError, match=r"method\.lambdas\.0 = True: .*lambdas\.1 = '0.1': .*valid number"):
        parse(method={"lambdas": [True, "0.1", 0]})
    with pytest.raises(RecipeError, match=r"seed = True: .*valid integer"):
        parse(seed=True)


def test_whole_numbers_pass_for_numbers_and_text_for_files() -> None:
    recipe = parse(
        data={"root": "here"},
        model={"init": "default"},
        method={"lambdas": [0, 1, 0]},
        distill={"teachers": ["default", "runs/big"]},
        optim={"lr": 1, "warmup_epochs": 2},
    )
    assert (recipe.optim.lr, recipe.method.lambdas, recipe.data.root) == (1.0, (0.0, 1.0, 0.0), Path("here"))
    assert recipe.distill.teachers == (Path("base"), Path("runs/big"))
    assert filled(recipe.model_dump(mode="json")) == recipe.model_dump(mode="json")


@pytest.mark.parametrize("seed", [-1, 2**43])
def test_seed_that_torch_cannot_take_is_named(seed: int) -> None:
    with pytest.raises(RecipeError, match=rf"test.toml: seed = {seed}: .*(greater|less) than"):
        parse(seed=seed)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (
            {"model": {"image_size": 48, "grid": 49}},
            "model: grid must be at most 48 for image_size 48, got 49",
        ),
        (
            {"model": {"width": 16, "channels": [8, 16, 16, 16]}},
            r"model: channels must begin with width 16, got \[8, 16, 16, 16\]",
        ),
        ({"model": {"channels": [64, 64, 64]}}, r"model.channels = .*: a value is missing, at position 4"),
        ({"model": {"channels": [64, 64, 64, 0]}}, "model.channels.3 = 0: .*greater than 0"),
        (
            {"model": {"width": 16, "channels": [16, 16, 16, 3]}},
            ".*k_feature_map must be at most 3, the channels of the deepest stage, got 4",
        ),
        ({"method": {"lambdas": [0.1, -0.2, 0.1]}}, "method.lambdas.1 = -0.2: .*greater than or equal to 0"),
        ({"method": {"lambdas": [0.1, 0.1]}}, r"method.lambdas = .*: a value is missing, at position 3"),
        ({"method": {"coding": "hash"}}, "recipe: method.coding 'hash' gives CLFM no gradient"),
        ({"model": {"batch_mean": "batch"}}, "recipe: .*batch_mean 'batch' makes predictions depend on"),
        ({"variant": "released"}, "recipe: variant 'released' pools .* at least 6 x 6 cells; .* gives 3 x 3"),
        (
            {"variant": "released", "method": {"contrast": "infonce"}},
            "recipe: variant 'released' means method.contrast = 'cosine', got 'infonce'; leave the key out",
        ),
        (
            {"variant": "released", "method": {"temperature": 0.2}},
            "recipe: variant 'released' means method.temperature = 0.1, got 0.2; leave the key out",
        ),
        (
            {"variant": "released", "model": {"weighting": "adaptive"}},
            "recipe: variant 'released' means model.weighting = 'sum', got 'adaptive'",
        ),
        (
            {"model": {"branch": "gap"}},
            "recipe: method.projection 'embedding' takes CLBS's vectors from MSR, .*projection = 'stage'",
        ),
        ({"data": {"limit": 0}}, "data.limit = 0: .*greater than 0"),
        ({"variant": "released", "model": 3}, "model = 3: expected a table"),
        ({"variant": "fixed"}, "variant = 'fixed': .*'corrected' or 'released'"),
        (
            {"model": {"image_size": 16}},
            ".*feature_map.* needs a deep map of at least 2 x 2, .*image_size 16.* 1 x 1",
        ),
        (
            {"model": {"width": 4}, "method": {"k_feature_map": 33}},
            ".*k_feature_map must be at most 32, .* got 33",
        ),
        ({"data": 3}, "data = 3: expected a table"),
        (
            {"method": {"k_feature_map": 1}},
            "recipe: method.k_feature_map 1 leaves contrast 'infonce' no other cluster .* 'cosine'",
        ),
        ({"method": {"k_batch": 1}}, "recipe: method.k_batch 1 leaves contrast 'infonce' no other cluster"),
        (
            {"method": {"k_batch": 9}, "optim": {"batch_size": 16, "accumulate": 2}},
            r"recipe: method.k_batch must be at most 8, .*batch_size 16, optim.accumulate 2\), got 9",
        ),
        (
            {"variant": "released", "model": {"image_size": 96}, "method": {"k_batch": 129}},
            "recipe: method.k_batch must be at most 128",
        ),
        (
            {"optim": {"epochs": 2, "warmup_epochs": 2.5}},
            "recipe: optim.warmup_epochs must be at most optim.epochs, 2, or .* optim.lr; got 2.5",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(tables: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=f"^test.toml: {message}") as caught:
        parse(**tables)
    assert len(str(caught.value)) < 300


def test_the_released_variant_is_a_preset() -> None:
    recipe = parse(variant="released", model={"image_size": 96}, method={"lambdas": [0, 0.5, 0]})
    assert recipe.model.weighting == "sum"
    assert recipe.model.batch_mean == "batch"
    assert (recipe.method.coding, recipe.method.contrast) == ("hash", "cosine")
    assert recipe.method.lambdas == (0, 0.5, 0)
    assert parse(variant="released", model={"image_size": 96}).method.lambdas == (0, 0.1, 0)


def test_what_only_clfm_needs_is_not_asked_without_it() -> None:
    parse(model={"image_size": 16}, method={"feature_map": False, "coding": "hash"})
    parse(model={"width": 1}, method={"lambdas": [0.0, 0.0, 0.0], "k_feature_map": 100})


def test_as_many_clusters_as_faces_and_a_warm_up_to_the_end_are_allowed() -> None:
    parse(method={"k_batch": 16}, optim={"batch_size": 16, "epochs": 2, "warmup_epochs": 2.0})
    for changes in ({"lambdas": [0, 0, 0]}, {"batch": False}):
        parse(method={"k_batch": 1000} | changes)


def test_one_cluster_is_enough_where_nothing_is_told_apart() -> None:
    for changes in ({"contrast": "cosine"}, {"lambdas": [0, 0, 0]}, {"feature_map": False, "batch": False}):
        parse(method={"k_feature_map": 1, "k_batch": 1} | changes)
    parse(variant="released", model={"image_size": 96}, method={"k_feature_map": 1, "k_batch": 1})


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(RecipeError, match=r"optim.epochs = 0.*; .*optim.lr = -1"):
        parse(optim={"lr": -1, "epochs": 0})


def test_name_is_needed() -> None:
    with pytest.raises(RecipeError, match=r"test\.toml: key 'name' is missing"):
        parse_recipe({}, "test.toml")


@pytest.mark.parametrize("name", ["", "../evil", "a b", "A"])
def test_name_is_fit_for_a_folder(name: str) -> None:
    with pytest.raises(RecipeError, match="name"):
        parse_recipe({"name": name}, "test.toml")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"name": "rafdb", "target": "label", "classes": "ferplus"}, "classes belongs to name 'folder'"),
        ({"name": "ferplus", "split_file": "s.csv"}, "'ferplus' has a validation split of its own"),
        ({"name": "ferplus", "valid_share": 0.1}, "valid_share: 'ferplus' has a validation split of its own"),
        (
            {"name": "table", "classes": "found"},
            "classes 'found' belongs to name 'folder', got it with 'table'; .* data.classes = 'happy, bored'",
        ),
        ({"name": "folder", "target": "label", "valid_share": 1.0}, "valid_share = 1.0: .*less than 1"),
        ({"name": "rafdb"}, "target 'votes': 'rafdb' has none; set target = 'label'"),
        (
            {"name": "rafdb", "target": "label", "protocol": "majority"},
            "protocol belongs to name 'ferplus'",
        ),
        ({"name": "synthetic", "labels": "label-csv"}, "labels belongs to name 'ferplus'"),
        ({"name": "ferplus", "samples": 3}, "samples belongs to name 'synthetic', got it with 'ferplus'"),
    ],
)
def test_keys_that_do_not_belong_to_a_data_set_are_refused(data: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse(data=data)
    parse(data={"name": "rafdb", "target": "label", "split_file": "s.csv"})
