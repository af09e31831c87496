"""``crossfer serve`` as people start and stop it."""

from __future__ import annotations

import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from crossfer import Recognizer, cli
from crossfer.cli.serve import MEGAPIXEL, MOST_MEGAPIXELS
from crossfer.images.read import open_image
from crossfer.serve.access import is_loopback, read_token
from serve.conftest import encoded
from support.command import run_main
from support.live import TOKEN, process

SECONDS = 60.0
EVERYWHERE = "0.0.0.0"  # noqa: S104 - what is tested is that it needs a token


@pytest.fixture(scope="module")
def crop() -> bytes:
    """A PNG file of 1,000 x 1,000 pixels of noise: a few megabytes."""
    return encoded(np.random.default_rng(0).integers(0, 255, (1000, 1000, 3), np.uint8))


def get(url: str, path: str, **options: object) -> httpx.Response:
    return httpx.get(url + path, timeout=SECONDS, trust_env=False, **options)


def post(url: str, image: bytes, **options: object) -> httpx.Response:
    files = {"image": ("secret-name.png", image)}
    return httpx.post(f"{url}v1/recognize", files=files, timeout=SECONDS, trust_env=False, **options)


def run(*arguments: object, **environment: str):
    words = ["serve", "--port", "0", *map(str, arguments)]
    return CliRunner().invoke(cli.app, words, env={"CROSSFER_TOKEN": None, **environment})


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_images_of_as_many_pixels_as_can_be_allowed_are_opened():
    most = MOST_MEGAPIXELS * MEGAPIXEL
    buffer = BytesIO()
    Image.new("1", (MOST_MEGAPIXELS * 100, MEGAPIXEL // 100)).save(buffer, "PNG")
    with open_image(buffer.getvalue(), "it", most) as image:
        assert image.width * image.height == most
    result = run("--host", EVERYWHERE, "--max-pixels", MOST_MEGAPIXELS + 1)
    assert result.exit_code == 2
    assert "--max-pixels" in result.stderr


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.0.2.1"])
def test_without_a_token_it_does_not_listen_where_others_reach_it(host):
    result = run("--host", host)
    assert result.exit_code == 1
    assert "refusing to listen on" in str(result.exception)
    assert "CROSSFER_TOKEN" in str(result.exception)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        (EVERYWHERE, False),
        ("::", False),
    ],
)
def test_what_is_loopback(host, loopback):
    assert is_loopback(host) == loopback


@pytest.mark.parametrize("host", ["no such host", "a" * 70, f"{'a' * 70}.example", f"{'ä' * 70}.example"])
@pytest.mark.parametrize("token", [None, TOKEN])
def test_a_host_that_is_none_is_one_line(host, token):
    result = run("--host", host, **({"CROSSFER_TOKEN": token} if token else {}))
    assert result.exit_code == 1
    assert f"host {host!r}: cannot be resolved" in str(result.exception)
    assert "codec" not in str(result.exception)


def test_an_empty_host_is_a_usage_error(monkeypatch):
    said = run_main(monkeypatch, "serve", "--host", "")
    assert str(said).startswith("crossfer: expected a name or value after --host, found nothing")


def test_a_site_that_is_none_is_one_line(monkeypatch):
    said = run_main(monkeypatch, "serve", "--allow-origin", "https://example.org/", "--allow-origin", "*")
    assert str(said).startswith("crossfer: --allow-origin '*': expected scheme, host (in ASCII) and port")


@pytest.mark.parametrize("token", ["", "short", "a" * 15, "with space in the middle", "ümlaut-ümlaut-ümlaut"])
def test_a_weak_token_is_refused_and_not_repeated(tmp_path, token):
    (tmp_path / "token").write_text(token)
    for arguments, environment in (
        (["--token-file", tmp_path / "token"], {}),
        ([], {"CROSSFER_TOKEN": token}),
    ):
        result = run("--host", EVERYWHERE, *arguments, **environment)
        assert result.exit_code == 1
        assert "expected a token of at least 16" in str(result.exception)
        assert not token or token not in str(result.exception)


def test_the_file_comes_before_the_environment(tmp_path):
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    assert read_token(tmp_path / "token", {"CROSSFER_TOKEN": "x" * 20}) == TOKEN
    assert read_token(None, {"CROSSFER_TOKEN": "x" * 20}) == "x" * 20
    assert read_token(None, {}) is None
    (tmp_path / "token").write_bytes(bytes(5000))
    with pytest.raises(ValueError, match="larger file"):
        read_token(tmp_path / "token", {})


def test_a_port_that_is_taken_is_one_line():
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        result = run("--port", taken.getsockname()[1])
    assert result.exit_code == 1
    assert "cannot listen on 127.0.0.1" in str(result.exception)
    assert "--port" in str(result.exception)


@pytest.mark.parametrize(
    "options",
    [
        ["--port", "70000"],
        ["--coverage", "2"],
        ["--detector", "haar"],
        ["--queue", "0"],
        ["--batch-size", "0"],
        ["--token", "x"],
        ["--token-file", "nowhere"],
    ],
)
def test_bad_options_are_usage_errors(options):
    assert run(*options).exit_code == 2


def test_a_certificate_without_its_key_is_a_usage_error(monkeypatch):
    said = run_main(monkeypatch, "serve", "--tls-cert", __file__)
    assert said == "crossfer: expected both --tls-cert and --tls-key, or neither"


def test_a_model_that_cannot_do_what_is_asked_is_one_line(tiny_model):
    result = run("--model", tiny_model, "--abstain")
    assert result.exit_code == 1
    assert "crossfer calibrate" in str(result.exception)


def test_sigterm_finishes_what_was_taken_on(tmp_path, tiny_model, crop):
    """Ten requests are being worked on or wait when the signal comes; all are answered, and then it ends."""
    arguments = ("--model", tiny_model, "--detector", "none", "--workers", 1)
    with process(tmp_path / "log", *arguments) as server, ThreadPoolExecutor(10) as pool:
        answers = [pool.submit(post, server.url, crop) for _ in range(10)]
        while "in_flight 10.0" not in get(server.url, "metrics").text:
            time.sleep(0.005)
        server.popen.send_signal(signal.SIGTERM)
        assert [answer.result().status_code for answer in answers] == [200] * 10
        assert server.popen.wait(SECONDS) in {0, -signal.SIGTERM}
        with pytest.raises(httpx.ConnectError):
            get(server.url, "healthz")
    assert "Traceback" not in server.log.read_text()


def test_after_kill_clients_see_errors_and_a_restart_works(tmp_path, tiny_model, crop):
    arguments = ("--model", tiny_model, "--detector", "none")
    outcomes: list[object] = []

    def load(url: str) -> None:
        for _ in range(20):
            try:
                outcomes.append(len(post(url, crop).json()["images"]))
            except httpx.TransportError as error:
                outcomes.append(error)
                return

    with process(tmp_path / "log", *arguments) as server:
        threads = [threading.Thread(target=load, args=(server.url,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        while len(outcomes) < 3:
            time.sleep(0.01)
        server.stop(signal.SIGKILL)
        for thread in threads:
            thread.join(SECONDS)
    assert [outcome for outcome in outcomes if isinstance(outcome, int)] == [1] * (len(outcomes) - 4)
    assert len([outcome for outcome in outcomes if isinstance(outcome, httpx.TransportError)]) == 4
    port = server.url.rsplit(":", 1)[1].strip("/")
    with process(tmp_path / "again", *arguments, "--port", port) as server:
        assert post(server.url, crop).status_code == 200


def test_ctrl_c_is_quiet(tmp_path, tiny_model):
    with process(tmp_path / "log", "--model", tiny_model) as server:
        assert server.stop(signal.SIGINT) == 130
        assert len(server.log.read_text().splitlines()) == 1


AUDITED = """
import sys

def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and set(arguments[1] or "") & set("wax+"):
        sys.stderr.write(f"WRITES {arguments[0]}\\n")
    if event.startswith("tempfile."):
        sys.stderr.write(f"WRITES {event}\\n")

from crossfer.cli import main
sys.argv = ["crossfer", *sys.argv[1:]]
sys.addaudithook(watch)
main()
"""


def test_images_are_never_written_to_disk_nor_logged(tmp_path, tiny_model, crop):
    """Not even where the usual parser would put a large upload into a temporary file."""
    arguments = ["serve", "--port", "0", "--model", str(tiny_model), "--detector", "none"]
    popen = subprocess.Popen([sys.executable, "-c", AUDITED, *arguments], stderr=subprocess.PIPE, text=True)
    assert popen.stderr is not None
    found = re.search(r"serving at (\S+?/),", popen.stderr.readline())
    assert found
    assert len(crop) > 2 << 20
    assert post(found[1], crop).status_code == 200
    assert post(found[1], crop[:-1000] + b"junk").status_code == 422
    assert post(found[1], crop * 6).status_code == 413
    popen.send_signal(signal.SIGTERM)
    _, log = popen.communicate(timeout=SECONDS)
    assert log == ""


def test_the_audit_would_notice():
    script = AUDITED.replace("main()", "import tempfile; tempfile.TemporaryFile().write(b'x')")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "WRITES" in done.stderr


def certificate(folder: Path, *protection: str) -> tuple[Path, Path]:
    """A chain for 127.0.0.1 and its key, made by openssl, whose option ``-nodes`` leaves the key plain."""
    key, chain = folder / "key.pem", folder / "chain.pem"
    made = subprocess.run(
        ["/usr/bin/env", "openssl", "req", "-x509",
         "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", *protection,
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2",
         "-keyout", str(key), "-out", str(chain)],
        check=False, capture_output=True,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("openssl cannot make a certificate here")
    return chain, key


def test_https(tmp_path, tiny_model):
    chain, key = certificate(tmp_path, "-nodes")
    with process(tmp_path / "log", "--model", tiny_model, "--tls-cert", chain, "--tls-key", key) as server:
        assert server.url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=str(chain))
        assert get(server.url, "healthz", verify=context).status_code == 200


def test_files_that_are_no_certificate_are_one_line():
    result = run("--tls-cert", __file__, "--tls-key", __file__)
    assert result.exit_code == 1
    assert "expected a certificate chain and its private key" in str(result.exception)
    assert "\n" not in str(result.exception)


def test_a_key_with_a_pass_phrase_is_one_line_and_no_question(tmp_path):
    chain, key = certificate(tmp_path, "-passout", "pass:phrase")
    result = run("--tls-cert", chain, "--tls-key", key)
    assert result.exit_code == 1
    assert str(result.exception).startswith(f"{key}: expected a private key without a pass phrase")
    assert f"openssl pkey -in {key}" in str(result.exception)
    assert "\n" not in str(result.exception)


def test_a_token_from_the_environment_is_asked_for(tmp_path, tiny_model, astronaut_path):
    arguments = ("--model", tiny_model, "--host", EVERYWHERE, "--detector", "none")
    with process(tmp_path / "log", *arguments, environment={"CROSSFER_TOKEN": TOKEN}) as server:
        url = server.url.replace(EVERYWHERE, "127.0.0.1")
        photo = Path(astronaut_path).read_bytes()
        assert post(url, photo).status_code == 401
        answer = post(url, photo, headers={"Authorization": f"Bearer {TOKEN}"})
        assert answer.json()["images"][0]["faces"][0]["expression"] == (
            Recognizer(tiny_model, "none").recognize(photo)[0].expression
        )
        assert TOKEN not in Path(f"/proc/{server.popen.pid}/cmdline").read_text()
