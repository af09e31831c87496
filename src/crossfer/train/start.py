"""What a network starts from: the weights of another one, or those of a published encoder.

A whole network comes with its recipe and labels in the file's metadata, as ``crossfer export RUN -o
FILE.safetensors`` writes it; an encoder alone goes by torchvision's names, as published for ImageNet.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from crossfer.labels import LabelSet, label_set
from crossfer.method import CrossLayerNet
from crossfer.models import embedded, names
from crossfer.train import checkpoint
from crossfer.train.checkpoint import CheckpointError
from crossfer.train.config import ModelConfig, Recipe
from crossfer.train.network import network
from crossfer.train.recipe_file import parse_recipe
from crossfer.train.run_folder import BEST

ROWS = ("head.weight", "head.bias", "head.pooled_weight")  # a row for each class
Tensors = dict[str, Tensor]


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
    tensors: Tensors
    net: CrossLayerNet


def start_from(recipe: Recipe, net: CrossLayerNet, labels: LabelSet) -> str:
    """Start a network from the weights that the recipe's ``model.init`` names.

    Of a whole network, all that does not depend on the classes is taken; rows of the head go by the name of
    their class, in whatever order, and those of new classes stay as they are, as do all of them if one of the
    two learns from labels and the other from views.

    Args:
        recipe: its ``model.init`` names an embedded model, a safetensors file, or the folder of a run.
        net: freshly built from it; its weights are overwritten.
        labels: the classes.

    Returns:
        What was taken, and what is new, in a line.

    Raises:
        CheckpointError: if the file cannot be read, holds NaN or infinity, or its tensors do not fit; the
            message names the keys of the recipe that differ, if the file knows.
    """
    init = recipe.model.init
    assert init is not None  # noqa: S101
    try:
        path = find_weights(init)
        tensors, meta = checkpoint.load(path)
        _refuse_unfinite(tensors, path)
        if "recipe" in meta or any(name.startswith("encoder.") for name in tensors):
            origin, theirs = recipe_of(meta, path)
            head = _take_head(tensors, (origin, theirs), net, (recipe, labels))
            fill(net, tensors, f"{path} does not fit the network", _difference(origin.model, recipe.model))
            return f"the network of {origin.name}; its head {head}"
        fill(net.encoder, _without_classifier(tensors, net.encoder), f"{path} does not fit the encoder")
        return f"the encoder of {init.name}; all else is new"
    except CheckpointError as error:
        raise CheckpointError(f"model.init = {str(init)!r}: {error}") from None


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
    fill(net, tensors, f"{path} does not fit its own recipe")
    return Trained(recipe, labels, meta, tensors, net)


def _take_head(
    tensors: Tensors, theirs: tuple[Recipe, LabelSet], net: CrossLayerNet, ours: tuple[Recipe, LabelSet]
) -> str:
    """Make the head one for ``ours``, recipe and classes.

    Returns:
        What is kept of it and what is new.
    """
    if theirs[0].objective == ours[0].objective == "labels":
        return _take_rows(tensors, theirs[1], net, ours[1])
    if theirs[0].objective == ours[0].objective and theirs[0].views.hidden == ours[0].views.hidden:
        return "kept"
    tensors |= {name: rows for name, rows in net.state_dict().items() if name in ROWS and name in tensors}
    return "new"


def _take_rows(tensors: Tensors, theirs: LabelSet, net: CrossLayerNet, labels: LabelSet) -> str:
    """Make the head those of other classes: rows of known ones, and of new ones as ``net`` has them.

    Returns:
        Which are which.
    """
    known = [name for name in labels.expressions if theirs.has(name)]
    for name, ours in net.state_dict().items():
        if name in ROWS and name in tensors and tensors[name].shape == (len(theirs), *ours.shape[1:]):
            rows = ours.clone()
            rows[[labels.index(k) for k in known]] = tensors[name][[theirs.index(k) for k in known]].to(rows)
            tensors[name] = rows
    new = [name for name in labels.expressions if name not in known]
    parts = (("kept", known), ("new", new))
    return ", ".join(f"{word} for {', '.join(names)}" for word, names in parts if names)


def _without_classifier(tensors: Tensors, encoder: nn.Module) -> Tensors:
    """Published weights without ``fc``, and with the counters of batch norms, which older files lack."""
    counters = {k: v for k, v in encoder.state_dict().items() if k.endswith("num_batches_tracked")}
    return counters | {k: v for k, v in tensors.items() if not k.startswith("fc.")}


def _refuse_unfinite(tensors: Tensors, path: Path) -> None:
    """Statistics that are not finite, as of a run that diverged, would show after a whole epoch alone."""
    broken = [name for name, tensor in sorted(tensors.items()) if not tensor.isfinite().all()]
    if broken:
        more = f" and {len(broken) - 1} more" if broken[1:] else ""
        raise CheckpointError(
            f"{path}: expected finite numbers, found NaN or infinity in {broken[0]}{more}; name other weights"
        )


def fill(module: nn.Module, tensors: Tensors, misfit: str, reason: str = "") -> None:
    """Load tensors into a module.

    Raises:
        CheckpointError: unless names and shapes are all right; ``misfit`` and ``reason`` stand around what
            was expected and found.
    """
    ours = module.state_dict()
    wrong = sorted(
        k
        for k in ours.keys() | tensors.keys()
        if k not in ours or k not in tensors or ours[k].shape != tensors[k].shape
    )
    if wrong:
        found = {k: tuple(tensors[k].shape) if k in tensors else "missing" for k in wrong[:3]}
        expected = {k: tuple(ours[k].shape) if k in ours else "absent" for k in wrong[:3]}
        raise CheckpointError(f"{misfit} in {len(wrong)} tensors: expected {expected}, found {found}{reason}")
    module.load_state_dict(tensors)


def _difference(theirs: ModelConfig, ours: ModelConfig) -> str:
    """Which keys of two networks differ, to end a message with; some of them may change no size."""
    one, other = theirs.model_dump(exclude={"init"}), ours.model_dump(exclude={"init"})
    keys = [key for key in one if one[key] != other[key]]
    if not keys:
        return ""
    settings = ", ".join(f"model.{key} = {one[key]!r}" for key in keys)
    return f"; those weights have {settings}, the recipe says {', '.join(repr(other[key]) for key in keys)}"
