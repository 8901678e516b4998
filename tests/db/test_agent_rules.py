"""What "always allow" allows is kept for each project, the newest of it."""

import sqlite3
from pathlib import Path

import pytest

from host.db.agent_rules import KEPT_RULES_MAX, MAX_RULE_BYTES, MAX_RULES_BYTES, add_rules, rules_of
from host.db.database import Database
from host.db.projects import Project, delete_project, insert_project

PROJECTS = tuple(
    Project(f"proj_000000000000000{number}", "p", Path(f"/{number}"), "2026-02-12T10:00:00.123Z", "never")
    for number in range(2)
)
ONE, OTHER = (project.project_id for project in PROJECTS)


@pytest.fixture
async def known(database: Database) -> Database:
    def job(connection: sqlite3.Connection) -> None:
        for project in PROJECTS:
            insert_project(connection, project)

    await database.write(job)
    return database


async def add(database: Database, *rules: str, project: str = ONE, agent: str = "claude") -> None:
    await database.write(lambda connection: add_rules(connection, project, agent, rules))


async def kept(database: Database, *, project: str = ONE, agent: str = "claude") -> list[str]:
    return list(await database.read(lambda connection: rules_of(connection, project, agent)))


async def test_rules_are_of_a_project_and_an_agent_and_each_is_kept_once(known: Database) -> None:
    await add(known, "a", "b")
    await add(known, "b", "c")
    assert await kept(known) == ["a", "b", "c"]
    assert await kept(known, project=OTHER) == []
    assert await kept(known, agent="other") == []


async def test_of_too_many_the_oldest_go(known: Database) -> None:
    await add(known, "x", project=OTHER)
    await add(known, *(str(number) for number in range(KEPT_RULES_MAX + 3)))
    assert await kept(known) == [str(number) for number in range(3, KEPT_RULES_MAX + 3)]
    assert await kept(known, project=OTHER) == ["x"]


async def test_only_as_much_is_given_as_an_argument_holds_and_no_rule_of_monstrous_size(known: Database) -> None:
    await add(known, "x" * (MAX_RULE_BYTES + 1))
    assert await kept(known) == []
    rules = [f"{number:04}" + "y" * 4092 for number in range(20)]
    await add(known, *rules)
    assert await kept(known) == rules[-MAX_RULES_BYTES // 4096 :]


async def test_they_go_with_their_project_and_none_comes_after_it(known: Database) -> None:
    await add(known, "a")
    await known.write(lambda connection: delete_project(connection, ONE))
    await add(known, "b")
    assert await kept(known) == []
