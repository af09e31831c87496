"""Results for people: headlines and tables, for rich and for pages."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from rich.console import Console, Group
from rich.table import Table

from crossfer.calibration import Abstention
from crossfer.console import TEXT_WIDTH, text_table
from crossfer.evaluate.calibrate import SET_COVERAGES, Calibrated
from crossfer.evaluate.comparison import AggregateResult, PairResult, RecipeResult
from crossfer.evaluate.corruptions import STRENGTHS
from crossfer.evaluate.result import EvaluationResult, Interval, PartResult
from crossfer.evaluate.robustness import curves
from crossfer.labels import LabelSet
from crossfer.page import Rows
from crossfer.types import UNCERTAIN

BARS = "▁▂▃▄▅▆▇█"
SHOWN_PAIRS = 30  # of classes that are confused, where the whole matrix would not fit


def evaluation_tables(result: EvaluationResult, width: int = TEXT_WIDTH) -> Group:
    """A headline, tables of figures, and the confusion matrix, which keeps to a width in characters.

    Figures are rounded first as a run's file holds them, so that a report of it shows the same digits.
    """
    result = EvaluationResult.from_dict(result.to_dict())
    about = result.about
    return Group(
        f"{about.model} on {about.data} {about.split} "
        f"({about.protocol}, n = {result.n:,}, detector {about.detector})",
        f"accuracy {per_hundred(result.accuracy)} %  "
        f"(95 % interval {per_hundred(result.interval[0])} to {per_hundred(result.interval[1])})",
        _figures(result),
        *_identical(result),
        *(_filled(*table) for table in result_tables(result)),
        _confusion(result, width),
        *([f"{len(result.skipped):,} bad rows or images left out"] if result.skipped else []),
    )


def _figures(result: EvaluationResult) -> Table:
    boot = result.bootstrap
    table = Table(show_header=False, box=None)
    for name, value in (
        ("interval by bootstrap", f"{span(boot.accuracy)} % ({boot.distinct:,} different images)"),
        (
            "mean class accuracy",
            f"{per_hundred(result.mean_class_accuracy)} % ({span(boot.mean_class_accuracy)})",
        ),
        ("macro F1", f"{per_hundred(result.macro_f1)} % ({span(boot.macro_f1)})"),
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


def _identical(result: EvaluationResult) -> Iterator[str]:
    if result.leaks is not None:
        looked = ", ".join(f"{split} ({n:,})" for split, n in result.leaks.looked_in.items())
        yield f"{result.leaks.identical:,} images lie pixel for pixel in {looked} too"


def _filled(title: str, heading: Sequence[str], rows: Rows) -> Table:
    table = text_table(title, *heading)
    for row in rows:
        table.add_row(*row)
    return table


def result_tables(result: EvaluationResult) -> Iterator[tuple[str, Sequence[str], Rows]]:
    """The tables of one result, for a terminal as for a page.

    Yields:
        Title, headings of the columns, and rows of texts.
    """
    if parts := _parts(result):
        yield "parts of the images", ("part", "images", "accuracy %", "95 % interval", "mean class %"), parts
    if result.sets:
        some = f", of the {result.n - result.no_face:,} images with a face" if result.no_face else ""
        yield (
            f"prediction sets{some}",
            ("promised %", "held %", "99 % band", "mean size"),
            [
                (
                    per_hundred(held.target),
                    per_hundred(held.coverage),
                    span(held.band),
                    f"{held.mean_size:.3f}",
                )
                for held in result.sets
            ],
        )
    if (found := result.abstention) is not None:
        row = (per_hundred(found.answered), per_hundred(found.accuracy), per_hundred(found.expected))
        yield "answers with --abstain", ("answered %", "right among them %", "fitted for %"), [row]
    if result.corruptions is not None:
        mean = per_hundred(result.corruptions.mean)
        yield (
            f"robustness: accuracy % by strength (mean of 1 to 5, all kinds: {mean} %)",
            ("kind", "0", *map(str, STRENGTHS), "mean", "curve"),
            [
                (kind, *map(per_hundred, rates), per_hundred(sum(rates[1:]) / len(rates[1:])), _curve(rates))
                for kind, rates in curves(result).items()
            ],
        )
    if (found := result.evidence) is not None:
        title = f"evidence against random cells (n = {found.n:,}, fill: {found.fill})"
        heading = ("curve", "evidence", "random", "gain", "95 % interval")
        areas = (
            ("deletion (lower is better)", found.deletion, found.deletion_random, found.deletion_gain),
            ("insertion (higher is better)", found.insertion, found.insertion_random, found.insertion_gain),
        )
        yield title, heading, [_area(*area) for area in areas]
    yield (
        "each class",
        ("expression", "images", "recall %", "precision %"),
        [
            (name, f"{scores.support:,}", per_hundred(scores.recall), per_hundred(scores.precision))
            for name, scores in zip(result.about.labels, result.per_class, strict=True)
        ],
    )


def _parts(result: EvaluationResult) -> Rows:
    parts: list[tuple[str, PartResult | None]] = list(result.subsets.items())
    if (leaks := result.leaks) is not None:
        looked = " or ".join(leaks.looked_in)
        parts += [(f"in {looked} too, also nearly", leaks.leaked), ("all others", leaks.clean)]
    return [
        (name, "0", "-", "-", "-")
        if part is None
        else (
            name,
            f"{part.n:,}",
            per_hundred(part.accuracy),
            span(part.interval),
            per_hundred(part.mean_class_accuracy),
        )
        for name, part in parts
    ]


def _area(name: str, area: float, at_random: float, gained: tuple[float, Interval]) -> Sequence[str]:
    gain, (low, high) = gained
    return name, decimal(area), decimal(at_random), f"{gain:+.4f}", f"{low:+.4f} to {high:+.4f}"


def _curve(rates: Sequence[float]) -> str:
    """Rates in 0..1 as a row of bars, for where there are no pictures.

    >>> _curve([1.0, 0.5, 0.0])
    '█▅▁'
    """
    return "".join(BARS[min(int(rate * len(BARS)), len(BARS) - 1)] for rate in rates)


def _confusion(result: EvaluationResult, width: int) -> Table:
    """The confusion matrix; where it is wider, with short or numbered heads, or the commonest pairs instead.

    A table that is too wide must not come to rich, which takes the room from the names first.
    """
    labels = result.about.labels
    numbers = [str(number) for number in range(1, len(labels) + 1)]
    numbered = [f"{number:>{len(numbers[-1])}} {name}" for number, name in zip(numbers, labels, strict=True)]
    for names, heads in ((labels, labels), (labels, _abbreviated(labels)), (numbered, numbers)):
        table = text_table("rows: true, columns: predicted", "", *heads)
        for name, row in zip(names, result.confusion, strict=True):
            table.add_row(name, *(f"{count:,}" for count in row))
        room = Console(width=sys.maxsize, markup=False, emoji=False).measure(table)
        if (room.minimum if heads is numbers else room.maximum) <= width:  # at the least, names take lines
            return table
    return _confused_pairs(result)


def _confused_pairs(result: EvaluationResult) -> Table:
    """The pairs of classes that are confused, the commonest first."""
    labels = result.about.labels
    pairs = [
        (count, true, predicted)
        for true, row in zip(labels, result.confusion, strict=True)
        for predicted, count in zip(labels, row, strict=True)
        if count and predicted != true
    ]
    shown = f"top {SHOWN_PAIRS} of " if len(pairs) > SHOWN_PAIRS else ""
    title = f"confusions: {shown}{len(pairs):,}"  # as short as the narrowest table
    table = text_table(title, "true", "predicted", "images", left=("predicted",))
    for count, true, predicted in sorted(pairs, key=lambda pair: -pair[0])[:SHOWN_PAIRS]:
        table.add_row(true, predicted, f"{count:,}")
    return table


def _abbreviated(names: Sequence[str]) -> Sequence[str]:
    """Different names cut alike, to three letters or as few as keep them apart.

    >>> _abbreviated(["surprise", "surly", "fear"])
    ['surp', 'surl', 'fear']
    """
    longest = max(map(len, names))
    return next(
        cut
        for length in range(min(3, longest), longest + 1)
        if len(set(cut := [name[:length] for name in names])) == len(names)
    )


def calibration_tables(found: Calibrated) -> Group:
    """What calibration fitted, and what it changed on the images that it was fitted on."""
    fitted, trial = found.calibration, found.bias_trial
    on = fitted.fitted_on
    looked = ", ".join(f"{split} ({n:,})" for split, n in on["looked_in"].items())
    origin = f"{on['left_out']:,} left out that occur in {looked}" if looked else "not compared with train"
    verdict, moves = "kept" if trial.helps else "not kept", "falls" if trial.gain >= 0 else "rises"
    table = text_table("on these images", "", "before", "after")
    for name in ("accuracy", "mean_class_accuracy", "nll", "brier", "ece", "ece_equal_mass"):
        table.add_row(name, decimal(getattr(found.before, name)), decimal(getattr(found.after, name)))
    moved = found.before.per_class != found.after.per_class
    return Group(
        f"{found.meta.name} on {on['data']} {on['split']} ({on['protocol']}, n = {on['n']:,}; {origin})",
        f"temperature {found.meta.temperature}",
        f"bias for each class {verdict}: NLL {moves} by {abs(trial.gain):.5f} +- {trial.error:.5f} "
        "in cross-validation",
        *_balance_line(on["balance"]),
        *_abstention_line(fitted.abstention, on["selective_accuracy"], found.meta.labelset),
        f"sets at {', '.join(f'{100 * share:g}' for share in SET_COVERAGES)} %: probability of at least "
        + ", ".join(f"{fitted.set_threshold(coverage):.4f}" for coverage in SET_COVERAGES),
        table,
        *([_classes_moved(found)] if moved else []),
    )


def _classes_moved(found: Calibrated) -> Table:
    """Each class's recall and precision before and after, in per cent."""
    sides = ("recall, before", "after", "precision, before", "after")
    table = text_table("each class, %", "", "images", *sides)
    for name, before, after in zip(
        found.before.about.labels, found.before.per_class, found.after.per_class, strict=True
    ):
        rates = (before.recall, after.recall, before.precision, after.precision)
        table.add_row(name, f"{before.support:,}", *map(per_hundred, rates))
    return table


def _balance_line(balance: float) -> Iterator[str]:
    if balance:
        evenly = "all classes were equally" if balance == 1 else "classes were more equally"
        yield (
            f"balance {balance:g}: probabilities as if {evenly} frequent; sets and --abstain promise for "
            "images like these"
        )


def _abstention_line(abstention: Abstention | None, wanted: float, labels: LabelSet) -> Iterator[str]:
    if labels.has(UNCERTAIN):
        yield f"a class is called {UNCERTAIN!r}, as abstention answers: --abstain will not work"
    elif abstention is None:
        yield f"no confidence gives {per_hundred(wanted)} % right answers: --abstain will not work"
    else:
        yield (
            f"--abstain answers from a confidence of {abstention.threshold:.4f} on: "
            f"{per_hundred(abstention.coverage)} % of the images, "
            f"{per_hundred(abstention.selective_accuracy)} % of them right"
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
            table.add_row(name, str(runs), per_hundred(spread.mean), per_hundred(spread.deviation))
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
        table.add_row(name, per_hundred(accuracy), f"{alone:,}")
    return Group(table, result.statement)


def per_hundred(rate: float | None) -> str:
    """A rate in percent, without its sign, with two digits, or a dash."""
    return "-" if rate is None else f"{100 * rate:.2f}"


def decimal(value: float | None) -> str:
    """A figure with four digits, or a dash."""
    return "-" if value is None else f"{value:.4f}"


def span(bounds: Sequence[float]) -> str:
    """The ends of an interval of rates, in percent."""
    return f"{per_hundred(bounds[0])} to {per_hundred(bounds[1])}"
