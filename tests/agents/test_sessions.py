"""Sessions: what a message may hold, options that stay, those from terminals, and the list of them all."""

import asyncio
import base64
import os
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from host.agents.terminal import TerminalSession
from tests.agents.agent_rig import AgentRig

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n and so on").decode()
LONG_AGO = "2020-01-01T00:00:00.000Z"
IN_A_WHILE = "2999-01-01T00:00:00.000Z"


def from_terminal(*, at: str = LONG_AGO, **members: Any) -> TerminalSession:
    known = {"agent_session_id": str(uuid4()), "agent": "claude", "title": "From a terminal", "message_count": 7}
    return TerminalSession(**{**known, "created_at": LONG_AGO, "last_activity_at": at, **members})


async def listed(rig: AgentRig, **payload: Any) -> list[dict[str, Any]]:
    sessions: list[dict[str, Any]] = (await rig.ask("agent_sessions_list", **payload))["sessions"]
    return sessions


async def test_blocks_reach_the_agent_and_the_log_as_they_were_sent(rig: AgentRig) -> None:
    image = {"type": "image", "mediaType": "image/png", "data": PNG}
    answer = await rig.ask("agent_session_new", content=[image, {"type": "text", "text": "\n  What is\tthis? \nmore"}])
    await rig.told_of("done")

    (said,) = rig.events("user")
    assert said["content"] == [image, {"type": "text", "text": "\n  What is\tthis? \nmore"}]
    (order,) = rig.agent.orders
    assert [block.type for block in order.content] == ["image", "text"]  # type: ignore[union-attr]
    (session,) = await listed(rig)
    assert (session["agentSessionId"], session["title"]) == (answer["agentSessionId"], "What is this?")


@pytest.mark.parametrize(
    "content",
    [
        "",
        " \n",
        [],
        [{"type": "text", "text": ""}],
        [{"type": "image", "mediaType": "image/png", "data": "no base64!"}],
        [{"type": "image", "mediaType": "image/jpeg", "data": PNG}],
        [{"type": "image", "mediaType": "image/tiff", "data": PNG}],
        [{"type": "text", "text": "x"}] * 1001,
        "x" * (10 * 1024 * 1024 + 1),
        7,
    ],
)
async def test_what_is_no_message_is_refused(rig: AgentRig, content: object) -> None:
    assert (await rig.refusal("agent_session_new", content=content))["code"] == "INVALID_REQUEST"
    assert await listed(rig) == []


async def test_an_agent_that_there_is_not_is_not_offered(rig: AgentRig) -> None:
    for wire_type, payload in (("agent_session_new", {"content": "  "}), ("agent_capabilities", {})):
        error = await rig.refusal(wire_type, agent="codex", **payload)
        assert (error["code"], "claude" in error["message"]) == ("UNSUPPORTED", True)
    assert await listed(rig) == []


async def test_ten_megabytes_reach_the_agent_and_the_log_has_a_part_of_them(rig: AgentRig) -> None:
    # Its JSON is larger: each line end is two characters there.
    text = ("say " + "x\n" * (5 * 1024 * 1024))[: 10 * 1024 * 1024]
    session, turn = await rig.begin(text)
    await rig.done(turn)

    assert rig.agent.orders[0].content == text
    said = (await rig.log(session))[0]
    assert said["truncated"] is True
    assert text.startswith(said["content"])


async def test_options_hold_until_they_are_changed_and_null_gives_them_back(rig: AgentRig) -> None:
    session, turn = await rig.begin("say 1", options={"model": "a", "maxTurns": 3})
    await rig.done(turn)
    for options in (None, {"model": "b"}, {"maxTurns": None}):
        answer = await rig.send(session, "say more", **({"options": options} if options else {}))
        await rig.done(answer["turnId"])

    held = [(order.options.model, order.options.max_turns) for order in rig.agent.orders]
    assert held == [("a", 3), ("a", 3), ("b", 3), ("b", None)]


async def test_options_hold_from_their_own_turn_on_also_behind_others(rig: AgentRig) -> None:
    session, _ = await rig.begin("wait go", options={"model": "a"})
    await rig.send(session, "say 2")
    await rig.send(session, "say 3", options={"model": "b"})
    last = await rig.send(session, "say 4")
    rig.agent.gate("go").set()
    await rig.done(last["turnId"])

    assert [order.options.model for order in rig.agent.orders] == ["a", "a", "b", "b"]


async def test_options_that_the_host_forbids_or_that_are_none_are_refused(rig: AgentRig) -> None:
    for options, code in (
        ({"permissionMode": "bypassPermissions"}, "UNSUPPORTED"),
        ({"permissionMode": "whatever"}, "INVALID_REQUEST"),
        ({"appendSystemPrompt": "x" * 200_000}, "INVALID_REQUEST"),
    ):
        error = await rig.refusal("agent_session_new", content="say hello", options=options)
        assert error["code"] == code
    assert rig.agent.orders == []


async def test_further_directories_lie_in_projects_by_their_real_paths(rig: AgentRig, tmp_path: Path) -> None:
    other, outside = tmp_path / "other", tmp_path / "outside"
    for directory in (other / "src", outside):
        directory.mkdir(parents=True)
    await rig.registry.add(other)
    root = await rig.registry.root_of(rig.project_id)
    (root / "out").symlink_to(outside)
    (root / "in").symlink_to(other)
    for named, code in (
        (str(outside), "OUTSIDE_PROJECT_ROOT"),
        ("out", "OUTSIDE_PROJECT_ROOT"),
        ("..", "OUTSIDE_PROJECT_ROOT"),
        ("missing", "FILE_NOT_FOUND"),
        ("a\0b", "INVALID_REQUEST"),
    ):
        error = await rig.refusal("agent_session_new", content="say hello", options={"addDirs": [named]})
        assert error["code"] == code
    _, turn = await rig.begin("say hello", options={"addDirs": ["in/src", str(root)]})
    await rig.done(turn)
    assert rig.agent.orders[0].options.add_dirs == [str(other / "src"), str(root)]


async def test_a_directory_that_moves_out_of_its_project_meanwhile_fails_the_turn(
    rig: AgentRig, tmp_path: Path
) -> None:
    root = await rig.registry.root_of(rig.project_id)
    (root / "lib").mkdir()
    session, _ = await rig.begin("wait go")
    late = await rig.send(session, "say late", options={"addDirs": ["lib"]})
    (root / "lib").rmdir()
    os.symlink(tmp_path, root / "lib")
    rig.agent.gate("go").set()

    assert (await rig.done(late["turnId"]))["reason"] == "failed"
    assert (await rig.told_of("error"))["code"] == "OUTSIDE_PROJECT_ROOT"
    assert len(rig.agent.orders) == 1


async def test_a_session_from_a_terminal_is_listed_and_goes_on_here(rig: AgentRig) -> None:
    stored = from_terminal()
    rig.store.sessions[stored.agent_session_id] = stored
    (session,) = await listed(rig)
    assert (session["source"], session["state"], session["title"]) == ("terminal", "idle", "From a terminal")
    assert session["messageCount"] == 7

    answer = await rig.send(stored.agent_session_id, "say hello")
    await rig.done(answer["turnId"])
    assert rig.store.prepared == [f"agent:{stored.agent_session_id}"]
    (order,) = rig.agent.orders
    assert (order.agent_session_id, order.is_first) == (stored.agent_session_id, False)
    (session,) = await listed(rig)
    assert (session["source"], session["messageCount"], session["createdAt"]) == ("terminal", 9, LONG_AGO)
    assert session["lastActivityAt"] > LONG_AGO


async def test_a_session_that_runs_in_a_terminal_is_left_alone(rig: AgentRig) -> None:
    stored = from_terminal(busy_in="a terminal (process 4711)")
    rig.store.sessions[stored.agent_session_id] = stored
    error = await rig.refusal("agent_message", agentSessionId=stored.agent_session_id, content="say hello")

    assert error["code"] == "CONFLICT"
    assert "a terminal (process 4711)" in error["message"]
    (session,) = await listed(rig)
    assert session["state"] == "running"


async def test_of_several_faults_the_first_in_the_contracts_order_is_told(rig: AgentRig) -> None:
    stored = from_terminal(busy_in="a terminal (process 4711)")
    rig.store.sessions[stored.agent_session_id] = stored
    faults: list[tuple[str, dict[str, Any]]] = [
        ("UNSUPPORTED", {"permissionMode": "bypassPermissions", "addDirs": ["/"]}),
        ("INVALID_REQUEST", {"addDirs": ["/"]}),
    ]
    for code, options in faults:
        for wire_type, named in (
            ("agent_session_new", {}),
            ("agent_message", {"agentSessionId": stored.agent_session_id}),
        ):
            assert await rig.code_of(wire_type, content="", options=options, **named) == code
    outside = {"agentSessionId": stored.agent_session_id, "content": "say hello", "options": {"addDirs": ["/"]}}
    assert await rig.code_of("agent_message", **outside) == "OUTSIDE_PROJECT_ROOT"


async def test_a_turn_whose_session_is_taken_to_a_terminal_meanwhile_fails_and_says_why(rig: AgentRig) -> None:
    session, _ = await rig.begin("wait go")
    late = await rig.send(session, "say late")
    rig.store.sessions[session] = from_terminal(agent_session_id=session, busy_in="a terminal")
    rig.agent.gate("go").set()

    assert (await rig.done(late["turnId"]))["reason"] == "failed"
    assert (await rig.told_of("error"))["code"] == "CONFLICT"
    assert len(rig.agent.orders) == 1


async def test_what_the_store_knows_of_our_sessions_counts(rig: AgentRig) -> None:
    session, turn = await rig.begin("say hello")
    await rig.done(turn)
    rig.store.sessions[session] = from_terminal(agent_session_id=session, at=IN_A_WHILE, title="Renamed")

    (known,) = await listed(rig)
    assert (known["source"], known["title"], known["messageCount"]) == ("pocketcoder", "Renamed", 7)
    assert known["lastActivityAt"] == IN_A_WHILE


async def test_an_unknown_session_is_not_found(rig: AgentRig, tmp_path: Path) -> None:
    session, turn = await rig.begin("say hello")
    await rig.done(turn)
    (tmp_path / "other").mkdir()
    other = await rig.registry.add(tmp_path / "other")
    unknown = str(uuid4())
    for asked, wanted in ((rig.project_id, unknown), (other.project_id, session)):
        error = await rig.refusal("agent_message", project=asked, agentSessionId=wanted, content="say hello")
        assert error["code"] == "SESSION_NOT_FOUND"
    assert (await rig.refusal("agent_sessions_list", before=unknown))["code"] == "SESSION_NOT_FOUND"
    assert await listed(rig, project=other.project_id) == []


async def test_the_list_has_pages_with_the_last_activity_first(rig: AgentRig) -> None:
    for number in range(3):
        stored = from_terminal(at=f"2020-01-0{number + 1}T00:00:00.000Z", title=str(number))
        rig.store.sessions[stored.agent_session_id] = stored
    _, turn = await rig.begin("say ours")
    await rig.done(turn)
    titles: list[str] = []
    before: dict[str, str] = {}
    more = True
    while more:
        page = await rig.ask("agent_sessions_list", limit=2, **before)
        titles += [session["title"] for session in page["sessions"]]
        before, more = {"before": page["sessions"][-1]["agentSessionId"]}, page["more"]

    assert titles == ["say ours", "2", "1", "0"]


async def test_a_project_whose_directory_is_gone_takes_no_message(rig: AgentRig) -> None:
    (await rig.registry.root_of(rig.project_id)).rmdir()

    assert (await rig.refusal("agent_session_new", content="say hello"))["code"] == "PROJECT_NOT_FOUND"


async def test_what_the_agent_offers_is_the_agents_answer(rig: AgentRig) -> None:
    assert (await rig.ask("agent_capabilities"))["permissionModes"] == ["default", "plan"]
    rig.agent.is_unavailable = True
    assert (await rig.refusal("agent_capabilities"))["code"] == "AGENT_UNAVAILABLE"


async def test_a_removed_project_leaves_no_session_and_nothing_that_runs(rig: AgentRig, tmp_path: Path) -> None:
    session, turn = await rig.begin("hold")
    await rig.send(session, "say never")
    await rig.told_of("init", turnId=turn)
    await rig.registry.remove(rig.project_id)
    assert (await rig.done(turn))["reason"] == "cancelled"
    rig.project_id = (await rig.registry.add(tmp_path / "project")).project_id
    rig.store.sessions[session] = from_terminal(agent_session_id=session)
    # Until its old log is deleted.
    async with asyncio.timeout(10):
        while await rig.code_of("agent_message", agentSessionId=session, content="say again") == "SESSION_NOT_FOUND":
            pass
    await rig.until(lambda: len(rig.events("done")) == 2)

    assert [order.content for order in rig.agent.orders] == ["hold", "say again"]
    assert [event["type"] for event in await rig.log(session)] == ["user", "init", "text", "done"]
