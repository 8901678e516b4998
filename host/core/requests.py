"""How a wire type finds its handler: one explicit table, typed in and typed out."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from host.protocol.catalog import CATALOG, RequestType
from host.protocol.messages.base import Event, Request, Response


class Emit(Protocol):
    def __call__(self, event: Event, *, after_answer: bool = False) -> None:
        """Send an event to whoever asked and whoever joined the project, or drop it: it never waits.

        With ``after_answer`` it goes out behind the answer, and to the others only.
        """


def _emit_nothing(event: Event, *, after_answer: bool = False) -> None:
    raise NotImplementedError("This request streams nothing.")


@dataclass(frozen=True)
class RequestContext:
    """What a handler may know of the request besides its payload. ``project_id`` is not yet looked up."""

    project_id: str
    request_id: str
    user_id: str
    emit: Emit = field(default=_emit_nothing, compare=False)


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
