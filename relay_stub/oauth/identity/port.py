"""What the relay needs of an identity provider: who is the person at this browser?"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol


class ProviderUnusable(Exception):
    """The relay can't run with this provider. The message is a full sentence for whoever runs the relay."""


class SignInRefused(Exception):
    """This person may not come in, or the provider can't tell who it is. The message is a full sentence for them.

    ``who`` names them for the audit log, as far as it is known.
    """

    def __init__(self, message: str, *, who: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.who = who


@dataclass(frozen=True)
class Identity:
    """A person as the provider knows them; ``subject`` never changes, the rest may."""

    provider: str
    subject: str
    login: str
    name: str | None = None
    avatar_url: str | None = None


@dataclass(frozen=True)
class Question:
    """What the sign-in page asks next; the answer comes back under ``field``.

    ``problem`` is a sentence on what was wrong with the last answer. A passcode's ``login`` is told
    to password managers.
    """

    field: str
    label: str
    kind: Literal["name", "passcode"] = "name"
    login: str = ""
    problem: str | None = None


@dataclass(frozen=True)
class Elsewhere:
    """The person signs in at ``name``, another site of origin ``origin``; a button leads there."""

    name: str
    origin: str


@dataclass(frozen=True)
class Handover:
    """The browser goes on to ``uri`` and comes back to the callback with this ``state``.

    ``complete`` then judges what else it brought. It may raise SignInRefused.
    """

    uri: str
    state: str
    complete: Callable[[Mapping[str, str]], Awaitable[Identity]]


@dataclass(frozen=True)
class Visit:
    """Where a request came from: the browser's ``address``, and the ``origin`` it shows (``https://relay.example``).

    ``is_forwarded`` says that a proxy passed the request on, whether one is expected or not.
    """

    address: str
    origin: str
    is_forwarded: bool = False

    @property
    def callback_uri(self) -> str:
        """Where the browser comes back to from another site."""
        return f"{self.origin}/oauth/callback"


class IdentityProvider(Protocol):
    """Signs people in, step by step, until a step yields an ``Identity``."""

    @property
    def name(self) -> str:
        """What its users' ``Identity.provider`` says."""

    def serves(self, visit: Visit) -> bool:
        """Whether people may sign in from there."""

    def begin(self) -> Question | Elsewhere:
        """The first step."""

    def believe(self, login_hint: str) -> Identity | Question | None:
        """Sign in whom a link names, where nobody has to prove who they are; None everywhere else."""

    async def identify(self, answers: Mapping[str, str], visit: Visit) -> Identity | Question | Handover:
        """Judge what the browser sent, by field; none of it is to be trusted.

        Raises SignInRefused, or RateLimited when it must come again later.
        """
