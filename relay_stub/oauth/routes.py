"""What a browser meets: ``/oauth/authorize`` and ``/oauth/device``."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from aiohttp import web

from host.protocol.errors import InvalidRequest, RateLimited
from relay_stub.oauth.authorization_request import (
    AuthorizationRequest,
    PageRefusal,
    RedirectRefusal,
    parse_authorization_request,
)
from relay_stub.oauth.codes import AuthorizationCodes
from relay_stub.oauth.device import DeviceFlow
from relay_stub.oauth.grant import Grant
from relay_stub.oauth.identity.port import Identity, IdentityProvider, Question
from relay_stub.oauth.pages import device_page, message_page, redirect, sign_in_page
from relay_stub.store.accounts import Accounts

MAX_PARAMETERS = 32

Handler = Callable[[web.Request], Awaitable[web.Response]]


def add_oauth_routes(
    app: web.Application,
    *,
    provider: IdentityProvider,
    codes: AuthorizationCodes,
    devices: DeviceFlow,
    accounts: Accounts,
    own_origin: Callable[[web.Request], str],
) -> None:
    """``own_origin`` tells the origin that the browser shows for a request: ``https://relay.example``, no slash."""
    pages = _SignInPages(provider, codes, devices, accounts, own_origin)
    app.router.add_get("/oauth/authorize", pages.guarded(pages.show_authorize))
    app.router.add_post("/oauth/authorize", pages.guarded(pages.answer_authorize))
    app.router.add_get("/oauth/device", pages.guarded(pages.show_device))
    app.router.add_post("/oauth/device", pages.guarded(pages.answer_device))


@dataclass(frozen=True)
class _SignInPages:
    provider: IdentityProvider
    codes: AuthorizationCodes
    devices: DeviceFlow
    accounts: Accounts
    own_origin: Callable[[web.Request], str]

    def guarded(self, handler: Handler) -> Handler:
        """Serve only where the provider allows it, forms only from our own pages; refusals become pages."""

        async def serve(request: web.Request) -> web.Response:
            try:
                self._refuse_foreign(request)
                return await handler(request)
            except PageRefusal as refusal:
                return message_page("That did not work", refusal.message, status=refusal.status)
            except RedirectRefusal as refusal:
                return redirect(refusal.uri, after_post=request.method == "POST")

        return serve

    async def show_authorize(self, request: web.Request) -> web.Response:
        """Sign in at once where the link says as whom and the provider believes it.

        Any website can send a browser here with a ``login_hint``, unseen. It gains nothing: the code
        goes to this machine or this relay only, what listens there refuses a state it did not
        choose, and the code is worthless without the verifier.
        """
        parameters = _parameters(request.rel_url.raw_query_string)
        wanted = self._wanted(request, parameters)
        hint = parameters.get("login_hint")
        step = await (self.provider.begin() if hint is None else self.provider.identify({"login": hint}))
        return self._answer(request, wanted, step)

    async def answer_authorize(self, request: web.Request) -> web.Response:
        form = await _form(request)
        wanted = self._wanted(request, form)
        return self._answer(request, wanted, await self.provider.identify(form))

    async def show_device(self, request: web.Request) -> web.Response:
        """Only fills the code in: it is looked up when a person has decided."""
        parameters = _parameters(request.rel_url.raw_query_string)
        return device_page(await self.provider.begin(), user_code=parameters.get("user_code", ""))

    async def answer_device(self, request: web.Request) -> web.Response:
        form = await _form(request)
        user_code, decision = form.get("user_code", ""), form.get("decision")
        if decision not in ("approve", "deny"):
            raise PageRefusal("The form said neither yes nor no. Open the page anew.")
        try:
            if decision == "approve":
                return await self._approve(user_code, form)
            self.devices.find(user_code).deny()
        except InvalidRequest as exc:
            return device_page(await self.provider.begin(), user_code=user_code, problem=exc.message, status=400)
        except RateLimited as exc:
            raise PageRefusal(exc.message, status=429) from exc
        return message_page("Refused", "The machine was not signed in. You can close this page.")

    def _wanted(self, request: web.Request, parameters: dict[str, str]) -> AuthorizationRequest:
        return parse_authorization_request(parameters, own_origin=self.own_origin(request))

    def _answer(self, request: web.Request, wanted: AuthorizationRequest, step: Identity | Question) -> web.Response:
        if isinstance(step, Question):
            return sign_in_page(step, redirect_uri=wanted.redirect_uri, hidden=wanted.parameters())
        code = self._code_for(wanted, self.accounts.sign_in(step).id)
        return redirect(wanted.answer_uri(code), after_post=request.method == "POST")

    def _code_for(self, wanted: AuthorizationRequest, user_id: str) -> str:
        grant = Grant(user_id, wanted.client_id)
        return self.codes.issue(grant, redirect_uri=wanted.redirect_uri, challenge=wanted.code_challenge)

    async def _approve(self, user_code: str, form: dict[str, str]) -> web.Response:
        step = await self.provider.identify(form)
        if isinstance(step, Question):
            return device_page(step, user_code=user_code)
        device = self.devices.find(user_code)
        device.approve(self.accounts.sign_in(step).id)
        return message_page("Signed in", f"The machine is signed in as {step.login}. You can close this page.")

    def _refuse_foreign(self, request: web.Request) -> None:
        own_origin = self.own_origin(request)
        if not self.provider.serves(own_origin):
            raise PageRefusal("Nobody can sign in here. Open the relay at 127.0.0.1 on its own machine.", status=403)
        if request.method == "POST" and _is_cross_site(request, own_origin):
            raise PageRefusal("Another website sent this form. Begin again from PocketCoder itself.", status=403)


def _is_cross_site(request: web.Request, own_origin: str) -> bool:
    # Browsers say "Origin: null" in a form of a page with no-referrer, so that Sec-Fetch-Site comes first.
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in ("same-origin", "none")
    return request.headers.get("Origin", own_origin) != own_origin


async def _form(request: web.Request) -> dict[str, str]:
    return _parameters((await request.read()).decode("utf-8", "replace"))


def _parameters(encoded: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(encoded, keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
    except ValueError as exc:
        raise PageRefusal("The link has too many parts. Sign in again from PocketCoder itself.") from exc
    parameters = dict(pairs)
    if len(parameters) < len(pairs):
        # RFC 6749, section 3.1: which of the two would hold?
        raise PageRefusal("The link says something twice. Sign in again from PocketCoder itself.")
    return parameters
