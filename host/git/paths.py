"""Paths between the wire and git, which knows bytes. Pure."""

from host.paths.relative import RelativePath, shown_name, unescaped_name


def shown_path(path: bytes) -> str:
    """A path as listings show it: names that are not UTF-8 have their odd bytes as ``%XX``."""
    try:
        return path.decode()
    except UnicodeDecodeError:
        return "/".join(shown_name(name) for name in path.split(b"/"))


def unescaped_path(path: RelativePath) -> bytes | None:
    """The path that is shown as ``path`` because names in it are not UTF-8; None if there can be none."""
    names = [unescaped_name(part) for part in path.parts]
    if not any(names):
        return None
    return b"/".join(name or part for name, part in zip(names, path.parts, strict=True))
