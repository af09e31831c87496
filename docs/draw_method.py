"""Draws the pictures of ``docs/method.md`` from real tensors: a trained run looks at the NASA portrait.

    python docs/draw_method.py RUN [--photo FILE] [--output docs/images]

RUN is the folder of a training run, or its weights, whose checksum goes into the pictures; the page shows
``src/crossfer/models/base.safetensors``.
The photo is by default the portrait that scikit-image carries.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from crossfer.bench.photo import sample_portrait
from crossfer.images.read import load_image
from crossfer.labels import label_set
from crossfer.method.coding import encode, top_two_positions
from crossfer.method.contrast import assign, deep_centroids, has_direction
from crossfer.method.model import CrossLayerNet, Output
from crossfer.runtime.align import crop_face
from crossfer.runtime.centerface import CenterFace
from crossfer.runtime.preprocess import InputContract, resize_crop, standardize
from crossfer.train import checkpoint
from crossfer.train.config import Recipe
from crossfer.train.network import input_contract, network
from crossfer.train.recipe_file import parse_recipe
from crossfer.train.trained import find_weights
from crossfer.types import Prediction

CHANNELS, CLUSTERS = 6, 4
STAGES = (1, 2, 3, 4)
COLORS = ("#0072B2", "#D55E00", "#009E73", "#AA4499")


def load_run(path: Path) -> tuple[CrossLayerNet, Recipe, tuple[str, ...]]:
    """A network in evaluation mode by its weights, its recipe and its classes."""
    weights, meta = checkpoint.load(path)
    recipe = parse_recipe(meta["recipe"], str(path))
    labels = label_set(meta["label_set"]).expressions
    net = network(recipe.model, len(labels))
    net.load_state_dict(weights)
    return net.eval(), recipe, labels


def largest_face(photo: Path, contract: InputContract) -> np.ndarray:
    """The model's view of the largest face of a photo: uint8 (C, S, S)."""
    image = load_image(photo)
    detection = max(CenterFace().detect(image), key=lambda found: found.box.area)
    return resize_crop(crop_face(image, detection, contract.crop), contract)


def canvas(rows: int, columns: int, width: float, height: float) -> tuple[Figure, np.ndarray]:
    """A figure with a grid of axes, (rows, columns)."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, np.asarray(figure.subplots(rows, columns, squeeze=False))


def over_face(axis: Any, face: np.ndarray, cells: np.ndarray, colors: str, limit: float) -> None:
    """Cells over the grey face; colours run from -limit (or 0) to limit."""
    side = face.shape[-1]
    low = -limit if colors == "RdBu_r" else 0.0
    axis.imshow(face[0], cmap="gray", extent=(0, side, side, 0))
    axis.imshow(cells, cmap=colors, alpha=0.55, vmin=low, vmax=limit, extent=(0, side, side, 0))
    axis.set_axis_off()


def add_key(figure: Figure, axes: np.ndarray, text: str, ends: tuple[str, ...] = ()) -> None:
    """What the colours mean; with ``ends`` the words stand for the lowest and the highest value."""
    drawn = axes.flat[-1].images[-1]
    key = figure.colorbar(drawn, ax=axes.ravel().tolist(), shrink=0.8, aspect=14, pad=0.01)
    key.set_label(text, fontsize=8)
    key.ax.tick_params(labelsize=7)
    key.outline.set_visible(False)
    if ends:
        key.set_ticks([drawn.norm.vmin, drawn.norm.vmax], labels=list(ends))


def draw_codes(face: np.ndarray, output: Output) -> Figure:
    """The strongest deep channels as maps over the face, and the two positions that their hash codes hold."""
    deep = output.features[-1]
    grid, side = deep.shape[-1], face.shape[-1]
    strongest = deep[0].mean(dim=(1, 2)).topk(CHANNELS).indices
    codes = top_two_positions(deep.flatten(2), grid)[0, strongest]
    figure, axes = canvas(1, CHANNELS, 2.0 * CHANNELS, 2.5)
    for axis, channel, code in zip(axes[0], strongest.tolist(), codes.tolist(), strict=True):
        cells = deep[0, channel].numpy()
        over_face(axis, face, cells, "magma", float(cells.max()))
        for rank, (row, column) in enumerate((code[:2], code[2:]), start=1):
            place = [((p + 1) / 2 * (grid - 1) + 0.5) / grid * side for p in (column, row)]
            disc = {"boxstyle": "circle", "facecolor": "black", "edgecolor": "none", "alpha": 0.7}
            axis.text(*place, str(rank), color="white", ha="center", va="center", weight="bold", bbox=disc)
        places = [f"({row:+.0f}, {column:+.0f})" for row, column in (code[:2], code[2:])]
        axis.set_title(f"channel {channel}\n1: {places[0]}   2: {places[1]}", fontsize=8)
    add_key(figure, axes, "activation", ("0", "the channel's\nhighest"))
    return figure


def draw_clusters(face: np.ndarray, output: Output) -> Figure:
    """The latent semantics found in the deep stage, and how many channels of each stage join them."""
    grid = output.features[-1].shape[-1]
    codes = [encode(f, grid, "pooled") for f in output.features]
    centroids = deep_centroids(codes[-1], CLUSTERS, generator=torch.Generator().manual_seed(0))
    live = [has_direction(c)[0] for c in codes]
    joined = [
        assign(c, centroids)[0, alive].bincount(minlength=CLUSTERS) / alive.sum()
        for c, alive in zip(codes, live, strict=True)
    ]
    figure, axes = canvas(1, CLUSTERS + 1, 2.2 * (CLUSTERS + 1), 2.6)
    limit = float(centroids.max())
    for k, axis in enumerate(axes[0, :CLUSTERS]):
        over_face(axis, face, centroids[0, k].reshape(grid, grid).numpy(), "magma", limit)
        axis.set_title(f"cluster {k + 1}", fontsize=9, color=COLORS[k], weight="bold")
    add_key(figure, axes[0, :CLUSTERS], "mean code (each of length 1)")
    bars = axes[0, CLUSTERS]
    left = np.zeros(len(STAGES))
    for k in range(CLUSTERS):
        share = np.array([float(j[k]) for j in joined])
        bars.barh(STAGES, share, left=left, color=COLORS[k])
        left += share
    bars.set_yticks(STAGES, [f"stage {j}" for j in STAGES], fontsize=8)
    bars.invert_yaxis()
    bars.set_title("share of a stage's live channels", fontsize=9)
    bars.spines[["top", "right"]].set_visible(False)
    return figure


def draw_scales(output: Output) -> Figure:
    """The attention weight of each scale for this face."""
    figure, axes = canvas(1, 1, 4.2, 2.2)
    weights = output.scale_weights[0].numpy()
    axes[0, 0].bar([f"stage {j}" for j in STAGES], weights, color="#0072B2")
    for j, weight in enumerate(weights):
        axes[0, 0].text(j, weight, f"{weight:.2f}", ha="center", va="bottom", fontsize=8)
    axes[0, 0].set_ylim(0, 1.1)
    axes[0, 0].set_ylabel("weight of the scale, 0 to 1", fontsize=9)
    axes[0, 0].spines[["top", "right"]].set_visible(False)
    return figure


def draw_evidence(face: np.ndarray, output: Output, labels: tuple[str, ...]) -> Figure:
    """Evidence of every class less the mean over the classes, with the logit that it sums to."""
    logits = output.logits[0]
    probabilities = dict(zip(labels, logits.softmax(0).tolist(), strict=True))
    prediction = Prediction(probabilities, logits.numpy(), output.evidence[0].numpy())
    evidence = np.stack([prediction.evidence_for(name) for name in labels])
    limit = float(np.abs(evidence).max())
    figure, axes = canvas(2, len(labels) // 2, 2.0 * len(labels) / 2, 4.6)
    for axis, name, cells in zip(axes.flat, labels, evidence, strict=True):
        over_face(axis, face, cells, "RdBu_r", limit)
        axis.set_title(f"{name}\nsum {cells.sum():+.2f}", fontsize=9)
    add_key(figure, axes, "evidence for the class (logits), less the mean over all classes")
    return figure


def main() -> None:
    """Write the four pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--photo", type=Path)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "images")
    args = parser.parse_args()
    photo = args.photo or sample_portrait()
    weights = find_weights(args.run)
    net, recipe, labels = load_run(weights)
    contract = input_contract(recipe.model)
    face = largest_face(photo, contract)
    with torch.no_grad():
        output = net(standardize(torch.from_numpy(face)[None].float() / 255, contract))
    pictures = {
        "codes": draw_codes(face, output),
        "clusters": draw_clusters(face, output),
        "scales": draw_scales(output),
        "evidence": draw_evidence(face, output, labels),
    }
    for name, figure in pictures.items():
        origin = {"Source": f"weights with SHA-256 {checkpoint.sha256(weights)}"}
        figure.savefig(args.output / f"method-{name}.png", dpi=110, metadata=origin)


if __name__ == "__main__":
    main()
