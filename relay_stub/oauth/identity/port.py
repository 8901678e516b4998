"""What the relay needs of an identity provider: who is the person at this browser?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


class ProviderUnusable(Exception):
    """The relay can't run with this provider. The message is a full sentence for whoever runs the relay."""


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

    ``problem`` is a sentence on what was wrong with the last answer.
    """

    field: str
    label: str
    problem: str | None = None


class IdentityProvider(Protocol):
    """Signs people in, step by step, until a step yields an ``Identity``.

    A provider that sends the browser elsewhere begins with that address in place of a
    ``Question``, and judges what the browser comes back with.
    """

    def serves(self, origin: str) -> bool:
        """Whether people may sign in where the browser shows this origin (``https://relay.example``)."""

    async def begin(self) -> Question:
        """The first step."""

    async def identify(self, answers: Mapping[str, str]) -> Identity | Question:
        """Judge what the browser sent, by field; none of it is to be trusted."""
