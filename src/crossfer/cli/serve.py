"""``crossfer serve``: an HTTP service and a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossfer.cli.errors import UsageError, need_extra, usage
from crossfer.cli.options import Detector, DetectorSide, MinFaceScore, Model, need_detector
from crossfer.cli.output import remark
from crossfer.defaults import DETECTOR_SIDE, LEAST_COVERAGE, MIN_FACE_SCORE, MOST_COVERAGE
from crossfer.serve.limits import BATCH_DELAY, BATCH_SIZE, Limits

if TYPE_CHECKING:
    from crossfer.serve.server import Certificate

MIB, MEGAPIXEL = 1 << 20, 1_000_000
MOST_MEGAPIXELS = 178  # Pillow opens nothing larger, since it allocates some images before it says their size


def serve(
    *,
    host: Annotated[
        str, typer.Option(help="Address to listen on; one that others can reach needs a token.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="File with the token that clients must show; else CROSSFER_TOKEN is used.",
        ),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL", help="Let pages of this site use the service (CORS), as in https://example.org."
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Certificate chain (PEM).")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Its private key (PEM).")
    ] = None,
    model: Model = "default",
    detector: Detector = "centerface",
    min_face_score: MinFaceScore = MIN_FACE_SCORE,
    detector_side: DetectorSide = DETECTOR_SIDE,
    coverage: Annotated[
        float | None,
        typer.Option(
            min=LEAST_COVERAGE,
            max=MOST_COVERAGE,
            metavar="SHARE",
            help="Give prediction sets where a request does not say.",
        ),
    ] = None,
    abstain: Annotated[
        bool, typer.Option("--abstain", help="Answer 'uncertain' where a request does not say.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Images that are worked on at once; else one a core.")
    ] = None,
    batch_size: Annotated[
        int,
        typer.Option(
            min=1, max=1024, help="Faces of all requests that are recognised together; 1: no batching."
        ),
    ] = BATCH_SIZE,
    batch_delay: Annotated[
        float,
        typer.Option(
            min=0, max=1000, metavar="MS", help="How long found faces wait at most for those of other images."
        ),
    ] = round(1000 * BATCH_DELAY),
    max_body: Annotated[
        float, typer.Option(min=0.001, max=4096, metavar="MIB", help="Largest request.")
    ] = Limits.body // MIB,
    max_pixels: Annotated[
        float,
        typer.Option(min=0.001, max=MOST_MEGAPIXELS, metavar="MP", help="Largest image, in megapixels."),
    ] = Limits.pixels // MEGAPIXEL,
    max_faces: Annotated[
        int, typer.Option(min=1, help="Faces of an image that are recognised, the largest first.")
    ] = Limits.faces,
    max_images: Annotated[int, typer.Option(min=1, help="Images in one request.")] = Limits.images,
    max_streams: Annotated[int, typer.Option(min=1, help="Streams that are open at once.")] = Limits.streams,
    queue: Annotated[
        int, typer.Option(min=1, help="Requests taken on at once; more are answered 503.")
    ] = Limits.queue,
    timeout: Annotated[
        float,
        typer.Option(
            min=0.1, max=86400, metavar="S", help="For a request to arrive, and again for its answer."
        ),
    ] = Limits.timeout,
) -> None:
    """Serve recognition over HTTP and WebSocket, and a page to use it in a browser.

    The page is at the address printed, the description of the interface at /openapi.json. Images are kept in
    memory until they are answered and never written to disk. Ctrl-C or SIGTERM finishes what was taken on.
    """
    need_extra("serve")
    need_detector(detector, min_face_score, detector_side)
    from crossfer.runtime.bundle import resolve_model
    from crossfer.serve.access import Access, check_host, read_origin, read_token
    from crossfer.serve.model_info import evaluation_fault
    from crossfer.serve.server import serve as run
    from crossfer.serve.service import Service
    from crossfer.system.cores import usable_cores

    certificate = _certificate(tls_cert, tls_key)
    with usage():
        origins = tuple(map(read_origin, allow_origin or ()))
    token = read_token(token_file)
    check_host(host, token)
    cores = usable_cores()
    service = Service(
        model=model,
        detector=detector,
        min_face_score=min_face_score,
        detector_side=detector_side,
        coverage=coverage,
        abstain=abstain,
        workers=workers or cores,
        threads=max(1, cores // (workers or cores)),
        batch_size=batch_size,
        batch_delay=batch_delay / 1000,
        limits=Limits(
            body=round(max_body * MIB),
            pixels=round(max_pixels * MEGAPIXEL),
            faces=max_faces,
            images=max_images,
            queue=queue,
            timeout=timeout,
            streams=max_streams,
        ),
        access=Access(token, host, origins),
    )
    if fault := evaluation_fault(resolve_model(model)):
        remark(fault)
    guarded = ", with the token" if token else ", for this machine only"
    run(service, port, certificate, lambda place: remark(f"serving at {place}{guarded}; Ctrl-C stops"))


def _certificate(chain: Path | None, key: Path | None) -> Certificate | None:
    from crossfer.serve.server import Certificate

    if (chain is None) != (key is None):
        raise UsageError("expected both --tls-cert and --tls-key, or neither")
    return None if chain is None or key is None else Certificate(chain, key)
