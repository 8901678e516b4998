"""What a user's clients are told of machines and projects: registrations and presence put together."""

from host.core.clock import now_rfc3339
from host.protocol.messages.system import MachineInfo, ProjectInfo
from relay_stub.connection import Relay


def machines(relay: Relay, user_id: str) -> list[MachineInfo]:
    """All the user's machines, offline ones included."""
    now = now_rfc3339()
    infos = []
    for row in relay.registrations.machines(user_id):
        connected = relay.presence.is_connected(user_id, row.machine_key)
        infos.append(
            MachineInfo(
                machine_key=row.machine_key,
                label=row.label,
                hostname=row.hostname,
                platform=row.platform,
                arch=row.arch,
                daemon_version=row.daemon_version,
                protocol_version=row.protocol_version,
                features=row.features,
                connected=connected,
                last_seen_at=now if connected else row.last_seen_at,
                capabilities=row.capabilities,
            )
        )
    return infos


def projects(relay: Relay, user_id: str, machine_key: str | None) -> list[ProjectInfo]:
    """All the user's projects, or those of one machine; those of offline machines included."""
    return [
        ProjectInfo(
            project_id=row.project_id,
            machine_key=row.machine_key,
            connected=relay.presence.is_connected(user_id, row.machine_key),
            name=row.name,
            path=row.path,
            created_at=row.created_at,
            last_opened_at=row.last_opened_at,
            watcher_running=row.watcher_running,
            last_fs_seq=row.last_fs_seq,
        )
        for row in relay.registrations.projects(user_id, machine_key)
    ]
