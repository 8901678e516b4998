"""What the daemon does, in words. Imported by ``pocketcoder status``: see host.core.home about imports."""


def work_in_words(*, commands: int, turns: int, requests: int) -> str:
    """``2 commands and 1 turn of an agent``; empty where nothing runs. ``requests`` count those of commands, too."""
    parts = [
        _counted(commands, "command", "commands"),
        _counted(turns, "turn of an agent", "turns of agents"),
        _counted(max(requests - commands, 0), "request", "requests"),
    ]
    return " and ".join(part for part in parts if part)


def work_of(status: dict) -> str:  # type: ignore[type-arg]  # JSON; typing.Any would cost its import
    """The same of what ``/status`` says. A turn that waits for an answer from somebody is at rest."""
    activity = status["activity"]
    turns = sum(agent["running"] for agent in status["agents"])
    return work_in_words(commands=activity["commands"], turns=turns, requests=activity["requests"])


def _counted(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}" if count else ""
