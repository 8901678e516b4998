import pytest

from relay_stub.oauth.identity.dev import DevIdentity
from relay_stub.oauth.identity.port import Identity, ProviderUnusable, Question


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "[::1]", "localhost"])
def test_it_works_on_a_loopback_address(host: str) -> None:
    assert DevIdentity(host).serves("http://127.0.0.1:8787")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.5", "relay.example", "127.0.0.1.example"])
def test_it_refuses_any_other_address(host: str) -> None:
    with pytest.raises(ProviderUnusable, match="works only on a loopback address"):
        DevIdentity(host)


@pytest.mark.parametrize("origin", ["http://localhost:8787", "http://[::1]:8787", "http://127.0.0.1"])
def test_it_serves_browsers_on_the_same_machine(origin: str) -> None:
    assert DevIdentity("127.0.0.1").serves(origin)


@pytest.mark.parametrize("origin", ["http://rebound.example:8787", "https://tunnel.example", "http://[::1", "", "null"])
def test_it_serves_nobody_who_came_by_another_name(origin: str) -> None:
    assert not DevIdentity("127.0.0.1").serves(origin)


@pytest.mark.parametrize("login", ["a", "Alice", "alice.b-c_9", "x" * 39])
async def test_any_name_is_believed(login: str) -> None:
    assert await DevIdentity("127.0.0.1").identify({"login": login}) == Identity("dev", login, login)


@pytest.mark.parametrize("login", ["", "x" * 40, "a b", "é", "a\n", "<b>"])
async def test_what_is_no_name_is_asked_again(login: str) -> None:
    question = await DevIdentity("127.0.0.1").identify({"login": login})
    assert isinstance(question, Question)
    assert question.problem


async def test_it_begins_by_asking_for_the_name() -> None:
    assert await DevIdentity("127.0.0.1").begin() == Question(field="login", label="Name")
