"""Options that several commands share: declared once, they read and are checked alike everywhere.

A command that means something else by an option declares its own: ``serve`` answers many clients, so there
coverage and abstention are for requests that do not say; ``video`` gives the sets of each frame alone;
``evaluate`` chooses a detector by the data.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from crossfer.cli.errors import UsageError
from crossfer.data.names import LABEL_VERSION, PROTOCOL, LabelVersion, Protocol
from crossfer.defaults import LEAST_COVERAGE, MAX_THREADS, MOST_COVERAGE, DetectorName, set_in_vain

# What recognises.
MODELS = "base (the default), tiny, or a .onnx file."
Model = Annotated[str, typer.Option(metavar="NAME|FILE", help=MODELS, show_default=False)]
Detector = Annotated[
    DetectorName,
    typer.Option(help="What finds the faces; none: every image is a face crop already."),
]
MinFaceScore = Annotated[
    float, typer.Option(min=0.01, max=0.99, help="Leave out faces that the detector is less sure of.")
]
DetectorSide = Annotated[
    int,
    typer.Option(
        min=32,
        max=8192,
        metavar="PIXELS",
        help="Look for faces in a copy of at most so many pixels a side; more finds smaller ones.",
    ),
]
Coverage = Annotated[
    float | None,
    typer.Option(
        min=LEAST_COVERAGE,
        max=MOST_COVERAGE,
        metavar="SHARE",
        help="Also give the set of expressions that holds the true one this often, as in 0.9.",
    ),
]
Abstain = Annotated[
    bool, typer.Option("--abstain", help="Answer 'uncertain' where the calibration says it is better.")
]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MAX_THREADS,
        metavar="N",
        help="CPU threads for each of detector and model. [default: one a core]",
        show_default=False,
    ),
]

# Which labelled images.
DataRoot = Annotated[Path, typer.Option(help="Folder or zip that holds the data set; for table the table.")]
SplitFile = Annotated[
    Path | None, typer.Option(help="Cuts valid out of train where a set has none: crossfer data split.")
]
ModelClasses = Annotated[
    str | None,
    typer.Option(
        help="Classes of a folder or table, as in crossfer data check. [default: the model's]",
        show_default=False,
    ),
]
VoteProtocol = Annotated[
    Protocol | None,
    typer.Option(help=f"How FERPlus votes become labels. [default: {PROTOCOL}]", show_default=False),
]
VoteLabels = Annotated[
    LabelVersion | None,
    typer.Option(help=f"Version of the FERPlus labels. [default: {LABEL_VERSION}]", show_default=False),
]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out and count bad rows and images instead of stopping.")
]

# How one result is given.
TextOrJson = Annotated[
    Literal["text", "json"], typer.Option("--format", help="json: one object on one line.")
]
ResultForm = Annotated[
    Literal["text", "json"] | None,
    typer.Option(
        "--format",
        help="json: one object on one line. [default: json if the name of --output ends so; else text]",
        show_default=False,
    ),
]
ResultFile = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write the result here instead of stdout.")
]

# What is trained, and where the files of a study lie.
TrainRoot = Annotated[Path | None, typer.Option("--root", help="Folder that holds the data set.")]
Override = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a value, as in optim.epochs=5."),
]
RecipeFile = Annotated[Path, typer.Argument(help="TOML recipe, such as recipes/ferplus-48.toml.")]
RunFolder = Annotated[
    Path | None, typer.Option("--output", "-o", help="Folder of the run. [default: runs/NAME]")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last whole epoch of the run.")]
SkipAndReport = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out and report bad rows and images instead of stopping.")
]
TensorBoardFiles = Annotated[
    bool, typer.Option("--tensorboard", help="Write event files for TensorBoard into the run's folder.")
]
StudyResults = Annotated[
    Path, typer.Option(file_okay=False, help="Result files, one a run; what lies there is not run again.")
]
StudyRuns = Annotated[Path, typer.Option(file_okay=False, help="Where unfinished runs lie.")]
TableFile = Annotated[
    Path | None, typer.Option("--output", "-o", dir_okay=False, help="Write the table here, not to stdout.")
]
TableOnly = Annotated[
    bool, typer.Option("--table-only", help="Run nothing; the table of the results that are there.")
]


def overrides(set_: list[str] | None, *, skip_bad: bool) -> list[str]:
    """The values of a recipe that the options of a command override, as ``load_recipe`` takes them."""
    return [*(set_ or ()), *(["data.skip_bad=true"] if skip_bad else ())]


def need_detector(detector: DetectorName, min_face_score: float, side: int) -> None:
    """Refuse options of a detector where none is to run."""
    if name := set_in_vain(detector, min_face_score, side):
        option = f"--{name.replace('_', '-')}"
        raise UsageError(
            f"{option}: is for a detector, and none runs here; add --detector centerface, or leave it out"
        )
