"""What a network starts from: the weights of another one, or those of a published encoder.

A whole network comes with its recipe and labels in the file's metadata, as ``crossfer export RUN -o
FILE.safetensors`` writes it; an encoder alone goes by torchvision's names, as published for ImageNet.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from crossfer.labels import LabelSet
from crossfer.method import CrossLayerNet
from crossfer.train import checkpoint
from crossfer.train.checkpoint import CheckpointError
from crossfer.train.config import ModelConfig, Recipe
from crossfer.train.trained import find_weights, recipe_of

ROWS = ("head.weight", "head.bias", "head.pooled_weight")  # a row for each class
Tensors = dict[str, Tensor]


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
            differ = _difference(origin.model, recipe.model)
            checkpoint.fill(net, tensors, f"{path} does not fit the network", differ)
            return f"the network of {origin.name}; its head {head}"
        encoder = _without_classifier(tensors, net.encoder)
        checkpoint.fill(net.encoder, encoder, f"{path} does not fit the encoder")
        return f"the encoder of {init.name}; all else is new"
    except CheckpointError as error:
        raise CheckpointError(f"model.init = {str(init)!r}: {error}") from None


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


def _difference(theirs: ModelConfig, ours: ModelConfig) -> str:
    """Which keys of two networks differ, to end a message with; some of them may change no size."""
    one, other = theirs.model_dump(exclude={"init"}), ours.model_dump(exclude={"init"})
    keys = [key for key in one if one[key] != other[key]]
    if not keys:
        return ""
    settings = ", ".join(f"model.{key} = {one[key]!r}" for key in keys)
    return f"; those weights have {settings}, the recipe says {', '.join(repr(other[key]) for key in keys)}"
