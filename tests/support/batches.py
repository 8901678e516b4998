"""Whether the numbers of change batches are what they must be: rising for who listens, and none used twice."""

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass
class SeenBatches:
    """Of one project, over all who listened to it."""

    highest: int = 0
    _contents: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._contents)

    def listener(self) -> "Listener":
        """For who has joined just now."""
        return Listener(self, self.highest)

    def note(self, seq: int, changes: Any) -> None:
        """Raises AssertionError for a number that was seen with other changes."""
        content = json.dumps(changes, sort_keys=True)
        known = self._contents.setdefault(seq, content)
        assert known == content, f"Batch {seq} was sent twice: {known[:200]} and {content[:200]}"
        self.highest = max(self.highest, seq)


@dataclass
class Listener:
    """One connection's view: what it hears is newer than what anybody had heard when it joined."""

    seen: SeenBatches
    last_seq: int

    def hear(self, payload: dict[str, Any]) -> None:
        """Raises AssertionError for a number that does not rise."""
        seq = payload["seq"]
        assert seq > self.last_seq, f"Batch {seq} came after batch {self.last_seq}."
        self.last_seq = seq
        self.seen.note(seq, payload["changes"])
