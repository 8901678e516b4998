"""From what a browser answers to what it was for: a code for a client, or a machine that is let in."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web

from host.core.clock import Clock
from host.protocol.errors import InvalidRequest
from relay_stub.oauth.authorization_request import AuthorizationRequest, PageRefusal, RedirectRefusal
from relay_stub.oauth.codes import AuthorizationCodes
from relay_stub.oauth.device import DeviceFlow, WaitingDevice
from relay_stub.oauth.grant import Grant
from relay_stub.oauth.handovers import DeviceApproval, Handovers, Purpose
from relay_stub.oauth.identity.port import (
    Elsewhere,
    Handover,
    Identity,
    IdentityProvider,
    Question,
    SignInRefused,
    Visit,
)
from relay_stub.oauth.pages import DeviceFacts, device_page, message_page, redirect, sign_in_page
from relay_stub.oauth.visits import remember_browser
from relay_stub.rate_limits import RateLimits
from relay_stub.store.accounts import Accounts
from relay_stub.store.audit import AuditEvent, AuditLog


class UnknownUserCode(Exception):
    """No machine waits with this code. The message is a full sentence for who entered it."""

    def __init__(self, user_code: str, message: str) -> None:
        super().__init__(message)
        self.user_code = user_code
        self.message = message


@dataclass(frozen=True)
class SignIn:
    """Each method may raise UnknownUserCode, RateLimited, PageRefusal or RedirectRefusal."""

    provider: IdentityProvider
    codes: AuthorizationCodes
    devices: DeviceFlow
    accounts: Accounts
    audit: AuditLog
    limits: RateLimits
    handovers: Handovers = field(default_factory=Handovers)
    clock: Clock = time.time

    def page(self, purpose: Purpose, step: Question | Elsewhere, visit: Visit) -> web.Response:
        """Show what asks to be signed in, and the provider's step."""
        if isinstance(purpose, AuthorizationRequest):
            return sign_in_page(
                step,
                client_id=purpose.client_id,
                redirect_uri=purpose.redirect_uri,
                hidden=purpose.parameters(),
            )
        return device_page(step, self._facts(self._waiting(purpose, visit)))

    async def proceed(
        self, purpose: Purpose, answers: Mapping[str, str], visit: Visit, *, browser: str
    ) -> web.Response:
        """Take the person's answer to the provider; ``browser`` is the secret that tells this browser from others."""
        if isinstance(purpose, DeviceApproval):
            self._waiting(purpose, visit)
        try:
            step = await self.provider.identify(answers, visit)
        except SignInRefused as refusal:
            raise self._refused(purpose, refusal, visit) from refusal
        if isinstance(step, Handover):
            self.handovers.add(step, purpose, browser=browser)
            response = redirect(step.uri, after_post=True)
            remember_browser(response, browser, visit)
            return response
        if isinstance(step, Question):
            if step.kind == "passcode":
                self.audit.record(AuditEvent.SIGN_IN_REFUSED, address=visit.address, detail="wrong passcode")
            return self.page(purpose, step, visit)
        return self.finish(purpose, step, visit, after_post=True)

    async def complete(self, brought: Mapping[str, str], visit: Visit, *, browser: str) -> web.Response:
        """Go on with a browser that comes back from another site."""
        taken = self.handovers.take(brought.get("state", ""), browser=browser)
        if taken is None:
            raise PageRefusal("This browser began no sign-in that ends here, or took too long. Begin again.")
        handover, purpose = taken
        try:
            identity = await handover.complete(brought)
        except SignInRefused as refusal:
            raise self._refused(purpose, refusal, visit) from refusal
        return self.finish(purpose, identity, visit, after_post=False)

    def finish(self, purpose: Purpose, identity: Identity, visit: Visit, *, after_post: bool) -> web.Response:
        """This person may come in: do what they came for."""
        if isinstance(purpose, AuthorizationRequest):
            grant = Grant(self.accounts.sign_in(identity).id, purpose.client_id)
            code = self.codes.issue(grant, redirect_uri=purpose.redirect_uri, challenge=purpose.code_challenge)
            return redirect(purpose.answer_uri(code), after_post=after_post)
        device = self._waiting(purpose, visit)
        device.approve(self.accounts.sign_in(identity).id)
        asked_from = f"asked from {device.address}"
        self.audit.record(AuditEvent.DEVICE_APPROVED, who=identity.login, address=visit.address, detail=asked_from)
        return message_page("Signed in", f"The computer is signed in as {identity.login}. You can close this page.")

    def deny_device(self, purpose: DeviceApproval, visit: Visit) -> web.Response:
        device = self._waiting(purpose, visit)
        device.deny()
        asked_from = f"asked from {device.address}"
        self.audit.record(AuditEvent.DEVICE_DENIED, address=visit.address, detail=asked_from)
        return message_page("Refused", "The computer was not signed in. You can close this page.")

    def _waiting(self, purpose: DeviceApproval, visit: Visit) -> WaitingDevice:
        self.limits.check("user_code", visit.address)
        try:
            return self.devices.find(purpose.user_code)
        except InvalidRequest as exc:
            raise UnknownUserCode(purpose.user_code, exc.message) from exc

    def _facts(self, device: WaitingDevice) -> DeviceFacts:
        minutes = int((self.clock() - device.asked_at_s) // 60)
        asked = "less than a minute ago" if minutes < 1 else f"{minutes} min ago"
        return DeviceFacts(device.client_id, device.shown_code, device.address, asked)

    def _refused(self, purpose: Purpose, refusal: SignInRefused, visit: Visit) -> Exception:
        detail = f"{self.provider.name}: {refusal.message}"
        self.audit.record(AuditEvent.SIGN_IN_REFUSED, who=refusal.who, address=visit.address, detail=detail)
        if isinstance(purpose, AuthorizationRequest):
            return RedirectRefusal(purpose.refusal_uri(refusal.message))
        return PageRefusal(refusal.message, status=403)
