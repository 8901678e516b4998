"""How a wire type finds its handler: one explicit table, typed in and typed out."""

import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from host.protocol.catalog import CATALOG, RequestType
from host.protocol.messages.base import Event, Request, Response


class Emit(Protocol):
    def __call__(self, event: Event, *, after_answer: bool = False) -> None:
        """Send an event to whoever asked and whoever joined the project, or drop it: it never waits.

        Events of some types go to whoever asked alone: the relay knows. With ``after_answer`` it goes out behind the
        answer, and to the others only.
        """


ResponseT = TypeVar("ResponseT", bound=Response)
EffectT = TypeVar("EffectT")


class Commit(Protocol):
    async def __call__(
        self, job: Callable[[sqlite3.Connection], tuple[ResponseT, EffectT]]
    ) -> tuple[ResponseT, EffectT]:
        """Run a database job whose response is the request's answer, and return what it returned.

        What the job changed and the answer become durable together, so that the outcome is never
        unknown. Whatever the handler does afterwards, this is the answer. What the job raises is raised here, and
        nothing was changed. For requests that change something; at most once.
        """
        ...


def _emit_nothing(event: Event, *, after_answer: bool = False) -> None:
    raise NotImplementedError("This request streams nothing.")


async def _commit_nothing(
    job: Callable[[sqlite3.Connection], tuple[ResponseT, EffectT]],
) -> tuple[ResponseT, EffectT]:
    raise NotImplementedError("This request changes nothing.")


@dataclass(frozen=True)
class RequestContext:
    """What a handler may know of the request besides its payload. ``project_id`` is not yet looked up.

    ``device`` is the name of the device that asks, None where it has none.
    """

    project_id: str
    request_id: str
    user_id: str
    device: str | None = None
    emit: Emit = field(default=_emit_nothing, compare=False)
    commit: Commit = field(default=_commit_nothing, compare=False)


RequestT = TypeVar("RequestT", bound=Request)
Handler = Callable[[RequestT, RequestContext], Awaitable[Response | Event]]


@dataclass(frozen=True)
class Route:
    kind: RequestType
    handler: Callable[[Any, RequestContext], Awaitable[Response | Event]]


class RouteTable:
    """Filled once by the composition root; asked by the router."""

    def __init__(self) -> None:
        self._routes: dict[str, Route] = {}

    def add(self, model: type[RequestT], handler: Handler[RequestT]) -> None:
        """Raises ValueError for a second handler, or a type that the catalog doesn't know."""
        if model.wire_type in self._routes:
            raise ValueError(f"{model.wire_type} already has a handler.")
        if model.wire_type not in CATALOG:
            raise ValueError(f"{model.wire_type} is not in the catalog.")
        self._routes[model.wire_type] = Route(CATALOG[model.wire_type], handler)

    def find(self, wire_type: str) -> Route | None:
        return self._routes.get(wire_type)

    def __iter__(self) -> Iterator[str]:
        return iter(self._routes)
