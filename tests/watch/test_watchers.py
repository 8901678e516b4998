"""What every watcher promises, on real directories."""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from host.watch.port import RUNNING, STARTING, Change, Watcher
from tests.support.watching import Recorder, listed, watched

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def create(path: str, *, is_dir: bool = False) -> Change:
    return Change("create", path, is_dir)


def modify(path: str) -> Change:
    return Change("modify", path, is_dir=False)


def delete(path: str, *, is_dir: bool = False) -> Change:
    return Change("delete", path, is_dir)


def make_tree(top: Path, *files: str) -> None:
    for file in files:
        (top / file).parent.mkdir(parents=True, exist_ok=True)
        (top / file).write_text("text")


async def test_a_watch_begins_with_the_word_that_nothing_was_seen_before(watcher: Watcher, root: Path) -> None:
    recorder = Recorder(root)
    watch = watcher.watch(root, recorder)
    assert watch.state == STARTING
    await recorder.until(lambda: recorder.losses > 0)
    assert recorder.states == [RUNNING]
    assert watch.state == RUNNING


async def test_a_new_file_is_created(watcher: Watcher, root: Path) -> None:
    async with watched(watcher, root) as recorder:
        (root / "new").touch()
        assert set(await recorder.told()) == {create("new")}


async def test_a_written_file_is_modified(watcher: Watcher, root: Path) -> None:
    make_tree(root, "a/b/file")
    async with watched(watcher, root) as recorder:
        (root / "a/b/file").write_text("another")
        assert set(await recorder.told()) == {modify("a/b/file")}


async def test_a_file_that_is_held_open_is_modified_by_each_write(watcher: Watcher, root: Path) -> None:
    with (root / "log").open("w") as log:
        async with watched(watcher, root) as recorder:
            for _ in range(3):
                log.write("line\n")
                log.flush()
                assert set(await recorder.told()) == {modify("log")}


async def test_a_file_that_another_replaces_is_modified(watcher: Watcher, root: Path) -> None:
    make_tree(root, "file")
    async with watched(watcher, root) as recorder:
        (root / "file.tmp").write_text("longer text")
        (root / "file.tmp").rename(root / "file")
        told = await recorder.told()
        assert modify("file") in told
        assert delete("file") not in told
        assert "file.tmp" not in recorder.tree


async def test_a_file_that_is_removed_and_made_again_is_there(watcher: Watcher, root: Path) -> None:
    make_tree(root, "file")
    async with watched(watcher, root) as recorder:
        (root / "file").unlink()
        (root / "file").write_text("longer text")
        assert [change.kind for change in await recorder.told()] in (["modify"], ["delete", "create"])


async def test_a_removed_file_is_deleted(watcher: Watcher, root: Path) -> None:
    make_tree(root, "file")
    async with watched(watcher, root) as recorder:
        (root / "file").unlink()
        assert await recorder.told() == [delete("file")]


async def test_touching_a_file_modifies_it(watcher: Watcher, root: Path) -> None:
    make_tree(root, "file")
    async with watched(watcher, root) as recorder:
        os.utime(root / "file")
        assert set(await recorder.told()) == {modify("file")}


async def test_a_change_of_mode_alone_is_not_told(watcher: Watcher, root: Path) -> None:
    make_tree(root, "file", "directory/file")
    async with watched(watcher, root) as recorder:
        (root / "file").chmod(0o700)
        (root / "directory").chmod(0o700)
        assert await recorder.told() == []


async def test_directories_that_are_made_at_once_come_with_all_that_is_in_them(watcher: Watcher, root: Path) -> None:
    async with watched(watcher, root) as recorder:
        for number in range(300):
            make_tree(root, f"top-{number}/a/b/c/file", f"top-{number}/a/file")
        told = await recorder.told()
        assert recorder.tree == listed(root)
        for change in told:
            above = os.path.dirname(change.path)
            assert not above or told.index(create(above, is_dir=True)) < told.index(change)


async def test_directories_are_never_modified(watcher: Watcher, root: Path) -> None:
    make_tree(root, "a/file")
    async with watched(watcher, root) as recorder:
        (root / "a/new").touch()
        os.utime(root / "a")
        (root / "a/new").unlink()
        await recorder.settle()
        assert not any(change.path == "a" for change in recorder.changes)


async def test_a_renamed_file_is_deleted_and_created(watcher: Watcher, root: Path) -> None:
    make_tree(root, "old", "sub/other")
    async with watched(watcher, root) as recorder:
        (root / "old").rename(root / "sub/new")
        assert set(await recorder.told()) == {delete("old"), create("sub/new")}


async def test_a_renamed_directory_is_deleted_and_created_with_all_that_is_in_it(watcher: Watcher, root: Path) -> None:
    make_tree(root, "old/a/file", "old/b")
    async with watched(watcher, root) as recorder:
        (root / "old").rename(root / "new")
        told = await recorder.told()
        deleted = [change for change in told if change.kind == "delete"]
        assert set(deleted) == {
            delete("old/a/file"),
            delete("old/a", is_dir=True),
            delete("old/b"),
            delete("old", is_dir=True),
        }
        assert deleted[-1] == delete("old", is_dir=True)
        assert set(told) - set(deleted) == {
            create("new", is_dir=True),
            create("new/a", is_dir=True),
            create("new/a/file"),
            create("new/b"),
        }
        (root / "new/a/file").write_text("longer text")
        assert set(await recorder.told()) == {modify("new/a/file")}


async def test_what_is_moved_in_is_listed_and_then_watched(watcher: Watcher, root: Path, tmp_path: Path) -> None:
    make_tree(tmp_path, "outside/a/b/file")
    async with watched(watcher, root) as recorder:
        (tmp_path / "outside").rename(root / "inside")
        assert await recorder.told() == [
            create("inside", is_dir=True),
            create("inside/a", is_dir=True),
            create("inside/a/b", is_dir=True),
            create("inside/a/b/file"),
        ]
        make_tree(root, "inside/a/b/new")
        assert create("inside/a/b/new") in await recorder.told()


async def test_what_is_moved_out_is_deleted_and_not_watched_any_more(
    watcher: Watcher, root: Path, tmp_path: Path
) -> None:
    make_tree(root, "inside/a/file")
    async with watched(watcher, root) as recorder:
        (root / "inside").rename(tmp_path / "outside")
        assert (await recorder.told())[-1] == delete("inside", is_dir=True)
        make_tree(tmp_path, "outside/a/new")
        assert await recorder.told() == []


async def test_a_directory_that_takes_another_ones_place_differs_by_its_contents(
    watcher: Watcher, root: Path, tmp_path: Path
) -> None:
    make_tree(root, "d/gone", "d/stays", "d/sub/file")
    make_tree(tmp_path, "other/new", "other/stays", "other/sub/more")
    async with watched(watcher, root) as recorder:
        (root / "d").rename(tmp_path / "away")
        (tmp_path / "other").rename(root / "d")
        await recorder.settle()
        assert recorder.tree == listed(root)
        make_tree(root, "d/sub/last")
        await recorder.settle()
        assert recorder.tree == listed(root)


async def test_a_file_becomes_a_directory_and_a_file_again(watcher: Watcher, root: Path) -> None:
    make_tree(root, "x")
    async with watched(watcher, root) as recorder:
        (root / "x").unlink()
        make_tree(root, "x/file")
        assert await recorder.told() == [delete("x"), create("x", is_dir=True), create("x/file")]
        shutil.rmtree(root / "x")
        (root / "x").touch()
        assert await recorder.told() == [delete("x/file"), delete("x", is_dir=True), create("x")]


async def test_a_removed_tree_is_deleted(watcher: Watcher, root: Path) -> None:
    make_tree(root, *(f"tree/{number}/file" for number in range(50)), "other")
    async with watched(watcher, root) as recorder:
        shutil.rmtree(root / "tree")
        assert (await recorder.told())[-1] == delete("tree", is_dir=True)
        assert "other" in recorder.tree
        assert recorder.tree == listed(root)


async def test_links_are_entries_and_never_followed(watcher: Watcher, root: Path, tmp_path: Path) -> None:
    make_tree(tmp_path, "outside/file")
    (root / "before").symlink_to(tmp_path / "outside")
    async with watched(watcher, root) as recorder:
        (root / "link").symlink_to(tmp_path / "outside")
        (root / "self").symlink_to(".")
        assert set(await recorder.told()) == {create("link"), create("self")}
        make_tree(tmp_path, "outside/new")
        assert await recorder.told() == []
        assert recorder.tree == listed(root)


async def test_a_directory_that_becomes_a_link_leads_nowhere(watcher: Watcher, root: Path, tmp_path: Path) -> None:
    make_tree(tmp_path, "outside/secret")
    make_tree(root, "d/file")
    async with watched(watcher, root) as recorder:
        (root / "d").rename(tmp_path / "away")
        (root / "d").symlink_to(tmp_path / "outside")
        assert await recorder.told() == [delete("d/file"), delete("d", is_dir=True), create("d")]
        make_tree(tmp_path, "outside/new", "away/new")
        assert await recorder.told() == []


async def test_names_that_are_not_utf_8_are_told_as_listings_show_them(watcher: Watcher, root: Path) -> None:
    place = os.fsencode(root)
    os.mkdir(place + b"/d\xe9")
    async with watched(watcher, root) as recorder:
        with open(place + b"/d\xe9/100%\xff", "w") as file:
            file.write("text")
        await recorder.until(lambda: "d%E9/100%25%FF" in recorder.tree)
        (root / "100%").touch()
        os.unlink(place + b"/d\xe9/100%\xff")
        await recorder.until(lambda: "d%E9/100%25%FF" not in recorder.tree)
        await recorder.settle()
        assert recorder.tree == listed(root)


async def test_a_file_name_with_line_breaks_is_a_name(watcher: Watcher, root: Path) -> None:
    async with watched(watcher, root) as recorder:
        (root / "a\nb\u202e").touch()
        assert set(await recorder.told()) == {create("a\nb\u202e")}


async def test_what_is_well_known_to_be_ignored_is_not_told_at_any_depth(watcher: Watcher, root: Path) -> None:
    make_tree(root, "sub/src/file")
    async with watched(watcher, root) as recorder:
        make_tree(root, "node_modules/x/y", "sub/dist/file", "sub/new/__pycache__/x.pyc", ".git/hooks/file", "target/a")
        assert await recorder.told() == [create("sub/new", is_dir=True)]
        make_tree(root, "node_modules/x/z", "sub/dist/other")
        shutil.rmtree(root / "node_modules")
        assert await recorder.told() == []


async def test_what_gitignore_names_is_not_told(watcher: Watcher, root: Path) -> None:
    (root / ".gitignore").write_text("*.log\n/out/\n!keep.log\n")
    make_tree(root, "sub/.gitignore")
    (root / "sub/.gitignore").write_text("secret\n")
    async with watched(watcher, root) as recorder:
        make_tree(root, "a.log", "keep.log", "out/x", "sub/secret", "sub/out/y", "secret")
        assert set(await recorder.told()) == {
            create("keep.log"),
            create("sub/out", is_dir=True),
            create("sub/out/y"),
            create("secret"),
        }


async def test_a_moved_in_gitignore_holds_for_what_came_with_it(watcher: Watcher, root: Path, tmp_path: Path) -> None:
    make_tree(tmp_path, "outside/a/x.log", "outside/b/kept")
    (tmp_path / "outside/.gitignore").write_text("*.log\n")
    async with watched(watcher, root) as recorder:
        (tmp_path / "outside").rename(root / "in")
        await recorder.settle()
        assert "in/b/kept" in recorder.tree
        assert "in/a/x.log" not in recorder.tree


async def test_what_is_not_ignored_any_more_is_created_and_watched(watcher: Watcher, root: Path) -> None:
    (root / ".gitignore").write_text("out/\n*.log\n")
    make_tree(root, "out/a/file", "x.log", "sub/y.log")
    async with watched(watcher, root) as recorder:
        (root / ".gitignore").write_text("\n")
        told = await recorder.told()
        assert {create("out", is_dir=True), create("out/a/file"), create("x.log"), create("sub/y.log")} <= set(told)
        make_tree(root, "out/a/new")
        assert create("out/a/new") in await recorder.told()
        (root / ".gitignore").unlink()
        assert await recorder.told() == [delete(".gitignore")]


async def test_what_becomes_ignored_is_told_no_more_and_not_said_to_be_gone(watcher: Watcher, root: Path) -> None:
    make_tree(root, "out/a/file", "src/x.log")
    async with watched(watcher, root) as recorder:
        (root / ".gitignore").write_text("out/\n*.log\n")
        assert {change.path for change in await recorder.told()} == {".gitignore"}
        make_tree(root, "out/a/new", "src/x.log", "src/new.log")
        assert await recorder.told() == []


async def test_what_became_ignored_is_deleted_when_it_goes(watcher: Watcher, root: Path) -> None:
    make_tree(root, "out/a/file", "src/x.log", "y.log")
    async with watched(watcher, root) as recorder:
        (root / ".gitignore").write_text("out/\n*.log\n")
        await recorder.told()
        (root / "src/x.log").unlink()
        shutil.rmtree(root / "out")
        assert set(await recorder.told()) == {delete("src/x.log"), delete("out", is_dir=True)}
        (root / ".gitignore").unlink()
        assert await recorder.told() == [delete(".gitignore"), delete("y.log"), create("y.log")]


async def test_what_the_repository_excludes_is_ignored(watcher: Watcher, root: Path) -> None:
    subprocess.run(["git", "init", "-q", root], check=True)
    make_tree(root, "out/file")
    async with watched(watcher, root) as recorder:
        assert "out/file" in recorder.tree
        (root / ".git/info").mkdir(exist_ok=True)
        (root / ".git/info/exclude").write_text("out/\n")
        async with asyncio.timeout(20):
            # The repository is told of by another way than the files are.
            while True:
                (root / "out/file").write_text("text")
                if not await recorder.told():
                    break


async def test_a_root_that_is_removed_and_made_again_is_watched_again(watcher: Watcher, root: Path) -> None:
    make_tree(root, "a/file")
    async with watched(watcher, root) as recorder:
        shutil.rmtree(root)
        await recorder.until(lambda: not recorder.states[-1].is_running)
        assert "is not there" in (recorder.states[-1].problem or "")
        assert recorder.losses == 2
        make_tree(root, "b/file")
        await recorder.until(lambda: recorder.states[-1] == RUNNING)
        await recorder.until(lambda: recorder.losses >= 3)
        make_tree(root, "b/new")
        await recorder.settle()
        assert recorder.tree == listed(root)


async def test_a_root_that_another_directory_replaces_is_read_anew(
    watcher: Watcher, root: Path, tmp_path: Path
) -> None:
    make_tree(root, "a/file")
    make_tree(tmp_path, "other/b/file")
    async with watched(watcher, root) as recorder:
        root.rename(tmp_path / "away")
        (tmp_path / "other").rename(root)
        await recorder.until(lambda: "b/file" in recorder.tree)
        await recorder.settle()
        make_tree(root, "b/new")
        make_tree(tmp_path, "away/a/new")
        await recorder.settle()
        assert recorder.tree == listed(root)


async def test_what_a_root_lies_in_may_be_moved_away_and_back(watcher: Watcher, tmp_path: Path) -> None:
    root = tmp_path / "above" / "project"
    make_tree(root, "file")
    async with watched(watcher, root) as recorder:
        (tmp_path / "above").rename(tmp_path / "elsewhere")
        await recorder.until(lambda: not recorder.states[-1].is_running)
        (tmp_path / "elsewhere").rename(tmp_path / "above")
        await recorder.until(lambda: recorder.states[-1] == RUNNING)
        make_tree(root, "new")
        await recorder.settle()
        assert recorder.tree == listed(root)


async def test_a_root_that_is_not_there_yet_is_watched_when_it_is(watcher: Watcher, tmp_path: Path) -> None:
    root = tmp_path / "a" / "b"
    recorder = Recorder(root)
    watcher.watch(root, recorder)
    await recorder.until(lambda: bool(recorder.states))
    assert not recorder.states[-1].is_running
    make_tree(root, "file")
    await recorder.until(lambda: recorder.states[-1] == RUNNING)
    await recorder.until(lambda: "file" in recorder.tree)


async def test_projects_are_watched_apart(watcher: Watcher, tmp_path: Path) -> None:
    make_tree(tmp_path, "one/file", "two/file")
    async with watched(watcher, tmp_path / "one") as one, watched(watcher, tmp_path / "two") as two:
        make_tree(tmp_path, "one/a", "two/b")
        assert {change.path for change in await one.told()} == {"a"}
        assert {change.path for change in await two.told()} == {"b"}
        shutil.rmtree(tmp_path / "one")
        await one.until(lambda: not one.states[-1].is_running)
        make_tree(tmp_path, "two/c")
        assert {change.path for change in await two.told()} == {"c"}
        assert two.states == [RUNNING]


async def test_a_stopped_watch_tells_nothing_more(watcher: Watcher, tmp_path: Path) -> None:
    make_tree(tmp_path, "one/file", "two/file")
    stopped = Recorder(tmp_path / "one")
    watch = watcher.watch(tmp_path / "one", stopped)
    await stopped.until(lambda: stopped.losses > 0)
    async with watched(watcher, tmp_path / "two") as other:
        make_tree(tmp_path, "one/new")
        watch.stop()
        watch.stop()
        make_tree(tmp_path, "one/newer")
        await other.settle()
        assert stopped.changes == []


async def test_a_watch_may_be_stopped_after_its_watcher(watcher: Watcher, root: Path) -> None:
    async with watched(watcher, root):
        await watcher.close()


@pytest.mark.slow
async def test_ten_thousand_changes_come_in_parts(watcher: Watcher, root: Path) -> None:
    async with watched(watcher, root) as recorder:
        for number in range(10_000):
            (root / f"file-{number}").touch()
        await recorder.settle()
        assert recorder.tree == listed(root)
        assert recorder.losses == 1
