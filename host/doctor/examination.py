"""All checks, in the order in which one builds on another."""

import logging
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from host.core.errors import ForPeople, system_refusal
from host.doctor import daemon, machine, network
from host.doctor.finding import Check, Finding, Patient

logger = logging.getLogger(__name__)

CHECKS: Final[Mapping[str, Check]] = {
    "python": machine.python,
    "git": machine.git,
    "agent": machine.agent,
    "files": machine.files,
    "disk": machine.disk,
    "keyring": machine.keyring,
    "watches": machine.watches,
    "daemon": daemon.running,
    "autostart": daemon.autostarted,
    "relay name": network.name,
    "relay": network.reachable,
    "clock": network.clock,
    "sign-in": daemon.signed_in,
    "connection": daemon.registered,
    "round trip": daemon.round_trip,
    "projects": daemon.projects,
    "warnings": daemon.warnings,
}


class Examined(NamedTuple):
    check: str
    finding: Finding


def examine(patient: Patient, checks: Mapping[str, Check] = CHECKS) -> Iterator[Examined]:
    """Each finding as it is made. A check that itself fails is a finding, too."""
    for name, check in checks.items():
        try:
            yield Examined(name, check(patient))
        except ForPeople as exc:
            # The sentence says what to do.
            yield Examined(name, Finding("broken", str(exc)))
        except OSError as exc:
            yield Examined(name, Finding("broken", system_refusal(exc)))
        except Exception:
            logger.exception("The check %s failed", name)
            message = "This could not be looked at: a fault of PocketCoder's."
            yield Examined(name, Finding("broken", message, "Report it, with what was printed."))
