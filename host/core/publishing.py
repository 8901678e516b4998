"""How features tell the user's clients what nobody asked for."""

from typing import Protocol

from host.protocol.messages.base import Event


class Publish(Protocol):
    def __call__(self, project_id: str, event: Event) -> bool:
        """Send an event of a project, or drop it where the link is down or full: it never waits.

        Returns whether it was sent. Events of some types go to all the user's clients, the others to
        those that joined the project: the relay knows.
        """
