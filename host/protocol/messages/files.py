"""fs_* messages (docs/protocol.md, "Files")."""

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import UNSET, UnsetType
from pydantic import Field

from host.protocol.limits import MAX_LIST_DEPTH, MAX_READ_BYTES
from host.protocol.messages.base import Request, Response

Encoding = Literal["utf-8", "base64"]
EntryKind = Literal["file", "dir", "symlink", "other"]


class FsList(Request):
    wire_type: ClassVar[str] = "fs_list"
    path: str
    depth: Annotated[int, Field(ge=1, le=MAX_LIST_DEPTH)] = 1


class FsRead(Request):
    """``offset`` and ``length`` are bytes; either one asks for a range."""

    wire_type: ClassVar[str] = "fs_read"
    path: str
    offset: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = None
    length: Annotated[int, Field(ge=0, le=MAX_READ_BYTES)] | None = None


class FsWrite(Request):
    """``if_match`` given as null means "must not exist"; left out, nothing is checked."""

    wire_type: ClassVar[str] = "fs_write"
    path: str
    content: str
    encoding: Encoding = "utf-8"
    if_match: str | None = None
    create_dirs: bool = False


class FsCreateDir(Request):
    wire_type: ClassVar[str] = "fs_create_dir"
    path: str


class FsMove(Request):
    wire_type: ClassVar[str] = "fs_move"
    from_path: Annotated[str, Field(alias="from")]
    to_path: Annotated[str, Field(alias="to")]
    overwrite: bool = False


class FsDelete(Request):
    wire_type: ClassVar[str] = "fs_delete"
    path: str
    recursive: bool = False


class Entry(msgspec.Struct, rename="camel", kw_only=True, gc=False):
    """One line of a listing. ``size`` is bytes; ``modified_at`` RFC 3339 UTC with milliseconds."""

    name: str
    path: str
    kind: EntryKind
    size: int
    modified_at: str
    target: str | UnsetType = UNSET
    ignored: bool | UnsetType = UNSET
    name_encoded: bool | UnsetType = UNSET
    truncated: bool | UnsetType = UNSET
    children: list["Entry"] | UnsetType = UNSET


class FsListResponse(Response):
    """``fs_seq`` is the project's last change number, read before the directory was."""

    path: str
    children: list[Entry]
    truncated: bool
    fs_seq: int


class FsReadResponse(Response):
    """``content`` is a JSON string, already encoded: its length decides the encoding, so it is made once."""

    path: str
    content: msgspec.Raw
    encoding: Encoding
    size: int
    modified_at: str
    etag: str
    offset: int
    eof: bool


class FsWriteResponse(Response):
    path: str
    size: int
    modified_at: str
    etag: str
    success: bool = True


class FsDone(Response):
    """It is done, and there is nothing more to tell."""

    success: bool = True
