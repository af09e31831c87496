"""Results for people: headlines and tables, for rich."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table

from crossfer.calibration import Abstention
from crossfer.console import text_table
from crossfer.evaluate.calibrate import SET_COVERAGES, Calibrated
from crossfer.evaluate.comparison import AggregateResult, PairResult, RecipeResult
from crossfer.evaluate.corruptions import STRENGTHS
from crossfer.evaluate.result import EvaluationResult, PartResult


def evaluation_tables(result: EvaluationResult) -> Group:
    """A headline, tables of figures, and the confusion matrix."""
    return Group(
        f"{result.model} on {result.data} {result.split} "
        f"({result.protocol}, n = {result.n:,}, detector {result.detector})",
        f"accuracy {percent(result.accuracy)} %  "
        f"(95 % interval {percent(result.interval[0])} to {percent(result.interval[1])})",
        _figures(result),
        *_parts(result),
        *_promises(result),
        *_corruptions(result),
        *_evidence(result),
        _classes(result),
        _confusion(result),
        *([f"{len(result.skipped):,} bad rows or images left out"] if result.skipped else []),
    )


def _figures(result: EvaluationResult) -> Table:
    boot = result.bootstrap
    table = Table(show_header=False, box=None)
    for name, value in (
        ("interval by bootstrap", f"{span(boot.accuracy)} % ({boot.distinct:,} different images)"),
        (
            "mean class accuracy",
            f"{percent(result.mean_class_accuracy)} % ({span(boot.mean_class_accuracy)})",
        ),
        ("macro F1", f"{percent(result.macro_f1)} % ({span(boot.macro_f1)})"),
        ("NLL", decimal(result.nll)),
        ("Brier score", decimal(result.brier)),
        ("ECE (15 bins)", f"{decimal(result.ece)}, equal mass {decimal(result.ece_equal_mass)}"),
        ("distance to the votes", decimal(result.votes_distance)),
        ("risk-coverage area", decimal(result.aurc)),
        ("images without a face", f"{result.no_face:,}"),
    ):
        if value != "-":
            table.add_row(name, value)
    return table


def _parts(result: EvaluationResult) -> Iterator[RenderableType]:
    rows: list[tuple[str, PartResult | None]] = list(result.subsets.items())
    if result.leaks is not None:
        looked = ", ".join(f"{split} ({n:,})" for split, n in result.leaks.looked_in.items())
        yield f"{result.leaks.identical:,} images lie pixel for pixel in {looked} too"
        rows += [("in those too, also nearly", result.leaks.leaked), ("all others", result.leaks.clean)]
    if not rows:
        return
    table = text_table("parts of the images", "part", "images", "accuracy %", "95 % interval", "mean class %")
    for name, part in rows:
        if part is None:
            table.add_row(name, "0", "-", "-", "-")
        else:
            table.add_row(
                name,
                f"{part.n:,}",
                percent(part.accuracy),
                span(part.interval),
                percent(part.mean_class_accuracy),
            )
    yield table


def _promises(result: EvaluationResult) -> Iterator[RenderableType]:
    if result.sets:
        table = text_table("prediction sets", "promised %", "held %", "99 % band", "mean size")
        for held in result.sets:
            table.add_row(
                percent(held.target), percent(held.coverage), span(held.band), f"{held.mean_size:.3f}"
            )
        yield table
    if result.abstention is not None:
        found = result.abstention
        yield (
            f"with --abstain {percent(found.answered)} % are answered, {percent(found.accuracy)} % of them "
            f"right (fitted for {percent(found.expected)} %)"
        )


def _corruptions(result: EvaluationResult) -> Iterator[RenderableType]:
    if result.corruptions is None:
        return
    headings = [f"strength {strength}" for strength in STRENGTHS]
    table = text_table("accuracy % under corruption", "kind", *headings, "mean")
    for kind, accuracies in result.corruptions.accuracy.items():
        mean = sum(accuracies) / len(accuracies)
        table.add_row(kind, *map(percent, accuracies), percent(mean))
    yield table
    yield f"mean over all {percent(result.corruptions.mean)} %"


def _evidence(result: EvaluationResult) -> Iterator[RenderableType]:
    found = result.evidence
    if found is None:
        return
    table = text_table(
        f"evidence against random cells (n = {found.n:,}, fill: {found.fill})",
        "curve", "evidence", "random", "gain", "95 % interval",
    )  # fmt: skip
    for name, area, chance, (gain, (low, high)) in (
        ("deletion (lower is better)", found.deletion, found.deletion_random, found.deletion_gain),
        ("insertion (higher is better)", found.insertion, found.insertion_random, found.insertion_gain),
    ):
        table.add_row(name, decimal(area), decimal(chance), f"{gain:+.4f}", f"{low:+.4f} to {high:+.4f}")
    yield table


def _classes(result: EvaluationResult) -> Table:
    table = text_table("each class", "expression", "images", "recall %", "precision %")
    for name, scores in zip(result.labels, result.per_class, strict=True):
        table.add_row(name, f"{scores.support:,}", percent(scores.recall), percent(scores.precision))
    return table


def _confusion(result: EvaluationResult) -> Table:
    table = text_table("rows: true, columns: predicted", "", *result.labels)
    for name, row in zip(result.labels, result.confusion, strict=True):
        table.add_row(name, *(f"{count:,}" for count in row))
    return table


def calibration_tables(found: Calibrated) -> Group:
    """What calibration fitted, and what it changed on the images that it was fitted on."""
    fitted, trial = found.calibration, found.bias_trial
    on = fitted.fitted_on
    looked = ", ".join(f"{split} ({n:,})" for split, n in on["looked_in"].items())
    origin = f"{on['left_out']:,} left out that occur in {looked}" if looked else "not compared with train"
    verdict, moves = "kept" if trial.helps else "not kept", "falls" if trial.gain >= 0 else "rises"
    table = text_table("on these images", "", "before", "after")
    for name in ("nll", "brier", "ece", "ece_equal_mass"):
        table.add_row(name, decimal(getattr(found.before, name)), decimal(getattr(found.after, name)))
    return Group(
        f"{found.meta.name} on {on['data']} {on['split']} ({on['protocol']}, n = {on['n']:,}; {origin})",
        f"temperature {found.meta.temperature}",
        f"bias for each class {verdict}: NLL {moves} by {abs(trial.gain):.5f} +- {trial.error:.5f} "
        "in cross-validation",
        *_abstention_line(fitted.abstention, on["selective_accuracy"]),
        "sets at 80, 90, 95, 99 %: probability of at least "
        + ", ".join(f"{fitted.set_threshold(coverage):.4f}" for coverage in SET_COVERAGES),
        table,
    )


def _abstention_line(abstention: Abstention | None, wanted: float) -> Iterator[str]:
    if abstention is None:
        yield f"no confidence gives {percent(wanted)} % right answers: --abstain will not work"
    else:
        yield (
            f"--abstain answers from a confidence of {abstention.threshold:.4f} on: "
            f"{percent(abstention.coverage)} % of the images, "
            f"{percent(abstention.selective_accuracy)} % of them right"
        )


def comparison_tables(result: AggregateResult | PairResult | RecipeResult) -> Group:
    """What several runs say together."""
    if isinstance(result, AggregateResult):
        table = text_table(f"{len(result.runs)} runs, n = {result.n:,}", "figure", "mean", "deviation")
        for name, spread in result.figures.items():
            table.add_row(name, decimal(spread.mean), decimal(spread.deviation))
        return Group(table)
    if isinstance(result, RecipeResult):
        table = text_table(f"n = {result.n:,}", "recipe", "runs", "accuracy %", "deviation")
        for name, spread, runs in zip(
            ("first", "second"), (result.first, result.second), result.runs, strict=True
        ):
            table.add_row(name, str(runs), percent(spread.mean), percent(spread.deviation))
        return Group(table, result.statement)
    table = text_table(
        f"n = {result.n:,}, {result.distinct:,} different images", "network", "accuracy %", "only it is right"
    )
    for name, accuracy, alone in zip(
        (result.first, result.second),
        result.accuracies,
        (result.only_first, result.only_second),
        strict=True,
    ):
        table.add_row(name, percent(accuracy), f"{alone:,}")
    return Group(table, result.statement)


def percent(rate: float | None) -> str:
    """A rate in percent with two digits, or a dash."""
    return "-" if rate is None else f"{100 * rate:.2f}"


def decimal(value: float | None) -> str:
    """A figure with four digits, or a dash."""
    return "-" if value is None else f"{value:.4f}"


def span(bounds: Sequence[float]) -> str:
    """The ends of an interval of rates, in percent."""
    return f"{percent(bounds[0])} to {percent(bounds[1])}"
