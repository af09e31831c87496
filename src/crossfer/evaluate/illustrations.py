"""The pictures of a report: the figures of its runs, and examples with their faces."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from crossfer.evaluate import figures
from crossfer.evaluate.examples import Example, choose_examples
from crossfer.evaluate.run_file import Run
from crossfer.runtime.recognizer import Recognizer


def figures_of(runs: Sequence[Run]) -> dict[str, list[tuple[str, bytes]]]:
    """For each run's name the titles and PNG files of its figures; under ``""`` those about all runs."""
    found = {"": [("Risk and coverage: errors among the surest answers", figures.risk_coverage_figure(runs))]}
    for run in runs:
        pictures = [("Confusion: rows are the truth", figures.confusion_figure(run.result))]
        if run.predictions.answered.any():
            pictures.append(("Reliability, 15 bins of equal mass", figures.reliability_figure(run)))
        if run.result.corruptions is not None:
            pictures.append(
                ("Robustness: accuracy by strength of corruption", figures.robustness_figure(run.result))
            )
        if run.predictions.answered.sum() > 10:
            pictures.append(
                ("Map of the logits by t-SNE, coloured and marked by truth", figures.map_figure(run))
            )
        found[run.name] = pictures
    return found


def example_pictures(
    runs: Sequence[Run], model: str | None, tell: Callable[[str], None]
) -> dict[str, list[tuple[Example, bytes]]]:
    """For each run's name its examples, as far as their images are at hand, with pictures of them.

    Args:
        runs: what to show examples of.
        model: name or path of the model that gave the answers, to show its evidence; None to show none.
        tell: is called with what is not shown, and why.

    Raises:
        BundleError: if the model cannot be used.
    """
    recognizer = None if model is None else Recognizer(model, detector="none")
    shown = {}
    for run in runs:
        about = run.predictions.about
        same = recognizer is not None and recognizer.sha256 == about.model_sha256
        if recognizer is not None and not same:
            tell(f"{run.name} is of another model: shown without evidence")
        usable = recognizer if same and about.detector == "none" else None
        chosen = choose_examples(run.predictions, usable)
        at_hand = [example for example in chosen if example.pixels is not None]
        if len(at_hand) < len(chosen):
            tell(
                f"{run.name}: {len(chosen) - len(at_hand)} of {len(chosen)} examples are not "
                f"shown: no image at {next(e.path for e in chosen if e.pixels is None)}, or another than "
                "was answered"
            )
        shown[run.name] = [
            (e, figures.face_picture(e.pixels, e.evidence)) for e in at_hand if e.pixels is not None
        ]
    return shown
