"""The daemon's sign-in: fresh tokens for the link, renewed by one caller at a time."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from host.auth.token_store import SignedIn, StoredTokens, TokenStore
from host.core.errors import system_refusal
from host.core.logging import redact
from host.core.settings import DEFAULT_RELAY_URL
from host.protocol.messages.auth import TokenRefresh, Tokens
from host.protocol.messages.base import Request, Response

logger = logging.getLogger(__name__)

# Renewed when less than this is left, or less than this part of a shorter life.
_RENEW_BEFORE_S: Final = 120.0
_RENEW_BEFORE_PART: Final = 0.25
_MAX_SHOWN_CHARS: Final = 500

ResponseT = TypeVar("ResponseT", bound=Response)
T = TypeVar("T")


class RelayCalls(Protocol):
    """What signing in needs of a connection to the relay. Raises what the link raises."""

    async def call(self, request: Request, response: type[ResponseT]) -> ResponseT: ...


class SignedOut(Exception):
    """Nobody is signed in, or the relay no longer takes the sign-in. The message says what to do."""


def printable(said: str) -> str:
    """What a relay says, as a terminal may be given it: at most 500 characters, none of which moves the cursor."""
    return "".join(filter(str.isprintable, said[:_MAX_SHOWN_CHARS]))


class NoRoomForTokens(Exception):
    """Renewed tokens could not be kept, so none were asked for. The message is a sentence for people."""

    def __init__(self, refusal: OSError) -> None:
        super().__init__(f"The sign-in can't be renewed, as it could not be kept. {system_refusal(refusal)}")


def stored(tokens: Tokens, relay_url: str, *, now_s: float) -> StoredTokens:
    """As they are kept: expiry by the relay's relative time, so that a wrong clock on either side does not matter."""
    redact(tokens.access_token)
    redact(tokens.refresh_token)
    return StoredTokens(
        relay_url=relay_url,
        user_id=tokens.user.id,
        login=printable(tokens.user.login),
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
        expires_at=now_s + tokens.expires_in_s,
    )


class Session:
    """Reads ``auth.json`` anew each time, so that ``pocketcoder login`` is seen without a restart."""

    def __init__(
        self,
        store: TokenStore,
        gateway_url: str | None = None,
        *,
        now_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._gateway_url = gateway_url
        self._now_s = now_s
        self._monotonic_s = monotonic_s
        self._tokens: StoredTokens | None = None
        self._life_s = 0.0
        self._seen_s = 0.0
        self._shown_refresh_token: str | None = None
        self._refused_refresh_token: str | None = None
        self._must_renew = False
        self._renewing = asyncio.Lock()

    def relay_url(self) -> str:
        """The relay to use now: what was set, else the one signed in to last, else the public one."""
        return self._gateway_url or self._store.relay_url() or DEFAULT_RELAY_URL

    def current(self) -> StoredTokens:
        """Who is signed in at this relay. Raises SignedOut; VaultUnusable, after up to 2 s, unless they are at hand."""
        tokens = self._store.tokens()
        if tokens is None:
            raise SignedOut("Nobody is signed in. Sign in with: pocketcoder login")
        relay_url = self.relay_url()
        if tokens.relay_url != relay_url:
            raise SignedOut(
                f"The sign-in is for {tokens.relay_url}, but GATEWAY_URL, or relay.url in config.toml, makes this "
                f"daemon use {relay_url}. Sign in there with: pocketcoder login --relay {relay_url}"
            )
        if tokens.refresh_token == self._refused_refresh_token:
            raise SignedOut("The relay ended this sign-in. Sign in again with: pocketcoder login")
        if self._tokens is None or tokens.access_token != self._tokens.access_token:
            redact(tokens.access_token)
            redact(tokens.refresh_token)
            self._tokens, self._must_renew = tokens, False
            self._life_s, self._seen_s = tokens.expires_at - self._now_s(), self._monotonic_s()
        return tokens

    def signed_in(self) -> SignedIn | None:
        """Who is signed in at this relay, as far as the relay's last word on it goes. Never waits for the keyring."""
        found = self._store.signed_in()
        is_over = self._tokens is not None and self._tokens.refresh_token == self._refused_refresh_token
        return None if found is None or is_over or found.relay_url != self.relay_url() else found

    def stamp(self) -> object:
        """Changes whenever someone signs in or out."""
        return self._store.stamp()

    def distrust(self) -> None:
        """The relay refused the access token: renew it before it is used again."""
        self._must_renew = True

    def refused(self) -> None:
        """The relay refused the refresh token that it was shown: only a new sign-in helps."""
        self._refused_refresh_token = self._shown_refresh_token

    def renew_in_s(self) -> float:
        """Seconds until the access token should be renewed; 0 when it is time. Raises SignedOut."""
        if self._must_renew:
            return 0.0
        # A clock that is set back must not make a token look younger than it is.
        left_s = min(self.current().expires_at - self._now_s(), self._seen_s + self._life_s - self._monotonic_s())
        return max(left_s - min(_RENEW_BEFORE_S, self._life_s * _RENEW_BEFORE_PART), 0.0)

    async def load(self) -> None:
        """Have the tokens at hand, so that ``current`` is quick. Raises VaultUnusable."""
        await asyncio.to_thread(self._store.tokens)

    async def access_token(self, calls: RelayCalls) -> str:
        """A token that is good for a while, renewed over ``calls`` if need be, and stored before it is used.

        Raises SignedOut, NoRoomForTokens, and what ``calls`` raises when the relay refuses or is gone.
        """
        async with self._renewing:
            if self.renew_in_s() > 0:
                return self.current().access_token
            old = self.current()
            # The relay takes a refresh token once: who can't keep the next one has lost the sign-in.
            try:
                await asyncio.to_thread(self._store.require_room)
            except OSError as exc:
                raise NoRoomForTokens(exc) from exc
            self._shown_refresh_token = old.refresh_token
            answer = await calls.call(TokenRefresh(refresh_token=old.refresh_token), Tokens)
            renewed = stored(answer, old.relay_url, now_s=self._now_s())
            if await _to_the_end(lambda: self._store.renew(old.refresh_token, renewed)):
                logger.info("The access token was renewed; it lives %d s", answer.expires_in_s)
            await self.load()
            return self.current().access_token


async def _to_the_end(work: Callable[[], T]) -> T:
    """Work in a thread. Who is cancelled meanwhile waits for its end, so that nobody looks before it is stored."""
    working = asyncio.create_task(asyncio.to_thread(work))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait([working])
        raise
