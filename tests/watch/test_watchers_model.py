"""Whatever happens to a tree, a client that applies what it is told ends up with what is there."""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.watch.port import Watcher
from host.watch.project import Timing
from host.watch.watchfiles_watcher import WatchfilesWatcher
from tests.support.watching import listed, not_ignored, watched
from tests.watch.conftest import WATCHERS

# Before a release: WATCH_EXAMPLES=2000, with a longer --timeout.
_MANY: Final = int(os.environ.get("WATCH_EXAMPLES", "200"))
_NAMES: Final = st.sampled_from(["a", "b", "c", "out", "x.log"])
_PATHS: Final = st.lists(_NAMES, min_size=1, max_size=4).map("/".join)
_RULES: Final = st.sampled_from(["", "out/\n", "*.log\n", "/a\n", "a/b\n", "*\n!b\n!c\n!marker-*\n", "out\n!out\n"])

# (project, outside of it) → something happens; what is not possible does not happen.
Act = Callable[[Path, Path], object]


def write(path: str) -> Act:
    return lambda root, outside: _write(root / path, "text")


def replace(path: str) -> Act:
    def act(root: Path, outside: Path) -> None:
        _write(root / f"{path}.tmp", "longer text")
        (root / f"{path}.tmp").rename(root / path)

    return act


def make(path: str) -> Act:
    return lambda root, outside: (root / path).mkdir(parents=True)


def make_with_files(path: str) -> Act:
    def act(root: Path, outside: Path) -> None:
        (root / path / "b").mkdir(parents=True)
        _write(root / path / "file", "text")
        _write(root / path / "b" / "file", "text")

    return act


def rename(old: str, new: str) -> Act:
    return lambda root, outside: (root / old).rename(root / new)


def exchange(one: str, other: str) -> Act:
    def act(root: Path, outside: Path) -> None:
        (root / one).rename(outside / "exchanged")
        with suppress(OSError):
            (root / other).rename(root / one)
        (outside / "exchanged").rename(root / other)

    return act


def there_and_back(path: str, other: str) -> Act:
    def act(root: Path, outside: Path) -> None:
        (root / path).rename(outside / "away")
        _write(outside / "away" / other, "while it was away")
        (outside / "away").rename(root / path)

    return act


def move_out(path: str) -> Act:
    return lambda root, outside: (root / path).rename(Path(tempfile.mkdtemp(dir=outside)) / "moved")


def move_in(path: str) -> Act:
    def act(root: Path, outside: Path) -> None:
        place = Path(tempfile.mkdtemp(dir=outside))
        make_with_files("in/c")(place, outside)
        (place / "in").rename(root / path)

    return act


def remove(path: str) -> Act:
    def act(root: Path, outside: Path) -> None:
        if (root / path).is_dir() and not (root / path).is_symlink():
            shutil.rmtree(root / path)
        else:
            (root / path).unlink()

    return act


def switch(path: str) -> Act:
    """As a git checkout does it: what differs is removed, then written."""

    def act(root: Path, outside: Path) -> None:
        with suppress(OSError):
            remove(path)(root, outside)
        make_with_files(path)(root, outside)

    return act


def change_type(path: str) -> Act:
    def act(root: Path, outside: Path) -> None:
        is_dir = (root / path).is_dir()
        remove(path)(root, outside)
        _write(root / path, "text") if is_dir else make_with_files(path)(root, outside)

    return act


def link(path: str, target: str) -> Act:
    return lambda root, outside: (root / path).symlink_to(target)


def ignore(directory: str, text: str) -> Act:
    return lambda root, outside: _write(root / directory / ".gitignore", text)


def pause(seconds: float) -> Act:
    return lambda root, outside: time.sleep(seconds)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


_ACTS: Final = st.one_of(
    st.builds(write, _PATHS),
    st.builds(replace, _PATHS),
    st.builds(make, _PATHS),
    st.builds(make_with_files, _PATHS),
    st.builds(rename, _PATHS, _PATHS),
    st.builds(exchange, _PATHS, _PATHS),
    st.builds(there_and_back, _PATHS, _NAMES),
    st.builds(move_out, _PATHS),
    st.builds(move_in, _PATHS),
    st.builds(remove, _PATHS),
    st.builds(switch, _PATHS),
    st.builds(change_type, _PATHS),
    st.builds(link, _PATHS, st.sampled_from([".", "a", "..", "nowhere"])),
    st.builds(ignore, st.sampled_from(["", "a", "b", "a/b"]), _RULES),
    st.builds(remove, st.sampled_from([".gitignore", "a/.gitignore"])),
    st.builds(pause, st.sampled_from([0.0005, 0.002, 0.006])),
)
_BEFORE: Final = st.lists(_ACTS, max_size=10)
_BURSTS: Final = st.lists(st.lists(_ACTS, min_size=1, max_size=25), min_size=1, max_size=4)


async def _live_through(
    open_watcher: Callable[[], Watcher], before: list[Act], bursts: list[list[Act]], *, is_exact: bool
) -> None:
    """``is_exact``: what happened is told before what happens next; else it is found when all is looked at."""
    with tempfile.TemporaryDirectory() as place:
        root, outside = Path(place) / "project", Path(place) / "outside"
        root.mkdir()
        outside.mkdir()
        _perform(before, root, outside)
        watcher = open_watcher()
        async with watched(watcher, root) as recorder:
            for burst in bursts:
                _perform(burst, root, outside)
                await recorder.settle()
                if not is_exact:
                    await recorder.until(lambda: not_ignored(root, recorder.tree) == listed(root))
                assert not_ignored(root, recorder.tree) == listed(root)
        await watcher.close()


def _perform(acts: list[Act], root: Path, outside: Path) -> None:
    for act in acts:
        with suppress(OSError):
            act(root, outside)


@settings(max_examples=20)
@given(before=_BEFORE, bursts=_BURSTS)
def test_what_is_told_by_inotify_adds_up_to_what_is_there(before: list[Act], bursts: list[list[Act]]) -> None:
    asyncio.run(_live_through(WATCHERS["inotify"], before, bursts, is_exact=True))


@pytest.mark.slow
@settings(max_examples=_MANY)
@given(before=_BEFORE, bursts=_BURSTS)
def test_what_is_told_by_inotify_adds_up_many_times(before: list[Act], bursts: list[list[Act]]) -> None:
    asyncio.run(_live_through(WATCHERS["inotify"], before, bursts, is_exact=True))


@pytest.mark.slow
@settings(max_examples=_MANY // 10)
@given(before=_BEFORE, bursts=_BURSTS)
def test_what_is_told_by_watchfiles_adds_up_to_what_is_there(before: list[Act], bursts: list[list[Act]]) -> None:
    def open_watcher() -> Watcher:
        return WatchfilesWatcher(timing=Timing(gone_s=0.1, poll_s=0.3, poll_share=0.5))

    asyncio.run(_live_through(open_watcher, before, bursts, is_exact=False))
