import pytest

from relay_stub.store import audit
from relay_stub.store.audit import AuditEvent, AuditLog
from relay_stub.store.database import Database


def test_entries_come_back_in_order(database: Database) -> None:
    log = AuditLog(database, clock=lambda: 5.0)
    for who in ("a", "b", "c"):
        log.record(AuditEvent.SIGNED_IN, who=who, address="192.0.2.1", detail="ses_1")
    assert [entry.who for entry in log.last(2)] == ["b", "c"]
    first, *rest = log.last(10)
    assert (first.at_s, first.event, first.address, first.detail) == (5.0, "signed in", "192.0.2.1", "ses_1")
    assert log.since(first.id) == rest


def test_only_the_newest_are_kept_and_numbers_are_not_used_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "MAX_ENTRIES", 3)
    log = AuditLog(database)
    for number in range(10):
        log.record(AuditEvent.SIGNED_IN, who=str(number))
    assert [(entry.id, entry.who) for entry in log.last(100)] == [(8, "7"), (9, "8"), (10, "9")]


def test_however_many_are_refused_it_stays_known_who_came_in(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "MAX_ENTRIES", 3)
    log = AuditLog(database)
    log.record(AuditEvent.SIGNED_IN, who="owner")
    for number in range(10):
        log.record(AuditEvent.SIGN_IN_REFUSED, detail=str(number))
        log.record(AuditEvent.DEVICE_DENIED, detail=str(number))
    assert [(entry.event, entry.who or entry.detail) for entry in log.last(100)] == [
        ("signed in", "owner"),
        *((event, number) for number in "789" for event in ("sign-in refused", "device denied")),
    ]


def test_an_entry_is_one_short_line_whatever_it_is_told(database: Database) -> None:
    log = AuditLog(database)
    log.record(AuditEvent.SIGN_IN_REFUSED, who="x\nroot", detail="\x1b[2J" + "y" * 1000)
    (entry,) = log.last(1)
    assert entry.who == "x?root"
    assert entry.detail == "?[2J" + "y" * 196
