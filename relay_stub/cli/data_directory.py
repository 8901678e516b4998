"""Where the relay's data are, as every command takes it."""

from pathlib import Path
from typing import Annotated, Final

import platformdirs
import typer

DataDirOption = Annotated[
    Path | None,
    typer.Option("--data-dir", envvar="POCKETCODER_RELAY_DATA", help="Where users, sessions and machines are kept."),
]
_NAME: Final = "pocketcoder-relay"


def data_directory(chosen: Path | None) -> Path:
    return chosen or Path(platformdirs.user_data_dir(_NAME, appauthor=False))
