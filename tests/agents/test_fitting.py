import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.agents.fitting import fitted
from host.protocol.limits import MAX_LOGGED_EVENT_BYTES
from host.protocol.messages.agent_events import AgentEvent, Text, ToolResult, ToolUse, UserSaid

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=5), children, max_size=4),
    max_leaves=20,
)


def size_bytes(event: AgentEvent) -> int:
    return len(msgspec.json.encode(event))


def deep(levels: int) -> object:
    value: object = "bottom"
    for _ in range(levels):
        value = [value]
    return value


@given(value=values)
def test_what_fits_stays_as_it_is(value: object) -> None:
    event = ToolUse(tool_use_id="t", name="Bash", input=value)
    assert fitted(event) is event


@pytest.mark.parametrize(
    "value",
    [
        {"content": "x" * 4_000_000, "path": "a.txt"},
        {"content": "\u20ac" * 1_000_000},
        {"content": "\x01" * 1_000_000},
        ["x" * 1000] * 5000,
        [list(range(100))] * 5000,
        {f"name {number}": "x" * 100 for number in range(10_000)},
        {"x" * 500_000: 1},
        deep(100_000),
        pytest.param([deep(50)] * 5000, marks=pytest.mark.slow),
    ],
    ids=["long", "wide", "escaped", "strings", "numbers", "members", "name", "deep", "many"],
)
def test_what_is_too_large_is_cut_to_fit_and_says_so(value: object) -> None:
    event = ToolUse(tool_use_id="toolu_1", name="Write", input=value)
    cut = fitted(event)

    assert size_bytes(cut) < MAX_LOGGED_EVENT_BYTES - 400
    assert (cut.tool_use_id, cut.name, cut.truncated) == ("toolu_1", "Write", True)


def test_short_strings_beside_a_long_one_stay_whole() -> None:
    cut = fitted(ToolUse(tool_use_id="t", name="Write", input={"path": "src/a.txt", "content": "y" * 1_000_000}))
    assert cut.input["path"] == "src/a.txt"
    assert len(cut.input["content"]) == 128 * 1024


def test_a_long_text_keeps_its_beginning() -> None:
    text = "".join(str(number % 10) for number in range(1_000_000))
    cut = fitted(Text(text=text))
    assert text.startswith(cut.text)
    assert len(cut.text) == 128 * 1024


def test_content_that_is_raw_is_cut_too() -> None:
    content = [{"type": "text", "text": "x" * 1_000_000}, {"type": "text", "text": "short"}]
    cut = fitted(UserSaid(content=msgspec.Raw(msgspec.json.encode(content))))
    blocks = msgspec.json.decode(cut.content)
    assert [block["type"] for block in blocks] == ["text", "text"]
    assert blocks[1]["text"] == "short"


def test_a_result_says_so_too() -> None:
    short, long = (fitted(ToolResult(tool_use_id="t", content="x" * size, is_error=False)) for size in (10, 1_000_000))
    assert (short.truncated, long.truncated) == (False, True)
