from collections.abc import Mapping

import pytest
from aiohttp.test_utils import make_mocked_request

from relay_stub.oauth.identity.port import Visit
from relay_stub.oauth.visits import Visits, is_cross_site

PROXY = {"Host": "relay.example", "X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"}
HERE = Visit("192.0.2.1", "https://relay.example")


def visit(visits: Visits, headers: Mapping[str, str]) -> Visit:
    return visits.of(make_mocked_request("GET", "/", headers))


def test_without_a_trusted_proxy_nothing_that_is_forwarded_is_believed() -> None:
    seen = visit(Visits(), PROXY)
    assert seen.origin == "http://relay.example"
    assert seen.address != "192.0.2.1"
    assert seen.is_forwarded


def test_a_trusted_proxy_tells_the_scheme_and_the_visitor() -> None:
    seen = visit(Visits(trusted_proxies=1), PROXY)
    assert (seen.origin, seen.address) == ("https://relay.example", "192.0.2.1")
    assert seen.callback_uri == "https://relay.example/oauth/callback"


@pytest.mark.parametrize("scheme", ["javascript", "https, http", ""])
def test_a_scheme_that_is_none_is_not_believed(scheme: str) -> None:
    seen = visit(Visits(trusted_proxies=1), {**PROXY, "X-Forwarded-Proto": scheme})
    assert seen.origin == "http://relay.example"


@pytest.mark.parametrize("host", ["a; script-src *", "a b", 'a"b', "a/b", "user@a", "[::1", ""])
def test_a_host_that_is_none_gets_into_no_link_and_no_policy(host: str) -> None:
    assert visit(Visits(), {"Host": host}).origin == "http://invalid"


@pytest.mark.parametrize("host", ["relay.example", "127.0.0.1:8787", "[::1]:8787", "my_host"])
def test_a_host_is_taken_as_it_is(host: str) -> None:
    assert visit(Visits(), {"Host": host}).origin == f"http://{host}"


def test_a_public_address_is_believed_before_all_that_is_sent() -> None:
    seen = visit(Visits("https://relay.example:8443", trusted_proxies=1), {**PROXY, "Host": "evil.example"})
    assert seen.origin == "https://relay.example:8443"


@pytest.mark.parametrize("name", ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Via"])
def test_every_header_of_a_proxy_gives_it_away(name: str) -> None:
    assert visit(Visits(), {"Host": "127.0.0.1", name: "x"}).is_forwarded
    assert not visit(Visits(), {"Host": "127.0.0.1"}).is_forwarded


@pytest.mark.parametrize(
    ("headers", "is_foreign"),
    [
        ({}, False),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": "same-site"}, True),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://relay.example"}, True),
        ({"Origin": "https://relay.example"}, False),
        ({"Origin": "http://relay.example"}, True),
        ({"Origin": "https://relay.example.evil.example"}, True),
        ({"Origin": "null"}, True),
    ],
)
def test_a_form_of_another_website_is_told_by_what_browsers_add(headers: dict[str, str], is_foreign: bool) -> None:
    assert is_cross_site(make_mocked_request("POST", "/", headers), HERE) is is_foreign
