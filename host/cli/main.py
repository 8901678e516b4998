"""``pocketcoder``. ``status`` is asked often, so it goes a way of its own that imports next to nothing."""

import sys

_STATUS_LINES = (["status"], ["status", "--json"])


def main() -> None:
    if sys.argv[1:] in _STATUS_LINES:
        from host.cli.status import show_status  # noqa: PLC0415 - the lean way

        sys.exit(show_status(as_json="--json" in sys.argv))

    from host.cli.app import app  # noqa: PLC0415 - typer and all that it loads

    app(prog_name="pocketcoder")


if __name__ == "__main__":
    main()
