"""A local Messages API without a model: each prompt has its replies written down, and they are given in order.

    api.script("Fix it", [calls(bash("make"))], [says("Done.")])

The real CLI asks it as it would ask the real one, and gets the same stream of events.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, Self

from aiohttp import web

MAX_REQUEST_BYTES: Final = 100 * 2**20
_PIECE_CHARS: Final = 4000
_ERROR_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}

Json = dict[str, Any]


@dataclass(frozen=True)
class Block:
    """A piece of a reply: how it is whole, and the fields by which it comes."""

    whole: Json
    start: Json
    deltas: Sequence[Json]


def text(words: str) -> Block:
    deltas = [{"type": "text_delta", "text": piece} for piece in _pieces(words)]
    return Block({"type": "text", "text": words}, {"type": "text", "text": ""}, deltas)


def thinking(words: str) -> Block:
    signature = "bWFkZSB1cA=="
    deltas: list[Json] = [{"type": "thinking_delta", "thinking": piece} for piece in _pieces(words)]
    return Block(
        {"type": "thinking", "thinking": words, "signature": signature},
        {"type": "thinking", "thinking": "", "signature": ""},
        [*deltas, {"type": "signature_delta", "signature": signature}],
    )


_tool_numbers = count(1)


def tool(name: str, **inputs: Any) -> Block:
    """A call of any tool. Its id is new each time."""
    whole = {"type": "tool_use", "id": f"toolu_{next(_tool_numbers):06d}", "name": name, "input": inputs}
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in _pieces(json.dumps(inputs))]
    return Block(whole, {**whole, "input": {}}, deltas)


def bash(command: str, *, in_background: bool = False) -> Block:
    background = {"run_in_background": True} if in_background else {}
    return tool("Bash", command=command, description="Run a command", **background)


def write(path: object, content: str) -> Block:
    return tool("Write", file_path=str(path), content=content)


def question(asked: str, *options: str, several: bool = False) -> Json:
    """One of the questions of ``ask``."""
    choices = [{"label": option, "description": f"Choose {option}"} for option in options]
    return {"question": asked, "header": asked[:12], "options": choices, "multiSelect": several}


def ask(*questions: Json) -> Block:
    return tool("AskUserQuestion", questions=list(questions))


def plan(words: str) -> Block:
    return tool("ExitPlanMode", plan=words)


def subagent(prompt: str) -> Block:
    """A sub-agent, whose prompt has a script of its own."""
    of_kind = {"subagent_type": "general-purpose", "run_in_background": False}
    return tool("Agent", description="A part of it", prompt=prompt, **of_kind)


@dataclass(frozen=True)
class Reply:
    """``pause_s`` lies between pieces. ``hangs``: silence instead of the end.

    ``cut``: the connection is aborted in the middle. With a ``status`` the request is refused, and all else is void.
    """

    blocks: Sequence[Block] = ()
    pause_s: float = 0.0
    hangs: bool = False
    cut: bool = False
    status: int = 200
    retry_after_s: int | None = None


def says(*blocks: Block | str, pause_s: float = 0.0, hangs: bool = False, cut: bool = False) -> Reply:
    """A reply of texts, thoughts and calls of tools; those of one reply run in parallel."""
    whole = [text(block) if isinstance(block, str) else block for block in blocks]
    return Reply(whole, pause_s=pause_s, hangs=hangs, cut=cut)


def refuses(status: int, *, retry_after_s: int | None = None) -> Reply:
    return Reply(status=status, retry_after_s=retry_after_s)


@dataclass
class MessagesApi:
    """One server. ``unexpected`` are the prompts that came without a script, or after its end."""

    url: str = ""
    unexpected: list[str] = field(default_factory=list)
    requests: list[Json] = field(default_factory=list)
    _scripts: dict[str, list[Reply]] = field(default_factory=dict)
    _numbers: "count[int]" = field(default_factory=lambda: count(1))

    @classmethod
    @asynccontextmanager
    async def serve(cls, port: int = 0) -> AsyncIterator[Self]:
        """On a port of this machine, a free one unless told.

        Raises AssertionError at the end if a prompt came that had no reply left.
        """
        api = cls()
        application = web.Application(client_max_size=MAX_REQUEST_BYTES)
        application.router.add_post("/v1/messages", api._messages)
        application.router.add_post("/v1/messages/count_tokens", _count_tokens)
        runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0, access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", port)
            await site.start()
            api.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield api
        finally:
            await runner.cleanup()
        assert not api.unexpected, f"No reply was written down for {api.unexpected}."

    def script(self, prompt: str, *replies: Reply) -> None:
        """What is answered, in this order, while ``prompt`` is the newest that a person said. Adds to what is there."""
        self._scripts.setdefault(prompt, []).extend(replies)

    def asked(self, prompt: str) -> list[Json]:
        """The bodies of the requests in which this was the newest prompt."""
        return [body for body in self.requests if _newest_prompt(body) == prompt]

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        body: Json = await request.json()
        reply = self._reply_to(body)
        if reply.status != 200:
            return _refusal(reply)
        message = self._message(body, reply)
        if body.get("stream"):
            return await _stream(request, message, reply)
        if reply.cut:
            _abort(request)
        return web.json_response(message)

    def _reply_to(self, body: Json) -> Reply:
        if not body.get("tools"):
            return _reply_aside(body)
        self.requests.append(body)
        prompt = _newest_prompt(body)
        replies = self._scripts.get(prompt)
        if not replies:
            self.unexpected.append(prompt)
            return refuses(400)
        return replies.pop(0)

    def _message(self, body: Json, reply: Reply) -> Json:
        calls = any(block.whole["type"] == "tool_use" for block in reply.blocks)
        return {
            "id": f"msg_{next(self._numbers):06d}",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": [block.whole for block in reply.blocks],
            "stop_reason": "tool_use" if calls else "end_turn",
            "stop_sequence": None,
            "usage": {
                "input_tokens": 10,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "output_tokens": 5,
            },
        }


def _reply_aside(body: Json) -> Reply:
    """To what the CLI asks for itself, such as a title: words for each member that it wants."""
    schema = ((body.get("output_config") or {}).get("format") or {}).get("schema") or {}
    return says(json.dumps({name: f"Some {name}" for name in schema.get("required", ())}))


def _newest_prompt(body: Json) -> str:
    """What a person said last. Texts in angle brackets are the CLI's own."""
    for message in reversed(body["messages"]):
        if message["role"] == "user":
            content = message["content"]
            blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
            said = [block["text"] for block in blocks if block["type"] == "text" and not block["text"].startswith("<")]
            if said:
                return str(said[-1])
    return ""


async def _count_tokens(_: web.Request) -> web.Response:
    return web.json_response({"input_tokens": 10})


def _refusal(reply: Reply) -> web.Response:
    error = {"type": _ERROR_TYPES.get(reply.status, "api_error"), "message": "Refused, as the script says."}
    headers = {} if reply.retry_after_s is None else {"retry-after": str(reply.retry_after_s)}
    return web.json_response({"type": "error", "error": error}, status=reply.status, headers=headers)


async def _stream(request: web.Request, message: Json, reply: Reply) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    # The CLI may be gone: it was cancelled.
    with suppress(ConnectionError):
        async for event in _events(message, reply):
            await response.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        if reply.cut:
            _abort(request)
        else:
            await response.write_eof()
    return response


async def _events(message: Json, reply: Reply) -> AsyncIterator[Json]:
    begun = {**message, "content": [], "stop_reason": None}
    yield {"type": "message_start", "message": begun}
    for index, block in enumerate(reply.blocks):
        yield {"type": "content_block_start", "index": index, "content_block": block.start}
        for delta in block.deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
            await asyncio.sleep(reply.pause_s)
        if reply.cut:
            return
        yield {"type": "content_block_stop", "index": index}
    if reply.hangs:
        await asyncio.Event().wait()
    end = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": end, "usage": message["usage"]}
    yield {"type": "message_stop"}


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _pieces(words: str) -> list[str]:
    """Word by word, or in larger pieces where there is much."""
    if len(words) > _PIECE_CHARS:
        return [words[start : start + _PIECE_CHARS] for start in range(0, len(words), _PIECE_CHARS)]
    first, *rest = words.split(" ")
    return [first, *(f" {word}" for word in rest)]
