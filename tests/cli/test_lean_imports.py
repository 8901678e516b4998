"""A command loads only what it needs: loading is most of the time that it takes."""

import sys
from subprocess import run

from tests.cli.commands import variables_of
from tests.support.processes import CHECKOUT, MachineProcess


def test_status_imports_nothing_heavy(machine: MachineProcess) -> None:
    code = """
import sys
before = set(sys.modules)
sys.argv = ["pocketcoder", "status"]
from host.cli.main import main
try:
    main()
except SystemExit as end:
    assert end.code == 3, end.code
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""
    done = run(
        [sys.executable, "-c", code],
        cwd=CHECKOUT,
        env=variables_of(machine),
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(done.stdout.split())

    assert "json" in imported
    heavy = {"aiohttp", "websockets", "pydantic", "msgspec", "typer", "click", "rich", "platformdirs", "jwt", "uvloop"}
    slow = {"asyncio", "sqlite3", "http", "email", "ssl", "dataclasses", "typing", "inspect", "logging", "subprocess"}
    assert not imported & (heavy | slow)


def test_starting_in_the_background_loads_nothing_of_the_daemon() -> None:
    code = "import sys, host.cli.background; print(*sys.modules)"

    loaded = run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert {"host.daemon", "asyncio", "aiohttp", "websockets", "pydantic"}.isdisjoint(loaded)
