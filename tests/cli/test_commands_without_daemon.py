"""The commands while no daemon runs, as processes of their own."""

import json
import os
from subprocess import PIPE, run

import pytest

from tests.cli.commands import DONE, FAILED, NOT_RUNNING, USED_WRONGLY, projects, run_with, told, variables_of
from tests.support.processes import BIN, Bench, MachineProcess

pytestmark = pytest.mark.slow


def test_the_version_is_printed(machine: MachineProcess) -> None:
    assert machine.succeed("--version").startswith("pocketcoder 0.")


@pytest.mark.parametrize("arguments", [["conquer"], ["add"], ["status", "--xml"], ["remove", "a", "b"]], ids=" ".join)
def test_wrong_use_ends_with_2(machine: MachineProcess, arguments: list[str]) -> None:
    assert "Usage" in told(machine.command(*arguments), USED_WRONGLY)
    assert not machine.home.exists()


def test_help_names_every_command(machine: MachineProcess) -> None:
    text = machine.succeed("--help")

    for command in ("login", "start", "stop", "status", "add", "remove", "projects"):
        assert command in text


def test_status_says_that_the_daemon_is_not_running(machine: MachineProcess) -> None:
    sentence = "The daemon is not running. Start it with: pocketcoder start"

    assert told(machine.command("status"), NOT_RUNNING) == f"{sentence}\n"
    as_json = machine.command("status", "--json")
    assert told(as_json, NOT_RUNNING) == ""
    assert json.loads(as_json.stdout) == {"error": {"code": "DAEMON_NOT_RUNNING", "message": sentence}}
    assert not machine.home.exists()


def test_stopping_what_does_not_run_ends_with_3(machine: MachineProcess) -> None:
    assert "not running" in told(machine.command("stop"), NOT_RUNNING)


def test_no_projects_is_told_to_people_and_is_an_empty_list_to_programs(machine: MachineProcess) -> None:
    listed = machine.command("projects")

    assert "pocketcoder add PATH" in told(listed, DONE)
    assert listed.stdout == ""
    assert projects(machine) == []


def test_projects_are_added_and_listed_and_removed_by_name_by_path_and_by_id(
    bench: Bench, machine: MachineProcess
) -> None:
    roots = [bench.project(name) for name in ("one", "two", "three")]
    for root in roots:
        assert machine.succeed("add", str(root)).startswith(f"Added {root.name} (proj_")
    assert sorted(machine.succeed("projects").splitlines()) == sorted(
        f"{each['name']}\t{each['path']}\t{each['projectId']}" for each in projects(machine)
    )

    (three,) = [each for each in projects(machine) if each["name"] == "three"]
    for reference in ("one", str(roots[1]), str(three["projectId"])):
        said = machine.succeed("remove", reference)
        assert said.startswith("Removed ")
        assert "Its files are still at" in said
    assert projects(machine) == []
    assert all((root / "README.md").exists() for root in roots)


def test_a_relative_path_is_taken_from_where_the_command_runs(bench: Bench, machine: MachineProcess) -> None:
    root = bench.project()
    done = run(
        [BIN / "pocketcoder", "add", "src", "--name", "my app"],
        cwd=root,
        env=variables_of(machine),
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.startswith("Added my app (")
    assert [(each["name"], each["path"]) for each in projects(machine)] == [("my app", str(root / "src"))]


def test_what_cannot_be_a_project_is_refused_in_a_sentence(bench: Bench, machine: MachineProcess) -> None:
    root = bench.project()
    machine.succeed("add", str(root))

    assert "does not exist" in told(machine.command("add", str(root / "missing")), FAILED)
    assert "is not a directory" in told(machine.command("add", str(root / "README.md")), FAILED)
    assert "cannot be nested" in told(machine.command("add", str(root / "src")), FAILED)
    assert "cannot be nested" in told(machine.command("add", str(root.parent)), FAILED)
    assert "name" in told(machine.command("add", str(bench.project("other")), "--name", "x" * 101), FAILED)
    assert len(projects(machine)) == 1


def test_what_leads_nowhere_is_no_path(bench: Bench, machine: MachineProcess) -> None:
    root = bench.project()
    machine.add(root)
    (loop := root / "loop").symlink_to("loop")

    for nowhere in ("~nobody-of-this-name/src", str(loop)):
        told(machine.command("add", nowhere), FAILED)
        assert "There is no project" in told(machine.command("remove", nowhere), FAILED)
    assert len(projects(machine)) == 1


def test_an_empty_path_is_not_the_directory_that_the_command_runs_in(bench: Bench, machine: MachineProcess) -> None:
    root = bench.project()
    for command, code, known in (("add", USED_WRONGLY, 0), ("remove", FAILED, 1)):
        done = run(
            [BIN / "pocketcoder", command, ""],
            cwd=root,
            env=variables_of(machine),
            capture_output=True,
            text=True,
            check=False,
        )
        told(done, code)
        assert len(projects(machine)) == known
        machine.add(root)


def test_a_project_that_has_another_name_already_keeps_it_and_says_so(bench: Bench, machine: MachineProcess) -> None:
    root = bench.project()
    machine.succeed("add", str(root), "--name", "one")

    assert "already, called one" in told(machine.command("add", str(root), "--name", "two"), FAILED)
    assert [each["name"] for each in projects(machine)] == ["one"]


def test_projects_are_the_same_in_a_locale_that_is_not_utf_8(bench: Bench, machine: MachineProcess) -> None:
    root = bench.project("größer")
    machine.add(root)

    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = run_with(machine, "projects", **ascii_only)
    assert told(done, DONE) == ""
    assert str(root) in done.stdout
    assert [each["path"] for each in projects(machine)] == [str(root)]


def test_adding_a_project_again_changes_nothing(bench: Bench, machine: MachineProcess) -> None:
    root = bench.project()

    assert machine.add(root) == machine.add(root)


def test_a_name_of_several_projects_is_refused_and_one_of_none_too(bench: Bench, machine: MachineProcess) -> None:
    for name in ("one", "two"):
        machine.succeed("add", str(bench.project(name)), "--name", "twin")
    ids = [str(each["projectId"]) for each in projects(machine)]

    said = told(machine.command("remove", "twin"), FAILED)
    assert all(project_id in said for project_id in ids)
    assert "There is no project nobody" in told(machine.command("remove", "nobody"), FAILED)
    assert len(projects(machine)) == 2


@pytest.mark.parametrize("command", ["status", "start"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("POCKETCODER_HOME", "relative/path"),
        ("POCKETCODER_CONTROL_PORT", "0"),
        ("GATEWAY_URL", "ws://relay.example"),
    ],
)
def test_a_wrong_setting_is_named(machine: MachineProcess, command: str, name: str, value: str) -> None:
    assert name in told(run_with(machine, command, **{name: value}), FAILED)


@pytest.mark.parametrize("command", ["start", "projects", "login"])
def test_a_home_that_cannot_be_made_is_told_in_a_sentence(bench: Bench, machine: MachineProcess, command: str) -> None:
    """Inside of a file; a read-only directory would not keep the superuser out."""
    home = str(bench.project() / "README.md" / "home")

    assert "could not be prepared" in told(run_with(machine, command, POCKETCODER_HOME=home), FAILED)


def test_a_home_that_is_a_file_is_told_in_a_sentence(bench: Bench, machine: MachineProcess) -> None:
    home = str(bench.project() / "README.md")

    assert "is not a directory" in told(run_with(machine, "start", POCKETCODER_HOME=home), FAILED)


def test_in_a_home_that_cannot_be_nothing_runs(bench: Bench, machine: MachineProcess) -> None:
    home = str(bench.project() / "README.md" / "home")

    assert "not running" in told(run_with(machine, "status", POCKETCODER_HOME=home), NOT_RUNNING)
    for command in ("stop", "projects"):
        assert "could not be prepared" in told(run_with(machine, command, POCKETCODER_HOME=home), FAILED)


@pytest.mark.skipif(os.geteuid() == 0, reason="The superuser may write everywhere.")
def test_a_home_that_may_not_be_written_to_is_told_in_a_sentence(bench: Bench, machine: MachineProcess) -> None:
    closed = bench.project()
    closed.chmod(0o500)
    home = str(closed / "home")

    assert "could not be prepared" in told(run_with(machine, "start", POCKETCODER_HOME=home), FAILED)


@pytest.mark.parametrize("command", ["status", "projects", "stop"])
def test_a_home_that_is_a_link_to_itself_is_told_in_a_sentence(
    bench: Bench, machine: MachineProcess, command: str
) -> None:
    (loop := bench.project() / "loop").symlink_to("loop")

    told(run_with(machine, command, POCKETCODER_HOME=str(loop)), FAILED)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="There is no /dev/full here.")
@pytest.mark.parametrize("arguments", [["status", "--json"], ["projects", "--json"], ["--help"]], ids=" ".join)
def test_output_that_finds_no_space_fails_with_a_sentence(machine: MachineProcess, arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = run(
            [BIN / "pocketcoder", *arguments],
            env=variables_of(machine),
            stdout=full,
            stderr=PIPE,
            text=True,
            check=False,
        )

    said = told(done, FAILED)
    assert said.startswith("The system refused: No space left")
    assert said.count("\n") == 1


@pytest.mark.parametrize("arguments", [["status", "--json"], ["projects", "--json"], ["--help"]], ids=" ".join)
def test_output_that_nobody_reads_is_no_reason_to_complain(machine: MachineProcess, arguments: list[str]) -> None:
    readable, writable = os.pipe()
    os.close(readable)
    with open(writable, "wb") as pipe:
        done = run(
            [BIN / "pocketcoder", *arguments],
            env=variables_of(machine),
            stdout=pipe,
            stderr=PIPE,
            text=True,
            check=False,
        )

    assert told(done, FAILED) == ""


def test_a_pid_file_that_was_left_behind_means_nothing(machine: MachineProcess) -> None:
    """Not even when its number is that of a process that lives."""
    machine.home.mkdir(mode=0o700)
    (machine.home / "daemon.pid").write_text(f"{os.getpid()}\n")

    assert "not running" in told(machine.command("status"), NOT_RUNNING)
    assert "not running" in told(machine.command("stop"), NOT_RUNNING)
    assert projects(machine) == []


def test_a_damaged_database_is_set_aside_and_the_command_goes_on(bench: Bench, machine: MachineProcess) -> None:
    machine.add(bench.project())
    (machine.home / "daemon.db").write_bytes(b"no database at all" * 500)
    for log in machine.home.glob("daemon.db-*"):
        log.unlink()

    assert projects(machine) == []
    assert len(list(machine.home.glob("daemon.db.corrupt-*"))) == 1


def test_the_machines_key_is_the_same_also_when_auth_json_was_lost(machine: MachineProcess) -> None:
    shown = machine.succeed("machine", "show")
    assert machine.auth()["machine_key"] in shown
    (machine.home / "auth.json").unlink()

    assert machine.succeed("machine", "show") == shown
