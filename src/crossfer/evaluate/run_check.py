"""What has to hold in a run's file before its figures are believed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from crossfer.evaluate.corruptions import CORRUPTIONS, STRENGTHS
from crossfer.evaluate.predictions import About
from crossfer.evaluate.result import OPTIONAL, ClassResult, EvaluationResult

LARGEST = float(np.finfo(np.float32).max)  # of any number here: logits are float32
SUM_OFF = 1e-6  # by how much a row of probabilities, each rounded to 9 digits, may miss 1
TIE = 2e-9  # how near two of them may lie and have changed places by the rounding
HALF_DIGIT = 1e-6  # results are rounded to 6 digits


@dataclass(frozen=True)
class _Model:
    name: str
    sha256: str


@dataclass(frozen=True)
class _Skipped:
    count: int
    reasons: tuple[str, ...]


# What ``EvaluationResult.to_dict`` writes otherwise than the result holds it.
_WRITTEN = {"model": _Model, "per_class": Mapping[str, ClassResult], "skipped": _Skipped}
_NAMES = {str: "text", int: "a whole number", float: "a number", type(None): "null"}


def check_head(head: Mapping[str, Any]) -> None:
    """Whether a run's first line holds what ``EvaluationResult.to_dict`` writes; other keys do not matter.

    Raises:
        ValueError: naming the key, what was expected there and what was found.
    """
    kinds = get_type_hints(About) | get_type_hints(EvaluationResult) | _WRITTEN
    del kinds["about"], kinds["model_sha256"]  # written as keys of the head, and in the model
    for key, kind in kinds.items():
        if key in OPTIONAL and key in head and head[key] is None:
            raise ValueError(f"{key}: expected figures or no such key, found null")
        if key in head or key not in OPTIONAL:
            _check(head.get(key), kind, key)
    _check_classes(head)
    _check_corruptions(head)


def _check(value: Any, kind: Any, place: str) -> None:
    """Raises unless a value read from JSON is what a field of this type becomes there."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is UnionType:
        if value is not None:
            _check(value, inner[0], place)
    elif is_dataclass(kind) or origin is not None:
        for at, item, of in _items(value, kind, place):
            _check(item, of, at)
    elif not _is(value, kind):
        raise ValueError(f"{place}: expected {_NAMES[kind]}, found {_shown(value)}")


def _items(value: Any, kind: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
    """The place, value and type of everything in an object or list."""
    inner = get_args(kind)
    if get_origin(kind) is tuple:
        endless = inner[-1] is Ellipsis
        if not isinstance(value, list) or not (endless or len(value) == len(inner)):
            count = "" if endless else f" of {len(inner)}"
            raise ValueError(f"{place}: expected a list{count}, found {_shown(value)}")
        kinds = inner[:1] * len(value) if endless else inner
        yield from (
            (f"{place}[{i}]", item, of) for i, (item, of) in enumerate(zip(value, kinds, strict=True))
        )
        return
    if not isinstance(value, Mapping):
        raise ValueError(f"{place}: expected an object, found {_shown(value)}")
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        yield from ((f"{place}.{f.name}", value.get(f.name), hints[f.name]) for f in fields(kind))
    else:
        yield from ((f"{place}.{key}", item, inner[1]) for key, item in value.items())


def _is(value: Any, kind: Any) -> bool:
    if kind is str:
        return isinstance(value, str)
    return _is_number(value) and (kind is float or isinstance(value, int))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -LARGEST <= value <= LARGEST


def _shown(value: Any) -> str:
    """A value on little space."""
    if value is None:
        return "nothing"
    if isinstance(value, list | dict):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    text = repr(value) if isinstance(value, str | float | bool) else f"{value:.6g}"
    return text if len(text) <= 40 else f"{text[:37]}..."


def _check_classes(head: Mapping[str, Any]) -> None:
    labels, classes = head["labels"], len(head["labels"])
    if not labels or len(set(labels)) < classes:
        raise ValueError(f"labels: expected different names, found {', '.join(labels) or 'none'}")
    if list(head["per_class"]) != labels:
        raise ValueError(f"per_class: expected the labels in their order, found {_shown(head['per_class'])}")
    if [len(row) for row in head["confusion"]] != [classes] * classes:
        raise ValueError(f"confusion: expected {classes} rows of {classes} counts, found another shape")


def _check_corruptions(head: Mapping[str, Any]) -> None:
    if "corruptions" not in head:
        return
    measured = head["corruptions"]["accuracy"]
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
        _check(image.get(key), str, key)
    if image.get("truth") not in labels:
        raise ValueError(f"truth: expected one of the labels, found {_shown(image.get('truth'))}")
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
        raise ValueError(f"predicted: expected one of the labels, found {_shown(predicted)}")
    if probabilities[labels.index(predicted)] < max(probabilities) - TIE:
        likeliest = labels[probabilities.index(max(probabilities))]
        raise ValueError(f"predicted: expected {likeliest}, the most probable, found {predicted}")


def _check_row(row: Any, classes: int, key: str, least: float = -LARGEST) -> None:
    whole = isinstance(row, list) and len(row) == classes
    if not whole or not all(_is_number(value) and value >= least for value in row):
        bound = " of at least 0" if least == 0 else ""
        raise ValueError(
            f"{key}: expected {classes} finite numbers{bound}, found {_shown(row) if not whole else 'others'}"
        )


def check_figures(head: Mapping[str, Any], images: Sequence[Mapping[str, Any]]) -> None:
    """Whether what the first line says is what its images give: as far as they alone decide it.

    Args:
        head: that ``check_head`` found right.
        images: that ``check_image`` found right.

    Raises:
        ValueError: naming the figure, what was expected and what was found.
    """
    if len(images) != head["n"]:
        raise ValueError(f"expected {head['n']:,} images, found {len(images):,}")
    if not images:
        raise ValueError("expected at least one image, found none")
    pairs = Counter((image["truth"], image["predicted"]) for image in images)
    labels = head["labels"]
    confusion = [[pairs[truth, predicted] for predicted in labels] for truth in labels]
    supports = {truth: sum(confusion[k]) + pairs[truth, None] for k, truth in enumerate(labels)}
    accuracy = sum(pairs[label, label] for label in labels) / len(images)
    if abs(head["accuracy"] - accuracy) > HALF_DIGIT:
        raise ValueError(f"accuracy: expected {accuracy:.6f} by the images, found {head['accuracy']:.6f}")
    for name, given, counted in (
        ("no_face", head["no_face"], sum(pairs[truth, None] for truth in labels)),
        ("per_class", {label: head["per_class"][label]["support"] for label in labels}, supports),
        ("confusion", head["confusion"], confusion),
    ):
        if given != counted:
            raise ValueError(f"{name}: expected the counts that the images give, found others")
