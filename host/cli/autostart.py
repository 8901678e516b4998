"""Being started by the system: ``enable-autostart`` and ``disable-autostart``."""

import typer

from host.cli.output import errors_for_people


def enable_autostart() -> None:
    """Have the system start PocketCoder by itself; shows what it wrote. May be run again.

    Example: pocketcoder enable-autostart
    """
    from host.autostart.choice import autostart, start_of
    from host.core.redaction import without_url_credentials

    with errors_for_people():
        way = autostart()
        for sentence in way.enable(start_of()):
            typer.echo(sentence)
        if way.file.is_file():
            typer.echo(f"\n{without_url_credentials(way.file.read_text()).rstrip()}")


def disable_autostart() -> None:
    """Have the system no longer start PocketCoder. A daemon that runs goes on.

    Example: pocketcoder disable-autostart
    """
    from host.autostart.choice import autostart

    with errors_for_people():
        if autostart().disable():
            typer.echo(
                "PocketCoder is no longer started by the system. What runs goes on; end it with: pocketcoder stop"
            )
        else:
            typer.echo("PocketCoder was not started by the system.")
