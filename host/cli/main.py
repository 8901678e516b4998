"""``pocketcoder``. ``status`` is asked often, so it goes a way of its own that imports next to nothing."""

import io
import os
import sys

from host.cli.exit_codes import DONE, FAILED, INTERRUPTED
from host.core.errors import system_refusal

_STATUS_LINES = (["status"], ["status", "--json"])


def main() -> None:
    code: str | int | None = DONE
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that the terminal's encoding lacks is no reason to fail.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        _run_command()
    except SystemExit as ended:
        code = ended.code
    except KeyboardInterrupt:
        code = INTERRUPTED
    except OSError as exc:
        code = _refused(exc)
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as exc:
        # What is still buffered has nowhere to go; Python would try again at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = code if code == FAILED else _refused(exc)
    sys.exit(code)


def _refused(exc: OSError) -> int:
    """Say so, unless whoever read the output has enough."""
    if not isinstance(exc, BrokenPipeError):
        print(system_refusal(exc), file=sys.stderr)
    return FAILED


def _run_command() -> None:
    if sys.argv[1:] in _STATUS_LINES:
        from host.cli.status import show_status  # noqa: PLC0415 - the lean way

        sys.exit(show_status(as_json="--json" in sys.argv))

    from host.cli.app import app  # noqa: PLC0415 - typer and all that it loads

    app(prog_name="pocketcoder")


if __name__ == "__main__":
    main()
