"""What the control plane is asked (docs/protocol.md, "Control plane on the host")."""

from typing import Annotated

from pydantic import Field

from host.protocol.limits import MAX_LABEL_CHARS, MAX_PATH_BYTES
from host.protocol.messages.base import Request
from host.protocol.messages.system import ShortText


class StopRequest(Request):
    force: bool = False


class MachineLabelRequest(Request):
    label: Annotated[str, Field(min_length=1, max_length=MAX_LABEL_CHARS)]


class AddProjectRequest(Request):
    path: Annotated[str, Field(min_length=1, max_length=MAX_PATH_BYTES)]
    name: ShortText | None = None
    force: bool = False
