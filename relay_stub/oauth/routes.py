"""What a browser meets: ``/oauth/authorize``, ``/oauth/device`` and ``/oauth/callback``."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from host.protocol.errors import RateLimited
from relay_stub.oauth.authorization_request import PageRefusal, RedirectRefusal, parse_authorization_request
from relay_stub.oauth.forms import form_of, query_of
from relay_stub.oauth.handovers import DeviceApproval
from relay_stub.oauth.identity.port import Identity, Visit
from relay_stub.oauth.pages import message_page, redirect, user_code_page
from relay_stub.oauth.sign_in import SignIn, UnknownUserCode
from relay_stub.oauth.visits import Visits, browser_secret, is_cross_site

Handler = Callable[[web.Request, Visit], Awaitable[web.Response]]


def add_oauth_routes(app: web.Application, sign_in: SignIn, visits: Visits) -> None:
    pages = _Pages(sign_in, visits)
    app.router.add_get("/oauth/authorize", pages.guarded(pages.show_authorize))
    app.router.add_post("/oauth/authorize", pages.guarded(pages.answer_authorize))
    app.router.add_get("/oauth/device", pages.guarded(pages.show_device))
    app.router.add_post("/oauth/device", pages.guarded(pages.answer_device))
    app.router.add_get("/oauth/callback", pages.guarded(pages.come_back))


def too_many(refusal: RateLimited) -> web.Response:
    """The page for who asks too often."""
    retry_after_s = -(-int(refusal.details["retryAfterMs"]) // 1000)
    return message_page(
        "Too many tries", refusal.message, status=429, headers={"Retry-After": str(max(retry_after_s, 1))}
    )


@dataclass(frozen=True)
class _Pages:
    sign_in: SignIn
    visits: Visits

    def guarded(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
        """Serve only where the provider allows it, forms only from our own pages; refusals become pages."""

        async def serve(request: web.Request) -> web.Response:
            visit = self.visits.of(request)
            try:
                self._refuse_foreign(request, visit)
                return await handler(request, visit)
            except PageRefusal as refusal:
                return message_page("That did not work", refusal.message, status=refusal.status)
            except UnknownUserCode as refusal:
                return user_code_page(user_code=refusal.user_code, problem=refusal.message, status=400)
            except RateLimited as refusal:
                return too_many(refusal)
            except RedirectRefusal as refusal:
                return redirect(refusal.uri, after_post=request.method == "POST")

        return serve

    async def show_authorize(self, request: web.Request, visit: Visit) -> web.Response:
        """Sign in at once where the link says as whom and the provider believes it.

        Any website can send a browser here with a ``login_hint``, unseen. It gains nothing: the code
        goes to this machine or this relay only, what listens there refuses a state it did not
        choose, and the code is worthless without the verifier.
        """
        parameters = query_of(request)
        wanted = parse_authorization_request(parameters, own_origin=visit.origin)
        hint, provider = parameters.get("login_hint"), self.sign_in.provider
        step = (provider.believe(hint) if hint is not None else None) or provider.begin()
        if isinstance(step, Identity):
            return self.sign_in.finish(wanted, step, visit, after_post=False)
        return self.sign_in.page(wanted, step, visit)

    async def answer_authorize(self, request: web.Request, visit: Visit) -> web.Response:
        form = await form_of(request)
        wanted = parse_authorization_request(form, own_origin=visit.origin)
        if form.get("decision") == "deny":
            raise RedirectRefusal(wanted.refusal_uri("Signing in was cancelled in the browser."))
        return await self.sign_in.proceed(wanted, form, visit, browser=browser_secret(request, visit))

    async def show_device(self, request: web.Request, visit: Visit) -> web.Response:
        """Ask for the code, then show what waits with it; decides nothing."""
        user_code = query_of(request).get("user_code")
        if not user_code:
            return user_code_page()
        return self.sign_in.page(DeviceApproval(user_code), self.sign_in.provider.begin(), visit)

    async def answer_device(self, request: web.Request, visit: Visit) -> web.Response:
        form = await form_of(request)
        purpose, decision = DeviceApproval(form.get("user_code", "")), form.get("decision")
        if decision == "deny":
            return self.sign_in.deny_device(purpose, visit)
        if decision != "approve":
            raise PageRefusal("The form said neither yes nor no. Open the page anew.")
        return await self.sign_in.proceed(purpose, form, visit, browser=browser_secret(request, visit))

    async def come_back(self, request: web.Request, visit: Visit) -> web.Response:
        """From the identity provider's own site."""
        return await self.sign_in.complete(query_of(request), visit, browser=browser_secret(request, visit))

    def _refuse_foreign(self, request: web.Request, visit: Visit) -> None:
        if not self.sign_in.provider.serves(visit):
            raise PageRefusal("Nobody can sign in here. Open the relay at 127.0.0.1 on its own machine.", status=403)
        if request.method == "POST" and is_cross_site(request, visit):
            raise PageRefusal("Another website sent this form. Begin again from PocketCoder itself.", status=403)
