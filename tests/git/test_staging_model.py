"""Any part of any state of a working tree is staged, unstaged and discarded, and the rest is left as it was."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from host.git.parsing.rows import Row, choosers, parse_rows
from tests.support.git_changing import asking
from tests.support.git_remotes import Checkout, user_home

SEEDS: Final = (*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 16)))
NAMES: Final = ("a", "b", "*", "a b", "[x]", ":(top)", "é", "-n", 'q"t', "nl\nx", "caf\udce9", "new → name")
DIRECTORIES: Final = ("", "d/", "d/e/", "-d/", "*/")


def anywhere(chance: random.Random) -> str:
    return chance.choice(DIRECTORIES) + chance.choice(NAMES)


def make_state(repository: Checkout, chance: random.Random) -> None:
    """A commit of some files, then changes, some of them staged."""
    for _ in range(12):
        write(repository, chance)
    repository.git("add", "--all")
    repository.git("commit", "-q", "-m", "First")
    for _ in range(3):
        for _ in range(4):
            change(repository, chance)
        repository.git("add", "--all") if chance.random() < 0.4 else None
    for _ in range(4):
        change(repository, chance)


def write(repository: Checkout, chance: random.Random) -> None:
    file = repository.path / anywhere(chance)
    if file.is_dir() or any(parent.is_file() for parent in file.parents):
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(chance.choice("xyz") * chance.randrange(200))


def change(repository: Checkout, chance: random.Random) -> None:
    files = [file for file in repository.path.rglob("*") if file.is_file() and ".git" not in file.parts]
    match chance.randrange(4) if files else 0:
        case 1:
            chance.choice(files).unlink()
        case 2:
            file = chance.choice(files)
            file.rename(file.with_name(chance.choice(("moved", "m\udce9"))))
        case 3:
            chance.choice(files).write_text("changed")
        case _:
            write(repository, chance)


def rows_of(repository: Checkout) -> dict[bytes, Row]:
    """What git says itself, without renames."""
    listing = repository.git("status", "--porcelain=v2", "-z", "--untracked-files=all", "--no-renames")
    encoded = listing.encode(errors="surrogateescape")
    return {row.path: row for row in parse_rows(encoded, prefix=b"")}


def chosen_of(rows: dict[bytes, Row], chance: random.Random) -> dict[str, bytes]:
    """Some of the paths, and directories of theirs, as the wire and as git names them."""
    names = [chance.choice(list(_ways_to(row.path))) for row in rows.values() if chance.random() < 0.5]
    # What is no text is asked for by the names that hold no other sign of it.
    return {name.decode(): name for name in names if is_text(name)}


def is_text(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _ways_to(path: bytes) -> Iterator[bytes]:
    parts = path.split(b"/")
    yield from (b"/".join(parts[:count]) for count in range(1, len(parts) + 1))


def split(rows: dict[bytes, Row], chosen: dict[str, bytes]) -> tuple[dict[bytes, Row], dict[bytes, Row]]:
    """The rows at or below what was chosen, and the others."""
    names = set(chosen.values())
    inside = {path: row for path, row in rows.items() if any(choosers(path, names))}
    return inside, {path: row for path, row in rows.items() if path not in inside}


@pytest.fixture(params=SEEDS)
def chance(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(request.param)


@pytest.fixture
def repository(tmp_path: Path, chance: random.Random) -> Checkout:
    repository = Checkout.init(tmp_path / "repository", user_home(tmp_path))
    make_state(repository, chance)
    return repository


async def test_what_is_chosen_is_changed_and_the_rest_is_not(repository: Checkout, chance: random.Random) -> None:
    async with asking(repository) as phone:
        before = rows_of(repository)
        if chosen := chosen_of(before, chance):
            await phone.stage(*chosen)
            after = rows_of(repository)
            assert all(row.unstaged == "." for row in split(after, chosen)[0].values())
            assert split(after, chosen)[1] == split(before, chosen)[1]
        before = rows_of(repository)
        if chosen := chosen_of({path: row for path, row in before.items() if row.unstaged != "."}, chance):
            await phone.discard(*chosen)
            after = rows_of(repository)
            assert all(row.unstaged == "." for row in split(after, chosen)[0].values())
            assert split(after, chosen)[1] == split(before, chosen)[1]
        repository.git("config", "status.renames", "false")
        before = rows_of(repository)
        if chosen := chosen_of(before, chance):
            await phone.unstage(*chosen)
            after = rows_of(repository)
            assert all(row.staged == "." for row in split(after, chosen)[0].values())
            assert split(after, chosen)[1] == split(before, chosen)[1]
