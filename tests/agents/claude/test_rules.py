"""What "always allow" remembers."""

from typing import Any, Final

import pytest

from host.agents.claude.rules import rules_of, suggestions_for
from host.agents.claude.stream_json import ToolQuestion

ACCEPT_EDITS: Final = {"type": "setMode", "mode": "acceptEdits", "destination": "session"}
OUTSIDE: Final = {"type": "addDirectories", "directories": ["/home/alice"], "destination": "session"}


def allowing(tool: str, *contents: str | None) -> dict[str, Any]:
    rules = [{"toolName": tool} | ({"ruleContent": content} if content is not None else {}) for content in contents]
    return {"type": "addRules", "rules": rules, "behavior": "allow", "destination": "localSettings"}


def remembered(tool: str, tool_input: Any, *suggestions: Any, reason: str | None = None) -> list[str]:
    question = ToolQuestion("can_use_tool", tool, tool_input, list(suggestions), reason)
    return rules_of(suggestions_for(question))


def test_what_the_cli_suggests_is_remembered_in_its_words() -> None:
    assert remembered("Bash", {"command": "npm test -- --foo"}, allowing("Bash", "npm test *")) == ["Bash(npm test *)"]
    assert remembered("WebFetch", {"url": "https://a.example/x"}, allowing("WebFetch", "domain:a.example")) == [
        "WebFetch(domain:a.example)"
    ]
    assert remembered("WebSearch", {"query": "x"}, allowing("WebSearch", None)) == ["WebSearch"]
    assert remembered("mcp__git__log", {}, allowing("mcp__git__log", None)) == ["mcp__git__log"]


def test_it_holds_for_the_rest_of_the_process_and_writes_no_settings() -> None:
    question = ToolQuestion("can_use_tool", "Bash", {"command": "make x"}, [allowing("Bash", "make *")])
    (suggestion,) = suggestions_for(question)
    assert suggestion["destination"] == "session"
    assert suggestion["behavior"] == "allow"


def test_a_yes_to_a_command_opens_no_directories() -> None:
    suggestions = (allowing("Bash", "rm -rf /home/alice/x"), OUTSIDE, ACCEPT_EDITS)
    assert remembered("Bash", {"command": "rm -rf /home/alice/x"}, *suggestions) == ["Bash(rm -rf /home/alice/x)"]


@pytest.mark.parametrize(
    ("command", "content"),
    [
        ('python3 -c "print(2*3)"', 'python3 -c "print(2*3)"'),
        ("rm build *", "rm build *"),
        ("rm *.o now", "rm *.o *"),
        ("anything", "*"),
        ("anything", " *"),
    ],
)
def test_a_star_of_the_command_itself_never_becomes_a_wildcard(command: str, content: str) -> None:
    assert remembered("Bash", {"command": command}, allowing("Bash", content)) == []


def test_no_tool_that_could_do_anything_is_allowed_altogether() -> None:
    for tool in ("Bash", "Edit", "Read", "Write"):
        assert remembered(tool, {"command": "x"}, allowing(tool, None)) == []


def test_without_a_suggestion_exactly_the_command_is_remembered() -> None:
    assert remembered("Bash", {"command": "echo $(date) > x"}, reason="other") == [r"Bash(echo $\(date\) > x)"]
    assert remembered("Bash", {"command": "echo $(ls *)"}, reason="other") == []


def test_without_a_suggestion_another_tool_is_not_remembered() -> None:
    assert remembered("Skill", {"skill": "deploy"}) == []


def test_edits_in_the_project_are_remembered_for_the_project() -> None:
    for tool, name in (("Write", "file_path"), ("Edit", "file_path"), ("NotebookEdit", "notebook_path")):
        assert remembered(tool, {name: "/home/alice/shop/a"}, ACCEPT_EDITS) == ["Edit(./**)"]


def test_an_edit_elsewhere_is_remembered_for_that_file() -> None:
    path = {"file_path": "/home/alice/notes (1).txt"}
    assert remembered("Write", path, ACCEPT_EDITS, OUTSIDE) == [r"Edit(//home/alice/notes \(1\).txt)"]
    assert remembered("Write", {"file_path": "/home/alice/*"}, ACCEPT_EDITS, OUTSIDE) == []


def test_a_file_that_is_read_elsewhere_opens_no_directory() -> None:
    around = allowing("Read", "//home/alice/.ssh/**")
    assert remembered("Read", {"file_path": "/home/alice/.ssh/config"}, around) == ["Read(//home/alice/.ssh/config)"]
    assert remembered("Read", {"file_path": "/home/alice/*"}, allowing("Read", "//home/alice/**")) == []
    command = "cat /home/alice/.ssh/config"
    assert remembered("Bash", {"command": command}, allowing("Bash", command), around) == [f"Bash({command})"]


def test_what_the_cli_asks_for_safety_is_asked_again() -> None:
    assert remembered("Write", {"file_path": "/home/alice/shop/.git/config"}, ACCEPT_EDITS, reason="safetyCheck") == []


@pytest.mark.parametrize("odd", [None, "words", [1], [{"rules": 5}], {"type": "addRules"}])
def test_suggestions_that_are_not_understood_are_none(odd: Any) -> None:
    assert suggestions_for(ToolQuestion("can_use_tool", "WebSearch", odd, odd)) == []
    assert rules_of(odd) == []


def test_only_permissions_are_taken() -> None:
    denial = {**allowing("WebSearch", None), "behavior": "deny"}
    assert remembered("WebSearch", {}, denial) == []
