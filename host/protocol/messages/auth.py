"""Signing in (docs/protocol.md, "Authentication")."""

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import UNSET, UnsetType
from pydantic import Field

from host.protocol.messages.base import Request, Response

ClientId = Literal["pocketcoder-host", "pocketcoder-web"]
HOST_CLIENT_ID: ClientId = "pocketcoder-host"
WEB_CLIENT_ID: ClientId = "pocketcoder-web"

Secret = Annotated[str, Field(min_length=1, max_length=4096)]


class AuthExchange(Request):
    """An authorization code for tokens, with the PKCE verifier (RFC 7636)."""

    wire_type: ClassVar[str] = "auth_exchange"
    code: Secret
    code_verifier: Secret
    redirect_uri: Secret


class TokenRefresh(Request):
    wire_type: ClassVar[str] = "token_refresh"
    refresh_token: Secret


class TokenRevoke(Request):
    """Ends the session of a refresh token (RFC 7009). Succeeds also for a token that is none."""

    wire_type: ClassVar[str] = "token_revoke"
    refresh_token: Secret


class DeviceAuthorize(Request):
    wire_type: ClassVar[str] = "device_authorize"
    client_id: ClientId


class DeviceToken(Request):
    wire_type: ClassVar[str] = "device_token"
    device_code: Secret


class UserProfile(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    login: str
    name: str | UnsetType = UNSET
    avatar_url: str | UnsetType = UNSET


class Tokens(Response):
    """Answers auth_exchange, token_refresh and device_token.

    ``expires_at`` is RFC 3339 and may be off by the clocks' difference; ``expires_in_s`` counts.
    """

    access_token: str
    refresh_token: str
    expires_at: str
    expires_in_s: int
    user: UserProfile


class DeviceAuthorizeResponse(Response):
    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in_s: int
    interval_s: int
