import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import platformdirs
import pytest

from host.core.errors import system_refusal
from host.core.home import HomeError, HostPaths, find_paths, prepare_home, write_private


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def paths(tmp_path: Path) -> HostPaths:
    return HostPaths(tmp_path / "home")


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_everything_lies_in_the_chosen_home() -> None:
    paths = find_paths({"POCKETCODER_HOME": "/somewhere/own"})

    assert paths.home == Path("/somewhere/own")
    names = {str(path.relative_to(paths.home)) for path in (paths.database, paths.auth_file, paths.control_token)}
    names |= {str(path.relative_to(paths.home)) for path in (paths.machine_label, paths.pid_file, paths.log_file)}
    assert names == {
        "daemon.db", "auth.json", "control.token", "machine-label.txt", "daemon.pid", "logs/daemon.log"
    }  # fmt: skip
    assert paths.logs_dir == paths.log_file.parent


@pytest.mark.parametrize("xdg", [None, "", "/elsewhere/config"])
def test_the_default_home_is_the_one_that_platformdirs_names(xdg: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POCKETCODER_HOME", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    if xdg is not None:
        monkeypatch.setenv("XDG_CONFIG_HOME", xdg)

    expected = platformdirs.user_config_dir("pocketcoder", appauthor=False, roaming=True)
    assert find_paths(os.environ).home == Path(expected)


@pytest.mark.parametrize("chosen", ["", "relative", "./here", "~/pocketcoder", "/nul\0l"])
def test_a_home_that_is_no_absolute_path_is_refused(chosen: str) -> None:
    with pytest.raises(HomeError, match=r"POCKETCODER_HOME .* not an absolute path"):
        find_paths({"POCKETCODER_HOME": chosen})


def test_the_home_is_private_whatever_the_umask_is(paths: HostPaths, umask: int) -> None:
    assert prepare_home(paths) == []

    assert mode_of(paths.home) == mode_of(paths.logs_dir) == 0o700


def test_a_home_is_made_with_the_directories_above_it(tmp_path: Path) -> None:
    paths = HostPaths(tmp_path / "config" / "deep" / "pocketcoder")

    assert prepare_home(paths) == []
    assert paths.logs_dir.is_dir()


def test_what_others_could_read_is_mended_and_told(paths: HostPaths) -> None:
    prepare_home(paths)
    paths.home.chmod(0o755)
    for file in (paths.auth_file, paths.home / "daemon.db-wal", paths.logs_dir / "daemon.log.1"):
        file.touch()
        file.chmod(0o644)

    warnings = prepare_home(paths)

    assert len(warnings) == 4
    assert f"The directory {paths.home} had mode 0755; it was changed to 0700." in warnings
    assert f"The file {paths.auth_file} had mode 0644; it was changed to 0600." in warnings
    assert mode_of(paths.home) == 0o700
    assert mode_of(paths.auth_file) == mode_of(paths.logs_dir / "daemon.log.1") == 0o600
    assert prepare_home(paths) == []


def test_a_file_in_place_of_the_home_is_refused(paths: HostPaths) -> None:
    paths.home.touch()

    with pytest.raises(HomeError, match="is not a directory"):
        prepare_home(paths)


def test_a_link_to_a_directory_of_ones_own_is_a_home(tmp_path: Path, paths: HostPaths) -> None:
    target = tmp_path / "target"
    target.mkdir(0o755)
    paths.home.symlink_to(target)

    assert len(prepare_home(paths)) == 1
    assert mode_of(target) == 0o700


def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path, paths: HostPaths) -> None:
    paths.home.symlink_to(tmp_path / "gone")

    with pytest.raises(HomeError, match="leads nowhere"):
        prepare_home(paths)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("foreign", ["", "logs", "auth.json"])
def test_what_belongs_to_another_user_is_refused_and_not_touched(paths: HostPaths, foreign: str) -> None:
    prepare_home(paths)
    paths.auth_file.touch()
    path = paths.home / foreign
    path.chmod(0o755)
    os.chown(path, 65534, 65534)

    with pytest.raises(HomeError, match="belongs to another user"):
        prepare_home(paths)
    assert mode_of(path) == 0o755


def test_a_home_that_cannot_be_made_is_told_as_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(HomeError, match="could not be prepared"):
        prepare_home(HostPaths(tmp_path / "file" / "home"))


def test_a_private_file_is_private_whatever_the_umask_is(tmp_path: Path, umask: int) -> None:
    write_private(tmp_path / "token", b"secret")

    assert mode_of(tmp_path / "token") == 0o600
    assert (tmp_path / "token").read_bytes() == b"secret"


def test_a_private_write_replaces_a_link_and_leaves_its_target(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "token").symlink_to("target")

    write_private(tmp_path / "token", b"new")

    assert (tmp_path / "target").read_bytes() == b"old"
    assert (tmp_path / "token").read_bytes() == b"new"
    assert not (tmp_path / "token").is_symlink()


def test_a_failed_private_write_keeps_the_old_content_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "token").mkdir()

    with pytest.raises(OSError, match="directory"):
        write_private(tmp_path / "token", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


def test_finding_the_home_imports_nothing_heavy() -> None:
    code = "import sys, os; from host.core.home import find_paths; find_paths(os.environ); print(*sys.modules)"
    environ = {"HOME": "/home/ada", "POCKETCODER_HOME": "/somewhere"}

    loaded = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)

    assert {"platformdirs", "dataclasses", "typing", "asyncio", "msgspec"}.isdisjoint(loaded.stdout.split())


def test_what_a_killed_write_left_is_removed_and_one_at_work_is_spared(tmp_path: Path) -> None:
    paths = HostPaths(tmp_path / "home")
    prepare_home(paths)
    old, young = paths.home / ".auth.json.0123.tmp", paths.home / ".auth.json.4567.tmp"
    for leftover in (old, young):
        leftover.write_bytes(b"secret")
    os.utime(old, (0, 0))
    prepare_home(paths)
    assert not old.exists()
    assert young.exists()


def test_what_is_in_the_way_of_a_file_is_told_by_its_own_name(tmp_path: Path) -> None:
    token = tmp_path / "control.token"
    token.mkdir()
    with pytest.raises(OSError, match="directory") as refused:
        write_private(token, b"x")
    assert system_refusal(refused.value).startswith(f"The system refused {token}: Is a directory. ")
    assert [file.name for file in tmp_path.iterdir()] == ["control.token"]
