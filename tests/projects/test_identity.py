"""The machine's label and key."""

from pathlib import Path

import pytest

from host.auth.token_store import TokenStore
from host.db.database import Database
from host.projects.identity import MachineLabel, machine_key
from host.protocol.errors import InvalidRequest


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "machine-label.txt"


def test_without_a_label_the_hosts_name_serves(file: Path) -> None:
    assert MachineLabel(file, hostname=lambda: "workshop").read() == "workshop"


def test_a_label_is_kept_privately_and_without_the_white_space_around_it(file: Path) -> None:
    label = MachineLabel(file)
    assert label.write("  My \u00e9t\u00e9 \n") == "My \u00e9t\u00e9"
    assert MachineLabel(file, hostname=lambda: "workshop").read() == "My \u00e9t\u00e9"
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", " \n", "x" * 101, "line\nbreak", "bell\a", "turned\u202eround"])
def test_what_is_no_label_is_refused_and_the_old_one_stays(file: Path, text: str) -> None:
    label = MachineLabel(file)
    label.write("old")
    with pytest.raises(InvalidRequest, match="label"):
        label.write(text)
    assert label.read() == "old"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"two\nlines", b"x" * 10_000])
def test_a_file_that_holds_no_label_counts_as_none(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert MachineLabel(file, hostname=lambda: "workshop").read() == "workshop"


def test_a_host_without_a_usable_name_has_a_label_still(file: Path) -> None:
    assert MachineLabel(file, hostname=lambda: "").read() == "This machine"


async def test_a_machine_has_one_key_for_good(database: Database, tmp_path: Path) -> None:
    key = await machine_key(TokenStore(tmp_path / "auth.json"), database)
    await database.close()
    again = await Database.open(tmp_path / "daemon.db")

    assert await machine_key(TokenStore(tmp_path / "auth.json"), again) == key
    await again.close()


async def test_the_machines_key_outlives_the_loss_of_either_file(database: Database, tmp_path: Path) -> None:
    auth_file = tmp_path / "auth.json"
    key = await machine_key(TokenStore(auth_file), database)
    auth_file.unlink()
    assert await machine_key(TokenStore(auth_file), database) == key
    fresh = await Database.open(tmp_path / "fresh.db")
    assert await machine_key(TokenStore(auth_file), fresh) == key
    auth_file.unlink()

    assert await machine_key(TokenStore(auth_file), fresh) == key
    await fresh.close()
