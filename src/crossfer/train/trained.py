"""Networks that are trained already: where their weights lie, and what their files say of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from crossfer.labels import LabelSet, label_set
from crossfer.method import CrossLayerNet
from crossfer.models import embedded, names
from crossfer.train import checkpoint
from crossfer.train.checkpoint import CheckpointError
from crossfer.train.config import Recipe
from crossfer.train.network import network
from crossfer.train.recipe_file import parse_recipe
from crossfer.train.run_folder import BEST


@dataclass(frozen=True)
class Trained:
    """A whole network as a run or an export wrote it.

    Attributes:
        recipe: that it was trained by.
        labels: its classes.
        meta: what else its file says.
        tensors: as the file has them.
        net: the network with them, in evaluation mode.
    """

    recipe: Recipe
    labels: LabelSet
    meta: dict[str, Any]
    tensors: dict[str, Tensor]
    net: CrossLayerNet


def find_weights(init: Path) -> Path:
    """The file that ``model.init``, ``--teacher`` or ``crossfer export`` names.

    Raises:
        CheckpointError: if there is no such file.
    """
    if init.name == str(init) and not init.suffix and not init.exists():
        if (ours := embedded(str(init), ".safetensors")) is not None:
            return ours
        raise CheckpointError(
            f"expected a safetensors file or one of the embedded models ({names('.safetensors')}), or the "
            f"folder of a run, found nothing called {str(init)!r}"
        )
    if init.suffix.lower() == ".onnx":
        raise CheckpointError(
            f"{init}: expected weights, found a bundle, which has none to train with; write them with: "
            "crossfer export RUN -o FILE.safetensors"
        )
    return _best_of(init)


def _best_of(run: Path) -> Path:
    """The chosen weights of a run that is given by its folder; a file as it is.

    Raises:
        CheckpointError: if it is a folder without them.
    """
    if not run.is_dir():
        return run
    best = run / BEST
    if not best.is_file():
        raise CheckpointError(
            f"{run}: expected the folder of a run, found no best.safetensors in it, which is written with "
            "the first whole epoch"
        )
    return best


def weights_sha256(recipe: Recipe) -> dict[str, str]:
    """SHA-256, hexadecimal, of each file that ``distill.teachers`` and ``model.init`` name, by those names.

    Raises:
        CheckpointError: if one is not there.
    """
    named = [*recipe.distill.teachers, *([] if recipe.model.init is None else [recipe.model.init])]
    return {str(name): checkpoint.sha256(find_weights(name)) for name in named}


def recipe_of(meta: dict[str, Any], path: Path) -> tuple[Recipe, LabelSet]:
    """Recipe and labels in the metadata of a whole network.

    Raises:
        CheckpointError: if they are not there, or the file is the one that a run goes on from.
    """
    if "history" in meta:
        raise CheckpointError(
            f"{path}: expected the weights of a network, found what a run goes on from; name the run's "
            f"folder, {path.parent}, or its best.safetensors"
        )
    kinds = {"recipe": dict, "label_set": str}
    if lacking := [key for key, kind in kinds.items() if not isinstance(meta.get(key), kind)]:
        raise CheckpointError(
            f"{path}: the weights carry no {' and no '.join(lacking)}; expected best.safetensors as training "
            "writes it, or what crossfer export made of it"
        )
    return parse_recipe(meta["recipe"], str(path)), label_set(meta["label_set"])


def load_network(path: Path, *, classifies: bool = True) -> Trained:
    """Load a whole network.

    Args:
        path: its file, see :func:`find_weights`.
        classifies: it must know expressions; one that was trained without labels does not.

    Raises:
        CheckpointError: if the file cannot be read, carries no recipe, does not fit it, or the network knows
            no expressions though it must.
    """
    tensors, meta = checkpoint.load(path)
    recipe, labels = recipe_of(meta, path)
    if classifies and recipe.objective == "views":
        raise CheckpointError(
            f"{path} was trained without labels (objective = 'views') and knows no expressions; start a run "
            "from it, with model.init"
        )
    net = network(recipe.model, recipe.outputs(len(labels))).eval()
    checkpoint.fill(net, tensors, f"{path} does not fit its own recipe")
    return Trained(recipe, labels, meta, tensors, net)
