"""What we say to the CLI: one line of JSON each. Pure."""

from typing import Any

import msgspec

from host.protocol.messages.agents import Content, ImageBlock, TextBlock


def user_line(content: Content, *, turn_id: str) -> bytes:
    """The user's message. A ``turn_id`` that the session has seen before is not worked on again."""
    message = {"role": "user", "content": content if isinstance(content, str) else [_block(block) for block in content]}
    return _line({"type": "user", "message": message, "parent_tool_use_id": None, "session_id": "", "uuid": turn_id})


def initialize_line(request_id: str) -> bytes:
    """Ask what there is: commands, models…"""
    return _request(request_id, {"subtype": "initialize", "hooks": None})


def interrupt_line(request_id: str) -> bytes:
    """Stop the model and its tools. The process stays."""
    return _request(request_id, {"subtype": "interrupt"})


def answer_line(request_id: str, answer: Any) -> bytes:
    return _line(
        {
            "type": "control_response",
            "response": {"subtype": "success", "request_id": request_id, "response": answer},
        }
    )


def refusal_line(request_id: str) -> bytes:
    """To a request that we don't know, which would otherwise be waited for."""
    error = "PocketCoder does not know this request."
    return _line(
        {"type": "control_response", "response": {"subtype": "error", "request_id": request_id, "error": error}}
    )


def _block(block: TextBlock | ImageBlock) -> dict[str, Any]:
    if isinstance(block, TextBlock):
        return {"type": "text", "text": block.text}
    source = {"type": "base64", "media_type": block.media_type, "data": block.data}
    return {"type": "image", "source": source}


def _request(request_id: str, request: dict[str, Any]) -> bytes:
    return _line({"type": "control_request", "request_id": request_id, "request": request})


def _line(message: dict[str, Any]) -> bytes:
    return msgspec.json.encode(message) + b"\n"
