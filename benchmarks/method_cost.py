"""What the method costs: MSR and the cross-layer terms apart, in training, at inference, and in memory.

    python benchmarks/method_cost.py [--sizes 48 224] [--precisions float32 bfloat16] [--batch 256]
    python benchmarks/method_cost.py --lambdas 0 0.1 0    # one stage is taught, as by default, not all three
    python benchmarks/method_cost.py --terms          # the terms alone: against a loop, by batch, by K

Three nets take turns on the same images in the same process: a plain ResNet-18 ("plain"), the same with MSR
("msr"), and that with the cross-layer terms ("whole"). Ratios are medians over rounds of the times of one
round, so a machine that slows down slows all three. Peak memory is that of a fresh process a net. Seconds
belong to the machine they were made on; the ratios are what to compare.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from script import positive_int, run_script

from crossfer.method import CrossLayerLoss, build_model
from crossfer.method.clbs import clbs_loss
from crossfer.method.clfm import clfm_loss

CLASSES, WARM_UP = 8, 1
# The paper's sizes at 224 px; at 48 px those of the shipped recipe.
SIZES: dict[int, dict[str, Any]] = {
    48: {"in_channels": 1, "width": 32, "stem": "small", "dim": 64, "grid": 6},
    224: {"in_channels": 3, "width": 64, "stem": "standard", "dim": 128, "grid": 11},
}
VARIANTS = ("plain", "msr", "whole")
OFF, ALL = (0.0, 0.0, 0.0), (0.1, 0.1, 0.1)


class Case(NamedTuple):
    """What is measured: image side in pixels, arithmetic, images a step, weights of the terms, device."""

    size: int
    precision: str
    batch: int
    lambdas: tuple[float, float, float]
    device: str


class Step:
    """One training step of a variant; calling it runs one and gives its seconds."""

    def __init__(self, variant: str, case: Case) -> None:
        torch.manual_seed(0)
        size, self.precision, batch, lambdas, device = case
        sizes = SIZES[size]
        branch = "gap" if variant == "plain" else "msr+gap"
        self.net = build_model(num_classes=CLASSES, image_size=size, branch=branch, **sizes).to(device)
        self.net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.loss = CrossLayerLoss(
            num_classes=CLASSES,
            channels=self.net.encoder.channels,
            embedding_dim=sizes["dim"],
            lambdas=lambdas if variant == "whole" else OFF,
        ).to(device)
        parameters = [*self.net.parameters(), *self.loss.parameters()]
        self.optimizer = torch.optim.SGD(parameters, lr=0.01, momentum=0.9)
        shape = (batch, sizes["in_channels"], size, size)
        self.images = torch.randn(shape, device=device).to(memory_format=torch.channels_last)
        self.targets = torch.rand(batch, CLASSES, device=device).softmax(dim=1)
        self.device = device

    def __call__(self) -> float:
        """Seconds of one forward and backward pass and the optimiser's step."""
        began = clock(self.device)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bfloat16"):
            terms = self.loss(self.net(self.images), self.targets)
        self.optimizer.zero_grad()
        terms.total.backward()
        self.optimizer.step()
        return clock(self.device) - began

    @torch.no_grad()
    def infer(self) -> float:
        """Seconds of one forward pass in evaluation mode."""
        self.net.eval()
        began = clock(self.device)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bfloat16"):
            self.net(self.images)
        seconds = clock(self.device) - began
        self.net.train()
        return seconds


def clock(device: str) -> float:
    """Seconds, once the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def in_turn(functions: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each function, all of them once a round."""
    for _ in range(WARM_UP):
        for function in functions.values():
            function()
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            times[name].append(function())
    return times


def ratio(times: dict[str, list[float]], name: str, to: str) -> str:
    """Median, smallest and largest of the rounds' ratios."""
    ratios = [a / b for a, b in zip(times[name], times[to], strict=True)]
    return f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"


def report_steps(case: Case, rounds: int) -> None:
    """Training step and inference, with what each part adds."""
    steps = {variant: Step(variant, case) for variant in VARIANTS}
    times = in_turn(steps, rounds)
    seconds = {name: statistics.median(values) for name, values in times.items()}
    print(
        f"{case.size} px, {case.precision}, batch {case.batch}, lambdas {case.lambdas}, {case.device}, "
        f"{rounds} rounds"
    )
    print("  training step     " + ", ".join(f"{name} {value:.3f} s" for name, value in seconds.items()))
    print(f"  msr / plain       {ratio(times, 'msr', 'plain')}")
    print(f"  whole / msr       {ratio(times, 'whole', 'msr')}    the contrastive terms")
    forward = in_turn({name: step.infer for name, step in steps.items()}, rounds)
    print(
        f"  inference         msr / plain {ratio(forward, 'msr', 'plain')}, "
        f"whole / msr {ratio(forward, 'whole', 'msr')}"
    )


def report_memory(case: Case) -> None:
    """Peak resident memory of two training steps, each net in a process of its own."""
    peaks = {}
    for variant in VARIANTS:
        code = f"from method_cost import *; print(peak({variant!r}, {case}))"
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-c", code], cwd=sys.path[0], capture_output=True, text=True, check=True
        )
        peaks[variant] = float(done.stdout)
    listed = ", ".join(f"{name} {value:.0f} MB" for name, value in peaks.items())
    print(f"  peak memory       {listed}; whole / plain {peaks['whole'] / peaks['plain']:.2f}")


def peak(variant: str, case: Case) -> float:
    """Peak resident memory in MB after two training steps."""
    step = Step(variant, case)
    step()
    step()
    # Linux's own mark: ru_maxrss begins with the size of the process that started this one.
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def inputs(batch: int, device: str) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Feature maps and CLBS vectors of the sizes that the 48 px net has; the shallow ones want a gradient."""
    torch.manual_seed(0)
    maps = [torch.randn(batch, 32 * 2**j, 24 // 2**j, 24 // 2**j, device=device) for j in range(4)]
    vectors = [torch.randn(batch, 144, device=device) for _ in range(4)]
    for x in (*maps[:3], *vectors[:3]):
        x.requires_grad_()
    return maps, vectors


def terms_of(batch: int, device: str, *, k_maps: int = 4, k_batch: int = CLASSES) -> Callable[[], float]:
    """Both terms with their gradients, on features as the 48 px net gives them."""
    maps, vectors = inputs(batch, device)

    def run() -> float:
        began = clock(device)
        terms = clfm_loss(maps, [1, 2, 3], k=k_maps) + clbs_loss(vectors, [1, 2, 3], k=k_batch)
        torch.stack(terms).sum().backward()
        return clock(device) - began

    return run


def loop_of(batch: int, device: str) -> Callable[[], float]:
    """CLFM image by image, as the release does it, and CLBS once."""
    maps, vectors = inputs(batch, device)

    def run() -> float:
        began = clock(device)
        total = torch.stack(clbs_loss(vectors, [1, 2, 3], k=CLASSES)).sum()
        for i in range(batch):
            total = total + torch.stack(clfm_loss([f[i : i + 1] for f in maps], [1, 2, 3])).sum() / batch
        total.backward()
        return clock(device) - began

    return run


def report_terms(batch: int, rounds: int, device: str) -> None:
    """The terms alone: against a loop over images, and how they grow."""
    times = in_turn({"batched": terms_of(batch, device), "loop": loop_of(batch, device)}, rounds)
    print(f"both terms with gradients, batch {batch}, {device}")
    print(f"  loop / batched    {ratio(times, 'loop', 'batched')}")
    batches = {f"{n}": terms_of(n, device) for n in (64, 128, 256, 512, 1024)}
    grown = {name: statistics.median(t) for name, t in in_turn(batches, rounds).items()}
    print("  by batch (ms)     " + ", ".join(f"{name}: {1000 * s:.1f}" for name, s in grown.items()))
    clusters = {f"{k}": terms_of(batch, device, k_maps=k, k_batch=k) for k in (2, 4, 8, 16, 32)}
    grown = {name: statistics.median(t) for name, t in in_turn(clusters, rounds).items()}
    print("  by K (ms)         " + ", ".join(f"{name}: {1000 * s:.1f}" for name, s in grown.items()))


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", choices=sorted(SIZES), default=sorted(SIZES))
    precisions = ["float32", "bfloat16"]
    parser.add_argument("--precisions", nargs="+", choices=precisions, default=precisions)
    parser.add_argument("--batch", type=positive_int, default=256)
    parser.add_argument("--rounds", type=positive_int, default=5)
    parser.add_argument("--lambdas", type=float, nargs=3, default=ALL, help="a weight for each shallow stage")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--terms", action="store_true", help="the terms alone")
    args = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    if args.terms:
        report_terms(args.batch, args.rounds, args.device)
        return
    for size in args.sizes:
        for precision in args.precisions:
            case = Case(size, precision, args.batch, tuple(args.lambdas), args.device)
            report_steps(case, args.rounds)
            if args.device == "cpu":
                report_memory(case)


if __name__ == "__main__":
    run_script(main)
