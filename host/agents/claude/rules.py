"""What "always allow" remembers: rules in Claude Code's own words, which the CLI itself matches. Pure.

Matching is never ours: whether ``git status; rm -rf ~`` is covered by a rule for ``git status`` is for the program
that knows how the shell would read it. We only choose which of the rules it suggests are narrow enough to keep.
Left out are further directories, which a yes to one command or one file would open whole, and rules for a command
that itself has a ``*``: the CLI reads that as a wildcard and knows no way to say that it is none.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from host.agents.claude.stream_json import ToolQuestion

_GENERALISED: Final = (" *", ":*")
_FILE_TOOLS: Final = frozenset({"Edit", "MultiEdit", "NotebookEdit", "Write"})
# A rule without content would allow them altogether.
_NEED_CONTENT: Final = _FILE_TOOLS | {"Bash", "PowerShell", "Read"}
_EDITS_IN_PROJECT: Final = "./**"
_GLOB_CHARS: Final = frozenset("*?[]!\\{}")
_ESCAPED: Final = str.maketrans({"\\": "\\\\", "(": "\\(", ")": "\\)"})


class _Rule(msgspec.Struct, frozen=True, rename="camel"):
    tool_name: str
    rule_content: str | None = None


class _Suggestion(msgspec.Struct, frozen=True, rename="camel"):
    type: str
    behavior: str = ""
    mode: str = ""
    rules: list[_Rule] = []


def suggestions_for(question: ToolQuestion) -> list[dict[str, Any]]:
    """What "always allow" will allow, as the CLI takes it for the rest of a process; empty where nothing fits."""
    rules = list(dict.fromkeys(_rules_for(question, _read(question.permission_suggestions))))
    if not rules:
        return []
    return [
        {
            "type": "addRules",
            "rules": [_encoded(rule) for rule in rules],
            "behavior": "allow",
            "destination": "session",
        }
    ]


def rules_of(suggestions: Any) -> list[str]:
    """The same as settings take it: ``Bash(npm test *)``, ``WebSearch``."""
    return [_written(rule) for suggestion in _read(suggestions) for rule in suggestion.rules]


def _rules_for(question: ToolQuestion, suggestions: Sequence[_Suggestion]) -> Iterator[_Rule]:
    command = _member(question.input, "command")
    suggested = [
        rule
        for suggestion in suggestions
        if suggestion.type == "addRules" and suggestion.behavior == "allow"
        for rule in suggestion.rules
    ]
    if question.tool_name == "Read" and suggested:
        yield from _file("Read", _member(question.input, "file_path"))
    elif suggested:
        yield from (rule for rule in suggested if _is_narrow(rule, command))
    elif question.tool_name in _FILE_TOOLS:
        yield from _edits(question, suggestions)
    elif question.tool_name == "Bash" and command and "*" not in command:
        yield _Rule("Bash", command)


def _is_narrow(rule: _Rule, command: str) -> bool:
    if rule.rule_content is None:
        return rule.tool_name not in _NEED_CONTENT
    if rule.tool_name != "Bash":
        return rule.tool_name not in _NEED_CONTENT or not _GLOB_CHARS & set(rule.rule_content)
    fixed = rule.rule_content
    for ending in _GENERALISED:
        fixed = fixed.removesuffix(ending)
    return bool(fixed) and "*" not in fixed and ("*" not in rule.rule_content or rule.rule_content not in command)


def _edits(question: ToolQuestion, suggestions: Sequence[_Suggestion]) -> Iterator[_Rule]:
    """All files of the project, where the CLI offers to accept edits; one that lies elsewhere alone.

    What it asks about for safety (``.git``, its own settings) it asks about each time, whatever the rules.
    """
    path = _member(question.input, "file_path") or _member(question.input, "notebook_path")
    # Suggested for what lies elsewhere, also where a link leads out of the project.
    if any(one.type == "addDirectories" for one in suggestions):
        yield from _file("Edit", path)
    elif question.decision_reason_type is None and any(one.mode == "acceptEdits" for one in suggestions):
        yield _Rule("Edit", _EDITS_IN_PROJECT)


def _file(tool: str, path: str) -> Iterator[_Rule]:
    """That file alone, by its absolute path."""
    if path.startswith("/") and not _GLOB_CHARS & set(path):
        yield _Rule(tool, "/" + path)


def _read(suggestions: Any) -> list[_Suggestion]:
    if not suggestions:
        return []
    try:
        return msgspec.convert(suggestions, list[_Suggestion])
    except msgspec.ValidationError:
        return []


def _member(tool_input: Any, name: str) -> str:
    value = tool_input.get(name) if isinstance(tool_input, dict) else None
    return value if isinstance(value, str) else ""


def _encoded(rule: _Rule) -> dict[str, str]:
    content = {} if rule.rule_content is None else {"ruleContent": rule.rule_content}
    return {"toolName": rule.tool_name, **content}


def _written(rule: _Rule) -> str:
    if rule.rule_content is None:
        return rule.tool_name
    return f"{rule.tool_name}({rule.rule_content.translate(_ESCAPED)})"
