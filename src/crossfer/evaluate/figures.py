"""The pictures of a report, as PNG files in memory; matplotlib and scikit-learn come with ``report``."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from sklearn.manifold import TSNE

from crossfer.evaluate.corruptions import STRENGTHS
from crossfer.evaluate.result import EvaluationResult
from crossfer.evaluate.robustness import curves
from crossfer.evaluate.run_file import Run
from crossfer.figure import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, picture
from crossfer.metrics import reliability_bins, risk_coverage
from crossfer.runtime.annotate import evidence_layers

OLIVE = "#8C8400"  # in place of yellow, which is hard to see on white
# Each line or class takes the next colour and the next style or mark. The numbers of these share no divisor
# with that of the colours, so that the first 24 lines and 56 classes look different.
COLORS = (BLUE, ORANGE, GREEN, PURPLE, VERMILION, SKY, GREY, OLIVE)
STYLES, MARKS = ("-", "--", ":"), "os^vDPX"
MOST_POINTS = 1000  # of a map: more take long and hide each other
FACE_SIDE = 144  # of the picture of a face, in pixels


def confusion_figure(result: EvaluationResult) -> bytes:
    """The confusion matrix: counts, shaded by the share of each row."""
    counts, labels = np.array(result.confusion), result.about.labels
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(6.4, 5.6))
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        ink = "white" if shares[row, column] > 0.55 else "black"
        axes.text(column, row, f"{count:,}", ha="center", va="center", color=ink, fontsize=8)
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel="predicted", ylabel="true")
    return picture(figure)


def reliability_figure(run: Run) -> bytes:
    """Accuracy against confidence over 15 bins of equally many images, and how confidences spread."""
    seen = run.predictions.select(run.predictions.answered)
    bins = reliability_bins(seen.probabilities, seen.truth, equal_mass=True)
    figure = Figure(figsize=(5, 5))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color="#999999", linewidth=1, label="perfect")
    upper.plot(bins.confidence, bins.accuracy, "o-", color=COLORS[0], label="measured")
    upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
    upper.legend(frameon=False)
    lower.hist(seen.confidence, bins=30, range=(0, 1), color=COLORS[0])
    lower.set(xlabel="confidence", ylabel="images")
    return picture(figure)


def risk_coverage_figure(runs: Sequence[Run]) -> bytes:
    """Share of wrong answers among the surest images, a curve a run."""
    figure = Figure(figsize=(6, 4))
    axes = figure.subplots()
    for number, run in enumerate(runs):
        curve = risk_coverage(run.predictions.confidence, run.predictions.right)
        color, style = COLORS[number % len(COLORS)], STYLES[number % len(STYLES)]
        axes.plot(curve.coverage, curve.risk, color=color, linestyle=style, label=run.name)
    axes.set(xlabel="coverage (share answered, surest first)", ylabel="risk (share wrong)", xlim=(0, 1))
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    return picture(figure)


def robustness_figure(result: EvaluationResult) -> bytes:
    """Accuracy against strength, a line a kind of corruption; strength 0 and the dashed line: none."""
    figure = Figure(figsize=(6.5, 4))
    axes = figure.subplots()
    strengths = (0, *STRENGTHS)
    axes.axhline(result.accuracy, color="#999999", linewidth=1, linestyle="--", label="uncorrupted")
    for (kind, accuracies), color, mark in zip(
        curves(result).items(), COLORS[: len(MARKS)], MARKS, strict=True
    ):
        axes.plot(strengths, accuracies, f"{mark}-", color=color, label=kind, markersize=4)
    axes.set(xlabel="strength of the corruption", ylabel="accuracy", ylim=(0, 1), xticks=strengths)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return picture(figure)


def map_figure(run: Run) -> bytes:
    """The images in the plane by t-SNE (van der Maaten and Hinton 2008) of their logits, marked by truth.

    Logits, since a bundle gives no other features; near means answered alike.
    """
    seen = run.predictions.select(run.predictions.answered)
    chosen = np.sort(np.random.default_rng(0).permutation(len(seen))[:MOST_POINTS])
    logits, truth = seen.logits[chosen].astype(np.float64), seen.truth[chosen]
    perplexity = min(30.0, (len(chosen) - 1) / 3)
    places = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(logits)
    figure = Figure(figsize=(6.5, 5.5))
    axes = figure.subplots()
    for k, label in enumerate(seen.about.labels):
        mine = places[truth == k]
        color, mark = COLORS[k % len(COLORS)], MARKS[k % len(MARKS)]
        axes.scatter(mine[:, 0], mine[:, 1], s=14, color=color, marker=mark, label=label, linewidths=0)
    axes.set(xticks=[], yticks=[])
    axes.legend(frameon=False, markerscale=2, loc="center left", bbox_to_anchor=(1, 0.5))
    return picture(figure)


def face_picture(pixels: np.ndarray, evidence: np.ndarray | None) -> bytes:
    """A face, with what speaks for its answer in orange and what speaks against it in blue laid over it.

    Args:
        pixels: uint8 RGB (H, W, 3).
        evidence: (G, G), for the answer beyond the mean of all classes; None for the face alone.
    """
    face = Image.fromarray(pixels).resize((FACE_SIDE, FACE_SIDE), Image.Resampling.BICUBIC)
    if evidence is not None:
        colors, opacity = evidence_layers(evidence, face.size)
        face.paste(colors, (0, 0), opacity)
    buffer = BytesIO()
    face.save(buffer, "PNG")
    return buffer.getvalue()
