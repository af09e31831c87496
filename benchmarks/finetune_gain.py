"""What starting from the embedded model is worth on few faces of other classes, against random weights.

    python benchmarks/finetune_gain.py --root FERPLUS_DIR [--seeds 0 1 2] [--faces 300] [--set optim.lr=1e-3]

Data: FERPlus *validation* faces (majority, fer2013new) that do not occur in train, nearly or mirrored, so
that the embedded model has learnt from none of them (but its epoch was chosen on them). Their expressions
become three other classes: pleasant (happiness), unpleasant (sadness, anger, disgust, fear, contempt) and
neutral; surprise is left out, and so are copies. For each seed ``--faces`` are drawn to learn from, equally
many a class, and half as many to choose the epoch; all others are tested on.

Runs: recipes/finetune.toml; the same from random weights; and from random weights with the optimiser of
recipes/ferplus-48.toml, SGD at a rate of 0.1. All train for the same number of epochs on the same faces.
Beside them the embedded model as it is, which learns nothing of the new classes: the probabilities of its
expressions are summed by class, as whoever knows what the classes mean could do.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from script import positive_int, run_script

from crossfer.data.duplicates import find_near_pairs, group_duplicates
from crossfer.data.fingerprint import take_fingerprints
from crossfer.data.folder import found_classes
from crossfer.data.source import open_dataset
from crossfer.metrics import accuracy, mean_class_accuracy
from crossfer.runtime.preprocess import standardize
from crossfer.runtime.recognizer import Recognizer
from crossfer.train import checkpoint
from crossfer.train.config import Recipe
from crossfer.train.loader import load_faces
from crossfer.train.network import input_contract, network
from crossfer.train.recipe_file import load_recipe
from crossfer.train.run import run_recipe

RECIPES = Path(__file__).parents[1] / "recipes"
CLASS_OF = {
    "happiness": "pleasant",
    "neutral": "neutral",
    **dict.fromkeys(("sadness", "anger", "disgust", "fear", "contempt"), "unpleasant"),
}
SGD = ["optim.optimizer=sgd", "optim.lr=0.1", "optim.weight_decay=5e-4"]
Face = tuple[np.ndarray, str]


def unseen_faces(root: Path) -> list[Face]:
    """Validation faces, one of each group of copies, none of which occurs in train, with their new class."""
    valid = open_dataset("ferplus", root, split="valid")
    train = open_dataset("ferplus", root, split="train", every=True)
    prints = take_fingerprints([valid, train])
    groups = group_duplicates(prints, find_near_pairs(prints))
    seen = set(groups[len(valid) :].tolist())
    faces = []
    for sample, group in zip(valid.samples, groups[: len(valid)].tolist(), strict=True):
        name = valid.labels.expressions[sample.label]
        if group not in seen and name in CLASS_OF:
            faces.append((valid.read(sample), CLASS_OF[name]))
        seen.add(group)
    return faces


def write_folders(faces: Sequence[Face], folder: Path, count: int, seed: int) -> None:
    """Folders train, valid and test with a folder per class; the first two hold as many of each class."""
    drawn = np.random.default_rng(seed).permutation(len(faces))
    classes = sorted(set(CLASS_OF.values()))
    quota = {("train", c): count // len(classes) for c in classes}
    quota |= {("valid", c): count // (2 * len(classes)) for c in classes}
    for index in drawn.tolist():
        pixels, name = faces[index]
        part = next((p for p in ("train", "valid") if quota[p, name]), "test")
        if part != "test":
            quota[part, name] -= 1
        place = folder / part / name
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{index:05d}.png")


@torch.no_grad()
def score(run: Path, recipe: Recipe, root: Path) -> tuple[float, float, int]:
    """Accuracy and mean class accuracy of a run's chosen weights on the test faces, and their number."""
    labels, contract = found_classes(root), input_contract(recipe.model)
    net = network(recipe.model, len(labels)).eval()
    net.load_state_dict(checkpoint.load(run / "best.safetensors")[0])
    faces = load_faces(open_dataset("folder", root, classes=labels), contract, votes=False)
    images = standardize(faces.images.float() / 255, contract)
    predicted = torch.cat([net(batch).logits.argmax(1) for batch in images.split(256)]).numpy()
    truth = faces.labels.numpy()
    return accuracy(truth, predicted), mean_class_accuracy(truth, predicted), len(truth)


def score_as_it_is(root: Path) -> float:
    """Accuracy of the embedded model on the test faces, its expressions grouped into the new classes."""
    labels, recognizer = found_classes(root), Recognizer(detector="none")
    dataset = open_dataset("folder", root, classes=labels)
    groups = [CLASS_OF.get(name) for name in recognizer.meta.labels]
    predicted = []
    for answer in recognizer.classify([dataset.read(sample) for sample in dataset.samples]):
        p = list(answer.probabilities.values())
        sums = [sum(p[k] for k, g in enumerate(groups) if g == name) for name in labels.expressions]
        predicted.append(int(np.argmax(sums)))
    return accuracy(np.array([sample.label for sample in dataset.samples]), np.array(predicted))


def conditions(overrides: Sequence[str]) -> Iterator[tuple[str, Recipe]]:
    """What is compared."""
    recipe = load_recipe(RECIPES / "finetune.toml", overrides)
    yield "from the embedded model", recipe
    unset = {"model": recipe.model.model_copy(update={"init": None})}
    yield "from random weights", recipe.model_copy(update=unset)
    yield (
        "from random weights, SGD",
        load_recipe(RECIPES / "finetune.toml", [*overrides, *SGD]).model_copy(update=unset),
    )


def main() -> None:
    """Print the accuracy of each condition for each seed, and their means."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, required=True, help="folder that holds FERPlus")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--faces", type=positive_int, default=300, help="faces to learn from")
    parser.add_argument("--set", action="append", default=[], help="override a key of recipes/finetune.toml")
    args = parser.parse_args()
    faces, quiet = unseen_faces(args.root), Console(quiet=True)
    print(f"{len(faces):,} faces of FERPlus valid that do not occur in train; {args.faces} to learn from")
    found: dict[str, list[float]] = {}
    for seed in args.seeds:
        with TemporaryDirectory() as name:
            write_folders(faces, Path(name) / "faces", args.faces, seed)
            as_it_is = score_as_it_is(Path(name) / "faces")
            found.setdefault("embedded, as it is", []).append(as_it_is)
            print(f"  seed {seed}  {'embedded, as it is':26s} test {as_it_is:.2%}", flush=True)
            for number, (condition, recipe) in enumerate(conditions(args.set)):
                run, root = Path(name) / f"run{number}", Path(name) / "faces"
                planned = recipe.model_copy(update={"seed": seed})
                done = run_recipe(planned, run, root=root, resume=False, console=quiet)
                right, by_class, n = score(run, planned, root)
                found.setdefault(condition, []).append(right)
                print(
                    f"  seed {seed}  {condition:26s} test {right:.2%} (mean class {by_class:.2%}, "
                    f"n = {n:,}), valid {done.best_accuracy:.2%} at epoch {done.best_epoch}",
                    flush=True,
                )
    for condition, accuracies in found.items():
        spread = f" +- {stdev(accuracies):.2%}" if len(accuracies) > 1 else ""
        print(f"{condition:26s} {mean(accuracies):.2%}{spread} over {len(accuracies)} seeds")


if __name__ == "__main__":
    run_script(main)
