"""Requests made up from the description: nothing crashes, and every answer is one that is described."""

from __future__ import annotations

from urllib.parse import quote

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi import checks

from crossfer.serve.limits import HEADER_BYTES
from crossfer.serve.problems import MEDIA_TYPE, TYPE_PREFIX

CHECKS = [
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.status_code_conformance,
]
PHASES = (Phase.explicit, Phase.generate)


@pytest.fixture(scope="module")
def described(client: httpx.Client):
    schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    schema.config.update(base_url=str(client.base_url).rstrip("/"))
    return schema


def ask(described, examples: int) -> int:
    """Calls every operation with made-up cases; says how many calls there were."""
    calls = 0
    for found in described.get_all_operations():
        operation = found.ok()
        modes = list(schemathesis.GenerationMode)
        for mode in modes if operation.body else modes[:1]:  # without parameters nothing can be wrong

            @settings(max_examples=examples, phases=PHASES, suppress_health_check=list(HealthCheck))
            @given(operation.as_strategy(generation_mode=mode))
            def call(case):
                nonlocal calls
                calls += 1
                response = case.call()
                case.validate_response(response, checks=CHECKS)
                assert response.status_code < 500
                assert "Traceback" not in response.text
                assert "site-packages" not in response.text

            call()
    return calls


def test_made_up_requests_are_answered_as_described(described):
    assert ask(described, 25) > 50


@pytest.mark.long
def test_many_made_up_requests_are_answered_as_described(described):
    assert ask(described, 500) > 1000


@pytest.mark.parametrize("fixture", ["client", "guarded"])
@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Cookie": "a" * HEADER_BYTES}, {}],
)
def test_what_is_refused_before_it_is_looked_at_is_described_too(request, fixture, headers):
    client = request.getfixturevalue(fixture)
    for path, operations in client.get("/openapi.json").json()["paths"].items():
        for method, operation in operations.items():
            response = client.request(method, path, headers=headers)
            described = operation["responses"][str(response.status_code)]["content"]
            assert "500" in operation["responses"]
            assert "busy" in operation["responses"]["503"]["content"][MEDIA_TYPE]["examples"]
            if response.status_code >= 400:
                name = response.json()["type"].removeprefix(TYPE_PREFIX)
                assert name in described[MEDIA_TYPE]["examples"]


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "OPTIONS", "BREW"]),
    path=st.text(max_size=30).map(quote),
    body=st.binary(max_size=50),
)
def test_any_address_with_any_method_gives_an_answer_or_a_problem(client, method, path, body):
    address = httpx.URL(str(client.base_url)).copy_with(path="/" + path)
    response = client.request(method, address, content=body)
    assert response.status_code < 500
    if response.status_code >= 400:
        assert response.headers["content-type"] == "application/problem+json"
