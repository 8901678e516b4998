"""docs/protocol.md says what the code does."""

import re

from host.protocol.catalog import CATALOG
from host.protocol.close_codes import CloseCode
from host.protocol.errors import ErrorCode
from scripts.protocol_document import DOCUMENT, with_tables

DOCUMENT_TEXT = DOCUMENT.read_text(encoding="utf-8")


def test_the_tables_of_messages_are_those_of_the_models() -> None:
    assert with_tables(DOCUMENT_TEXT) == DOCUMENT_TEXT, "Run: .venv/bin/python -P scripts/protocol_document.py"


def test_every_type_error_code_and_close_code_is_explained() -> None:
    prose = DOCUMENT_TEXT.partition("## Messages")[0]
    names = {*CATALOG, *ErrorCode, *(str(int(code)) for code in CloseCode)}
    # Relay-answered lists are explained by their table alone.
    names -= {"machines_list", "projects_list", "project_leave"}
    unexplained = [name for name in sorted(names) if not re.search(rf"\b{name}\b", prose)]
    assert unexplained == []
