from pathlib import Path

import msgspec
import pytest

from host.core.clock import rfc3339
from host.protocol.messages.system import Capabilities, DaemonRegister, Machine, RegisteredProject
from relay_stub.oauth.identity.port import Identity
from relay_stub.store.accounts import Accounts
from relay_stub.store.database import Database
from relay_stub.store.registrations import MAX_MACHINES_PER_USER, MachineRow, ProjectRow, Registrations

AT = "2026-02-12T10:00:00.123Z"


def project(project_id: str, *, name: str = "app", last_fs_seq: int = 7) -> RegisteredProject:
    return RegisteredProject(
        project_id=project_id,
        name=name,
        path=f"/home/alice/{name}",
        created_at=AT,
        last_opened_at=AT,
        watcher_running=True,
        last_fs_seq=last_fs_seq,
    )


def registration(*projects: RegisteredProject, machine_key: str = "key-1", label: str = "Laptop") -> DaemonRegister:
    return DaemonRegister(
        protocol_version=1,
        machine_key=machine_key,
        token="token",
        machine=Machine(label=label, hostname="box", platform="linux", arch="x86_64", daemon_version="0.1.0"),
        features=["fs", "git"],
        capabilities=Capabilities(has_git=True, has_claude=False, claude_store_found=False, warnings=("No claude.",)),
        projects=list(projects),
    )


@pytest.fixture
def registrations(database: Database) -> Registrations:
    return Registrations(database)


def test_a_registered_machine_is_kept_with_all_it_told(registrations: Registrations, user_id: str) -> None:
    registrations.save(user_id, registration(), at=AT)
    expected = MachineRow(
        machine_key="key-1",
        label="Laptop",
        hostname="box",
        platform="linux",
        arch="x86_64",
        daemon_version="0.1.0",
        protocol_version=1,
        features=["fs", "git"],
        last_seen_at=AT,
        capabilities=msgspec.Raw(
            b'{"hasGit":true,"hasClaude":false,"claudeStoreFound":false,"warnings":["No claude."]}'
        ),
    )
    assert registrations.machine(user_id, "key-1") == expected
    assert registrations.machines(user_id) == [expected]


def test_a_registered_project_is_kept_with_all_it_told(registrations: Registrations, user_id: str) -> None:
    registrations.save(user_id, registration(project("p1")), at=AT)
    assert registrations.projects(user_id) == [
        ProjectRow("p1", "key-1", "app", "/home/alice/app", AT, AT, watcher_running=True, last_fs_seq=7)
    ]
    assert registrations.projects(user_id)[0].watcher_running is True


def test_registering_again_replaces_label_and_projects(registrations: Registrations, user_id: str) -> None:
    registrations.save(user_id, registration(project("p1"), project("p2")), at=AT)
    registrations.save(user_id, registration(project("p2", last_fs_seq=9), project("p3"), label="Desk"), at=AT)
    assert [row.label for row in registrations.machines(user_id)] == ["Desk"]
    assert [(row.project_id, row.last_fs_seq) for row in registrations.projects(user_id)] == [("p2", 9), ("p3", 7)]


def test_projects_can_be_asked_of_one_machine(registrations: Registrations, user_id: str) -> None:
    registrations.save(user_id, registration(project("p1", name="b")), at=AT)
    registrations.save(user_id, registration(project("p2", name="a"), machine_key="key-2"), at=AT)
    assert [row.project_id for row in registrations.projects(user_id)] == ["p2", "p1"]
    assert [row.project_id for row in registrations.projects(user_id, "key-1")] == ["p1"]
    assert registrations.projects(user_id, "key-3") == []


def test_the_last_registration_of_a_project_has_it(registrations: Registrations, user_id: str) -> None:
    registrations.save(user_id, registration(project("p1"), project("p2")), at=AT)
    registrations.save(user_id, registration(project("p1"), machine_key="key-2"), at=AT)
    assert registrations.machine_of_project(user_id, "p1") == "key-2"
    assert registrations.machine_of_project(user_id, "p2") == "key-1"
    registrations.save(user_id, registration(project("p2")), at=AT)
    assert registrations.machine_of_project(user_id, "p1") == "key-2"


def test_another_users_machines_and_projects_are_out_of_reach(
    registrations: Registrations, accounts: Accounts, user_id: str
) -> None:
    other_id = accounts.sign_in(Identity("dev", "mallory", "mallory")).id
    registrations.save(user_id, registration(project("p1")), at=AT)
    registrations.save(other_id, registration(project("p1"), project("p2"), label="Mallory's"), at=AT)
    registrations.touch(other_id, "key-1", at="2027-01-01T00:00:00.000Z")
    registrations.save(other_id, registration(label="Mallory's"), at=AT)
    mine = registrations.machine(user_id, "key-1")
    assert mine is not None
    assert (mine.label, mine.last_seen_at) == ("Laptop", AT)
    assert registrations.machine_of_project(user_id, "p1") == "key-1"
    assert registrations.machine_of_project(other_id, "p1") is None
    assert registrations.projects(other_id) == []


def test_touching_moves_when_a_machine_was_last_seen(registrations: Registrations, user_id: str) -> None:
    registrations.save(user_id, registration(), at=AT)
    registrations.touch(user_id, "key-1", at="2026-03-01T00:00:00.000Z")
    registrations.touch(user_id, "unknown", at="2026-03-01T00:00:00.000Z")
    assert [row.last_seen_at for row in registrations.machines(user_id)] == ["2026-03-01T00:00:00.000Z"]


def test_the_machine_seen_longest_ago_makes_room(registrations: Registrations, user_id: str) -> None:
    for number in range(MAX_MACHINES_PER_USER):
        key = f"key-{number}"
        registrations.save(user_id, registration(project(f"p-{number}"), machine_key=key), at=rfc3339(1000.0 + number))
    registrations.touch(user_id, "key-0", at=rfc3339(5000.0))
    registrations.save(user_id, registration(machine_key="new"), at=rfc3339(0.0))
    keys = {row.machine_key for row in registrations.machines(user_id)}
    assert len(keys) == MAX_MACHINES_PER_USER
    assert keys >= {"key-0", "new"}
    assert registrations.machine_of_project(user_id, "p-0") == "key-0"
    assert registrations.machine_of_project(user_id, "p-1") is None


def test_a_refused_registration_changes_nothing(registrations: Registrations, user_id: str, database: Database) -> None:
    registrations.save(user_id, registration(project("p1")), at=AT)
    database.execute("CREATE TEMP TRIGGER full BEFORE INSERT ON projects BEGIN SELECT RAISE(ABORT, 'full'); END")
    with pytest.raises(Exception, match="full"):
        registrations.save(user_id, registration(project("p2"), label="Desk"), at=AT)
    assert [row.label for row in registrations.machines(user_id)] == ["Laptop"]
    assert registrations.machine_of_project(user_id, "p1") == "key-1"


def test_registrations_are_there_after_a_restart(tmp_path: Path) -> None:
    database = Database.open(tmp_path)
    user_id = Accounts(database).sign_in(Identity("dev", "alice", "alice")).id
    Registrations(database).save(user_id, registration(project("p1")), at=AT)
    database.close()
    database = Database.open(tmp_path)
    assert Registrations(database).machine_of_project(user_id, "p1") == "key-1"
    assert [row.label for row in Registrations(database).machines(user_id)] == ["Laptop"]
    database.close()
