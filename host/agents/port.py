"""What a coding agent must be able to do, whichever it is. ``claude/`` is one; another fits beside it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from host.protocol.errors import Unsupported
from host.protocol.messages.agent_events import AgentEvent
from host.protocol.messages.agents import AgentCapabilitiesResponse, AgentOptions, Content, Decision


@dataclass(frozen=True)
class TurnOrder:
    """One message to an agent, and how it is to be worked on.

    ``turn_id`` is a UUIDv4: an agent that was given the same one before does not run it twice.
    ``is_first``: no turn of the session was completed yet, so the agent may not know it and has to make it then.
    ``root``: the project's directory, which the agent works in. ``allowed``: rules of earlier "always allow"
    answers, as ``Agent.rules_of`` gave them, the oldest first.
    """

    agent_session_id: str
    turn_id: str
    content: Content
    options: AgentOptions
    is_first: bool
    root: Path
    allowed: Sequence[str] = ()


@dataclass(frozen=True)
class PromptAnswer:
    """The user's answer to a prompt; the members are those of ``agent_prompt_response``.

    ``permission_mode`` has passed ``Agent.require_supported``.
    """

    decision: Decision
    message: str | None = None
    updated_input: Mapping[str, Any] | None = None
    answers: Mapping[str, str | Sequence[str]] | None = None
    permission_mode: str | None = None


class Turn(Protocol):
    """A turn that runs. Left for good once its context is left: no process of it is there any more."""

    def __aiter__(self) -> AsyncIterator[AgentEvent]:
        """What happens, as it happens; the last is exactly one ``TurnDone``.

        Besides the agent's own there are ``PromptAsked`` and, for what it does not ask any more,
        ``PromptResolved``: "withdrawn", or "interrupted" where the agent has ended. To be read once.
        """
        ...

    async def answer(self, prompt_id: str, answer: PromptAnswer) -> None:
        """Pass the answer on, without waiting until the agent has heard it. One that nobody waits for is dropped."""

    def cancel(self) -> None:
        """End the turn: by the agent's own means, then by force. ``TurnDone`` ("cancelled") comes soon."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Agent(Protocol):
    """A coding agent on this machine."""

    name: str

    async def capabilities(self, root: Path) -> AgentCapabilitiesResponse:
        """What the agent offers in that directory. Raises AgentUnavailable."""
        ...

    def require_supported(self, options: AgentOptions) -> None:
        """Raises InvalidRequest for options it can't take, Unsupported for those this host does not allow.

        ``add_dirs`` is not looked at: where they may lie is no matter of the agent.
        """
        ...

    async def start(self, order: TurnOrder) -> Turn:
        """Begin a turn, whose options ``require_supported`` took. Raises AgentUnavailable and ProjectRootGone."""
        ...

    def rules_of(self, suggestions: Any) -> Sequence[str]:
        """What "always allow" allows from now on, as ``TurnOrder.allowed`` takes it.

        ``suggestions`` are those of the ``PromptAsked``. Without any, "always allow" allows this once.
        """
        ...


def agent_of(agents: Mapping[str, Agent], name: str) -> Agent:
    """Raises Unsupported for one that there is not."""
    if name not in agents:
        raise Unsupported(f"This daemon does not drive such an agent. It offers: {', '.join(agents)}.")
    return agents[name]
