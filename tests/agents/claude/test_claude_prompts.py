"""Questions of the CLI as prompts, and answers as it takes them."""

from typing import Any, Final

from msgspec import UNSET

from host.agents.claude.prompts import decision_on, prompt_of
from host.agents.claude.stream_json import ToolQuestion
from host.agents.port import PromptAnswer

BASH: Final = ToolQuestion(
    "can_use_tool",
    "Bash",
    {"command": "npm test -- --foo"},
    [{"type": "addRules", "rules": [{"toolName": "Bash", "ruleContent": "npm test *"}], "behavior": "allow"}],
)
QUESTIONS: Final[list[Any]] = [{"question": "Which?", "options": [{"label": "A"}]}, {"question": "And?"}]
ASK: Final = ToolQuestion("can_use_tool", "AskUserQuestion", {"questions": QUESTIONS})
PLAN: Final = ToolQuestion("can_use_tool", "ExitPlanMode", {"plan": "# Do it", "planFilePath": "/p.md"})


def test_each_kind_of_question_becomes_its_prompt() -> None:
    permission, question, plan = prompt_of("1", BASH), prompt_of("2", ASK), prompt_of("3", PLAN)
    assert (permission.kind, permission.tool, permission.input) == ("permission", "Bash", BASH.input)
    assert (question.kind, question.questions) == ("question", QUESTIONS)
    assert (plan.kind, plan.plan) == ("plan", "# Do it")
    assert permission.suggestions[0]["rules"] == [{"toolName": "Bash", "ruleContent": "npm test *"}]
    assert question.suggestions is plan.suggestions is UNSET


def test_yes_runs_what_was_asked() -> None:
    assert decision_on(BASH, PromptAnswer("allow")) == {"behavior": "allow", "updatedInput": BASH.input}


def test_a_changed_input_runs_instead() -> None:
    answer = PromptAnswer("allow", updated_input={"command": "npm test"})
    assert decision_on(BASH, answer)["updatedInput"] == {"command": "npm test"}


def test_always_adds_the_rules_that_the_prompt_named() -> None:
    decision = decision_on(BASH, PromptAnswer("allow_always"))
    assert decision["updatedPermissions"] == prompt_of("1", BASH).suggestions


def test_always_without_a_rule_is_yes_this_once() -> None:
    question = ToolQuestion("can_use_tool", "Skill", {"skill": "x"})
    assert prompt_of("1", question).suggestions is UNSET
    assert "updatedPermissions" not in decision_on(question, PromptAnswer("allow_always"))


def test_no_tells_the_agent_what_to_do_instead() -> None:
    assert decision_on(BASH, PromptAnswer("deny", message="Use make.")) == {"behavior": "deny", "message": "Use make."}
    for question in (BASH, ASK, PLAN):
        assert decision_on(question, PromptAnswer("deny"))["message"], "The CLI refuses a denial without words."


def test_answers_go_by_the_questions_text_and_several_are_joined() -> None:
    answers = {"Which?": "Something else", "And?": ["B", "C"]}
    assert decision_on(ASK, PromptAnswer("allow", answers=answers))["updatedInput"] == {
        "questions": QUESTIONS,
        "answers": {"Which?": "Something else", "And?": "B, C"},
    }


def test_an_approved_plan_may_choose_how_to_go_on() -> None:
    decision = decision_on(PLAN, PromptAnswer("allow", permission_mode="acceptEdits"))
    assert decision["updatedPermissions"] == [{"type": "setMode", "mode": "acceptEdits", "destination": "session"}]
    assert decision["updatedInput"] == PLAN.input


def test_a_plan_that_the_user_edited_is_passed_on() -> None:
    assert decision_on(PLAN, PromptAnswer("allow", updated_input={"plan": "# Less"}))["updatedInput"] == {
        "plan": "# Less"
    }


def test_an_input_that_is_no_object_is_shown_and_answered_all_the_same() -> None:
    odd = ToolQuestion("can_use_tool", "New", "words")
    assert prompt_of("1", odd).input == "words"
    assert decision_on(odd, PromptAnswer("allow")) == {"behavior": "allow", "updatedInput": {}}
