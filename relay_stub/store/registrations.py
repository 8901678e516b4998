"""What each machine registered, kept over restarts so that offline machines are still known."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from host.protocol.messages.system import DaemonRegister
from relay_stub.store.database import Database

MAX_MACHINES_PER_USER = 100

_MACHINE_COLUMNS = (
    "machine_key, label, hostname, platform, arch, daemon_version, protocol_version, "
    "features, last_seen_at, capabilities"
)
_PROJECT_COLUMNS = "project_id, machine_key, name, path, created_at, last_opened_at, watcher_running, last_fs_seq"


@dataclass(frozen=True)
class MachineRow:
    """A ``MachineInfo`` but for ``connected``, which is not stored. ``capabilities`` is JSON as it was registered."""

    machine_key: str
    label: str
    hostname: str
    platform: str
    arch: str
    daemon_version: str
    protocol_version: int
    features: list[str]
    last_seen_at: str
    capabilities: msgspec.Raw


@dataclass(frozen=True)
class ProjectRow:
    """A ``ProjectInfo`` but for ``connected``, which is not stored."""

    project_id: str
    machine_key: str
    name: str
    path: str
    created_at: str
    last_opened_at: str
    watcher_running: bool
    last_fs_seq: int


class Registrations:
    """Machines by (user, machineKey), projects by (user, projectId): no query reaches another user's.

    ``at`` is RFC 3339 UTC with milliseconds, so that it sorts as text.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        # Asked for every routed request; holds what was found since the last registration.
        self._owners: dict[tuple[str, str], str] = {}

    def save(self, user_id: str, registration: DaemonRegister, *, at: str) -> None:
        """Replace the machine and its projects, all or nothing. The last registration of a project id has it.

        Past ``MAX_MACHINES_PER_USER`` the machine that was seen longest ago is forgotten: there is no
        other way to be rid of those that will never come back.
        """
        self._owners.clear()
        with self._database.transaction():
            self._save_machine(user_id, registration, at)
            self._forget_oldest_machines(user_id, but=registration.machine_key)
            self._replace_projects(user_id, registration)

    def machines(self, user_id: str) -> list[MachineRow]:
        """The user's machines by label."""
        return list(self._find_machines("user_id = ? ORDER BY label, machine_key", user_id))

    def machine(self, user_id: str, machine_key: str) -> MachineRow | None:
        return next(self._find_machines("user_id = ? AND machine_key = ?", user_id, machine_key), None)

    def projects(self, user_id: str, machine_key: str | None = None) -> list[ProjectRow]:
        """The user's projects by name, of one machine or of all."""
        where, parameters = "user_id = ?", [user_id]
        if machine_key is not None:
            where, parameters = f"{where} AND machine_key = ?", [user_id, machine_key]
        rows = self._database.execute(
            f"SELECT {_PROJECT_COLUMNS} FROM projects WHERE {where} ORDER BY name, project_id",  # noqa: S608 - constants
            parameters,
        )
        return [_project_row(row) for row in rows]

    def machine_of_project(self, user_id: str, project_id: str) -> str | None:
        """The key of the machine that registered this project last."""
        owner = self._owners.get((user_id, project_id))
        if owner is None:
            row = self._database.execute(
                "SELECT machine_key FROM projects WHERE user_id = ? AND project_id = ?", (user_id, project_id)
            ).fetchone()
            if row is None:
                return None
            owner = self._owners[user_id, project_id] = row[0]
        return owner

    def touch(self, user_id: str, machine_key: str, *, at: str) -> None:
        """Note when the machine was last seen; one that isn't known stays unknown."""
        self._database.execute(
            "UPDATE machines SET last_seen_at = ? WHERE user_id = ? AND machine_key = ?", (at, user_id, machine_key)
        )

    def _find_machines(self, where: str, *parameters: str) -> Iterator[MachineRow]:
        sql = f"SELECT {_MACHINE_COLUMNS} FROM machines WHERE {where}"  # noqa: S608 - constants
        return (_machine_row(row) for row in self._database.execute(sql, parameters))

    def _save_machine(self, user_id: str, registration: DaemonRegister, at: str) -> None:
        machine = registration.machine
        self._database.execute(
            f"INSERT INTO machines (user_id, {_MACHINE_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?) "  # noqa: S608 - constants
            "ON CONFLICT DO UPDATE SET label = excluded.label, hostname = excluded.hostname, "
            "platform = excluded.platform, arch = excluded.arch, daemon_version = excluded.daemon_version, "
            "protocol_version = excluded.protocol_version, features = excluded.features, "
            "last_seen_at = excluded.last_seen_at, capabilities = excluded.capabilities",
            (
                user_id,
                registration.machine_key,
                machine.label,
                machine.hostname,
                machine.platform,
                machine.arch,
                machine.daemon_version,
                registration.protocol_version,
                msgspec.json.encode(registration.features).decode(),
                at,
                registration.capabilities.model_dump_json(by_alias=True, exclude_none=True),
            ),
        )

    def _forget_oldest_machines(self, user_id: str, *, but: str) -> None:
        self._database.execute(
            "DELETE FROM machines WHERE user_id = ? AND machine_key IN (SELECT machine_key FROM machines "
            "WHERE user_id = ? AND machine_key <> ? ORDER BY last_seen_at DESC, machine_key LIMIT -1 OFFSET ?)",
            (user_id, user_id, but, MAX_MACHINES_PER_USER - 1),
        )

    def _replace_projects(self, user_id: str, registration: DaemonRegister) -> None:
        machine_key = registration.machine_key
        self._database.execute("DELETE FROM projects WHERE user_id = ? AND machine_key = ?", (user_id, machine_key))
        self._database.execute_many(
            f"INSERT OR REPLACE INTO projects (user_id, {_PROJECT_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)",  # noqa: S608 - constants
            (
                (
                    user_id,
                    project.project_id,
                    machine_key,
                    project.name,
                    project.path,
                    project.created_at,
                    project.last_opened_at,
                    project.watcher_running,
                    project.last_fs_seq,
                )
                for project in registration.projects
            ),
        )


def _machine_row(row: tuple[Any, ...]) -> MachineRow:
    *columns, features, last_seen_at, capabilities = row
    columns += [msgspec.json.decode(features, type=list[str]), last_seen_at, msgspec.Raw(capabilities.encode())]
    return MachineRow(*columns)


def _project_row(row: tuple[Any, ...]) -> ProjectRow:
    *columns, watcher_running, last_fs_seq = row
    columns += [bool(watcher_running), last_fs_seq]
    return ProjectRow(*columns)
