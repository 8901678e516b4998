"""git_commit: what is staged becomes a commit, as the user's own git makes it."""

from host.git.changing import Change
from host.git.head import current_branch
from host.protocol.errors import InvalidRequest
from host.protocol.messages.git import GitCommitResponse


async def commit(change: Change, message: str, *, amend: bool) -> GitCommitResponse:
    """Commit what is staged, or put it into the last commit; hooks, signing and identity are the user's.

    Raises InvalidRequest for a message that git can't take, Conflict where files are in conflict, and
    GitChangeFailed where a hook refuses, or nothing is staged.
    """
    if not message.strip() or "\0" in message:
        raise InvalidRequest.of_field("message", "It is blank, or holds a NUL character.")
    await change.run("commit", "--quiet", *(("--amend",) if amend else ()), "--file=-", content=message.encode())
    made = (await change.look("log", "-1", "-z", "--encoding=UTF-8", "--format=%H%n%s", "HEAD")).output()
    sha, _, summary = made.removesuffix(b"\0").partition(b"\n")
    return GitCommitResponse(
        sha=sha.decode(), branch=await current_branch(change), summary=summary.decode(errors="replace")
    )
