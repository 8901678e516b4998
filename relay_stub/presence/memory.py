"""Presence in one relay process."""


class MemoryPresence:
    def __init__(self) -> None:
        self._connections: dict[tuple[str, str], str] = {}

    def connect(self, user_id: str, machine_key: str, connection_id: str) -> None:
        self._connections[user_id, machine_key] = connection_id

    def disconnect(self, user_id: str, machine_key: str, connection_id: str) -> bool:
        if self._connections.get((user_id, machine_key)) != connection_id:
            return False
        del self._connections[user_id, machine_key]
        return True

    def is_connected(self, user_id: str, machine_key: str) -> bool:
        return (user_id, machine_key) in self._connections
