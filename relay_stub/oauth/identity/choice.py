"""Which identity provider vouches for users, as it was chosen."""

from collections.abc import Callable

from relay_stub.administration import Administration
from relay_stub.config import RelayConfig
from relay_stub.exposure import chosen_identity
from relay_stub.oauth.identity.dev import DevIdentity
from relay_stub.oauth.identity.guesses import Guesses
from relay_stub.oauth.identity.passcode import PasscodeIdentity
from relay_stub.oauth.identity.port import IdentityProvider, ProviderUnusable
from relay_stub.store.accounts import Accounts
from relay_stub.store.database import Database
from relay_stub.store.passcodes import Passcodes


def identity_provider(
    config: RelayConfig, database: Database, *, show_passcode: Callable[[str], None] | None
) -> IdentityProvider:
    """The provider, with what it needs. A first passcode is made and given to ``show_passcode``.

    Raises ProviderUnusable, also when there is no passcode and nobody to show a new one to.
    """
    match chosen_identity(config):
        case "dev":
            return DevIdentity()
        case "passcode":
            _make_passcode(config, database, show_passcode)
            return PasscodeIdentity(Passcodes(database).stored, Guesses(Accounts(database).is_signed_in_from))
        case "github":
            if config.github is None:
                raise ProviderUnusable("Signing in with GitHub needs an OAuth app. Name it with --github-client-id.")
            # Its HTTP client takes 6 MB and a tenth of a second, which other relays don't pay.
            from relay_stub.oauth.identity.github import GitHubIdentity  # noqa: PLC0415

            return GitHubIdentity(config.github)


def _make_passcode(config: RelayConfig, database: Database, show: Callable[[str], None] | None) -> None:
    administration = Administration(database, by="first start")
    if administration.has_passcode():
        return
    if show is None:
        # A service's output is kept in a log, where a passcode must not stand.
        raise ProviderUnusable(
            "There is no passcode yet, and no terminal to show a new one. "
            f"Make one with: pocketcoder-relay passcode --reset --data-dir {config.data_dir}"
        )
    show(administration.make_passcode())
