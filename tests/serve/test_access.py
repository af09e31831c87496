"""Which sites can be named, and that they are compared as browsers name them."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from crossfer.serve.access import Access, is_loopback, read_origin
from crossfer.serve.problems import Problem


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://a.org", "https://a.org"),
        ("https://a.org/", "https://a.org"),
        ("HTTPS://A.Org:443/", "https://a.org"),
        ("http://a.org:80", "http://a.org"),
        ("http://a.org:443", "http://a.org:443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("https://a_b.xn--bcher-kva.example:08443", "https://a_b.xn--bcher-kva.example:8443"),
        ("http://[::1]:5173/", "http://[::1]:5173"),
        ("capacitor://localhost", "capacitor://localhost"),
    ],
)
def test_a_site_is_allowed_as_browsers_name_it(text, origin):
    assert read_origin(text) == origin
    headers = Headers({"host": "127.0.0.1:8000", "origin": origin})
    Access(origins=(read_origin(text),)).check("/v1/models", headers)
    with pytest.raises(Problem):
        Access().check("/v1/models", headers)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "null",
        "a.org",
        "//a.org",
        "https://",
        "https://*.a.org",
        "https://a.org/page",
        "https://a.org//",
        "https://a.org?x",
        "https://a.org#x",
        "https://me@a.org",
        "https://a.org:",
        "https://a.org:65536",
        "https://a.org:http",
        "https://a.org,https://b.org",
        "https://a.org https://b.org",
        " https://a.org",
        "https://a.org\n",
        "https://bücher.example",
        "file:///",
    ],
)
def test_what_is_no_site_is_refused(text):
    with pytest.raises(ValueError, match=r"^--allow-origin .*: expected scheme, host") as refused:
        read_origin(text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost:8000", "127.0.0.1:80", "[::1]", "[::1]:8000", "Faces.local:8000", "faces.local"],
)
def test_without_a_token_this_machine_is_answered_under_its_own_names(host):
    Access(host="Faces.local").check("/", Headers({"host": host}))


@pytest.mark.parametrize(
    "addresses", [("127.0.0.1", "192.0.2.7"), ("192.0.2.7", "127.0.0.1"), ("192.0.2.7",)]
)
def test_a_name_that_leads_elsewhere_too_is_no_loopback(addresses, monkeypatch):
    found = [(2, 1, 6, "", (address, 0)) for address in addresses]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: found)
    assert not is_loopback("both.example")
