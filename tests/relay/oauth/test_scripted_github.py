"""The GitHub of the tests does what the real one's documentation says."""

from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.relay.oauth.browsers import CHALLENGE, VERIFIER
from tests.relay.oauth.scripted_github import Account, ScriptedGitHub

CALLBACK = "http://127.0.0.1:1/oauth/callback"


@pytest.fixture
async def github() -> AsyncIterator[ScriptedGitHub]:
    octocat = Account(1, "octocat", "The Octocat", {"acme": "active", "soon": "pending"})
    async with ScriptedGitHub(callback_uri=CALLBACK, at_browser=octocat).running() as github:
        yield github


@pytest.fixture
async def http(github: ScriptedGitHub) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=github.url, trust_env=False) as client:
        yield client


async def authorize(http: httpx.AsyncClient, **changes: str) -> dict[str, str]:
    query = {
        "client_id": "Iv1.app",
        "redirect_uri": CALLBACK,
        "scope": "read:org",
        "state": "s",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    response = await http.get("/login/oauth/authorize", params=query | changes)
    assert response.status_code == 302
    assert response.headers["Location"].startswith(f"{CALLBACK}?")
    return {name: value for name, (value,) in parse_qs(urlsplit(response.headers["Location"]).query).items()}


async def token(http: httpx.AsyncClient, code: str, **changes: str) -> dict[str, str]:
    form = {
        "client_id": "Iv1.app",
        "client_secret": "github-secret-0123456789",
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    }
    headers = {"Accept": "application/json"}
    response = await http.post("/login/oauth/access_token", data=form | changes, headers=headers)
    assert response.status_code == 200
    answer: dict[str, str] = response.json()
    return answer


async def test_a_browser_comes_back_with_a_code_and_its_state(http: httpx.AsyncClient) -> None:
    back = await authorize(http)
    assert back.keys() == {"code", "state"}
    assert back["state"] == "s"


async def test_who_refuses_comes_back_with_access_denied(github: ScriptedGitHub, http: httpx.AsyncClient) -> None:
    github.at_browser = None
    back = await authorize(http)
    assert (back["error"], back["state"]) == ("access_denied", "s")


async def test_a_foreign_redirect_uri_comes_back_to_the_registered_one(http: httpx.AsyncClient) -> None:
    assert (await authorize(http, redirect_uri="https://evil.example"))["error"] == "redirect_uri_mismatch"


async def test_a_code_is_good_for_one_bearer_token(http: httpx.AsyncClient) -> None:
    code = (await authorize(http))["code"]
    issued = await token(http, code)
    assert (issued["token_type"], issued["scope"]) == ("bearer", "read:org")
    assert (await token(http, code))["error"] == "bad_verification_code"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"client_secret": "wrong"}, "incorrect_client_credentials"),
        ({"code_verifier": "wrong"}, "bad_verification_code"),
        ({"code": "wrong"}, "bad_verification_code"),
        ({"redirect_uri": "https://evil.example"}, "redirect_uri_mismatch"),
    ],
)
async def test_refusals_have_their_names_and_status_200(
    http: httpx.AsyncClient, changes: dict[str, str], error: str
) -> None:
    code = (await authorize(http))["code"]
    assert (await token(http, **({"code": code} | changes)))["error"] == error


async def test_without_being_asked_for_json_the_token_comes_as_a_form(http: httpx.AsyncClient) -> None:
    response = await http.post("/login/oauth/access_token", data={"client_id": "x"})
    assert parse_qs(response.text)["error"] == ["incorrect_client_credentials"]


async def test_a_token_tells_who_it_is_of_and_where_they_belong(http: httpx.AsyncClient) -> None:
    bearer = {"Authorization": f"Bearer {(await token(http, (await authorize(http))['code']))['access_token']}"}
    assert (await http.get("/user", headers=bearer)).json()["login"] == "octocat"
    acme = await http.get("/user/memberships/orgs/acme", headers=bearer)
    assert acme.json()["state"] == "active"
    assert (await http.get("/user/memberships/orgs/soon", headers=bearer)).json()["state"] == "pending"
    assert (await http.get("/user/memberships/orgs/other", headers=bearer)).status_code == 404
    assert (await http.get("/user", headers={"Authorization": "Bearer wrong"})).status_code == 401


async def test_without_its_scope_a_token_tells_nothing_of_organizations(http: httpx.AsyncClient) -> None:
    issued = await token(http, (await authorize(http, scope=""))["code"])
    bearer = {"Authorization": f"Bearer {issued['access_token']}"}
    assert (await http.get("/user/memberships/orgs/acme", headers=bearer)).status_code == 403
