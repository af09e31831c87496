"""What has to hold in a run's file before its figures are believed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from crossfer.evaluate.corruptions import CORRUPTIONS, STRENGTHS
from crossfer.evaluate.result import EvaluationResult
from crossfer.stored import LARGEST, from_plain, is_number, shown

SUM_OFF = 1e-6  # by how much a row of probabilities, each rounded to 9 digits, may miss 1
TIE = 2e-9  # how near two of them may lie and have changed places by the rounding
HALF_DIGIT = 1e-6  # results are rounded to 6 digits


def read_head(head: Mapping[str, Any]) -> EvaluationResult:
    """The result of a run's first line, once it holds what ``EvaluationResult.to_dict`` writes.

    Raises:
        ValueError: naming the key, what was expected there and what was found.
    """
    result = EvaluationResult.from_dict(head)
    classes = len(result.about.labels)
    if [len(row) for row in result.confusion] != [classes] * classes:
        raise ValueError(f"confusion: expected {classes} rows of {classes} counts, found another shape")
    if result.corruptions is not None:
        _check_corruptions(result.corruptions.accuracy)
    return result


def _check_corruptions(measured: Mapping[str, Sequence[float]]) -> None:
    if set(measured) != set(CORRUPTIONS) or any(len(rates) != len(STRENGTHS) for rates in measured.values()):
        raise ValueError(
            f"corruptions: expected {len(STRENGTHS)} rates for each of {', '.join(CORRUPTIONS)}, found others"
        )


def check_image(image: Mapping[str, Any], labels: Sequence[str]) -> None:
    """Whether one image's line is what ``write_run`` writes for a result with these labels.

    Raises:
        ValueError: naming the key, what was expected there and what was found.
    """
    for key in ("path", "digest"):
        from_plain(str, image.get(key), key)
    if image.get("truth") not in labels:
        raise ValueError(f"truth: expected one of the labels, found {shown(image.get('truth'))}")
    keys = ("predicted", "logits", "probabilities")
    if absent := [key for key in keys if key not in image]:
        raise ValueError(
            f"{absent[0]}: expected an answer, or null where no face was found; found no such key"
        )
    answer = [key for key in keys if image[key] is not None]
    if len(answer) not in (0, 3):
        raise ValueError(
            "expected predicted, logits and probabilities, or null for all three, found "
            f"{', '.join(answer)} alone"
        )
    if answer:
        _check_answer(image, labels)
    if "votes" in image:
        _check_row(image["votes"], len(labels), "votes", least=0)


def _check_answer(image: Mapping[str, Any], labels: Sequence[str]) -> None:
    predicted, probabilities = image["predicted"], image["probabilities"]
    _check_row(image["logits"], len(labels), "logits")
    _check_row(probabilities, len(labels), "probabilities", least=0)
    if abs(sum(probabilities) - 1) > SUM_OFF:
        raise ValueError(
            f"probabilities: expected numbers whose sum is 1, found a sum of {sum(probabilities):.6g}"
        )
    if predicted not in labels:
        raise ValueError(f"predicted: expected one of the labels, found {shown(predicted)}")
    if probabilities[labels.index(predicted)] < max(probabilities) - TIE:
        likeliest = labels[probabilities.index(max(probabilities))]
        raise ValueError(f"predicted: expected {likeliest}, the most probable, found {predicted}")


def _check_row(row: Any, classes: int, key: str, least: float = -LARGEST) -> None:
    whole = isinstance(row, list) and len(row) == classes
    if not whole or not all(is_number(value) and value >= least for value in row):
        bound = " of at least 0" if least == 0 else ""
        raise ValueError(
            f"{key}: expected {classes} finite numbers{bound}, found {shown(row) if not whole else 'others'}"
        )


def check_figures(result: EvaluationResult, images: Sequence[Mapping[str, Any]]) -> None:
    """Whether what the first line says is what its images give: as far as they alone decide it.

    Args:
        result: of the first line.
        images: that ``check_image`` found right.

    Raises:
        ValueError: naming the figure, what was expected and what was found.
    """
    if len(images) != result.n:
        raise ValueError(f"expected {result.n:,} images, found {len(images):,}")
    if not images:
        raise ValueError("expected at least one image, found none")
    pairs = Counter((image["truth"], image["predicted"]) for image in images)
    labels = result.about.labels
    confusion = tuple(tuple(pairs[truth, predicted] for predicted in labels) for truth in labels)
    supports = [sum(row) + pairs[truth, None] for truth, row in zip(labels, confusion, strict=True)]
    accuracy = sum(pairs[label, label] for label in labels) / len(images)
    if abs(result.accuracy - accuracy) > HALF_DIGIT:
        raise ValueError(f"accuracy: expected {accuracy:.6f} by the images, found {result.accuracy:.6f}")
    for name, given, counted in (
        ("no_face", result.no_face, sum(pairs[truth, None] for truth in labels)),
        ("per_class", [scores.support for scores in result.per_class], supports),
        ("confusion", result.confusion, confusion),
    ):
        if given != counted:
            raise ValueError(f"{name}: expected the counts that the images give, found others")
