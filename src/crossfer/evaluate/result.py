"""What an evaluation gives: every number beside the data, protocol and model that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from crossfer.evaluate.predictions import About
from crossfer.stored import from_plain, shown, to_plain

Interval = tuple[float, float]
# Keys that the dictionary of a result may lack: what was not asked for, or does not apply to the model.
OPTIONAL = ("leaks", "subsets", "sets", "abstention", "corruptions", "evidence", "provenance")


@dataclass(frozen=True)
class ClassResult:
    """How well one expression is recognised.

    Attributes:
        precision: share of the predictions of it that are right, in 0..1; None if it was never predicted.
        recall: share of its images predicted right, in 0..1; None if it has no images.
        support: its images, including those without a face found.
    """

    precision: float | None
    recall: float | None
    support: int


@dataclass(frozen=True)
class BootstrapResult:
    """95 % percentile intervals over resamples of the images, identical images drawn together.

    Attributes:
        distinct: how many different images there are.
        resamples: how many resamples were drawn.
        seed: of the draws.
        accuracy: (low, high), each in 0..1.
        mean_class_accuracy: (low, high); a resample that has no image of a class is a mean over the others,
            so that with fewer than about five images of a class it is no good.
        macro_f1: (low, high), each in 0..1.
    """

    distinct: int
    resamples: int
    seed: int
    accuracy: Interval
    mean_class_accuracy: Interval
    macro_f1: Interval


@dataclass(frozen=True)
class PartResult:
    """The figures of some of the images; rates in 0..1.

    Attributes:
        n: images.
        accuracy: share predicted right.
        interval: its 95 % Wilson interval.
        mean_class_accuracy: mean recall over the classes that have images here.
        macro_f1: mean F1 over the classes that have images here or were predicted.
    """

    n: int
    accuracy: float
    interval: Interval
    mean_class_accuracy: float
    macro_f1: float


@dataclass(frozen=True)
class SubsetResult(PartResult):
    """The figures of a list of images.

    Attributes:
        names: how many images are listed, found or not; ``n`` of them were found.
    """

    names: int


@dataclass(frozen=True)
class LeakResult:
    """What images that also occur elsewhere are worth.

    Attributes:
        looked_in: images of each other split that was looked through.
        identical: images with the same pixels as one of those.
        leaked: the figures of the images that are identical to one of those, or nearly so or mirrored; None
            if there are none.
        clean: the figures of all other images; None if there are none.
    """

    looked_in: Mapping[str, int]
    identical: int
    leaked: PartResult | None
    clean: PartResult | None


@dataclass(frozen=True)
class CoverageResult:
    """How often prediction sets hold the true expression.

    Attributes:
        target: how often they are meant to, in 0..1.
        coverage: how often they do, among the images with a face.
        band: between which bounds the coverage lies in 99 % of such tests if the promise holds.
        mean_size: expressions per set.
        per_class: coverage among the images of each expression, None where it has none.
    """

    target: float
    coverage: float
    band: Interval
    mean_size: float
    per_class: Mapping[str, float | None]


@dataclass(frozen=True)
class AbstentionResult:
    """What abstaining brings.

    Attributes:
        threshold: least confidence of an answer.
        expected: accuracy among the answers on the images that the threshold was fitted on.
        answered: share of the images that got an answer.
        accuracy: share of right ones among those answers; None if there are none.
    """

    threshold: float
    expected: float
    answered: float
    accuracy: float | None


@dataclass(frozen=True)
class CorruptionResult:
    """Accuracy under corrupted images.

    Attributes:
        seed: of the random choices.
        accuracy: for each kind, by strength from 1 to 5.
        mean: over all kinds and strengths.
    """

    seed: int
    accuracy: Mapping[str, tuple[float, ...]]
    mean: float


@dataclass(frozen=True)
class EvidenceResult:
    """Whether the evidence maps point at what the answers depend on.

    Areas are means of the probability of the answer to the whole image, over the steps from no cell changed
    to all; gains are differences to random orders, positive where the evidence is better.

    Attributes:
        n: images.
        seed: of the choice of images and of the random orders.
        fill: what stands in place of a deleted cell.
        deletion: area while cells are deleted, strongest evidence first (lower is better).
        deletion_random: the same in random order.
        deletion_gain: random less evidence, with its 95 % bootstrap interval.
        insertion: area while cells are inserted, strongest evidence first (higher is better).
        insertion_random: the same in random order.
        insertion_gain: evidence less random, with its 95 % bootstrap interval.
    """

    n: int
    seed: int
    fill: str
    deletion: float
    deletion_random: float
    deletion_gain: tuple[float, Interval]
    insertion: float
    insertion_random: float
    insertion_gain: tuple[float, Interval]


@dataclass(frozen=True)
class Provenance:
    """How a result can be made again: crossfer's version, the commit of its code, and the command."""

    version: str
    commit: str
    command: str


@dataclass(frozen=True)
class EvaluationResult(PartResult):
    """The outcome of one model on one split: the figures of all its images, and more; rates lie in 0..1.

    An image in which no face was found stays in ``n`` and in its class's support and counts as wrong in every
    rate and in the risk-coverage curve. The confusion matrix, NLL, Brier score, ECE and distance to the votes
    describe predictions, so they leave it out: a row of the matrix sums to the support of its class less its
    images without a face.

    Attributes:
        about: which model, and which images.
        no_face: how many images had no face found.
        bootstrap: intervals that take identical images together.
        nll: negative log-likelihood per image with a face; None if there was none.
        brier: Brier score per image with a face, in 0..2; None likewise.
        ece: expected calibration error over 15 bins of equal width; None likewise.
        ece_equal_mass: over 15 bins of equally many images; None likewise.
        votes_distance: mean Jensen-Shannon distance to the annotators' votes, base 2, in 0..1; None likewise,
            and where the data set has no votes.
        aurc: area under the risk-coverage curve.
        risk_coverage: (coverage, risk) at coverages of 5 %, 10 %, ... 100 %.
        per_class: figures of each class, in the order of its labels.
        confusion: rows are the true classes, columns the predicted ones, both in that order.
        skipped: one line for each image or row of the data set that was left out.
        leaks: with and without images that occur in other splits; None if not asked for.
        subsets: figures of listed images, by the list's name.
        sets: how prediction sets do, for a calibrated model.
        abstention: how abstaining does, for a calibrated model.
        corruptions: None if not asked for.
        evidence: None if not asked for.
        provenance: None if unknown.
    """

    about: About
    no_face: int
    bootstrap: BootstrapResult
    nll: float | None
    brier: float | None
    ece: float | None
    ece_equal_mass: float | None
    votes_distance: float | None
    aurc: float
    risk_coverage: tuple[tuple[float, float], ...]
    per_class: tuple[ClassResult, ...]
    confusion: tuple[tuple[int, ...], ...]
    skipped: tuple[str, ...] = ()
    leaks: LeakResult | None = None
    subsets: Mapping[str, SubsetResult] = field(default_factory=dict)
    sets: tuple[CoverageResult, ...] = ()
    abstention: AbstentionResult | None = None
    corruptions: CorruptionResult | None = None
    evidence: EvidenceResult | None = None
    provenance: Provenance | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as ``crossfer evaluate --format json`` writes them; rates rounded to 6 digits.

        What was not asked for, or does not apply to the model, has no key.
        """
        values = plain(self)
        values = {**values.pop("about"), **values}
        values["model"] = {"name": self.about.model, "sha256": values.pop("model_sha256")}
        values["per_class"] = dict(zip(self.about.labels, values["per_class"], strict=True))
        values["skipped"] = {"count": len(self.skipped), "reasons": list(self.skipped)}
        return {key: value for key, value in values.items() if value or key not in OPTIONAL}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EvaluationResult:
        """The inverse of ``to_dict``, but for the digits that it rounded off; other keys do not matter.

        Raises:
            ValueError: naming the key, what was expected there and what was found.
        """
        kinds = get_type_hints(About) | get_type_hints(cls) | _WRITTEN
        del kinds["about"], kinds["model_sha256"]  # written as keys beside the figures, and in the model
        read = {
            key: from_plain(kind, values.get(key), key, strict=False)
            for key, kind in kinds.items()
            if key in values or key not in OPTIONAL
        }
        labels, model = read["labels"], read.pop("model")
        if not labels or len(set(labels)) < len(labels):
            raise ValueError(f"labels: expected different names, found {', '.join(labels) or 'none'}")
        if tuple(read["per_class"]) != labels:
            raise ValueError(
                f"per_class: expected the labels in their order, found {shown(values['per_class'])}"
            )
        read["per_class"], read["skipped"] = tuple(read["per_class"].values()), read["skipped"].reasons
        about = {key: read.pop(key) for key in ("data", "split", "protocol", "detector", "labels")}
        return cls(about=About(**about, model=model.name, model_sha256=model.sha256), **read)


@dataclass(frozen=True)
class _Model:
    name: str
    sha256: str


@dataclass(frozen=True)
class _Skipped:
    count: int
    reasons: tuple[str, ...]


# What ``to_dict`` writes otherwise than the result holds it.
_WRITTEN = {"model": _Model, "per_class": Mapping[str, ClassResult], "skipped": _Skipped}


def plain(value: Any) -> Any:
    """A result as JSON holds it, numbers rounded to 6 digits."""
    return to_plain(value, digits=6)
