"""What a corpus would cost at the rates that a run measured: core-hours, machines, storage, money.

    crossfer score SAMPLE --output RUN                    # a sample like the corpus, on a machine like those
    python benchmarks/score_cost.py RUN [--images 1e7 1e9] [--core-hour 0.04] [--gb-month 0.023] ...

Every figure is an extrapolation from ``RUN/summary.json``: seconds of workers by stage, bytes in and out.
Prices are those you pay; the defaults are round numbers, not an offer.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from script import positive_float, positive_int, run_script

HOUR, GB = 3600, 1e9


@dataclass(frozen=True)
class Rates:
    """What one image takes, by a run's summary.

    Attributes:
        core_seconds: of workers, all stages.
        stages: likewise, by stage.
        bytes_in: read.
        bytes_out: written.
        requests: to the store, to read it; archives take far fewer.
    """

    core_seconds: float
    stages: dict[str, float]
    bytes_in: float
    bytes_out: float
    requests: float = 1.0

    @classmethod
    def of(cls, summary: dict[str, Any]) -> Rates:
        """The rates of a run."""
        images = max(summary["images"], 1)
        stages = {stage: seconds / images for stage, seconds in summary["seconds"].items()}
        return cls(
            sum(stages.values()), stages, summary["input_bytes"] / images, summary["output_bytes"] / images
        )


@dataclass(frozen=True)
class Prices:
    """What is paid, in any one currency.

    Attributes:
        core_hour: a core for an hour.
        gb_month: a gigabyte kept for a month.
        million_requests: a million reads of an object.
    """

    core_hour: float
    gb_month: float
    million_requests: float


def cost(rates: Rates, images: float, prices: Prices, cores: int) -> dict[str, float]:
    """Core-hours, hours on so many cores, storage and money for a corpus of so many images."""
    core_hours = images * rates.core_seconds / HOUR
    return {
        "core-hours": core_hours,
        f"hours on {cores} cores": core_hours / cores,
        "input GB": images * rates.bytes_in / GB,
        "output GB": images * rates.bytes_out / GB,
        "input GB/s at that speed": cores / rates.core_seconds * rates.bytes_in / GB,
        "money for cores": core_hours * prices.core_hour,
        "money for requests": images / 1e6 * rates.requests * prices.million_requests,
        "money for a month of output": images * rates.bytes_out / GB * prices.gb_month,
    }


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a run, or its summary.json")
    parser.add_argument("--images", type=positive_float, nargs="+", default=[1e7, 1e9])
    parser.add_argument("--cores", type=positive_int, default=64)
    parser.add_argument("--core-hour", type=float, default=0.04)
    parser.add_argument("--gb-month", type=float, default=0.023)
    parser.add_argument("--million-requests", type=float, default=0.4)
    args = parser.parse_args()
    path = args.run / "summary.json" if args.run.is_dir() else args.run
    summary = json.loads(path.read_text())
    try:
        rates, detector = Rates.of(summary), summary["options"]["detector"]
    except (KeyError, TypeError, AttributeError):
        raise ValueError(
            f"{path}: expected the summary.json of a run of crossfer score, found another file"
        ) from None
    prices = Prices(args.core_hour, args.gb_month, args.million_requests)
    print(f"from {summary['images']:,} images, detector {detector}: ", end="")
    print(f"{1000 * rates.core_seconds:.2f} ms of a core an image (", end="")
    print(", ".join(f"{stage} {1000 * value:.2f}" for stage, value in rates.stages.items()) + ")")
    columns = [cost(rates, images, prices, args.cores) for images in args.images]
    print(" " * 30 + "".join(f"{images:>18,.0f}" for images in args.images))
    for name in columns[0]:
        print(f"{name:30}" + "".join(f"{column[name]:18,.2f}" for column in columns))


if __name__ == "__main__":
    run_script(main)
