"""How a git ended."""

from dataclasses import dataclass

from host.core.redaction import without_url_credentials
from host.protocol.errors import GitFailed
from host.protocol.limits import MAX_GIT_STDERR_BYTES


@dataclass(frozen=True, slots=True)
class Finished:
    """How a git ended. ``exit_code`` is None where it was killed; ``is_cut``: it had more to say than was wanted."""

    command: str
    exit_code: int | None
    stdout: bytes
    stderr: bytes
    is_cut: bool = False

    @property
    def is_success(self) -> bool:
        return self.exit_code == 0

    def output(self) -> bytes:
        """What it wrote. Raises GitFailed if it failed."""
        if not (self.is_success or self.is_cut):
            raise self.failure()
        return self.stdout

    def says(self, words: bytes) -> bool:
        """Whether its complaint holds these words; git speaks English here."""
        return words in self.stderr

    def failure(self, message: str | None = None) -> GitFailed:
        """The error that tells a peer of it, without anybody's credentials."""
        # Before it is cut, perhaps in the middle of a URL.
        stderr = without_url_credentials(self.stderr.decode(errors="replace")).encode()[-MAX_GIT_STDERR_BYTES:]
        said = message or f"git {self.command} failed. What it said is in the details."
        return GitFailed(said, stderr=stderr.decode(errors="ignore"), exitCode=self.exit_code)
