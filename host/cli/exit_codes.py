"""How every command of ``pocketcoder`` ends."""

DONE = 0
FAILED = 1
USED_WRONGLY = 2
NOT_RUNNING = 3
NOT_SIGNED_IN = 4
# Ctrl-C, as shells have it: 128 and SIGINT's number.
INTERRUPTED = 130
