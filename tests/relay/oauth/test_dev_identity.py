import pytest

from relay_stub.oauth.identity.dev import DevIdentity
from relay_stub.oauth.identity.port import Identity, Question, Visit


def visit(origin: str, *, is_forwarded: bool = False) -> Visit:
    return Visit("127.0.0.1", origin, is_forwarded)


@pytest.mark.parametrize("origin", ["http://localhost:8787", "http://[::1]:8787", "http://127.0.0.1"])
def test_it_serves_browsers_on_the_same_machine(origin: str) -> None:
    assert DevIdentity().serves(visit(origin))


@pytest.mark.parametrize("origin", ["http://rebound.example:8787", "https://tunnel.example", "http://[::1", "", "null"])
def test_it_serves_nobody_who_came_by_another_name(origin: str) -> None:
    assert not DevIdentity().serves(visit(origin))


def test_it_serves_nobody_whom_a_proxy_passed_on() -> None:
    assert not DevIdentity().serves(visit("http://127.0.0.1:8787", is_forwarded=True))


@pytest.mark.parametrize("login", ["a", "Alice", "alice.b-c_9", "x" * 39])
async def test_any_name_is_believed(login: str) -> None:
    identity = Identity("dev", login, login)
    assert DevIdentity().believe(login) == identity
    assert await DevIdentity().identify({"login": login}, visit("http://127.0.0.1")) == identity


@pytest.mark.parametrize("login", ["", "x" * 40, "a b", "é", "a\n", "<b>"])
async def test_what_is_no_name_is_asked_again(login: str) -> None:
    question = await DevIdentity().identify({"login": login}, visit("http://127.0.0.1"))
    assert isinstance(question, Question)
    assert question.problem


def test_it_begins_by_asking_for_the_name() -> None:
    assert DevIdentity().begin() == Question(field="login", label="Name")
