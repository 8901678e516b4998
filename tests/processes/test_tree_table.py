"""Which lines of the system's process table belong to a tree."""

import os
import subprocess
from collections.abc import Sequence
from typing import Any

import pytest

from host.processes import tree
from host.processes.tree import Process, Tree

OWN = os.getpid()
OURS = os.getsid(0)


def found(monkeypatch: pytest.MonkeyPatch, table: Sequence[Process], wanted: Tree) -> list[int]:
    monkeypatch.setattr(tree, "_list_from_proc", lambda: iter(table))
    return sorted(process.pid for process in wanted.find())


def test_every_descendant_belongs_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    table = [
        Process(901, OWN, 901, 901),
        Process(902, 901, 901, 901),
        Process(903, 902, 903, 903),
        Process(904, 1, 904, 904),
        Process(905, 904, 901, 901),
    ]
    assert found(monkeypatch, table, Tree()) == [901, 902, 903]


def test_children_that_are_kept_apart_take_their_descendants_along(monkeypatch: pytest.MonkeyPatch) -> None:
    table = [Process(901, OWN, 901, 901), Process(902, 901, 902, 902), Process(903, OWN, 903, 903)]
    assert found(monkeypatch, table, Tree(apart={901})) == [903]


@pytest.mark.parametrize("group", [0, 1])
def test_groups_that_mean_everybody_or_ourselves_are_never_found(monkeypatch: pytest.MonkeyPatch, group: int) -> None:
    assert found(monkeypatch, [Process(901, OWN, group, 901)], Tree()) == []


def test_our_own_session_is_never_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(monkeypatch, [Process(901, OWN, 901, OURS)], Tree(group=901)) == []


def test_a_loop_in_a_table_that_changed_while_it_was_read_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    table = [Process(901, 902, 901, 901), Process(902, 901, 901, 901), Process(903, OWN, 903, 903)]
    assert found(monkeypatch, table, Tree()) == [903]


def test_an_orphan_belongs_by_its_group_or_its_mark_where_orphans_are_not_adopted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = [
        f"{OWN + 1}  {OWN} 901 /bin/sh -c x HOME=/h RUN=7.1",
        "902  1  901 sleep 100",
        "903  1  903 sleep 100 HOME=/h RUN=7.1 LANG=C",
        "904  1  904 sleep 100 HOME=/h RUN=7.11",
        "905  1  905",
    ]

    def listed(command: Sequence[str], **_: Any) -> "subprocess.CompletedProcess[bytes]":
        assert command[0] == "/bin/ps"
        return subprocess.CompletedProcess(command, 0, "\n".join(lines).encode())

    monkeypatch.setattr(os.path, "exists", lambda _: False)
    monkeypatch.setattr(subprocess, "run", listed)
    monkeypatch.setattr(tree, "_session_of", lambda _: 0)
    assert sorted(p.pid for p in Tree(group=901, mark=b"RUN=7.1").find()) == sorted([OWN + 1, 902, 903])


def test_the_real_table_names_a_real_child() -> None:
    with subprocess.Popen(["/bin/sleep", "100"], start_new_session=True) as child:
        assert Process(child.pid, OWN, child.pid, child.pid) in Tree().find()
        assert Tree().signal(9)
        assert child.wait() == -9
