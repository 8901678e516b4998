"""The few pages that the relay itself shows: no scripts, nothing loaded, every word from outside escaped."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from host.protocol.messages.auth import WEB_CLIENT_ID, ClientId
from relay_stub.oauth.identity.port import Elsewhere, Question

_STYLE: Final = (
    ":root{color-scheme:light dark;--line:#c8ccd0;--soft:#f1f3f5;--key:#0b57d0;--on-key:#fff;--bad:#b00020}"
    "@media(prefers-color-scheme:dark){"
    ":root{--line:#4a4f55;--soft:#24272b;--key:#8ab4f8;--on-key:#0b1a33;--bad:#ff8a80}}"
    "*{box-sizing:border-box}"
    "body{font:1.0625rem/1.5 system-ui,sans-serif;max-width:28rem;margin:0 auto;padding:2rem 1.25rem;"
    "overflow-wrap:anywhere}"
    "h1{font-size:1.5rem;line-height:1.25;margin:0 0 1rem}"
    "label{display:block;margin:1.25rem 0 .5rem;font-weight:600}"
    "input,button{font:inherit;width:100%;min-height:3rem;padding:.6rem .9rem;border-radius:.6rem;"
    "border:1px solid var(--line)}"
    "button{margin-top:.9rem;font-weight:600;background:none;color:inherit;cursor:pointer}"
    "button.main{background:var(--key);color:var(--on-key);border-color:transparent}"
    ":focus-visible{outline:3px solid var(--key);outline-offset:2px}"
    "dl{margin:0 0 1rem;padding:.9rem;border-radius:.6rem;background:var(--soft)}"
    "dt{font-size:.875rem}dd{margin:0 0 .5rem;font-weight:600}dd:last-child{margin:0}"
    ".code{font:700 1.75rem/1.3 ui-monospace,monospace;letter-spacing:.08em}"
    ".problem{color:var(--bad);font-weight:600}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
# With no-referrer a browser says "Origin: null" with a form, and over plain http nothing else tells
# our own pages' forms from a stranger's. Other sites see no referrer either way.
_PAGE_HEADERS: Final = {**_HEADERS, "Referrer-Policy": "same-origin"}

_WHAT_ASKS: Final[Mapping[bool, str]] = {
    False: "PocketCoder on a computer",
    True: "The PocketCoder app in a browser",
}
_WHAT_IT_GETS: Final[Mapping[bool, str]] = {
    False: "It will offer the projects of that computer to your phone.",
    True: "It can then read and change all your projects, and run commands on your computers.",
}


@dataclass(frozen=True)
class DeviceFacts:
    """What a person is told of a machine that waits. ``asked`` says how long ago, in words."""

    client_id: ClientId
    user_code: str
    address: str
    asked: str


def redirect(uri: str, *, after_post: bool) -> web.Response:
    """Send the browser on; 303 after a form, so that what was entered is not sent along."""
    return web.Response(status=303 if after_post else 302, headers={**_HEADERS, "Location": uri})


def sign_in_page(
    step: Question | Elsewhere, *, client_id: ClientId, redirect_uri: str, hidden: Mapping[str, str]
) -> web.Response:
    """Say what asks to be signed in and where that leads, and take the step; ``hidden`` comes back with the answer."""
    facts = _facts({"What signs in": _what_asks(client_id), "Then this browser goes to": _origin(redirect_uri)})
    return _page(
        "Sign in to PocketCoder",
        f"<p>Go on only if you began this yourself. {escape(_WHAT_IT_GETS[client_id == WEB_CLIENT_ID])}</p>{facts}"
        f"{_problem(_problem_of(step))}"
        f'<form method="post" action="authorize">{_hidden(hidden)}{_input(step)}'
        f"{_buttons(_go_on(step, 'Sign in'), 'Cancel')}</form>",
        form_action=_form_action(redirect_uri, *_origins(step)),
    )


def user_code_page(*, user_code: str = "", problem: str | None = None, status: int = 200) -> web.Response:
    """Ask for the code that a machine shows."""
    return _page(
        "Sign in a computer",
        f"{_problem(problem)}"
        '<form method="get" action="device"><label for="user_code">The code that the computer shows</label>'
        f'<input id="user_code" name="user_code" value="{escape(user_code)}" class="code" autocomplete="off" '
        'autocapitalize="characters" spellcheck="false" placeholder="XXXX-XXXX" maxlength="32" required autofocus>'
        '<button class="main">Go on</button></form>',
        status=status,
    )


def device_page(step: Question | Elsewhere, device: DeviceFacts) -> web.Response:
    """Show what a person has to compare before they decide, and ask for the decision."""
    facts = _facts(
        {"What asks": _what_asks(device.client_id), "It asked from": device.address, "It asked": device.asked}
    )
    return _page(
        "Sign in a computer",
        f'<p>Does a computer of yours show exactly this code now?</p><p class="code">{escape(device.user_code)}</p>'
        "<p>If somebody sent you this code or this link, refuse: it would let them in as you. "
        f"{escape(_WHAT_IT_GETS[device.client_id == WEB_CLIENT_ID])}</p>{facts}"
        f"{_problem(_problem_of(step))}"
        f'<form method="post" action="device">{_hidden({"user_code": device.user_code})}{_input(step)}'
        f"{_buttons(_go_on(step, 'Sign it in'), 'Refuse')}</form>",
        form_action=" ".join(["'self'", *_origins(step)]),
    )


def message_page(
    title: str, message: str, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    response = _page(title, f'<p role="status">{escape(message)}</p>', status=status)
    response.headers.update(headers or {})
    return response


def _page(title: str, body: str, *, status: int = 200, form_action: str = "'self'") -> web.Response:
    policy = (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action {form_action}; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )
    headers = {**_PAGE_HEADERS, "Content-Security-Policy": policy}
    return web.Response(text=text, content_type="text/html", status=status, headers=headers)


def _form_action(redirect_uri: str, *others: str) -> str:
    # Chromium holds every redirect that answers a form to form-action too. CSP has no way to write an
    # IPv6 address, so that for [::1] the scheme has to do.
    origin = "http:" if urlsplit(redirect_uri).hostname == "::1" else _origin(redirect_uri)
    return " ".join(["'self'", origin, *others])


def _origin(uri: str) -> str:
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}"


def _origins(step: Question | Elsewhere) -> list[str]:
    return [step.origin] if isinstance(step, Elsewhere) else []


def _what_asks(client_id: ClientId) -> str:
    return _WHAT_ASKS[client_id == WEB_CLIENT_ID]


def _facts(facts: Mapping[str, str]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(facts[name])}</dd>" for name in facts) + "</dl>"


def _hidden(fields: Mapping[str, str]) -> str:
    return "".join(f'<input type="hidden" name="{escape(name)}" value="{escape(fields[name])}">' for name in fields)


def _input(step: Question | Elsewhere) -> str:
    if isinstance(step, Elsewhere):
        return ""
    label = f'<label for="answer">{escape(step.label)}</label>'
    if step.kind == "passcode":
        # Password managers file what is entered under this name.
        return (
            f'<input name="login" value="{escape(step.login)}" autocomplete="username" readonly hidden>{label}'
            f'<input id="answer" name="{escape(step.field)}" type="password" autocomplete="current-password" '
            'maxlength="100" required autofocus>'
        )
    return (
        f'{label}<input id="answer" name="{escape(step.field)}" autocomplete="username" autocapitalize="none" '
        'spellcheck="false" maxlength="100" required autofocus>'
    )


def _go_on(step: Question | Elsewhere, words: str) -> str:
    return f"{words} with {step.name}" if isinstance(step, Elsewhere) else words


def _buttons(approve: str, deny: str) -> str:
    return (
        f'<button class="main" name="decision" value="approve">{escape(approve)}</button>'
        f'<button name="decision" value="deny" formnovalidate>{escape(deny)}</button>'
    )


def _problem_of(step: Question | Elsewhere) -> str | None:
    return step.problem if isinstance(step, Question) else None


def _problem(problem: str | None) -> str:
    return f'<p class="problem" role="alert">{escape(problem)}</p>' if problem else ""
