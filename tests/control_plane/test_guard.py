from collections.abc import Sequence
from pathlib import Path

import pytest

from host.control_plane.guard import Headers, has_token, is_direct
from host.core.peer import is_another_user, is_same_user

PORT = 17333
PEER = ("127.0.0.1", 0xC350)
SERVER = ("127.0.0.1", 0x43B5)


def headers(**values: str | list[str]) -> Headers:
    given = {name.replace("_", "-"): [value] if isinstance(value, str) else value for name, value in values.items()}

    def look_up(name: str) -> Sequence[str]:
        return given.get(name, [])

    return look_up


@pytest.mark.parametrize("host", ["127.0.0.1:17333", "localhost:17333", "[::1]:17333"])
def test_this_machine_with_the_port_is_the_right_host(host: str) -> None:
    assert is_direct(headers(Host=host), PORT)
    assert is_direct(headers(Host=host, Sec_Fetch_Site="none"), PORT)


@pytest.mark.parametrize(
    "host",
    [
        [], "", "127.0.0.1", "127.0.0.1:80", "localhost", "evil.example:17333", "127.0.0.1.evil.example:17333",
        "127.0.0.1:17333.evil.example", "localhost.:17333", "127.1:17333", "0.0.0.0:17333", "::1:17333",
        "user@127.0.0.1:17333", " 127.0.0.1:17333", ["127.0.0.1:17333", "evil.example"],
    ],
)  # fmt: skip
def test_any_other_host_is_refused(host: str | list[str]) -> None:
    assert not is_direct(headers(Host=host), PORT)


@pytest.mark.parametrize(
    "browser",
    [
        {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": ""}, {"Origin": "http://127.0.0.1:17333"},
        {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-origin"}, {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": ""}, {"Sec_Fetch_Site": ["none", "cross-site"]},
    ],
)  # fmt: skip
def test_what_a_web_page_sends_is_refused(browser: dict[str, str | list[str]]) -> None:
    assert not is_direct(headers(Host="127.0.0.1:17333", **browser), PORT)


def test_the_bearer_token_is_taken_in_any_case_of_its_scheme() -> None:
    assert has_token(headers(Authorization="Bearer right"), "right")
    assert has_token(headers(Authorization="bearer right"), "right")


@pytest.mark.parametrize(
    "given", [[], "", "right", "Bearer", "Bearer ", "Bearer wrong", "Bearer right ", "Basic right", "Bearer r\udcffght",
              ["Bearer right", "Bearer right"]],
)  # fmt: skip
def test_anything_else_is_no_token(given: str | list[str]) -> None:
    assert not has_token(headers(Authorization=given), "right")


def table(tmp_path: Path, *entries: str) -> list[Path]:
    path = tmp_path / "tcp"
    path.write_text("  sl  local_address rem_address st tx:rx tr tm retrnsmt uid timeout inode\n" + "".join(entries))
    return [path]


def entry(
    local: str = "0100007F:C350", remote: str = "0100007F:43B5", state: str = "01", uid: int = 1000, inode: int = 77
) -> str:
    return f"   0: {local} {remote} {state} 00000000:00000000 00:00000000 00000000 {uid} 0 {inode} 1 0 20 4 30 10 -1\n"


@pytest.mark.parametrize(
    "line", [entry(), entry("0000000000000000FFFF00000100007F:C350", "0000000000000000FFFF00000100007F:43B5")]
)
def test_the_owner_of_the_peers_socket_is_told_by_the_kernels_table(tmp_path: Path, line: str) -> None:
    tables = table(tmp_path, entry("0100007F:C351", uid=7), line)

    assert is_same_user(PEER, SERVER, 1000, tables)
    assert not is_same_user(PEER, SERVER, 7, tables)


@pytest.mark.parametrize(
    "line",
    [
        entry(state="06", uid=0, inode=0), entry(state="05", uid=0), entry(uid=0, inode=0),
        entry("0100007F:43B5", "0100007F:C350", uid=0), entry("0200007F:C350", uid=0), "nonsense\n", "",
        entry("00000000000000000000000B0100007F:C350", uid=0),
    ],
)  # fmt: skip
def test_a_closed_a_reversed_and_a_foreign_socket_prove_nobody(tmp_path: Path, line: str) -> None:
    assert not is_same_user(PEER, SERVER, 0, table(tmp_path, line))


def test_without_the_kernels_tables_nobody_is_the_same_user(tmp_path: Path) -> None:
    assert not is_same_user(PEER, SERVER, 0, [tmp_path / "absent"])


@pytest.mark.parametrize(("line", "is_another"), [
    (entry(uid=1000), False), (entry(uid=0), False), (entry(uid=7), True), (entry(uid=0, inode=0), True), ("", True),
])  # fmt: skip
def test_another_user_is_who_is_neither_this_one_nor_root_nor_told(tmp_path: Path, line: str, is_another: bool) -> None:
    assert is_another_user(PEER, SERVER, 1000, table(tmp_path, line)) is is_another


def test_without_the_kernels_tables_nobody_is_taken_for_another_user(tmp_path: Path) -> None:
    assert not is_another_user(PEER, SERVER, 1000, [tmp_path / "absent"])
