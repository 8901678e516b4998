"""What a browser asks of ``/oauth/authorize``, judged (RFC 6749, section 4.1; RFC 7636; RFC 8252)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit, urlunsplit

from host.protocol.messages.auth import HOST_CLIENT_ID, WEB_CLIENT_ID, ClientId

MAX_REDIRECT_URI_CHARS = 2048

_CLIENT_IDS: dict[str, ClientId] = {HOST_CLIENT_ID: HOST_CLIENT_ID, WEB_CLIENT_ID: WEB_CLIENT_ID}
_LOOPBACK = r"http://(127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?"
# Printable ASCII without the fragment's "#" and the "\" that browsers read as "/".
_PATH_AND_QUERY = r"([/?][!-\"$-\[\]-~]*)?"
_STATE = re.compile(r"[ -~]{1,512}")
_CHALLENGE = re.compile(r"[A-Za-z0-9._~-]{43,128}")


class PageRefusal(Exception):
    """Told on a page of the relay's own, with this HTTP status; the message is a full sentence."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class RedirectRefusal(Exception):
    """Told to the client, by sending the browser back to ``uri``, whose redirect URI was found good."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.uri = uri


@dataclass(frozen=True)
class AuthorizationRequest:
    client_id: ClientId
    redirect_uri: str
    state: str
    code_challenge: str

    def answer_uri(self, code: str) -> str:
        return _with_query(self.redirect_uri, {"code": code, "state": self.state})

    def refusal_uri(self, message: str) -> str:
        """The way back for who may not, or does not want to, come in."""
        fault = {"error": "access_denied", "error_description": message, "state": self.state}
        return _with_query(self.redirect_uri, fault)

    def parameters(self) -> dict[str, str]:
        """What ``parse_authorization_request`` reads as this same request."""
        return {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "state": self.state,
            "code_challenge": self.code_challenge,
            "code_challenge_method": "S256",
        }


def parse_authorization_request(parameters: Mapping[str, str], *, own_origin: str) -> AuthorizationRequest:
    """Raises PageRefusal where the browser must not be sent on (RFC 6749, section 4.1.2.1), else RedirectRefusal."""
    client_id = _CLIENT_IDS.get(parameters.get("client_id", ""))
    if client_id is None:
        raise PageRefusal("The link names no client that this relay knows. Sign in again from PocketCoder itself.")
    redirect_uri = parameters.get("redirect_uri", "")
    if not is_accepted_redirect_uri(redirect_uri, own_origin=own_origin):
        raise PageRefusal(
            "The link would send you on to an address that this relay does not accept: only http://127.0.0.1, "
            "http://[::1] and the relay itself are. Sign in again from PocketCoder itself."
        )
    state = parameters.get("state", "")
    fault = _fault(parameters, state)
    if fault is not None:
        answer = dict(zip(("error", "error_description"), fault, strict=True))
        if _STATE.fullmatch(state):
            answer["state"] = state
        raise RedirectRefusal(_with_query(redirect_uri, answer))
    return AuthorizationRequest(client_id, redirect_uri, state, parameters["code_challenge"])


def is_accepted_redirect_uri(uri: str, *, own_origin: str) -> bool:
    """Loopback by address (a name may be resolved elsewhere), any port and path, or the relay's own origin."""
    pattern = f"({_LOOPBACK}|{re.escape(own_origin)}){_PATH_AND_QUERY}"
    return len(uri) <= MAX_REDIRECT_URI_CHARS and re.fullmatch(pattern, uri) is not None


def _fault(parameters: Mapping[str, str], state: str) -> tuple[str, str] | None:
    if parameters.get("response_type") != "code":
        return "unsupported_response_type", "response_type must be code."
    if not _STATE.fullmatch(state):
        return "invalid_request", "state is required, 1 to 512 printable ASCII characters."
    if parameters.get("code_challenge_method") != "S256":
        return "invalid_request", "code_challenge_method must be S256."
    if not _CHALLENGE.fullmatch(parameters.get("code_challenge", "")):
        return "invalid_request", "code_challenge is required, 43 to 128 unreserved characters."
    return None


def _with_query(uri: str, parameters: Mapping[str, str]) -> str:
    parts = urlsplit(uri)
    query = "&".join(filter(None, (parts.query, urlencode(parameters))))
    return urlunsplit(parts._replace(query=query))
