"""What the CLI asks the user, and how an answer is put to it. Pure."""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import UNSET

from host.agents.claude.rules import suggestions_for
from host.agents.claude.stream_json import ToolQuestion
from host.agents.port import PromptAnswer
from host.protocol.messages.agent_events import PromptAsked

_QUESTION: Final = "AskUserQuestion"
_PLAN: Final = "ExitPlanMode"
_DENIED: Final = "The user does not allow this. Do not try to reach the same in another way; ask what to do instead."
_UNANSWERED: Final = "The user does not want to answer these questions now. Ask in words what to do next."
_MORE_PLANNING: Final = "The user does not approve the plan yet. Stay in plan mode and ask what to change."


def prompt_of(prompt_id: str, question: ToolQuestion) -> PromptAsked:
    """``suggestions`` is what we would remember, not all that the CLI suggests."""
    tool_input = question.input if isinstance(question.input, dict) else {}
    if question.tool_name == _QUESTION:
        return PromptAsked(
            prompt_id=prompt_id, kind="question", tool=_QUESTION, questions=tool_input.get("questions", [])
        )
    if question.tool_name == _PLAN:
        return PromptAsked(prompt_id=prompt_id, kind="plan", tool=_PLAN, plan=str(tool_input.get("plan", "")))
    return PromptAsked(
        prompt_id=prompt_id,
        kind="permission",
        tool=question.tool_name,
        input=question.input,
        suggestions=suggestions_for(question) or UNSET,
    )


def decision_on(question: ToolQuestion, answer: PromptAnswer) -> dict[str, Any]:
    """What ``can_use_tool`` is answered with."""
    if answer.decision == "deny":
        return {"behavior": "deny", "message": answer.message or _default_denial(question.tool_name)}
    decision = {"behavior": "allow", "updatedInput": _input(question, answer)}
    updates = _updates(question, answer)
    return {**decision, "updatedPermissions": updates} if updates else decision


def _input(question: ToolQuestion, answer: PromptAnswer) -> dict[str, Any]:
    asked = question.input if isinstance(question.input, dict) else {}
    wanted = dict(asked if answer.updated_input is None else answer.updated_input)
    if question.tool_name == _QUESTION and answer.answers is not None:
        # Without the questions, which a changed input may lack, no answer would be heard.
        return {**asked, **wanted, "answers": {text: _joined(said) for text, said in answer.answers.items()}}
    return wanted


def _joined(answer: str | Sequence[str]) -> str:
    return answer if isinstance(answer, str) else ", ".join(answer)


def _updates(question: ToolQuestion, answer: PromptAnswer) -> list[dict[str, Any]]:
    if question.tool_name == _PLAN:
        mode = answer.permission_mode
        return [{"type": "setMode", "mode": mode, "destination": "session"}] if mode else []
    return suggestions_for(question) if answer.decision == "allow_always" else []


def _default_denial(tool: str) -> str:
    return {_QUESTION: _UNANSWERED, _PLAN: _MORE_PLANNING}.get(tool, _DENIED)
