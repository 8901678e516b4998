"""The door's promises, for every way of opening."""

import errno
import os
import socket
from pathlib import Path

import pytest

from host.paths import openat2
from host.paths.door import Door, OpenBeneath
from host.paths.relative import parse_path
from host.paths.walk import MAX_DEPTH, MAX_LINKS
from host.protocol.errors import FileNotFound, InvalidRequest, OutsideProjectRoot, ProjectRootGone, ProtocolError


def read(root: Path, path: str, open_beneath: OpenBeneath) -> bytes:
    with Door(root, open_beneath) as door, door.file(parse_path(path)) as file:
        return os.read(file.descriptor, 100)


def names(root: Path, path: str, open_beneath: OpenBeneath) -> list[str]:
    with Door(root, open_beneath) as door, door.directory(parse_path(path)) as directory:
        return sorted(os.listdir(directory))


@pytest.mark.parametrize("name", ["a\nb", "-rf", "\u202ecod", "ä", "x" * 255, "%41", "~", "$HOME", "a b"])
def test_strange_names_are_opened(root: Path, open_beneath: OpenBeneath, name: str) -> None:
    (root / name).write_text("here")
    assert read(root, name, open_beneath) == b"here"


def test_a_name_that_is_not_utf_8_is_opened_by_what_is_shown_of_it(root: Path, open_beneath: OpenBeneath) -> None:
    directory = os.fsencode(root) + b"/d\xff"
    os.mkdir(directory)
    Path(os.fsdecode(directory + b"/gr\xe9%")).write_text("here")
    assert read(root, "d%FF/gr%E9%25", open_beneath) == b"here"


def test_a_file_of_the_very_name_comes_before_one_that_is_shown_so(root: Path, open_beneath: OpenBeneath) -> None:
    Path(os.fsdecode(os.fsencode(root) + b"/gr\xe9")).write_text("shown so")
    (root / "gr%E9").write_text("named so")
    assert read(root, "gr%E9", open_beneath) == b"named so"


def test_the_root_itself_is_a_directory(root: Path, open_beneath: OpenBeneath) -> None:
    (root / "a").touch()
    assert names(root, "", open_beneath) == ["a"]


@pytest.mark.parametrize(
    ("link", "target"),
    [("l", "d/f"), ("d/l", "../d/f"), ("l", "d/../d/./f"), ("l", "d//f"), ("l", "first"), ("d/e/l", "../../d/f")],
)
def test_links_within_the_root_are_followed(root: Path, open_beneath: OpenBeneath, link: str, target: str) -> None:
    (root / "d/e").mkdir(parents=True)
    (root / "d/f").write_text("here")
    (root / "first").symlink_to("d/f")
    (root / link).symlink_to(target)
    assert read(root, link, open_beneath) == b"here"


@pytest.mark.parametrize("name", ["secret", "missing"])
@pytest.mark.parametrize(
    ("target", "below"), [("../outside", True), ("../outside/{}", False), ("d/../../outside", True), ("..", True)]
)
def test_a_link_out_of_the_root_is_refused_whether_or_not_its_target_exists(
    root: Path, open_beneath: OpenBeneath, target: str, below: bool, name: str
) -> None:
    (root / "d").mkdir()
    (root / "l").symlink_to(target.format(name))
    path = f"l/{name}" if below else "l"
    with pytest.raises(OutsideProjectRoot):
        read(root, path, open_beneath)
    with pytest.raises(OutsideProjectRoot):
        names(root, path, open_beneath)
    with pytest.raises(OutsideProjectRoot), Door(root) as door, door.place(parse_path(path)):
        pass


def test_an_absolute_link_is_refused_even_to_the_root_itself(root: Path, open_beneath: OpenBeneath) -> None:
    (root / "f").write_text("here")
    (root / "l").symlink_to(root / "f")
    with pytest.raises(OutsideProjectRoot):
        read(root, "l", open_beneath)


def test_links_in_a_circle_are_an_invalid_request(root: Path, open_beneath: OpenBeneath) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    with pytest.raises(InvalidRequest, match="circle"):
        read(root, "a", open_beneath)
    with pytest.raises(InvalidRequest, match="circle"):
        names(root, "a/x", open_beneath)


def test_as_many_links_are_followed_as_the_kernel_would(root: Path, open_beneath: OpenBeneath) -> None:
    (root / "l0").write_text("here")
    for number in range(MAX_LINKS + 1):
        (root / f"l{number + 1}").symlink_to(f"l{number}")
    assert read(root, f"l{MAX_LINKS}", open_beneath) == b"here"
    with pytest.raises(InvalidRequest):
        read(root, f"l{MAX_LINKS + 1}", open_beneath)


@pytest.mark.parametrize("path", ["missing", "d/missing", "missing/x", "f/x", "dangling"])
def test_what_is_not_there_is_not_found(root: Path, open_beneath: OpenBeneath, path: str) -> None:
    (root / "d").mkdir()
    (root / "f").touch()
    (root / "dangling").symlink_to("missing")
    with pytest.raises(FileNotFound) as caught:
        read(root, path, open_beneath)
    assert caught.value.details == {"path": path}
    with pytest.raises(FileNotFound):
        names(root, path, open_beneath)


def test_a_name_longer_than_any_can_be_is_an_invalid_request(root: Path, open_beneath: OpenBeneath) -> None:
    with pytest.raises(InvalidRequest):
        read(root, "x" * 256, open_beneath)


def test_a_path_that_is_too_deep_to_walk_is_an_invalid_request(root: Path) -> None:
    with (
        Door(root) as door,
        pytest.raises(InvalidRequest),
        door.place(parse_path("d/" * (MAX_DEPTH + 1) + "f")) as place,
    ):
        place.make_parents(0o022)


def test_a_file_is_no_directory_and_a_directory_no_file(root: Path, open_beneath: OpenBeneath) -> None:
    (root / "f").touch()
    (root / "d").mkdir()
    with pytest.raises(InvalidRequest):
        names(root, "f", open_beneath)
    with pytest.raises(InvalidRequest):
        read(root, "d", open_beneath)
    with pytest.raises(InvalidRequest):
        read(root, "", open_beneath)


def test_a_fifo_is_refused_at_once(root: Path, open_beneath: OpenBeneath) -> None:
    os.mkfifo(root / "fifo")
    with pytest.raises(InvalidRequest):
        read(root, "fifo", open_beneath)
    with pytest.raises(InvalidRequest):
        names(root, "fifo", open_beneath)


def test_a_socket_is_never_opened(root: Path, open_beneath: OpenBeneath, monkeypatch: pytest.MonkeyPatch) -> None:
    # A socket's whole path must be short, wherever the tests work.
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        with pytest.raises(InvalidRequest):
            read(root, "socket", open_beneath)


def test_a_device_is_never_opened(root: Path, open_beneath: OpenBeneath) -> None:
    try:
        os.mknod(root / "zero", 0o600 | 0o020000, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("Only root can make a device.")
    with pytest.raises(InvalidRequest):
        read(root, "zero", open_beneath)


@pytest.mark.parametrize("make", ["nothing", "file", "link"])
def test_a_root_that_is_no_directory_any_more_is_gone(root: Path, open_beneath: OpenBeneath, make: str) -> None:
    root.rmdir()
    if make == "file":
        root.touch()
    if make == "link":
        root.symlink_to("outside")
    with pytest.raises(ProjectRootGone, match=str(root)), Door(root, open_beneath):
        pass


def test_a_door_that_is_open_stays_with_its_directory(root: Path, open_beneath: OpenBeneath) -> None:
    (root / "f").write_text("here")
    with Door(root, open_beneath) as door:
        root.rename(root.with_name("moved"))
        root.symlink_to("outside")
        with door.file(parse_path("f")) as file:
            assert os.read(file.descriptor, 10) == b"here"


def test_a_place_is_where_the_links_lead(root: Path) -> None:
    (root / "d/e").mkdir(parents=True)
    (root / "l").symlink_to("d/e/../new")
    with Door(root) as door, door.place(parse_path("l")) as place:
        assert os.path.samestat(os.fstat(place.parent), os.stat(root / "d"))
        assert place.name == b"new"
        assert place.status() is None


def test_a_place_says_that_its_parents_are_missing_and_can_make_them(root: Path) -> None:
    with Door(root) as door, door.place(parse_path("a/b/f")) as place:
        assert place.lacks_parents
        place.make_parents(0o027)
        assert os.path.samestat(os.fstat(place.parent), os.stat(root / "a/b"))
    assert (root / "a").stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("path", [".git/x", ".git/missing/x", "sub/.GIT", "l/new", "file/.git/x", "l2"])
def test_nothing_in_git_is_a_place_also_not_through_links(root: Path, path: str) -> None:
    (root / ".git/hooks").mkdir(parents=True)
    (root / "file").touch()
    (root / "l").symlink_to(".git/hooks")
    (root / "l2").symlink_to(".git/config")
    with Door(root) as door, pytest.raises(InvalidRequest, match="git"), door.place(parse_path(path)):
        pass


def test_leaving_the_root_comes_before_git(root: Path) -> None:
    (root / ".git").mkdir()
    (root / ".git/out").symlink_to("../../outside")
    with Door(root) as door, pytest.raises(OutsideProjectRoot), door.place(parse_path(".git/out/x")):
        pass


def test_a_way_through_git_and_out_of_it_again_is_a_place(root: Path) -> None:
    (root / ".git/hooks").mkdir(parents=True)
    (root / "l").symlink_to(".git/hooks/../../f")
    with Door(root) as door, door.place(parse_path("l")) as place:
        assert place.name == b"f"


def test_where_openat2_gives_up_the_walk_takes_over(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "f").write_text("here")
    attempts = []

    def refuse(_root: int, raw: bytes, _flags: int) -> int:
        attempts.append(raw)
        raise BlockingIOError(errno.EAGAIN, "A rename is under way.")

    monkeypatch.setattr(openat2, "_open", refuse)
    assert read(root, "f", openat2.open_by_openat2) == b"here"
    assert 1 < len(attempts) < 100


def test_a_kernel_without_openat2_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_root: int, _raw: bytes, _flags: int) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(openat2, "_open", refuse)
    assert not openat2.is_supported()


def test_errors_in_the_middle_leave_no_descriptor(root: Path, open_beneath: OpenBeneath) -> None:
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/out").symlink_to("../../../outside")
    before = len(os.listdir("/dev/fd"))
    for _ in range(50):
        with pytest.raises(ProtocolError):
            read(root, "a/b/out/x", open_beneath)
        with pytest.raises(FileNotFound):
            read(root, "a/b/c/d", open_beneath)
        with Door(root) as door, pytest.raises(OutsideProjectRoot), door.place(parse_path("a/b/out/x")):
            pass
    assert len(os.listdir("/dev/fd")) == before


def test_an_entry_is_the_link_itself_and_links_on_the_way_are_followed(root: Path) -> None:
    (root / "d").mkdir()
    (root / "d/l").symlink_to("../../outside")
    (root / "way").symlink_to("d")
    with Door(root) as door, door.entries({"path": parse_path("way/l")}) as (place,):
        assert place.name == b"l"
        assert os.path.samestat(os.fstat(place.parent), os.stat(root / "d"))
        assert [os.fstat(directory).st_ino for directory in place.directories] == [
            root.stat().st_ino,
            (root / "d").stat().st_ino,
        ]


def test_of_several_entries_the_fault_that_counts_most_is_told(root: Path) -> None:
    (root / "f").touch()
    (root / "out").symlink_to("../outside")
    faults = {OutsideProjectRoot: "out/x", InvalidRequest: ".git/x", FileNotFound: "f/x"}
    for number, (error, path) in enumerate(faults.items()):
        for other in list(faults.values())[number:]:
            for one, two in ((path, other), (other, path)):
                paths = {"one": parse_path(one), "two": parse_path(two)}
                with Door(root) as door, pytest.raises(error), door.entries(paths):
                    pass


def test_directories_are_made_with_the_last_one_only_when_asked(root: Path) -> None:
    with Door(root) as door, door.place(parse_path("a/b")) as place:
        place.make_parents(0o022)
        assert os.listdir(root / "a") == []
        place.make_directory(0o022)
        assert os.listdir(root / "a") == ["b"]
