"""What agents ask and users answer: the first answer wins, from whichever client, and everybody sees which."""

import sqlite3
from dataclasses import dataclass

from host.agents.journal import Journal
from host.agents.options import after_planning
from host.agents.port import PromptAnswer
from host.agents.record import resolve
from host.agents.running_turn import RunningTurn
from host.agents.turns import Projects, Turns
from host.core.requests import RequestContext
from host.db.agent_prompts import StoredPrompt, get_prompt, waiting_prompts
from host.db.agent_rules import add_rules
from host.db.agent_sessions import StoredSession, get_session, set_options
from host.protocol.errors import InvalidRequest
from host.protocol.messages.agent_events import AgentEvent, PromptAsked
from host.protocol.messages.agents import (
    AgentOptions,
    AgentPromptResponse,
    AgentPromptResponseResponse,
    AttentionListResponse,
)

_Answered = tuple[StoredSession, list[AgentEvent]]


@dataclass(frozen=True)
class Prompts:
    journal: Journal
    projects: Projects
    turns: Turns

    async def answer(self, request: AgentPromptResponse, context: RequestContext) -> AgentPromptResponseResponse:
        """Store the answer, tell everybody, and pass it on to the agent; a later one only hears which one stands.

        Raises SessionNotFound for what was never asked, Unsupported for a permission mode that this host forbids,
        InvalidRequest for an answer to another question than was asked.
        """
        await self.projects.root_of(context.project_id)
        running = self.turns.running(request.agent_session_id)
        if running is not None and request.permission_mode is not None:
            running.agent.require_supported(AgentOptions(permission_mode=request.permission_mode))
        asked = running.asked(request.prompt_id) if running is not None else None
        _require_asked(asked, request)
        rules = _rules(running, asked, request)

        def job(connection: sqlite3.Connection) -> tuple[AgentPromptResponseResponse, _Answered]:
            session = get_session(connection, context.project_id, request.agent_session_id)
            prompt = get_prompt(connection, session.stream_id, request.prompt_id)
            if prompt.decision is not None:
                return AgentPromptResponseResponse(applied=False, decision=prompt.decision), (session, [])
            events = resolve(
                connection,
                session,
                prompt.turn_id,
                prompt.prompt_id,
                request.decision,
                by=context.device,
                at=self.journal.now(),
            )
            add_rules(connection, session.project_id, session.agent, rules)
            _go_on(connection, session, prompt, request)
            return AgentPromptResponseResponse(applied=True, decision=request.decision), (session, events)

        response, answered = await context.commit(job)
        self.journal.tell(*answered)
        if running is not None and response.applied:
            await running.answer(request.prompt_id, _passed_on(request))
        return response

    async def waiting(self) -> AttentionListResponse:
        return AttentionListResponse(items=await self.journal.database.read(waiting_prompts))


def _require_asked(asked: PromptAsked | None, request: AgentPromptResponse) -> None:
    """Raises InvalidRequest for an answer that the agent would take for none, because nobody asked that."""
    if asked is None or asked.kind != "question" or not request.answers:
        return
    questions = asked.questions if isinstance(asked.questions, list) else []
    texts = {question.get("question") for question in questions if isinstance(question, dict)}
    if not request.answers.keys() <= texts:
        raise InvalidRequest.of_field("answers", "Each answer stands under the whole text of one of the questions.")


def _rules(running: RunningTurn | None, asked: PromptAsked | None, request: AgentPromptResponse) -> list[str]:
    """What is always allowed from now on."""
    if running is None or asked is None or request.decision != "allow_always":
        return []
    return list(running.agent.rules_of(asked.suggestions))


def _go_on(
    connection: sqlite3.Connection, session: StoredSession, prompt: StoredPrompt, request: AgentPromptResponse
) -> None:
    """A plan that was allowed ends planning, for the turns to come too."""
    if prompt.kind == "plan" and request.decision != "deny":
        set_options(connection, session.stream_id, after_planning(session.options, request.permission_mode))


def _passed_on(request: AgentPromptResponse) -> PromptAnswer:
    return PromptAnswer(
        decision=request.decision,
        message=request.message,
        updated_input=request.updated_input,
        answers=request.answers,
        permission_mode=request.permission_mode,
    )
