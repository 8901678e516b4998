"""A project's files, for callers on the event loop: each call is one visit to a thread."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TypeVar

from msgspec import UNSET

from host.files.creating import create_directory
from host.files.deleting import delete
from host.files.listing import Listing, list_directory
from host.files.moving import move
from host.files.reading import read_file
from host.files.temporary import remove_temporary
from host.files.writing import FileWriter, IfMatch
from host.paths.door import Door, OpenBeneath
from host.paths.relative import parse_path
from host.protocol.content import decode_content
from host.protocol.messages.files import Encoding, FsReadResponse, FsWriteResponse

Result = TypeVar("Result")


@dataclass(frozen=True)
class ProjectFiles:
    """Lists, reads and changes files below a project's ``root``, by paths of the wire.

    Every method raises ProjectRootGone, then the errors of ``parse_path`` and ``Door``.
    ``executor`` None is the loop's own; ``open_beneath`` None is the best there is. ``ignored``: patterns, a line
    each, that hold in every project.
    """

    writer: FileWriter = field(default_factory=FileWriter)
    executor: Executor | None = None
    open_beneath: OpenBeneath | None = None
    ignored: str = ""

    async def list(self, root: Path, path: str, *, depth: int = 1) -> Listing:
        """See ``list_directory``."""

        def work() -> Listing:
            with self._door(root) as door:
                return list_directory(door, parse_path(path), depth=depth, ignored=self.ignored)

        return await self._in_thread(work)

    async def read(
        self, root: Path, path: str, *, offset: int | None = None, length: int | None = None
    ) -> FsReadResponse:
        """See ``read_file``."""

        def work() -> FsReadResponse:
            with self._door(root) as door:
                return read_file(
                    door, parse_path(path), offset=offset, length=length, stat_etags=self.writer.stat_etags
                )

        return await self._in_thread(work)

    async def write(
        self,
        root: Path,
        path: str,
        content: str,
        *,
        temporary: str,
        encoding: Encoding = "utf-8",
        if_match: IfMatch = UNSET,
        create_dirs: bool = False,
    ) -> FsWriteResponse:
        """See ``FileWriter.write``."""

        def work() -> FsWriteResponse:
            with self._door(root) as door:
                # The payload's faults come before the path's.
                decoded = decode_content(content, encoding)
                return self.writer.write(
                    door, parse_path(path), decoded, temporary=temporary, if_match=if_match, create_dirs=create_dirs
                )

        return await self._in_thread(work)

    async def create_directory(self, root: Path, path: str) -> None:
        """See ``creating.create_directory``."""

        def work() -> None:
            with self._door(root) as door:
                create_directory(door, parse_path(path), umask=self.writer.umask)

        await self._in_thread(work)

    async def move(self, root: Path, source: str, to: str, *, overwrite: bool = False) -> None:
        """See ``moving.move``."""

        def work() -> None:
            with self._door(root) as door:
                paths = parse_path(source, field="from"), parse_path(to, field="to")
                move(door, *paths, overwrite=overwrite, locks=self.writer.locks)

        await self._in_thread(work)

    async def delete(self, root: Path, path: str, *, recursive: bool = False) -> None:
        """See ``deleting.delete``. Cancelled, it ends soon, with what is deleted by then."""
        cancelled = Event()

        def work() -> None:
            with self._door(root) as door:
                locks = self.writer.locks
                delete(door, parse_path(path), recursive=recursive, locks=locks, is_cancelled=cancelled.is_set)

        try:
            await self._in_thread(work)
        finally:
            cancelled.set()

    async def remove_temporary(self, root: Path, path: str, temporary: str) -> None:
        """See ``temporary.remove_temporary``."""

        def work() -> None:
            with self._door(root) as door:
                remove_temporary(door, parse_path(path), temporary)

        await self._in_thread(work)

    def _door(self, root: Path) -> Door:
        return Door(root, self.open_beneath)

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self.executor, work)
