"""Git's own words for why it refuses, as far as we have something to add to them. Pure.

Git says why in English sentences (``LC_ALL`` is set) and with next to no exit codes. What hooks and remotes say has
no ``fatal:`` or ``error:`` before it, as a rule.
"""

import re
from typing import Final, NamedTuple


class Words(NamedTuple):
    """``message`` is what a person is told, ``reason`` what a program is."""

    pattern: re.Pattern[bytes]
    reason: str
    message: str


def _says(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"(?m)^(?:fatal|error): (?:[^\n]*: )?(?:" + pattern + rb")")


LOCKED: Final = _says(
    rb"Unable to create '(?P<file>[^\n]+\.lock)': File exists|"
    rb"could not lock config file (?P<config>[^\n]+): File exists"
)
OVERWRITTEN: Final = _says(
    rb"(?:Your local changes to|The following untracked working tree files would be|"
    rb"Updating the following directories would lose)[^\n]*"
)
UNMERGED: Final = _says(
    rb"[^\n]*unmerged files|path '[^\n]*' is unmerged|you need to resolve your current index|"
    rb"Exiting because of an unresolved conflict"
)
UPSTREAM_MISSING: Final = re.compile(rb"(?m)^There is no tracking information for the current branch")
# On standard output: git commit's, and that of git push --porcelain.
NOTHING_STAGED: Final = re.compile(rb"(?m)^(?:nothing to commit|nothing added to commit|no changes added to commit)")
REJECTED: Final = re.compile(rb"(?m)^!\t[^\t\n]*\t\[rejected\] \((?P<why>[^\n]*)\)$")
# Of paths that were asked for.
IGNORED: Final = re.compile(
    rb"(?m)^The following paths are ignored by one of your \.gitignore files:\n(?P<path>[^\n]*)"
)
UNKNOWN_PATH: Final = _says(rb"pathspec '(?P<path>(?s:.*))' did not match any file")
BEYOND_LINK: Final = _says(rb"pathspec '(?P<path>(?s:.*))' is beyond a symbolic link")
NO_CREDENTIAL: Final = _says(
    rb"could not read (?:Username|Password) for '(?P<asked>[^\n]*)': |Authentication failed for '(?P<refused>[^\n]*)'"
)

CONFLICTS: Final = (
    Words(
        _says(rb"You have unstaged changes|[Yy]our index contains uncommitted changes"),
        "localChanges",
        "There are changes that are not committed. Commit or discard them, then try again.",
    ),
    Words(
        _says(
            rb"cannot switch branch while |You have not concluded your |You are in the middle of a |"
            rb"It seems that there is already a rebase-"
        ),
        "operation",
        "A merge, rebase or the like is not finished. Finish it or abort it on the machine, then try again.",
    ),
    Words(
        _says(rb"a branch named '[^\n]*' already exists|'refs/heads/[^\n]*' exists; cannot create"),
        "branchExists",
        "There is a branch of this name already, or one whose name begins it. Choose another name.",
    ),
    Words(
        _says(rb"'[^\n]*' is already (?:checked out|used by worktree) at"),
        "otherWorktree",
        "That branch is checked out in another working tree of this repository. Create a branch from it instead.",
    ),
    Words(
        _says(rb"Need to specify how to reconcile divergent branches|Not possible to fast-forward"),
        "diverged",
        "The branch and its upstream have both gone on, and git is not told how to bring them together. On the "
        "machine, choose with git config pull.rebase true (or false, to merge), then pull again.",
    ),
)

FAILURES: Final = (
    Words(
        re.compile(rb"(?m)^\*\*\* Please tell me who you are|^fatal: empty ident name"),
        "identity",
        "git does not know who you are. On the machine, run git config --global user.name and "
        "git config --global user.email with your name and address, then try again.",
    ),
    Words(
        _says(rb"gpg failed to sign the data|failed to write commit object"),
        "signing",
        "The commit could not be signed, and nobody can be asked for a passphrase from here. Unlock the key on the "
        "machine, or change commit.gpgSign there.",
    ),
    Words(
        re.compile(rb"Permission denied \([^\n]*publickey"),
        "credentials",
        "The remote accepts none of this machine's ssh keys, and nobody can be asked for a passphrase from here. On "
        "the machine, add the key to the ssh-agent that the daemon sees, or register the key at the remote.",
    ),
    Words(
        re.compile(rb"Host key verification failed"),
        "hostKey",
        "The remote's ssh host key is not known on the machine. Connect with ssh from a terminal there, and accept it.",
    ),
    Words(
        re.compile(rb"(?m)^fatal: transport '[^\n]*' not allowed"),
        "transport",
        "The remote's address names a transport that is not used from here. It may be https, http, ssh, git or a path.",
    ),
    Words(
        re.compile(
            rb"Could not resolve host|Failed to connect to|Could not connect to server|unable to connect to|"
            rb"Connection (?:refused|timed out|reset)|Network is unreachable"
        ),
        "unreachable",
        "The remote could not be reached. Check its address and the machine's network, then try again.",
    ),
    Words(
        re.compile(rb"(?m)^from the remote, but no such ref was fetched|^fatal: couldn't find remote ref "),
        "upstreamGone",
        "The remote has no such branch, or no longer. Push it with setUpstream, or check out another branch.",
    ),
    Words(
        re.compile(rb"does not appear to be a git repository|(?i:repository[^\n]* not found)"),
        "noRemoteRepository",
        "There is no repository at the remote's address, or it is hidden from this user. Check the address on the "
        "machine with git remote -v.",
    ),
)
