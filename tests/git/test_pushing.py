"""git_push and git_fetch, to real remotes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.git_changing import Asker, asking, refused
from tests.support.git_remotes import PASSWORD, USER, Checkout, bare_remote, clone, git_daemon, http_remotes, user_home

pytestmark = pytest.mark.slow


@pytest.fixture
def remote(tmp_path: Path) -> Checkout:
    return bare_remote(tmp_path / "remotes" / "remote.git", user_home(tmp_path))


@pytest.fixture
def repository(remote: Checkout, tmp_path: Path) -> Checkout:
    """A clone with one commit, on main, which is pushed and followed."""
    repository = clone(remote, tmp_path / "repository")
    repository.commit("a", "one\n", message="First")
    repository.git("push", "-q", "-u", "origin", "main")
    return repository


@pytest.fixture
async def phone(repository: Checkout) -> AsyncIterator[Asker]:
    async with asking(repository) as asker:
        yield asker


def somebody_pushes(remote: Checkout, tmp_path: Path, name: str = "theirs") -> str:
    """Another clone pushes a commit to main; its id."""
    other = clone(remote, tmp_path / "other")
    oid = other.commit(name, "theirs\n", message="Theirs")
    other.git("push", "-q")
    return oid


async def test_the_current_branch_is_pushed_to_where_it_follows(
    repository: Checkout, remote: Checkout, phone: Asker
) -> None:
    oid = repository.commit("a", "two\n")
    pushed = await phone.push()
    assert (pushed.remote, pushed.branch) == ("origin", "main")
    assert remote.git("rev-parse", "main") == oid
    assert (await phone.status()).ahead == 0
    # There is nothing left to push, which is no error.
    await phone.push()


async def test_what_git_says_meanwhile_comes_in_lines(repository: Checkout, remote: Checkout, phone: Asker) -> None:
    remote.hook("pre-receive", "echo 'Create a pull request:'; echo '  https://ada:tok3n@example.com/new'")
    repository.commit("a", "two\n")
    await phone.push()
    said = "\n".join(phone.progress)
    assert "Writing objects: 100%" in said
    assert "remote: Create a pull request:\nremote:   https://[redacted]@example.com/new" in said
    assert "\r" not in said
    assert all(len(text) < 20_000 for text in phone.progress)


async def test_without_an_upstream_it_says_what_to_send(repository: Checkout, remote: Checkout, phone: Asker) -> None:
    repository.git("switch", "-q", "-c", "topic")
    with refused("CONFLICT", "noUpstream") as raised:
        await phone.push()
    assert "setUpstream" in raised.value.message
    assert remote.git("for-each-ref", "--format=%(refname:short)") == "main"
    await phone.push(set_upstream=True)
    assert repository.git("rev-parse", "--abbrev-ref", "topic@{upstream}") == "origin/topic"
    repository.commit("a", "topic\n")
    await phone.push()


async def test_a_named_remote_gets_the_branch_under_its_own_name(
    repository: Checkout, remote: Checkout, phone: Asker
) -> None:
    repository.git("branch", "topic")
    await phone.push(remote="origin", branch="topic")
    assert remote.git("rev-parse", "topic") == repository.git("rev-parse", "topic")
    assert repository.attempt("rev-parse", "topic@{upstream}").returncode != 0


async def test_a_branch_that_follows_one_of_another_name_is_not_pushed_to_that(
    repository: Checkout, remote: Checkout, phone: Asker
) -> None:
    repository.git("switch", "-q", "-c", "topic", "origin/main")
    repository.commit("a", "topic\n")
    before = remote.git("rev-parse", "main")
    with refused("CONFLICT", "upstreamDiffers"):
        await phone.push()
    assert remote.git("rev-parse", "main") == before
    # Unless the user's git is configured to do just that.
    repository.git("config", "push.default", "upstream")
    await phone.push()
    assert remote.git("rev-parse", "main") == repository.git("rev-parse", "topic")


async def test_the_users_configuration_decides_where_to_push(
    repository: Checkout, remote: Checkout, phone: Asker, tmp_path: Path
) -> None:
    repository.git("switch", "-q", "-c", "topic")
    repository.git("config", "push.autoSetupRemote", "true")
    await phone.push()
    assert repository.git("rev-parse", "--abbrev-ref", "topic@{upstream}") == "origin/topic"
    fork = bare_remote(tmp_path / "fork.git", repository.home)
    repository.git("remote", "add", "fork", str(fork.path))
    repository.git("config", "remote.pushDefault", "fork")
    assert (await phone.push()).remote == "fork"
    assert fork.git("for-each-ref", "--format=%(refname:short)") == "topic"


async def test_what_the_remote_has_and_we_have_not_is_a_conflict(
    repository: Checkout, remote: Checkout, phone: Asker, tmp_path: Path
) -> None:
    theirs = somebody_pushes(remote, tmp_path)
    repository.commit("b", "ours\n")
    with refused("CONFLICT", "nonFastForward"):
        await phone.push()
    # Not seen yet, so not overwritten by force either.
    with refused("CONFLICT", "staleLease"):
        await phone.push(force_with_lease=True)
    assert remote.git("rev-parse", "main") == theirs
    fetched = await phone.fetch()
    assert (fetched.branch, fetched.ahead, fetched.behind) == ("main", 1, 1)
    with refused("CONFLICT", "nonFastForward"):
        await phone.push()
    await phone.push(force_with_lease=True)
    assert remote.git("rev-parse", "main") == repository.git("rev-parse", "main")


async def test_a_hook_at_the_remote_that_refuses_is_heard(repository: Checkout, remote: Checkout, phone: Asker) -> None:
    remote.hook("pre-receive", "echo 'main is protected' >&2; exit 1")
    repository.commit("a", "two\n")
    with refused("GIT_FAILED") as raised:
        await phone.push()
    assert "main is protected" in raised.value.details["stderr"]
    assert raised.value.details["exitCode"] == 1


async def test_a_hook_of_the_users_that_refuses_is_heard(repository: Checkout, phone: Asker) -> None:
    repository.hook("pre-push", "echo 'tests fail' >&2; exit 1")
    repository.commit("a", "two\n")
    with refused("GIT_FAILED") as raised:
        await phone.push()
    assert "tests fail" in raised.value.details["stderr"]


async def test_a_detached_head_is_not_pushed_but_a_branch_can_be_named(repository: Checkout, phone: Asker) -> None:
    repository.git("switch", "-q", "--detach")
    with refused("CONFLICT", "detached"):
        await phone.push()
    with refused("CONFLICT", "detached"):
        await phone.pull()
    assert (await phone.push(branch="main")).branch == "main"
    fetched = await phone.fetch()
    assert (fetched.branch, fetched.oid, fetched.ahead) == (None, repository.git("rev-parse", "HEAD"), None)


async def test_only_configured_remotes_are_talked_to(repository: Checkout, phone: Asker) -> None:
    options = ("--upload-pack=touch x", "--exec=touch x")
    for remote_name in ("nowhere", *options, "ext::sh -c touch% x", "/etc", "https://example.com", "."):
        for ask in (phone.fetch, phone.pull, lambda remote: phone.push(remote=remote)):
            with refused("INVALID_REQUEST"):
                await ask(remote_name)
    assert not (repository.path / "x").exists()


async def test_a_configured_remote_that_looks_like_an_option_is_not_used(
    repository: Checkout, phone: Asker, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    name = f"--upload-pack=touch {marker};"
    repository.git("config", f"remote.{name}.url", str(tmp_path))
    for ask_for in (phone.fetch, phone.pull, lambda remote: phone.push(remote=remote)):
        with refused("INVALID_REQUEST"):
            await ask_for(name)
    for setting in ("branch.main.remote", "branch.main.pushRemote"):
        repository.git("config", setting, name)
    for ask in (phone.fetch, phone.pull, phone.push):
        with refused("INVALID_REQUEST"):
            await ask()
    assert not marker.exists()


async def test_an_address_in_a_remotes_place_is_not_used(repository: Checkout, remote: Checkout, phone: Asker) -> None:
    repository.git("config", "branch.main.remote", "https://ada:tok3n@example.com/x.git")
    for ask in (phone.fetch, phone.pull, phone.push):
        with refused("INVALID_REQUEST") as raised:
            await ask()
        assert "example.com" in raised.value.message
        assert "tok3n" not in raised.value.message


@pytest.mark.parametrize(
    "settings",
    [
        {"remote.evil.url": "ext::touch {}"},
        {"remote.evil.url": "touch {}", "remote.evil.vcs": "ext"},
        {"remote.evil.url": "https://example.com/", "url.ext::touch {} .insteadOf": "https://example.com/"},
    ],
)
async def test_an_address_that_is_a_command_is_not_run(
    repository: Checkout, phone: Asker, tmp_path: Path, settings: dict[str, str]
) -> None:
    marker = tmp_path / "marker"
    repository.git("config", "protocol.ext.allow", "always")
    for name, value in settings.items():
        repository.git("config", name.format(marker), value.format(marker))
    for ask in (phone.fetch, phone.pull, lambda remote: phone.push(remote=remote)):
        with refused("GIT_FAILED", "transport"):
            await ask("evil")
    assert not marker.exists()
    repository.attempt("fetch", "evil")
    assert marker.exists(), "The user's own git would have run it."


async def test_a_branch_that_there_is_not_is_refused(repository: Checkout, remote: Checkout, phone: Asker) -> None:
    repository.git("branch", "dir/topic")
    before = remote.git("for-each-ref")
    for branch in ("--force", "-f", "nowhere", "main:other", "+main", "HEAD", "*", ":main", "ma*n", "dir"):
        for options in ({}, {"remote": "origin"}, {"set_upstream": True}):
            with refused("INVALID_REQUEST"):
                await phone.push(branch=branch, **options)
    assert remote.git("for-each-ref") == before


async def test_without_a_remote_or_with_several_it_says_what_to_do(repository: Checkout, phone: Asker) -> None:
    repository.git("remote", "rename", "origin", "upstream")
    repository.git("config", "--remove-section", "branch.main")
    await phone.fetch()
    repository.git("remote", "add", "second", "/nowhere")
    with refused("INVALID_REQUEST") as raised:
        await phone.fetch()
    assert "upstream, second" in raised.value.message or "second, upstream" in raised.value.message
    for name in ("upstream", "second"):
        repository.git("remote", "remove", name)
    with refused("INVALID_REQUEST") as raised:
        await phone.push(set_upstream=True)
    assert "git remote add" in raised.value.message


async def test_before_the_first_commit_there_is_nothing_to_push(remote: Checkout, tmp_path: Path) -> None:
    empty = clone(remote, tmp_path / "empty")
    async with asking(empty) as phone:
        with refused("CONFLICT", "unborn"):
            await phone.push()
        fetched = await phone.fetch()
        assert (fetched.branch, fetched.oid, fetched.ahead) == ("main", None, None)


async def test_a_remote_that_is_not_there_is_told(repository: Checkout, phone: Asker) -> None:
    repository.git("remote", "set-url", "origin", "../nowhere.git")
    with refused("GIT_FAILED", "noRemoteRepository"):
        await phone.fetch()
    repository.git("remote", "set-url", "origin", "http://ada:tok3n@127.0.0.1:1/x.git")
    with refused("GIT_FAILED", "unreachable") as raised:
        await phone.fetch()
    assert "tok3n" not in str(raised.value.details)


async def test_over_http_a_password_comes_from_a_credential_helper(
    repository: Checkout, remote: Checkout, phone: Asker, tmp_path: Path
) -> None:
    with http_remotes(remote.path.parent) as url:
        repository.git("remote", "set-url", "origin", f"{url}/remote.git")
        store = repository.home / ".git-credentials"
        store.write_text(url.replace("//", f"//{USER}:{PASSWORD}@") + "\n")
        repository.git("config", "--global", "credential.helper", "store")
        oid = repository.commit("a", "two\n")
        await phone.push()
        assert remote.git("rev-parse", "main") == oid
        somebody_pushes(remote, tmp_path)
        assert (await phone.fetch()).behind == 1
        assert (await phone.pull()).behind == 0


async def test_over_http_without_a_credential_nobody_is_asked_and_it_says_what_to_set_up(
    repository: Checkout, remote: Checkout, tmp_path: Path
) -> None:
    asked = tmp_path / "asked"
    program = tmp_path / "askpass"
    program.write_text(f"#!/bin/sh\ntouch '{asked}'\necho x\n")
    program.chmod(0o755)
    repository.git("config", "core.askPass", str(program))
    extra = {"SSH_ASKPASS": str(program), "GIT_ASKPASS": str(program), "DISPLAY": ":0"}
    with http_remotes(remote.path.parent) as url:
        repository.git("remote", "set-url", "origin", f"{url}/remote.git")
        async with asking(repository, extra) as phone:
            for attempt in (phone.push, phone.fetch, phone.pull):
                with refused("GIT_FAILED", "credentials") as raised:
                    await attempt()
                assert url in raised.value.message
                assert "git config --global credential.helper" in raised.value.message
        assert not asked.exists()
        repository.attempt("fetch")
        assert asked.exists(), "The user's own git would have asked."


async def test_over_http_a_credential_that_is_refused_is_told_and_not_shown(
    repository: Checkout, remote: Checkout, phone: Asker
) -> None:
    with http_remotes(remote.path.parent) as url:
        wrong = url.replace("//", "//ada:wr0ng-password@")
        repository.git("remote", "set-url", "origin", f"{wrong}/remote.git")
        repository.git("config", "--global", "credential.helper", "store")
        with refused("GIT_FAILED", "credentials") as raised:
            await phone.fetch()
    assert "wr0ng" not in f"{raised.value.message} {raised.value.details} {phone.progress}"


async def test_by_gits_own_protocol(repository: Checkout, remote: Checkout, phone: Asker, tmp_path: Path) -> None:
    with git_daemon(remote.path.parent) as url:
        repository.git("remote", "set-url", "origin", f"{url}/remote.git")
        oid = repository.commit("a", "two\n")
        await phone.push()
        assert remote.git("rev-parse", "main") == oid


async def test_ssh_is_told_to_ask_nobody_and_its_refusal_says_what_to_do(
    repository: Checkout, phone: Asker, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    program = tmp_path / "ssh"
    program.write_text(
        f"#!/bin/sh\necho \"$@\" > '{told}'\necho 'git@host: Permission denied (publickey).' >&2\nexit 255\n"
    )
    program.chmod(0o755)
    # Where the user sets it, globally or here, it is what runs.
    repository.git("config", "core.sshCommand", f"{program} -i 'my key'")
    repository.git("remote", "set-url", "origin", "git@host.example:x.git")
    with refused("GIT_FAILED", "credentials") as raised:
        await phone.fetch()
    assert "ssh-agent" in raised.value.message
    assert told.read_text().startswith("-i my key -o BatchMode=yes")
