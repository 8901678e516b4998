"""What a system's word on an entry is worth: it says where to look; the disk says what happened. Bits of one int."""

from typing import Final

# It may be another file or directory than before, or be gone.
STRUCTURE: Final = 1
# It was written, or opened for it.
CONTENT: Final = 2
# Something about it changed; whether that was its content, its times tell.
ATTRIBUTES: Final = 4
# What was told of it, and of all below it, can't be relied on.
DOUBT: Final = 8
# The watched directory itself was moved; said without a name.
MOVED_ITSELF: Final = 16
