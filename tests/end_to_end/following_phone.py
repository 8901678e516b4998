"""A phone that keeps a project's tree as clients are told to: by batches, and by listing again at a gap."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self
from uuid import uuid4

from relay_stub.client import Message, RelayClient, RequestFailed

TIMEOUT_S: Final = 30.0
_MAX_DEPTH: Final = 20


class FollowingPhone:
    """``tree`` holds each path's kind; ``batches`` what came, ``listings`` how often it had to begin anew."""

    def __init__(self, client: RelayClient, project_id: str) -> None:
        self.client = client
        self.project_id = project_id
        self.tree: dict[str, str] = {}
        self.batches: list[Message] = []
        self.git_changes = 0
        self.listings = 0
        self.seen_seq = 0

    @classmethod
    @asynccontextmanager
    async def join(cls, relay_url: str, project_id: str) -> AsyncIterator[Self]:
        async with RelayClient.sign_in(relay_url, "ada") as client:
            await client.join(project_id)
            phone = cls(client, project_id)
            await phone.list_all()
            yield phone

    @property
    def seqs(self) -> list[int]:
        return [batch["seq"] for batch in self.batches]

    def changes(self) -> list[tuple[str, str]]:
        """All that was told, in order."""
        return [(change["kind"], change["path"]) for batch in self.batches for change in batch["changes"]]

    async def list_all(self) -> None:
        """Forget what is known, and list everything."""
        self.listings += 1
        self.tree = {}
        top = await self._list("")
        self.seen_seq = top["fsSeq"]
        await self._take_in(top["children"])

    async def next_event(self) -> Message:
        """The project's next event, applied to the tree."""
        async with asyncio.timeout(TIMEOUT_S):
            while (event := await self.client.events.get()).get("sessionId") != self.project_id:
                pass
        if event["type"] == "git_changed":
            assert event["payload"] == {}
            self.git_changes += 1
        elif event["type"] == "fs_changed":
            self.batches.append(event["payload"])
            await self._apply(event["payload"])
        return event

    async def until_told(self, path: str) -> None:
        """Follow until it is known that this path is there."""
        while path not in self.tree:
            await self.next_event()

    async def until_git_changes(self, count: int) -> None:
        while self.git_changes < count:
            await self.next_event()

    async def settle(self, root: Path) -> None:
        """Follow until everything was told that has happened up to now, and there is nothing that differs."""
        marker = root / f"marker-{uuid4()}"
        marker.touch()
        await self.until_told(marker.name)
        disk = tree_of(root)
        differing = sorted(path for path in {*self.tree, *disk} if self.tree.get(path) != disk.get(path))
        assert not differing, f"{differing[:10]} of {len(differing)} differ: {self.batches[-3:]}"[:2000]

    async def _apply(self, batch: Message) -> None:
        seq = batch["seq"]
        if seq <= self.seen_seq:
            return
        is_whole = seq == self.seen_seq + 1 and not batch.get("changesTruncated")
        self.seen_seq = seq
        if not is_whole:
            await self.list_all()
            return
        paths = [change["path"] for change in batch["changes"]]
        assert paths == sorted(set(paths), key=str.encode)
        for change in batch["changes"]:
            if change["kind"] != "modify":
                self._forget(change["path"])
        await self._find_kinds([change["path"] for change in batch["changes"] if change["kind"] == "create"])

    async def _find_kinds(self, paths: list[str]) -> None:
        """What was made is a file or a directory: its parent's listing says which."""
        for parent in {path.rpartition("/")[0] for path in paths}:
            for entry in await self._children(parent):
                if entry["path"] in paths:
                    self.tree[entry["path"]] = entry["kind"]

    def _forget(self, path: str) -> None:
        self.tree = {known: kind for known, kind in self.tree.items() if not f"{known}/".startswith(f"{path}/")}

    async def _take_in(self, entries: list[Any]) -> None:
        for entry in entries:
            if entry.get("ignored"):
                continue
            self.tree[entry["path"]] = entry["kind"]
            if "children" in entry and not entry.get("truncated"):
                await self._take_in(entry["children"])
            elif entry["kind"] == "dir":
                await self._take_in(await self._children(entry["path"], depth=_MAX_DEPTH))

    async def _children(self, path: str, *, depth: int = 1) -> list[Any]:
        try:
            children: list[Any] = (await self._list(path, depth=depth))["children"]
        except RequestFailed:
            # Gone meanwhile; a batch will tell.
            return []
        return children

    async def _list(self, path: str, *, depth: int = 1) -> Any:
        async with asyncio.timeout(TIMEOUT_S):
            payload = {"path": path, "depth": depth}
            return await self.client.request("fs_list", payload, session_id=self.project_id)


def tree_of(root: Path) -> dict[str, str]:
    """What is on the disk, but for ``.git``."""
    found = {}
    for directory, names, files in os.walk(root):
        names[:] = [name for name in names if name != ".git"]
        at = Path(directory)
        found.update({(at / name).relative_to(root).as_posix(): "dir" for name in names})
        found.update({(at / name).relative_to(root).as_posix(): "file" for name in files})
    return found
