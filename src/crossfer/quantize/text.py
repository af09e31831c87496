"""What ``crossfer quantize`` says of the bundle that it wrote."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from crossfer.calibration import Calibration
from crossfer.defaults import SELECTIVE_ACCURACY
from crossfer.evaluate.calibrate import balance_in_training
from crossfer.quantize.quantize import Quantized


def quantized_text(done: Quantized, data: Sequence[str]) -> str:
    """What was written, for people.

    Args:
        done: what ``quantize`` gave.
        data: the options of a command that name the data set.
    """
    before, after = done.sizes
    (old, new), (low, high) = done.comparison.accuracies, done.comparison.interval
    some, of_all = done.convolutions
    lines = [
        f"{done.path}: {after / 1e6:.2f} MB, {100 * after / before:.0f} % of {before / 1e6:.2f} MB",
        f"{some} of {of_all} convolutions in eight bits; ranges of {done.faces:,} training faces and their "
        "mirror images",
        f"validation accuracy {100 * new:.2f} %, was {100 * old:.2f} %: "
        f"{100 * done.comparison.difference:+.2f} points "
        f"(95 % interval {100 * low:+.2f} to {100 * high:+.2f}, paired, n = {done.comparison.n:,})",
        f"both answer alike on {100 * done.agreement:.2f} %, logits differ by at most "
        f"{done.largest_change:.2g}, evidence sums to them to {done.evidence_error:.0e}",
        f"temperature {done.meta.temperature}, fitted anew",
    ]
    if done.lost_calibration is not None:
        bias = " and the bias for each class" if done.lost_calibration.bias else ""
        lines.append(
            f"prediction sets and abstention{bias} were fitted to the original and are left out; "
            f"fit them anew: {_calibrate_again(done, data, done.lost_calibration)}"
        )
    return "\n".join(lines) + "\n"


def _calibrate_again(done: Quantized, data: Sequence[str], lost: Calibration) -> str:
    """The command that fits to the new bundle what the old one was fitted with."""
    defaults = {"selective_accuracy": SELECTIVE_ACCURACY, "balance": balance_in_training(done.meta)}
    wished = {
        f"--{name.replace('_', '-')}": f"{value:g}"
        for name, default in defaults.items()
        if isinstance(value := lost.fitted_on.get(name, default), int | float) and value != default
    }
    words = [word for pair in wished.items() for word in pair]
    path = str(done.path)
    return shlex.join(["crossfer", "calibrate", path, *data, *words, "-o", path])
