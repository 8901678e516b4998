"""The few pages that the relay itself shows: no scripts, nothing loaded, every word from outside escaped."""

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from urllib.parse import urlsplit

from aiohttp import web

from relay_stub.oauth.identity.port import Question

_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:0 auto;padding:2rem 1rem}"
    "label{display:block;margin:1rem 0}"
    "input{display:block;width:100%;box-sizing:border-box;font:inherit;padding:.6rem}"
    "button{font:inherit;padding:.6rem 1.2rem;margin:.5rem .5rem 0 0}"
    ".problem{color:#b00020;color:light-dark(#b00020,#ff8a80)}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def redirect(uri: str, *, after_post: bool) -> web.Response:
    """Send the browser on; 303 after a form, so that what was entered is not sent along."""
    return web.Response(status=303 if after_post else 302, headers={**_HEADERS, "Location": uri})


def sign_in_page(question: Question, *, redirect_uri: str, hidden: Mapping[str, str]) -> web.Response:
    """Ask the provider's question; ``hidden`` comes back with the answer."""
    kept = "".join(f'<input type="hidden" name="{escape(name)}" value="{escape(hidden[name])}">' for name in hidden)
    form = f'<form method="post" action="authorize">{kept}{_input(question)}<button>Sign in</button></form>'
    return _page("Sign in to PocketCoder", _problem(question.problem) + form, form_action=_form_action(redirect_uri))


def device_page(
    question: Question, *, user_code: str = "", problem: str | None = None, status: int = 200
) -> web.Response:
    """Ask for a machine's user code and for the decision, together with the provider's question."""
    return _page(
        "Sign in a machine",
        "<p>Go on only if a machine of yours shows exactly this code now. It will act in your name.</p>"
        f"{_problem(problem or question.problem)}"
        '<form method="post" action="device">'
        f'<label>Code<input name="user_code" value="{escape(user_code)}" autocomplete="off" '
        'autocapitalize="characters" spellcheck="false" placeholder="XXXX-XXXX" required></label>'
        f"{_input(question)}"
        '<button name="decision" value="approve">Sign it in</button>'
        '<button name="decision" value="deny" formnovalidate>Refuse</button></form>',
        status=status,
    )


def message_page(title: str, message: str, *, status: int = 200) -> web.Response:
    return _page(title, f"<p>{escape(message)}</p>", status=status)


def _page(title: str, body: str, *, status: int = 200, form_action: str = "'self'") -> web.Response:
    policy = (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action {form_action}; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{escape(title)}</h1>{body}</body></html>"
    )
    headers = {**_HEADERS, "Content-Security-Policy": policy}
    return web.Response(text=text, content_type="text/html", status=status, headers=headers)


def _form_action(redirect_uri: str) -> str:
    # Chromium holds the redirect that answers a form to form-action too. CSP has no way to write an
    # IPv6 address, so that for [::1] the scheme has to do.
    parts = urlsplit(redirect_uri)
    return "'self' http:" if parts.hostname == "::1" else f"'self' {parts.scheme}://{parts.netloc}"


def _input(question: Question) -> str:
    return (
        f'<label>{escape(question.label)}<input name="{escape(question.field)}" autocomplete="username" '
        'autocapitalize="none" spellcheck="false" required></label>'
    )


def _problem(problem: str | None) -> str:
    return f'<p class="problem" role="alert">{escape(problem)}</p>' if problem else ""
