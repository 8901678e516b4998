"""Which lines of the system's process table belong to a tree."""

import os
import subprocess
import time
from collections.abc import Sequence
from typing import Any

import pytest

from host.processes import tree
from host.processes.tree import MAX_KILLING_S, STUCK_S, Patience, Process, Tree

OWN = os.getpid()
OURS = os.getsid(0)


def found(monkeypatch: pytest.MonkeyPatch, table: Sequence[Process], wanted: Tree) -> list[int]:
    monkeypatch.setattr(tree, "_list_from_proc", lambda: iter(table))
    return sorted(process.pid for process in wanted.find())


def test_every_descendant_belongs_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    table = [
        Process(9000001, OWN, 9000001, 9000001),
        Process(9000002, 9000001, 9000001, 9000001),
        Process(9000003, 9000002, 9000003, 9000003),
        Process(9000004, 1, 9000004, 9000004),
        Process(9000005, 9000004, 9000001, 9000001),
    ]
    assert found(monkeypatch, table, Tree()) == [9000001, 9000002, 9000003]


def test_children_that_are_kept_apart_take_their_descendants_along(monkeypatch: pytest.MonkeyPatch) -> None:
    table = [
        Process(9000001, OWN, 9000001, 9000001),
        Process(9000002, 9000001, 9000002, 9000002),
        Process(9000003, OWN, 9000003, 9000003),
    ]
    assert found(monkeypatch, table, Tree(apart={9000001})) == [9000003]


@pytest.mark.parametrize("group", [0, 1])
def test_groups_that_mean_everybody_or_ourselves_are_never_found(monkeypatch: pytest.MonkeyPatch, group: int) -> None:
    assert found(monkeypatch, [Process(9000001, OWN, group, 9000001)], Tree()) == []


def test_our_own_session_is_never_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(monkeypatch, [Process(9000001, OWN, 9000001, OURS)], Tree(group=9000001)) == []


def test_a_loop_in_a_table_that_changed_while_it_was_read_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    table = [
        Process(9000001, 9000002, 9000001, 9000001),
        Process(9000002, 9000001, 9000001, 9000001),
        Process(9000003, OWN, 9000003, 9000003),
    ]
    assert found(monkeypatch, table, Tree()) == [9000003]


def test_an_orphan_belongs_by_its_group_or_its_mark_where_orphans_are_not_adopted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = [
        f"{OWN + 1}  {OWN} 9000001 /bin/sh -c x HOME=/h RUN=7.1",
        "9000002  1  9000001 sleep 100",
        "9000003  1  9000003 sleep 100 HOME=/h RUN=7.1 LANG=C",
        "9000004  1  9000004 sleep 100 HOME=/h RUN=7.11",
        "9000005  1  9000005",
    ]

    def listed(command: Sequence[str], **_: Any) -> "subprocess.CompletedProcess[bytes]":
        assert command[0] == "/bin/ps"
        return subprocess.CompletedProcess(command, 0, "\n".join(lines).encode())

    monkeypatch.setattr(os.path, "exists", lambda _: False)
    monkeypatch.setattr(subprocess, "run", listed)
    monkeypatch.setattr(tree, "_session_of", lambda _: None)
    assert sorted(p.pid for p in Tree(group=9000001, mark=b"RUN=7.1").find()) == sorted([OWN + 1, 9000002, 9000003])


def test_the_real_table_names_a_real_child() -> None:
    with subprocess.Popen(["/bin/sleep", "100"], start_new_session=True) as child:
        assert Process(child.pid, OWN, child.pid, child.pid) in Tree().find()
        assert Tree().signal(9)
        assert child.wait() == -9


def test_killing_is_given_up_when_nothing_changes_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    patience = Patience()
    stuck, other = Process(9000001, OWN, 9000001, 9000001), Process(9000002, OWN, 9000002, 9000002)
    assert not patience.is_over([stuck, other])
    now_s += STUCK_S - 1
    assert not patience.is_over([stuck])
    now_s += STUCK_S
    assert not patience.is_over([stuck])
    now_s += 1
    assert patience.is_over([stuck])


def test_killing_is_given_up_in_the_end_though_there_is_always_something_new(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    patience = Patience()
    for pid in range(int(MAX_KILLING_S)):
        assert not patience.is_over([Process(pid, OWN, pid, pid)])
        now_s += 1
    now_s += 1
    assert patience.is_over([Process(9000001, OWN, 9000001, 9000001)])
