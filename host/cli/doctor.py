"""``pocketcoder doctor``: looks at everything that a user needs, and names the mend of what is wrong."""

import os
from collections.abc import Iterator
from typing import Annotated

import typer

from host.cli.exit_codes import FAILED
from host.cli.surroundings import surroundings
from host.core.errors import ForPeople, system_refusal
from host.core.settings import DEFAULT_RELAY_URL

_SIGNS = {"ok": "ok", "warning": "warning", "broken": "BROKEN", "unknown": "unknown"}


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Look at everything PocketCoder needs, and say how to mend what is wrong.

    Example: pocketcoder doctor
    """
    import json

    from host.auth.token_store import TokenStore
    from host.doctor.examination import Examined, examine
    from host.doctor.finding import Finding, Patient

    def examinations() -> Iterator[Examined]:
        try:
            paths, settings = surroundings()
            relay_url = settings.gateway_url or TokenStore(paths.auth_file).relay_url() or DEFAULT_RELAY_URL
        except (ForPeople, OSError) as exc:
            # Without these nothing else can be looked at.
            message = system_refusal(exc) if isinstance(exc, OSError) else str(exc)
            yield Examined("settings", Finding("broken", message))
        else:
            yield from examine(Patient(paths, settings, os.environ, relay_url))

    examined: list[Examined] = []
    for name, finding in examinations():
        examined.append(Examined(name, finding))
        if not as_json:
            typer.echo(f"{_SIGNS[finding.state]:8} {name:11} {finding.message}")
            if finding.mend:
                typer.echo(f"{'':20} Mend: {finding.mend}")
    if as_json:
        rows = [{"check": name, **vars(finding)} for name, finding in examined]
        typer.echo(json.dumps({"checks": rows}, indent=2))
    if any(finding.state == "broken" for _, finding in examined):
        raise typer.Exit(FAILED)
