"""The service over real HTTP: its answers are those of the recogniser, its errors are problems."""

from __future__ import annotations

import json
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
from PIL import ImageFile

import crossfer
from crossfer import Recognizer
from crossfer.runtime.bundle import BundleError
from crossfer.runtime.decision import Decision
from crossfer.serve import app, server
from crossfer.serve.app import create_app
from crossfer.serve.guard import SECURITY_HEADERS
from crossfer.serve.problems import MEDIA_TYPE, PROBLEMS, TYPE_PREFIX
from crossfer.serve.schema import EXAMPLE, Models, Recognition
from crossfer.serve.server import bind
from crossfer.serve.service import Service
from crossfer.serve.site import page_files
from crossfer.types import Face
from serve.conftest import encoded
from support.bundles import damaged_bundle
from support.live import TOKEN, running

BEARER = {"Authorization": f"Bearer {TOKEN}"}


def is_problem(response: httpx.Response, name: str) -> bool:
    """Whether it is the problem of that name, in the RFC's form; anything else about it fails."""
    assert response.headers["content-type"] == MEDIA_TYPE
    values = response.json()
    assert values["status"] == response.status_code
    assert {"type", "title", "detail"} <= set(values)
    assert "Traceback" not in response.text
    assert str(Path(crossfer.__file__).parent) not in response.text
    assert values["type"].startswith(TYPE_PREFIX)
    return values["type"] == TYPE_PREFIX + name


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_answers_are_sent_without_delay(host):
    # asyncio switches Nagle's algorithm off only where a socket names its protocol.
    with bind(host, 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP


def test_a_port_is_one_process_s(monkeypatch):
    """By another option on Windows, which Linux has not: it is told by the number of one that it has."""
    with bind("127.0.0.1", 0) as listening:
        assert listening.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        with pytest.raises(OSError, match=r"cannot listen on 127\.0\.0\.1 port \d+ \(.*; choose another"):
            bind("127.0.0.1", listening.getsockname()[1])
    monkeypatch.setattr(server, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_KEEPALIVE, raising=False)
    with bind("127.0.0.1", 0) as listening:
        assert not listening.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        assert listening.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def post(client: httpx.Client, *images: bytes, **parameters: object) -> httpx.Response:
    files = [("image", (f"{n}.png", image)) for n, image in enumerate(images)]
    return client.post("/v1/recognize", files=files, params=parameters)


def assert_same(answer: list[dict], faces: list[Face], wish: Decision | None = None) -> None:
    """The faces of an answer are those of the recogniser; batches round probabilities differently."""
    assert len(answer) == len(faces)
    for found, face in zip(answer, faces, strict=True):
        expected = face.to_dict()
        if wish:
            expected |= wish(face.prediction).to_dict()
        for key in ("probabilities", "confidence"):
            assert found[key] == pytest.approx(expected[key], abs=2e-6)
            expected[key] = found[key]
        assert found == expected


def test_a_photo_is_answered_as_the_recogniser_answers_it(client, recognizer, photo):
    response = post(client, photo)
    assert response.status_code == 200
    values = response.json()
    Recognition.model_validate(values)
    (image,) = values["images"]
    assert (values["model"], image["name"], image["width"], image["height"]) == ("tiny", "0.png", 160, 160)
    assert_same(image["faces"], recognizer.recognize(photo))
    assert len(image["faces"]) == 1


@pytest.mark.parametrize("kind", ["image/png", "application/octet-stream", "image/jpeg"])
def test_raw_bytes_are_answered_whatever_image_type_they_claim(client, recognizer, photo, kind):
    response = client.post("/v1/recognize", content=photo, headers={"Content-Type": kind})
    assert_same(response.json()["images"][0]["faces"], recognizer.recognize(photo))


def test_several_images_come_back_in_order_with_their_own_errors(client, photo):
    grey = encoded(np.full((20, 30, 3), 128, np.uint8))
    response = post(client, photo, b"no image", grey, photo[:300])
    assert response.status_code == 200
    images = response.json()["images"]
    Recognition.model_validate(response.json())
    assert [image["name"] for image in images] == ["0.png", "1.png", "2.png", "3.png"]
    assert [len(image["faces"]) for image in images] == [1, 0, 0, 0]
    assert [image["error"] is None for image in images] == [True, False, True, False]
    assert images[1]["error"]["detail"].startswith("1.png: expected a JPEG, PNG, WebP, BMP or TIFF image")
    assert "truncated" in images[3]["error"]["detail"]


def test_if_no_image_can_be_used_the_answer_is_a_problem(client):
    response = post(client, b"junk", b"")
    assert is_problem(response, "unusable-image")
    assert "0.png" in response.json()["detail"]
    assert "1.png" in response.json()["detail"]


def test_sets_abstention_and_top_k_are_those_of_the_decision(client, recognizer, photo):
    (image,) = post(client, photo, coverage=0.9, abstain=True).json()["images"]
    wish = Decision.of(recognizer.meta, 0.9, abstain=True)
    assert_same(image["faces"], recognizer.recognize(photo), wish)
    (image,) = post(client, photo, top_k=2).json()["images"]
    assert list(image["faces"][0]["probabilities"]) == [
        name for name, _ in recognizer.recognize(photo)[0].prediction.top(2)
    ]


def test_evidence_is_given_on_request_and_sums_to_the_logits(client, recognizer, photo):
    (image,) = post(client, photo, evidence=True).json()["images"]
    Recognition.model_validate(post(client, photo, evidence=True).json())
    (face,) = recognizer.recognize(photo)
    evidence = image["faces"][0]["evidence"]
    for index, cells in enumerate(evidence["cells"].values()):
        np.testing.assert_allclose(cells, face.prediction.evidence[index], atol=1e-4)
        assert np.sum(cells) == pytest.approx(face.prediction.logits[index], abs=36e-4)
    assert list(evidence["cells"]) == list(recognizer.meta.labels)
    assert evidence["region"]["width"] == evidence["region"]["height"] > face.box.width / 2


def test_without_a_detector_each_image_is_a_face(guarded, model, photo):
    guarded.headers.update(BEARER)
    (image,) = post(guarded, photo, evidence=True).json()["images"]
    guarded.headers.pop("Authorization")
    expected = Recognizer(model, "none", threads=1).recognize(photo)
    assert image["faces"][0].pop("evidence")["region"] == {"x": 0, "y": 0, "width": 160, "height": 160}
    assert_same(image["faces"], expected)


def test_what_the_service_is_started_with_holds_where_a_request_does_not_say(model, photo):
    with running(Service(model, coverage=0.9, abstain=True, batch_size=1)) as client:
        face = post(client, photo).json()["images"][0]["faces"][0]
        assert {"prediction_set", "answer"} <= set(face)
        assert "answer" not in post(client, photo, abstain=False).json()["images"][0]["faces"][0]
        assert client.get("/v1/models").json()["defaults"]["coverage"] == 0.9


def test_answers_under_load_are_all_right(client, recognizer, astronaut):
    images = [encoded(astronaut[20 : 180 + n, 140 : 300 + 2 * n].copy()) for n in range(0, 24, 3)]
    expected = [recognizer.recognize(image) for image in images]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: (n % 8, post(client, images[n % 8])), range(48)))
    for n, response in answers:
        assert_same(response.json()["images"][0]["faces"], expected[n])
    batches = client.get("/metrics").text
    assert "crossfer_batch_faces_count" in batches


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"coverage": 0.2}, "coverage"),
        ({"coverage": "often"}, "coverage"),
        ({"coverage": "nan"}, "coverage"),
        ({"top_k": 0}, "top_k"),
        ({"abstain": "perhaps"}, "abstain"),
        ({"evidence": "<script>"}, "evidence"),
    ],
)
def test_parameters_out_of_range_are_problems_that_do_not_repeat_them(client, photo, parameters, word):
    response = post(client, photo, **parameters)
    assert is_problem(response, "invalid-parameter")
    assert response.json()["errors"][0]["parameter"] == word
    assert "script" not in response.text


def test_a_model_without_calibration_says_so(tiny_model, photo):
    with running(Service(tiny_model)) as client:
        response = post(client, photo, coverage=0.9)
        assert is_problem(response, "not-calibrated")
        assert "crossfer calibrate" in response.json()["detail"]
        models = client.get("/v1/models").json()
        Models.model_validate(models)
        assert (models["models"][0]["calibrated"], models["models"][0]["accuracy"]) == (False, None)


@pytest.mark.parametrize(
    ("method", "path", "name", "status"),
    [
        ("GET", "/nothing", "not-found", 404),
        ("GET", "/page/../../server.py", "not-found", 404),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", "not-found", 404),
        ("GET", "//etc/passwd", "not-found", 404),
        ("GET", "/docs", "not-found", 404),
        ("GET", "/v1/recognize", "method-not-allowed", 405),
        ("DELETE", "/", "method-not-allowed", 405),
        ("PUT", "/v1/models", "method-not-allowed", 405),
        ("TRACE", "/healthz", "method-not-allowed", 405),
        ("GET", "/v1/stream", "upgrade-required", 426),
        ("POST", "/v1/stream", "upgrade-required", 426),
        ("OPTIONS", "/v1/stream", "upgrade-required", 426),
    ],
)
def test_addresses_and_methods_that_are_not_there_are_problems(client, method, path, name, status):
    response = client.request(method, path)
    assert is_problem(response, name)
    assert response.status_code == status
    assert ("Allow" in response.headers) == (status == 405)
    assert (response.headers.get("Upgrade") == "websocket") == (status == 426)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": ""},
        {"Content-Type": "multipart/mixed; boundary=x"},
        {"Content-Type": "image/svg+xml"},
        {"Content-Type": "image/png", "Content-Encoding": "gzip"},
    ],
)
def test_other_content_types_are_problems(client, photo, headers):
    response = client.post("/v1/recognize", content=photo, headers=headers)
    assert is_problem(response, "unsupported-type")
    assert response.status_code == 415


def test_an_unhandled_error_is_a_problem_without_its_text(model, photo, caplog):
    class Broken(Recognizer):
        def answer(self, found):
            if found[0].places:
                raise ZeroDivisionError("secret /some/path")
            return super().answer(found)

    with running(Service(model), Broken(model, threads=1)) as client:
        response = post(client, photo)
        assert is_problem(response, "internal")
        assert response.status_code == 500
        assert "secret" not in response.text
        assert response.json()["instance"].removeprefix("urn:uuid:") in caplog.text
        assert client.get("/readyz").status_code == 200


def test_a_model_without_a_finite_answer_is_not_served(tmp_path):
    service = Service(damaged_bundle(tmp_path / "damaged.onnx"))
    with pytest.raises(
        BundleError, match=r"^model 'tiny': expected finite logits and evidence, found others"
    ):
        create_app(service)


def test_answers_that_are_not_finite_are_no_fault_of_the_image(tmp_path, photo, caplog, monkeypatch):
    monkeypatch.setattr(Recognizer, "classify", lambda *_: [])  # as if a blank image were answered
    with running(Service(damaged_bundle(tmp_path / "damaged.onnx"))) as client:
        response = post(client, photo)
        assert is_problem(response, "internal")
        assert response.status_code == 500
        assert "expected finite logits" in caplog.text


def test_want_of_memory_is_no_fault_of_the_image(model, photo, caplog, monkeypatch):
    def short(image: ImageFile.ImageFile) -> None:
        raise MemoryError

    with running(Service(model)) as client:
        monkeypatch.setattr(ImageFile.ImageFile, "load", short)
        response = post(client, photo)
        assert is_problem(response, "busy")
        assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
        assert "expected memory to decode it" in caplog.text
        monkeypatch.undo()
        assert post(client, photo).status_code == 200


def test_want_of_memory_for_one_image_leaves_the_others_their_answers(model, photo, monkeypatch):
    loads, big = ImageFile.ImageFile.load, encoded(np.zeros((78, 77, 3), np.uint8))

    def short(image: ImageFile.ImageFile) -> object:
        if image.size == (77, 78):
            raise MemoryError
        return loads(image)

    with running(Service(model)) as client:
        monkeypatch.setattr(ImageFile.ImageFile, "load", short)
        first, second = post(client, photo, big).json()["images"]
        assert first["error"] is None
        assert second["error"]["type"] == f"{TYPE_PREFIX}busy"
        assert post(client, b"no image", big).status_code == 503
        refused = 'crossfer_images_total{outcome="refused"} 3.0'
        assert refused in client.get("/metrics").text


def test_every_answer_carries_the_security_headers(client, photo):
    for response in (client.get("/"), client.get("/none"), post(client, photo), post(client, b"")):
        assert {name: response.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
        assert "server" not in response.headers


def test_the_default_model_is_described_with_its_accuracy_and_answers_the_example(astronaut_path):
    with running(Service("default")) as client:
        values = client.get("/v1/models").json()
        answer = post(client, astronaut_path.read_bytes(), coverage=0.9, abstain=True, top_k=3).json()
    assert answer["model"] == EXAMPLE["model"] == values["models"][0]["name"]
    assert {**answer["images"][0], "name": "photo.jpg"} == nearly(EXAMPLE["images"][0])
    Models.model_validate(values)
    (model,) = values["models"]
    scored = json.loads((files("crossfer.models") / "base.json").read_text("utf-8"))
    assert (model["accuracy"]["n"], model["accuracy"]["accuracy"]) == (3152, scored["accuracy"])


def nearly(values: object) -> object:
    """The same values, numbers to within what processors round differently."""
    match values:
        case dict():
            return {key: nearly(value) for key, value in values.items()}
        case list():
            return [nearly(value) for value in values]
        case float():
            return pytest.approx(values, abs=0.02)
    return values


def test_metrics_count_what_happened(model, photo):
    with running(Service(model)) as client:
        post(client, photo)
        post(client, photo, b"")
        client.get("/made-up-by-a-client")
        client.get("/%7Bpath:path%7D")
        client.get("/v1/models", headers={"Origin": "https://evil.example"})
        post(client, encoded(np.full((20, 30, 3), 128, np.uint8)))  # no face, so no batch
        text = client.get("/metrics").text
    assert 'crossfer_requests_total{endpoint="/v1/recognize",status="200"} 3.0' in text
    assert 'crossfer_requests_total{endpoint="/v1/models",status="403"} 1.0' in text
    assert 'crossfer_requests_total{endpoint="other",status="404"} 2.0' in text
    assert 'crossfer_images_total{outcome="answered"} 3.0' in text
    assert 'crossfer_images_total{outcome="refused"} 1.0' in text
    assert "crossfer_faces_total 2.0" in text
    assert "crossfer_batch_faces_count 2.0" in text
    assert "crossfer_batch_faces_sum 2.0" in text
    assert "crossfer_requests_in_flight 0.0" in text
    assert "process_resident_memory_bytes" in text
    assert "made-up" not in text


def test_the_warm_up_is_not_counted(model):
    with running(Service(model, detector="none")) as client:
        text = client.get("/metrics").text
    assert "crossfer_faces_total 0.0" in text
    assert "crossfer_batch_faces_count 0.0" in text


def test_probes_answer(client):
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}
    for path in ("/healthz", "/readyz"):  # what some monitors ask
        head = client.head(path)
        assert (head.status_code, head.content) == (200, b"")


def test_the_description_names_every_problem_and_its_example_is_valid(client):
    described = client.get("/openapi.json").json()
    text = json.dumps(described)
    used = described["paths"]["/v1/recognize"]["post"]["responses"]
    assert {"200", "400", "401", "413", "415", "422", "503"} <= set(used)
    assert "HTTPValidationError" not in text
    Recognition.model_validate(EXAMPLE)
    assert set(re.findall(TYPE_PREFIX + "([a-z-]+)", text)) <= set(PROBLEMS)


def test_without_the_token_nothing_is_recognised(guarded, photo):
    assert is_problem(post(guarded, photo), "unauthorized")
    for path in ("/v1/models", "/metrics"):
        response = guarded.get(path)
        assert is_problem(response, "unauthorized")
        assert response.headers["www-authenticate"] == "Bearer"
    for path in ("/", "/healthz", "/readyz", "/openapi.json"):
        assert guarded.get(path).status_code == 200


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer wrong-wrong-wrong-wrong",
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}x",
        "Bearer",
        TOKEN,
        f"Bearer {TOKEN[:-1]}",
    ],
)
def test_a_wrong_token_is_no_token(guarded, authorization):
    response = guarded.get("/v1/models", headers={"Authorization": authorization})
    assert is_problem(response, "unauthorized")


def test_with_the_token_everything_works_under_any_name(guarded):
    for host in ("127.0.0.1", "faces.example.org"):
        assert guarded.get("/v1/models", headers={**BEARER, "Host": host}).status_code == 200
    assert guarded.get("/openapi.json").json()["components"]["securitySchemes"]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.evil.example:80"])
def test_without_a_token_another_name_is_refused(client, host):
    assert is_problem(client.get("/", headers={"Host": host}), "wrong-host")


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "file://", "http://["]
)
def test_pages_of_other_sites_are_refused(client, photo, origin):
    files = {"image": photo}
    response = client.post("/v1/recognize", files=files, headers={"Origin": origin})
    assert is_problem(response, "foreign-origin")
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("path", sorted(page_files()))
def test_the_page_loads_behind_a_proxy_that_names_another_host(client, path):
    """Browsers send the origin with module scripts; what it may not use says so then."""
    origin = {"Origin": "https://faces.example.org"}
    assert client.get(path, headers=origin).status_code == 200
    for guarded in ("/v1/models", "/v1/stream", "/v1/nothing", "/metrics"):
        assert is_problem(client.get(guarded, headers=origin), "foreign-origin")


def test_cors_is_for_the_sites_named(guarded):
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    for origin, allowed in (("https://allowed.example", True), ("https://evil.example", False)):
        response = guarded.options("/v1/recognize", headers={"Origin": origin, **preflight})
        assert (response.headers.get("access-control-allow-origin") == origin) == allowed
        assert allowed or is_problem(response, "foreign-origin")
        assert allowed or "origin" in response.headers["vary"].lower()
        response = guarded.get("/v1/models", headers={"Origin": origin, **BEARER})
        assert (response.status_code == 200) == allowed


def test_the_recogniser_is_made_as_the_service_says(model: Path, monkeypatch):
    made = []
    whole = app.Recognizer

    def recognizer(*values, **settings):
        made.append(whole(*values, **settings))
        return made[-1]

    monkeypatch.setattr(app, "Recognizer", recognizer)
    with running(Service(model, detector_side=1920, coverage=0.9, abstain=True)):
        pass
    (one,) = made
    assert (one.detector_side, one.coverage, one.abstain) == (1920, None, False)
