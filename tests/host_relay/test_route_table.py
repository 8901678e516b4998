from typing import ClassVar

import pytest

from host.core.clock import rfc3339
from host.core.requests import RequestContext, RouteTable
from host.protocol.catalog import CATALOG
from host.protocol.messages.base import Request, Response
from host.protocol.messages.files import FsRead


class Unheard(Request):
    wire_type: ClassVar[str] = "unheard_of"


async def answer(_: Request, __: RequestContext) -> Response:
    return Response()


def test_a_type_has_one_handler_and_finds_it() -> None:
    table = RouteTable()
    table.add(FsRead, answer)

    route = table.find("fs_read")
    assert route is not None
    assert route.handler is answer
    assert route.kind is CATALOG["fs_read"]
    assert table.find("fs_list") is None
    assert list(table) == ["fs_read"]
    with pytest.raises(ValueError, match="already has a handler"):
        table.add(FsRead, answer)


def test_a_type_that_the_catalog_does_not_know_cannot_be_handled() -> None:
    with pytest.raises(ValueError, match="not in the catalog"):
        RouteTable().add(Unheard, answer)


@pytest.mark.parametrize(
    ("epoch_s", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_770_890_400.1234, "2026-02-12T10:00:00.123Z"),
        (1_770_890_400.9999, "2026-02-12T10:00:00.999Z"),
    ],
)
def test_a_time_on_the_wire_is_utc_to_the_millisecond(epoch_s: float, text: str) -> None:
    assert rfc3339(epoch_s) == text
