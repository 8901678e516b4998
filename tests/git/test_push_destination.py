import pytest

from host.git.destination import Destination, PushConfiguration, push_destination
from host.git.head import Tracking, tracking_of
from host.protocol.errors import Conflict

ORIGIN_MAIN = Tracking("origin", "refs/heads/main", "origin")
NOTHING = Tracking("", "", "origin")


def destination(
    branch: str,
    tracking: Tracking,
    *,
    remote: str = "origin",
    is_explicit: bool = False,
    default: str = "simple",
    sets_upstream: bool = False,
) -> Destination:
    configuration = PushConfiguration(default, sets_upstream)
    return push_destination(branch, remote, tracking, configuration, is_explicit=is_explicit)


def test_a_branch_goes_to_the_one_of_its_name_that_it_follows() -> None:
    assert destination("main", ORIGIN_MAIN) == Destination("refs/heads/main")


@pytest.mark.parametrize("default", ["simple", "matching", "nothing"])
def test_without_an_upstream_or_with_one_of_another_name_git_would_not_push(default: str) -> None:
    for tracking in (NOTHING, ORIGIN_MAIN):
        with pytest.raises(Conflict):
            destination("topic", tracking, default=default)


def test_what_is_explicit_or_triangular_goes_under_its_own_name() -> None:
    assert destination("topic", NOTHING, is_explicit=True).ref == "refs/heads/topic"
    assert destination("topic", ORIGIN_MAIN, is_explicit=True).ref == "refs/heads/topic"
    assert destination("topic", ORIGIN_MAIN, remote="fork").ref == "refs/heads/topic"


def test_the_configuration_is_followed() -> None:
    assert destination("topic", NOTHING, default="current").ref == "refs/heads/topic"
    assert destination("topic", ORIGIN_MAIN, default="upstream").ref == "refs/heads/main"
    assert destination("topic", NOTHING, sets_upstream=True) == Destination("refs/heads/topic", sets_upstream=True)
    # A branch in this repository that is followed (remote ".") is no place to push to.
    assert destination("topic", Tracking(".", "refs/heads/main", "origin")).ref == "refs/heads/topic"


def test_the_configuration_is_read() -> None:
    settings = {"push.default": "upstream", "push.autosetupremote": "True"}
    assert PushConfiguration.of(settings) == PushConfiguration("upstream", sets_upstream=True)
    assert PushConfiguration.of({}) == PushConfiguration()


def test_where_a_branch_is_pushed_is_configured_for_it_or_for_all_or_where_it_comes_from() -> None:
    settings = {"branch.a.b.remote": "up", "branch.a.b.merge": "refs/heads/main"}
    assert tracking_of(settings, "a.b") == Tracking("up", "refs/heads/main", "up")
    assert tracking_of({**settings, "remote.pushdefault": "fork"}, "a.b").push_remote == "fork"
    assert tracking_of({"branch.c.pushremote": "mine", "remote.pushdefault": "fork"}, "c").push_remote == "mine"
    assert tracking_of(settings, "other") == Tracking("", "", "")
