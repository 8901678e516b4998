"""From a payload to an answer, as the router calls it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from host.core.requests import RequestContext, RouteTable
from host.files.handlers import FileHandlers
from host.files.service import ProjectFiles
from host.protocol.errors import (
    Conflict,
    FileNotFound,
    InvalidRequest,
    OutsideProjectRoot,
    ProjectNotFound,
    ProjectRootGone,
)
from host.protocol.messages.base import encode_payload, parse_request

CONTEXT = RequestContext(project_id="proj_1", request_id="r-1", user_id="user-1")


@dataclass
class OneProject:
    root: Path

    async def root_of(self, project_id: str) -> Path:
        if project_id != CONTEXT.project_id:
            raise ProjectNotFound
        return self.root

    def seq_for_listing(self, project_id: str) -> int:
        # Whatever appears after the number was read is in the listing too.
        (self.root / "appeared meanwhile").touch()
        return 42


class Phone:
    """Sends payloads and reads answers as JSON."""

    def __init__(self, root: Path) -> None:
        self._table = RouteTable()
        project = OneProject(root)
        FileHandlers(ProjectFiles(), project, project.seq_for_listing).register(self._table)

    async def ask(self, wire_type: str, context: RequestContext = CONTEXT, /, **payload: Any) -> dict[str, Any]:
        route = self._table.find(wire_type)
        assert route is not None
        request = parse_request(route.kind.request, json.dumps(payload).encode())
        answer: dict[str, Any] = json.loads(bytes(encode_payload(await route.handler(request, context))))
        return answer


@pytest.fixture
def phone(root: Path) -> Phone:
    return Phone(root)


async def test_a_directory_is_listed_with_the_change_number_from_before(phone: Phone) -> None:
    answer = await phone.ask("fs_list", path="")
    assert [entry["name"] for entry in answer["children"]] == ["appeared meanwhile"]
    assert {key: answer[key] for key in ("path", "truncated", "fsSeq")} == {"path": "", "truncated": False, "fsSeq": 42}


async def test_what_is_written_is_read_again(phone: Phone) -> None:
    written = await phone.ask("fs_write", path="a/f", content="Grüße", createDirs=True)
    assert written["success"] is True
    read = await phone.ask("fs_read", path="a/f")
    assert (read["content"], read["encoding"], read["etag"]) == ("Grüße", "utf-8", written["etag"])


async def test_bytes_are_written_as_base64(phone: Phone, root: Path) -> None:
    await phone.ask("fs_write", path="f", content="AP8=", encoding="base64")
    assert (root / "f").read_bytes() == b"\0\xff"


@pytest.mark.parametrize("content", ["AP8", "AP8=\n", "A P8=", "AP8==", "ä", "=", "AP8=AP8="])
async def test_base64_is_taken_strictly(phone: Phone, root: Path, content: str) -> None:
    with pytest.raises(InvalidRequest, match="base64"):
        await phone.ask("fs_write", path="f", content=content, encoding="base64")
    assert not (root / "f").exists()


async def test_if_match_null_and_no_if_match_are_told_apart(phone: Phone) -> None:
    await phone.ask("fs_write", path="f", content="1", ifMatch=None)
    await phone.ask("fs_write", path="f", content="2")
    with pytest.raises(Conflict):
        await phone.ask("fs_write", path="f", content="3", ifMatch=None)


async def test_a_range_is_read_as_asked(phone: Phone) -> None:
    await phone.ask("fs_write", path="f", content="0123456789")
    read = await phone.ask("fs_read", path="f", offset=2, length=3)
    assert (read["content"], read["offset"], read["size"], read["eof"]) == ("234", 2, 10, False)


async def test_a_depth_over_twenty_is_an_invalid_request(phone: Phone) -> None:
    await phone.ask("fs_list", path="", depth=20)
    with pytest.raises(InvalidRequest):
        await phone.ask("fs_list", path="", depth=21)


async def test_a_directory_is_made_moved_and_deleted(phone: Phone, root: Path) -> None:
    done = {"success": True}
    assert await phone.ask("fs_create_dir", path="a/b") == done
    await phone.ask("fs_write", path="a/b/f", content="1")
    await phone.ask("fs_write", path="g", content="2")
    with pytest.raises(Conflict):
        await phone.ask("fs_move", **{"from": "g", "to": "a/b/f"})
    assert await phone.ask("fs_move", **{"from": "g", "to": "a/b/f", "overwrite": True}) == done
    assert (root / "a/b/f").read_text() == "2"
    with pytest.raises(Conflict):
        await phone.ask("fs_delete", path="a")
    assert await phone.ask("fs_delete", path="a", recursive=True) == done
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("missing", ["from", "to"])
async def test_a_move_needs_both_paths(phone: Phone, missing: str) -> None:
    payload = {"from": "f", "to": "g"}
    del payload[missing]
    with pytest.raises(InvalidRequest) as caught:
        await phone.ask("fs_move", **payload)
    assert caught.value.details["errors"][0]["field"] == missing


@pytest.mark.parametrize(
    ("wire_type", "field", "extra"),
    [
        ("fs_list", "path", {}),
        ("fs_read", "path", {}),
        ("fs_write", "path", {"content": ""}),
        ("fs_create_dir", "path", {}),
        ("fs_move", "from", {"to": "g"}),
        ("fs_move", "to", {"from": "f"}),
        ("fs_delete", "path", {}),
    ],
)
async def test_every_request_passes_through_the_door(
    phone: Phone, root: Path, wire_type: str, field: str, extra: dict[str, Any]
) -> None:
    (root / "f").touch()
    with pytest.raises(OutsideProjectRoot):
        await phone.ask(wire_type, **{field: "../outside/secret"}, **extra)
    for path in ("a//b", "./a", "a/", "nul\0", "x" * 5000):
        with pytest.raises(InvalidRequest) as caught:
            await phone.ask(wire_type, **{field: path}, **extra)
        assert caught.value.details["errors"][0]["field"] == field
    with pytest.raises(FileNotFound):
        await phone.ask(wire_type, **{field: "f/x"}, **extra)


async def test_a_project_that_is_unknown_or_gone_comes_before_a_bad_path(phone: Phone, root: Path) -> None:
    with pytest.raises(ProjectNotFound):
        await phone.ask("fs_read", RequestContext("proj_2", "r-2", "user-1"), path="../x")
    root.rmdir()
    with pytest.raises(ProjectRootGone):
        await phone.ask("fs_read", path="../x")
