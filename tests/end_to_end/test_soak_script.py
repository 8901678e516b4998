"""``./scripts/soak`` as a process: a short one, so that a long one works when it is wanted."""

import subprocess
import sys

import pytest

from tests.support.processes import CHECKOUT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(170)]


@pytest.mark.skipif(sys.platform != "linux", reason="The soak reads what only Linux tells.")
@pytest.mark.parametrize("length", [("--minutes", "0.1"), ("--kills", "1")], ids=" ".join)
def test_a_short_soak_loses_nothing_and_leaves_nothing(length: tuple[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.soak_session", *length],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "writes accepted" in done.stdout
    assert "daemon: memory, MB" in done.stdout
