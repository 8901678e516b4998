"""fs_move (docs/protocol.md, "Files")."""

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from host.files import moving, renaming
from host.files.locks import StripedLocks
from host.files.moving import move
from host.files.temporary import temporary_name
from host.files.writing import FileWriter
from host.paths.door import Door, Place
from host.paths.relative import parse_path
from host.protocol.errors import Conflict, FileAccessFailed, FileNotFound, InvalidRequest, OutsideProjectRoot

pytestmark = pytest.mark.usefixtures("no_descriptor_is_left_open")
LOCKS = StripedLocks()


def moved(root: Path, source: str, to: str, *, overwrite: bool = False, locks: StripedLocks = LOCKS) -> None:
    with Door(root) as door:
        move(door, parse_path(source), parse_path(to), overwrite=overwrite, locks=locks)


def tree(root: Path) -> dict[str, str]:
    """Every path below, with a file's content or a link's target."""
    found = {}
    for path in root.rglob("*"):
        relative = str(path.relative_to(root))
        found[relative] = os.readlink(path) if path.is_symlink() else "dir" if path.is_dir() else path.read_text()
    return found


@pytest.fixture(params=["renameat2", "link", "look"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every way of renaming to a free name in turn: all keep the same rules."""

    def not_offered(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if request.param == "renameat2" and renaming._renameat2 is None:
        pytest.skip("This system does not offer renameat2.")
    if request.param != "renameat2":
        monkeypatch.setattr(renaming, "rename_by_kernel", not_offered)
    if request.param == "look":
        link = os.link
        monkeypatch.setattr(
            os, "link", lambda *args, **kwargs: (not_offered if "src_dir_fd" in kwargs else link)(*args, **kwargs)
        )


def test_a_file_is_moved_with_its_content(root: Path) -> None:
    (root / "d").mkdir()
    (root / "f").write_text("content")
    inode = (root / "f").stat().st_ino
    moved(root, "f", "d/g")
    assert tree(root) == {"d": "dir", "d/g": "content"}
    assert (root / "d/g").stat().st_ino == inode


def test_a_directory_is_moved_with_all_that_it_holds(root: Path) -> None:
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/f").write_text("content")
    (root / "other").mkdir()
    moved(root, "a", "other/c")
    assert tree(root) == {"other": "dir", "other/c": "dir", "other/c/b": "dir", "other/c/b/f": "content"}


@pytest.mark.parametrize("target", ["f", "missing", "../outside", "/etc/passwd", "l"])
def test_a_link_is_moved_itself(root: Path, target: str) -> None:
    (root / "f").write_text("content")
    (root / "l").symlink_to(target)
    moved(root, "l", "m")
    assert os.readlink(root / "m") == target
    assert sorted(os.listdir(root)) == ["f", "m"]


def test_a_link_in_its_place_is_replaced_and_not_followed(root: Path) -> None:
    (root / "f").write_text("content")
    (root / "l").symlink_to("../outside/secret")
    with pytest.raises(Conflict):
        moved(root, "f", "l")
    moved(root, "f", "l", overwrite=True)
    assert tree(root) == {"l": "content"}
    assert (root.parent / "outside/secret").read_text() == "secret"


def test_links_on_the_way_are_followed_within_the_root(root: Path) -> None:
    (root / "a").mkdir()
    (root / "b").mkdir()
    (root / "a/f").write_text("content")
    (root / "la").symlink_to("a")
    (root / "lb").symlink_to("a/../b")
    moved(root, "la/f", "lb/g")
    assert (root / "b/g").read_text() == "content"


def test_a_fifo_is_moved_without_being_opened(root: Path) -> None:
    os.mkfifo(root / "p")
    moved(root, "p", "q")
    assert (root / "q").is_fifo()


def test_an_existing_target_is_a_conflict_unless_it_may_be_replaced(root: Path) -> None:
    (root / "f").write_text("new")
    (root / "g").write_text("old")
    with pytest.raises(Conflict) as caught:
        moved(root, "f", "g")
    assert caught.value.details == {"path": "g"}
    assert tree(root) == {"f": "new", "g": "old"}
    moved(root, "f", "g", overwrite=True)
    assert tree(root) == {"g": "new"}


def test_an_empty_directory_is_replaced_by_a_directory_only_when_it_may_be(root: Path) -> None:
    (root / "a").mkdir()
    (root / "a/f").write_text("content")
    (root / "b").mkdir()
    with pytest.raises(Conflict):
        moved(root, "a", "b")
    moved(root, "a", "b", overwrite=True)
    assert tree(root) == {"b": "dir", "b/f": "content"}


def test_a_directory_that_is_not_empty_is_never_replaced(root: Path) -> None:
    (root / "a").mkdir()
    (root / "b").mkdir()
    (root / "b/f").write_text("content")
    with pytest.raises(Conflict, match="not empty") as caught:
        moved(root, "a", "b", overwrite=True)
    assert caught.value.details == {"path": "b"}
    with pytest.raises(Conflict):
        moved(root, "b/f", "b")
    assert tree(root) == {"a": "dir", "b": "dir", "b/f": "content"}


@pytest.mark.parametrize(("source", "to"), [("f", "d"), ("d", "f"), ("l", "d"), ("d", "l")])
def test_files_and_directories_do_not_replace_each_other(root: Path, source: str, to: str) -> None:
    (root / "f").write_text("content")
    (root / "d").mkdir()
    (root / "l").symlink_to("f")
    before = tree(root)
    with pytest.raises(InvalidRequest) as caught:
        moved(root, source, to, overwrite=True)
    assert caught.value.details["errors"][0]["field"] == "to"
    with pytest.raises(Conflict):
        moved(root, source, to)
    assert tree(root) == before


@pytest.mark.parametrize("to", ["d/new", "d/e/new", "l/new", "d/e"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_directory_is_not_moved_into_itself(root: Path, to: str, overwrite: bool) -> None:
    (root / "d/e").mkdir(parents=True)
    (root / "l").symlink_to("d/e")
    before = tree(root)
    with pytest.raises(InvalidRequest) as caught:
        moved(root, "d", to, overwrite=overwrite)
    assert caught.value.details["errors"][0]["field"] == "to"
    assert tree(root) == before


@pytest.mark.parametrize("path", ["f", "d"])
def test_a_move_to_where_it_is_changes_nothing(root: Path, path: str) -> None:
    (root / "f").write_text("content")
    (root / "d").mkdir()
    before = tree(root)
    with pytest.raises(Conflict):
        moved(root, path, path)
    moved(root, path, path, overwrite=True)
    assert tree(root) == before


@pytest.mark.parametrize(("one", "other"), [("f", "g"), ("f", "F")])
def test_of_two_hard_links_the_moved_one_goes(root: Path, one: str, other: str) -> None:
    (root / one).write_text("content")
    os.link(root / one, root / other)
    with pytest.raises(Conflict):
        moved(root, one, other)
    assert sorted(os.listdir(root)) == sorted([one, other])
    moved(root, one, other, overwrite=True)
    assert tree(root) == {other: "content"}


@pytest.mark.parametrize(("old", "new"), [("name", "Name"), ("u\u0308", "\u00fc")])
def test_where_two_spellings_are_one_name_the_new_one_is_taken(
    root: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str
) -> None:
    (root / old).write_text("content")
    status = Place.status

    def status_whatever_the_spelling(place: Place) -> os.stat_result | None:
        return status(place) or os.stat(root / old)

    monkeypatch.setattr(Place, "status", status_whatever_the_spelling)
    moved(root, old, new)
    assert os.listdir(root) == [new]


def test_a_missing_source_or_parent_is_not_found(root: Path) -> None:
    (root / "f").touch()
    for source, to in (("missing", "g"), ("missing/f", "g"), ("f/x", "g"), ("f", "missing/g"), ("f", "f/g")):
        with pytest.raises(FileNotFound) as caught:
            moved(root, source, to)
        assert caught.value.details == {"path": to if source == "f" else source}


@pytest.mark.parametrize(("source", "to", "field"), [("", "d/x", "from"), ("d", "", "to"), ("", "", "from")])
def test_the_root_is_neither_moved_nor_replaced(root: Path, source: str, to: str, field: str) -> None:
    (root / "d").mkdir()
    with pytest.raises(InvalidRequest) as caught:
        moved(root, source, to, overwrite=True)
    assert caught.value.details["errors"][0]["field"] == field


@pytest.mark.parametrize(
    ("source", "to"), [("out/secret", "f"), ("f", "out/new"), ("f", "abs/new"), ("../outside/secret", "f")]
)
def test_nothing_is_moved_over_the_roots_edge(root: Path, source: str, to: str) -> None:
    (root / "f").write_text("content")
    (root / "out").symlink_to("../outside")
    (root / "abs").symlink_to(root.parent / "outside")
    with pytest.raises(OutsideProjectRoot):
        moved(root, source, to, overwrite=True)
    assert tree(root.parent / "outside") == {"secret": "secret"}
    assert (root / "f").read_text() == "content"


@pytest.mark.parametrize(
    ("source", "to", "field"),
    [
        (".git", "x", "from"),
        (".git/config", "x", "from"),
        ("l/config", "x", "from"),
        ("f", ".git/config", "to"),
        ("f", ".GIT", "to"),
        ("f", "l/new", "to"),
        ("d", "d2/.git", "to"),
    ],
)
def test_git_is_neither_source_nor_target(root: Path, source: str, to: str, field: str) -> None:
    (root / ".git").mkdir()
    (root / ".git/config").write_text("config")
    (root / "d").mkdir()
    (root / "f").touch()
    (root / "l").symlink_to(".git")
    before = tree(root)
    with pytest.raises(InvalidRequest, match="git") as caught:
        moved(root, source, to, overwrite=True)
    assert caught.value.details["errors"][0]["field"] == field
    assert tree(root) == before


def test_what_comes_first_of_several_faults(root: Path) -> None:
    (root / "f").touch()
    (root / "out").symlink_to("../outside")
    for source, to in (("missing", "out/x"), (".git", "out/x"), ("f/x", "out/x"), ("out/x", ".git")):
        with pytest.raises(OutsideProjectRoot):
            moved(root, source, to)
    for source, to in (("missing/x", ".git/x"), ("f/x", ".git"), (".git/x", "missing/x")):
        with pytest.raises(InvalidRequest):
            moved(root, source, to)


@pytest.mark.parametrize("name", [b"gr\xe9", b"a\nb", b"-rf", "\u202ecod".encode(), b"x" * 255])
def test_strange_names_are_moved_as_they_are(root: Path, name: bytes) -> None:
    Path(os.fsdecode(os.fsencode(root) + b"/" + name)).write_text("content")
    shown = "gr%E9" if name == b"gr\xe9" else name.decode()
    moved(root, shown, "plain")
    assert tree(root) == {"plain": "content"}
    if name != b"gr\xe9":
        moved(root, "plain", shown)
        assert os.listdir(os.fsencode(root)) == [name]


def test_a_name_that_is_too_long_is_an_invalid_request_about_its_field(root: Path) -> None:
    (root / "f").touch()
    with pytest.raises(InvalidRequest):
        moved(root, "f", "x" * 256)
    assert os.listdir(root) == ["f"]


def test_of_many_moves_to_one_free_name_one_wins(root: Path, request: pytest.FixtureRequest) -> None:
    start = threading.Barrier(6)
    # Where nothing makes look and change one, the daemon's own moves are kept apart by their locks.
    is_atomic = "look" not in request.node.callspec.id
    for number in range(6):
        (root / f"{number}").write_text(f"{number}")

    def attempt(number: int) -> bool:
        start.wait()
        try:
            moved(root, f"{number}", "won", locks=StripedLocks() if is_atomic else LOCKS)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        won = list(pool.map(attempt, range(6)))
    assert won.count(True) == 1
    assert (root / "won").read_text() == f"{won.index(True)}"
    assert len(os.listdir(root)) == 6


def test_moves_and_writes_across_each_other_never_wait_for_ever(root: Path) -> None:
    locks = StripedLocks(timeout_s=5)
    writer = FileWriter(locks=locks)
    (root / "a").write_text("")
    (root / "b").write_text("")

    def work(number: int) -> None:
        source, to = ("a", "b") if number % 2 else ("b", "a")
        for _ in range(50):
            try:
                moved(root, source, to, overwrite=True, locks=locks)
            except FileNotFound:
                with Door(root) as door:
                    writer.write(door, parse_path(source), b"x", temporary=temporary_name("user", f"{number}"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert set(os.listdir(root)) <= {"a", "b"}


def test_another_file_system_is_told_and_nothing_is_copied(root: Path, small_disk: Path) -> None:
    mounted = small_disk.parent
    (mounted / "f").write_text("content")
    with pytest.raises(FileAccessFailed, match="Copy it on the machine") as caught:
        moved(mounted, "f", "disk/f")
    assert caught.value.details == {"reason": "otherFileSystem", "path": "f"}
    assert (mounted / "f").read_text() == "content"
    assert os.listdir(small_disk) == []
    with pytest.raises(FileAccessFailed, match="mounted") as caught:
        moved(mounted, "disk", "elsewhere")
    assert caught.value.details["reason"] in {"mountPoint", "otherFileSystem"}


def test_the_directories_are_made_durable(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "a").mkdir()
    (root / "b").mkdir()
    (root / "a/f").touch()
    synced: list[int] = []
    monkeypatch.setattr(moving, "sync_directory", lambda directory: synced.append(os.fstat(directory).st_ino))
    moved(root, "a/f", "b/f")
    assert synced == [(root / "b").stat().st_ino, (root / "a").stat().st_ino]
