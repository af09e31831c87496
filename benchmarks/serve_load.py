"""Throughput and latency of ``crossfer serve`` with and without micro-batching, on loopback, answers checked.

    python benchmarks/serve_load.py                # both kinds of image, concurrency 1, 4 and 16
    python benchmarks/serve_load.py --memory 20000 # resident memory over that many requests

Two services run beside each other, one with batches and one without (``--batch-size 1``: the thread that
searches an image also recognises its faces), and are loaded in turn, so that what else the machine does hits
both alike; the ratio is the median over rounds. Photos are variants of skimage's portrait, 512 pixels,
JPEG; crops are 64-pixel PNG files cut from it, with ``--detector none``. Each response is compared with what
``Recognizer`` says about the same bytes offline: boxes to the digit, probabilities within 1e-5, since sums
in batches of other sizes round differently. The client shares the machine with the service.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from urllib.parse import urlsplit

import numpy as np
from PIL import Image
from script import positive_float, positive_int, run_script

from crossfer import Recognizer
from crossfer.bench.photo import sample_portrait

WITHIN = 1e-5
VARIANTS = 12
CONCURRENCY = (1, 4, 16)


@dataclass(frozen=True)
class Shot:
    """One request: which image, how long it took in seconds, the status, and the body."""

    image: int
    seconds: float
    status: int
    body: bytes


def encoded(image: Image.Image, kind: str) -> bytes:
    """The content of an image file."""
    buffer = BytesIO()
    image.save(buffer, kind, quality=90)
    return buffer.getvalue()


def images(kind: str) -> list[bytes]:
    """Distinct image files: ``"photos"`` or ``"crops"``."""
    whole = Image.open(sample_portrait()).convert("RGB")
    if kind == "photos":
        shifted = (
            whole.transform(whole.size, Image.Transform.AFFINE, (1, 0, 9 * n - 50, 0, 1, 0))
            for n in range(VARIANTS)
        )
        return [encoded(image, "JPEG") for image in shifted]
    boxes = ((166 + 2 * n, 60 + n, 286 - n, 180 - 2 * n) for n in range(VARIANTS))
    return [encoded(whole.crop(box).resize((64, 64)), "PNG") for box in boxes]


@contextmanager
def service(*arguments: object) -> Iterator[str]:
    """``crossfer serve`` in a process of its own; gives its address."""
    command = [sys.executable, "-m", "crossfer", "serve", "--port", "0", *map(str, arguments)]
    popen = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # noqa: S603
    try:
        assert popen.stderr is not None
        found = re.search(r"serving at (\S+?/),", popen.stderr.readline())
        assert found, "the service did not start"
        yield found[1]
    finally:
        popen.terminate()
        popen.wait()


async def one(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[int, bytes]:
    """Sends a request and reads its answer: status and body."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    found = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    assert found is not None
    return int(head.split(b" ", 2)[1]), await reader.readexactly(int(found[1]))


def post(image: bytes) -> bytes:
    """A whole request with an image."""
    return (
        b"POST /v1/recognize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"
        b"Content-Length: %d\r\n\r\n" % len(image)
    ) + image


async def load(address: str, files: Sequence[bytes], requests: int, concurrency: int) -> list[Shot]:
    """Sends that many requests over that many connections, each the next as soon as one is answered."""
    place = urlsplit(address)
    shots: list[Shot] = []
    left = iter(range(requests))

    async def client() -> None:
        reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=1 << 24)
        for number in left:
            which = number % len(files)
            start = time.perf_counter()
            status, body = await one(reader, writer, post(files[which]))
            shots.append(Shot(which, time.perf_counter() - start, status, body))
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(client() for _ in range(concurrency)))
    return shots


def expected(files: Sequence[bytes], recognizer: Recognizer) -> list[list[dict]]:
    """What is right for each image, from the library, one image at a time."""
    return [[face.to_dict() for face in recognizer.recognize(file)] for file in files]


def is_right(shot: Shot, answers: Sequence[list[dict]]) -> bool:
    """Whether a response is the offline answer to the image that it was asked about."""
    if shot.status != 200:
        return False
    faces, right = json.loads(shot.body)["images"][0]["faces"], answers[shot.image]
    return len(faces) == len(right) and all(map(_same, faces, right))


def _same(face: dict, right: dict) -> bool:
    shares = zip(face.pop("probabilities").items(), right["probabilities"].items(), strict=True)
    near = all(a == b and abs(p - q) <= WITHIN for (a, p), (b, q) in shares)
    near = near and abs(face.pop("confidence") - right["confidence"]) <= WITHIN
    return near and face == {key: value for key, value in right.items() if key in face}


def measure(kind: str, rounds: int, seconds: float) -> int:
    """Prints a line for each concurrency; says how many answers were wrong."""
    files = images(kind)
    detector = "none" if kind == "crops" else "centerface"
    answers = expected(files, Recognizer(detector=detector, threads=1))
    wrong = 0
    with ExitStack() as stack:
        pair = [stack.enter_context(service("--detector", detector, "--batch-size", n)) for n in (32, 1)]
        speed = len(run(pair[0], files, 50, 4)[0]) / run(pair[0], files, 50, 4)[1]
        for concurrency in CONCURRENCY:
            requests = max(2 * concurrency, round(speed * seconds))
            taken = [[run(address, files, requests, concurrency) for address in pair] for _ in range(rounds)]
            wrong += sum(not is_right(shot, answers) for both in taken for shots, _ in both for shot in shots)
            report(kind, concurrency, requests, taken)
    return wrong


def run(address: str, files: Sequence[bytes], requests: int, concurrency: int) -> tuple[list[Shot], float]:
    """The shots of one run, and how many seconds it took."""
    start = time.perf_counter()
    shots = asyncio.run(load(address, files, requests, concurrency))
    return shots, time.perf_counter() - start


def report(
    kind: str, concurrency: int, requests: int, taken: Sequence[Sequence[tuple[list[Shot], float]]]
) -> None:
    """Prints one line: for each service rate and percentiles, and the ratio of their rates."""
    ratios = [without / batched for (_, batched), (_, without) in taken]
    line = f"{kind:7}{concurrency:4} at once {requests:6} a round"
    for side, name in enumerate(("batched", "without")):
        rate = statistics.median(requests / both[side][1] for both in taken)
        times = np.array([shot.seconds for both in taken for shot in both[side][0]]) * 1000
        p50, p99 = np.percentile(times, (50, 99))
        line += f" | {name} {rate:7.1f}/s p50 {p50:7.1f} ms p99 {p99:7.1f} ms ({p99 / p50:.1f}x)"
    print(
        f"{line} | ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})", flush=True
    )


def resident(address: str) -> float:
    """MiB, from the service's own metrics."""

    async def ask() -> bytes:
        place = urlsplit(address)
        reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=1 << 24)
        _, body = await one(reader, writer, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        writer.close()
        return body

    found = re.search(rb"^process_resident_memory_bytes (\S+)", asyncio.run(ask()), re.MULTILINE)
    assert found is not None
    return float(found[1]) / 2**20


def remember(requests: int, steps: int = 10) -> int:
    """Prints resident memory as requests go by; says how many answers were wrong."""
    files = images("photos") + images("crops")
    answers = expected(files, Recognizer(threads=1))
    wrong = 0
    with service() as address:
        for step in range(steps + 1):
            print(f"{step * requests // steps:7} requests {resident(address):8.1f} MiB", flush=True)
            if step < steps:
                shots, _ = run(address, files, requests // steps, 16)
                wrong += sum(not is_right(shot, answers) for shot in shots)
    return wrong


def main() -> None:
    """Exits with status 1 if an answer was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=positive_int, default=5)
    parser.add_argument("--seconds", type=positive_float, default=6.0, help="about how long one run takes")
    parser.add_argument("--kind", choices=("photos", "crops"), action="append")
    parser.add_argument(
        "--memory", type=positive_int, metavar="N", help="watch memory over N requests instead"
    )
    options = parser.parse_args()
    if options.memory:
        wrong = remember(options.memory)
    else:
        wrong = sum(
            measure(kind, options.rounds, options.seconds) for kind in options.kind or ("photos", "crops")
        )
    print(f"{wrong} wrong answers")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    run_script(main)
