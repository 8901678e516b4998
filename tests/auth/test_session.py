import asyncio
import resource
import threading
import time
from pathlib import Path

import pytest

from host.auth.session import NoRoomForTokens, ResponseT, Session, SignedOut, stored
from host.auth.token_store import StoredTokens, TokenStore
from host.core.settings import DEFAULT_RELAY_URL
from host.protocol.messages.auth import TokenRefresh, Tokens
from host.protocol.messages.base import Request
from tests.support.host import tokens_for

RELAY = "wss://relay.example"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_770_890_400.0

    def __call__(self) -> float:
        return self.now_s


class Relay:
    """Renews tokens; counts and can be made to wait or to break."""

    def __init__(self, life_s: int = 900) -> None:
        self.life_s = life_s
        self.shown: list[str] = []
        self.is_asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.fault: Exception | None = None

    async def call(self, request: Request, response: type[ResponseT]) -> ResponseT:
        assert isinstance(request, TokenRefresh)
        self.shown.append(request.refresh_token)
        self.is_asked.set()
        await self.go_on.wait()
        if self.fault is not None:
            raise self.fault
        number = len(self.shown) + 1
        answer = tokens_for(access=f"access-{number}", refresh=f"refresh-{number}", life_s=self.life_s)
        assert isinstance(answer, response)
        return answer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> TokenStore:
    store = TokenStore(tmp_path / "auth.json")
    store.sign_in(stored(tokens_for(), RELAY, now_s=clock()))
    return store


@pytest.fixture
def session(store: TokenStore, clock: Clock) -> Session:
    return Session(store, now_s=clock, monotonic_s=clock)


async def test_a_fresh_token_is_used_as_it_is(session: Session) -> None:
    relay = Relay()

    assert await session.access_token(relay) == "access-1"
    assert relay.shown == []
    assert session.renew_in_s() == 900 - 120


async def test_a_token_is_renewed_before_it_expires_and_stored(
    session: Session, store: TokenStore, clock: Clock
) -> None:
    relay = Relay()
    session.current()
    clock.now_s += 900 - 120

    assert session.renew_in_s() == 0
    assert await session.access_token(relay) == "access-2"
    tokens = store.tokens()
    assert tokens is not None
    assert (tokens.refresh_token, tokens.expires_at) == ("refresh-2", clock.now_s + 900)
    assert await session.access_token(relay) == "access-2"
    assert relay.shown == ["refresh-1"]


async def test_waiting_as_long_as_is_told_brings_the_renewal_also_for_the_first_token(
    session: Session, clock: Clock
) -> None:
    clock.now_s += session.renew_in_s()

    assert session.renew_in_s() == 0


async def test_a_short_lived_token_is_renewed_in_its_last_quarter(session: Session, clock: Clock) -> None:
    clock.now_s += 1000
    await session.access_token(Relay(life_s=60))

    assert session.renew_in_s() == 45


async def test_however_many_ask_at_once_the_token_is_renewed_once(session: Session, clock: Clock) -> None:
    relay = Relay()
    relay.go_on.clear()
    clock.now_s += 1000
    asking = [asyncio.create_task(session.access_token(relay)) for _ in range(20)]
    await asyncio.wait_for(relay.is_asked.wait(), 10)
    relay.go_on.set()

    assert await asyncio.gather(*asking) == ["access-2"] * 20
    assert relay.shown == ["refresh-1"]


async def test_who_gives_up_waiting_keeps_nobody_from_renewing(session: Session, clock: Clock) -> None:
    relay = Relay()
    relay.go_on.clear()
    clock.now_s += 1000
    impatient = asyncio.create_task(session.access_token(relay))
    patient = asyncio.create_task(session.access_token(relay))
    await asyncio.wait_for(relay.is_asked.wait(), 10)
    impatient.cancel()
    relay.go_on.set()

    assert await patient == "access-3"
    # The first answer was lost on the way, so the old token was shown again.
    assert relay.shown == ["refresh-1", "refresh-1"]


async def test_a_renewal_that_fails_changes_nothing(session: Session, store: TokenStore, clock: Clock) -> None:
    relay = Relay()
    relay.fault = ConnectionError()
    before = store.tokens()
    clock.now_s += 1000
    with pytest.raises(ConnectionError):
        await session.access_token(relay)
    assert store.tokens() == before
    relay.fault = None

    assert await session.access_token(relay) == "access-3"
    assert relay.shown == ["refresh-1", "refresh-1"]


async def test_a_sign_in_during_a_renewal_wins(session: Session, store: TokenStore, clock: Clock) -> None:
    relay = Relay()
    relay.go_on.clear()
    clock.now_s += 1000
    renewing = asyncio.create_task(session.access_token(relay))
    await asyncio.wait_for(relay.is_asked.wait(), 10)
    newer = stored(tokens_for(access="access-new", refresh="refresh-new"), RELAY, now_s=clock())
    store.sign_in(newer)
    relay.go_on.set()

    assert await renewing == "access-new"
    assert store.tokens() == newer


async def test_a_distrusted_token_is_renewed_although_it_has_not_expired(session: Session) -> None:
    relay = Relay()
    session.distrust()

    assert session.renew_in_s() == 0
    assert await session.access_token(relay) == "access-2"
    assert session.renew_in_s() > 0


async def test_a_new_sign_in_is_trusted_again(session: Session, store: TokenStore, clock: Clock) -> None:
    session.current()
    session.distrust()
    store.sign_in(stored(tokens_for(access="access-new", refresh="refresh-new"), RELAY, now_s=clock()))
    session.current()

    assert await session.access_token(Relay()) == "access-new"


async def refuse_renewal(session: Session, clock: Clock) -> None:
    relay = Relay()
    relay.fault = PermissionError()
    clock.now_s += 1000
    with pytest.raises(PermissionError):
        await session.access_token(relay)


async def test_a_refused_refresh_token_is_signed_out_until_a_new_sign_in(
    session: Session, store: TokenStore, clock: Clock
) -> None:
    await refuse_renewal(session, clock)
    session.refused()
    with pytest.raises(SignedOut, match="pocketcoder login"):
        session.current()
    store.sign_in(stored(tokens_for(refresh="refresh-new"), RELAY, now_s=clock()))

    assert session.current().refresh_token == "refresh-new"


async def test_a_sign_in_while_the_old_refresh_token_is_refused_is_not_refused_with_it(
    session: Session, store: TokenStore, clock: Clock
) -> None:
    await refuse_renewal(session, clock)
    newer = stored(tokens_for(access="access-new", refresh="refresh-new"), RELAY, now_s=clock())
    store.sign_in(newer)
    session.refused()

    assert session.current() == newer


def test_nobody_is_signed_in_without_tokens(tmp_path: Path) -> None:
    session = Session(TokenStore(tmp_path / "auth.json"))

    with pytest.raises(SignedOut, match="pocketcoder login"):
        session.current()
    assert session.relay_url() == DEFAULT_RELAY_URL


def test_tokens_of_another_relay_are_not_used_at_this_one(store: TokenStore) -> None:
    session = Session(store, "wss://other.example")

    assert session.relay_url() == "wss://other.example"
    with pytest.raises(
        SignedOut, match=r"GATEWAY_URL, or relay\.url in config\.toml, makes.* login --relay wss://other\.example$"
    ):
        session.current()


@pytest.mark.parametrize("wrong_by_s", [-10 * 365 * 86400, -3600, 3600, 10 * 365 * 86400])
async def test_a_clock_that_is_wrong_all_along_does_not_matter(
    store: TokenStore, clock: Clock, wrong_by_s: float
) -> None:
    """The relay says how long a token lives, not until when."""
    clock.now_s += wrong_by_s
    store.sign_in(stored(tokens_for(), RELAY, now_s=clock()))
    session = Session(store, now_s=clock, monotonic_s=clock)

    assert await session.access_token(Relay()) == "access-1"
    assert session.renew_in_s() == 780


async def test_a_clock_set_forward_only_renews_early(session: Session, clock: Clock) -> None:
    session.current()
    clock.now_s += 365 * 86400

    assert await session.access_token(Relay()) == "access-2"
    assert session.renew_in_s() == 780


async def test_a_clock_set_back_by_a_day_while_the_daemon_runs_does_not_put_off_the_renewal(
    store: TokenStore, clock: Clock
) -> None:
    passing = Clock()
    session = Session(store, now_s=clock, monotonic_s=passing)
    session.current()
    clock.now_s -= 86400
    passing.now_s += 780

    assert await session.access_token(Relay()) == "access-2"
    assert session.renew_in_s() == 780


class SlowStore(TokenStore):
    """Stores renewed tokens when the test lets it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.is_storing = threading.Event()
        self.go_on = threading.Event()

    def renew(self, used_refresh_token: str, tokens: StoredTokens) -> bool:
        self.is_storing.set()
        assert self.go_on.wait(10)
        return super().renew(used_refresh_token, tokens)


async def test_a_renewal_that_is_cancelled_while_it_is_stored_is_stored_before_anybody_renews_again(
    tmp_path: Path, clock: Clock
) -> None:
    """Else the next one would show the old token once more, and void what is being stored."""
    slow, relay = SlowStore(tmp_path / "auth.json"), Relay()
    slow.sign_in(stored(tokens_for(), RELAY, now_s=clock()))
    session = Session(slow, now_s=clock, monotonic_s=clock)
    clock.now_s += 1000
    cancelled = asyncio.create_task(session.access_token(relay))
    assert await asyncio.to_thread(slow.is_storing.wait, 10)
    cancelled.cancel()
    next_one = asyncio.create_task(session.access_token(relay))
    slow.go_on.set()

    assert await next_one == "access-2"
    assert relay.shown == ["refresh-1"]
    assert cancelled.cancelled()


async def test_on_a_full_disk_no_token_is_used_up_that_could_not_be_replaced(
    session: Session, clock: Clock, tmp_path: Path
) -> None:
    """The relay takes the old token once more, and then ends the sign-in."""
    relay = Relay()
    clock.now_s += 1000
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, allowed[1]))
    try:
        for _ in range(3):
            with pytest.raises(NoRoomForTokens, match="could not be kept"):
                await session.access_token(relay)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
    assert relay.shown == []

    assert await session.access_token(relay) == "access-2"
    assert relay.shown == ["refresh-1"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["auth.json", "auth.lock"]


def test_the_stamp_tells_of_a_sign_in(session: Session, store: TokenStore, clock: Clock) -> None:
    before = session.stamp()
    store.sign_in(stored(tokens_for(), RELAY, now_s=clock()))

    assert session.stamp() != before


def test_a_signed_out_error_passes_through_context_managers() -> None:
    """It once was a frozen dataclass, whose traceback contextlib cannot set."""
    error = SignedOut("Sign in with: pocketcoder login")
    error.__traceback__ = None

    assert str(error) == "Sign in with: pocketcoder login"


def test_expiry_is_counted_from_now() -> None:
    now_s = time.time()
    tokens: Tokens = tokens_for(life_s=60)

    assert stored(tokens, RELAY, now_s=now_s).expires_at == now_s + 60
