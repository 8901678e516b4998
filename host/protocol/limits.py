"""Every bound of the wire contract, in one place. Sizes are bytes, KiB and MiB binary."""

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

PROTOCOL_VERSION: Final = 1

# Frames
MAX_CLIENT_FRAME_BYTES: Final = 16 * MIB
MAX_FRAME_BYTES: Final = 32 * MIB
# An answer's payload: the envelope around it needs room, too.
MAX_ANSWER_BYTES: Final = MAX_FRAME_BYTES - 1 * MIB
MAX_BAD_FRAMES: Final = 100
BAD_FRAME_WINDOW_S: Final = 10.0
MAX_REQUEST_ID_CHARS: Final = 128

# Connections
AUTHENTICATION_TIMEOUT_S: Final = 10.0
TOKEN_EXPIRY_GRACE_S: Final = 60.0
HEARTBEAT_INTERVAL_S: Final = 20.0
HEARTBEAT_TIMEOUT_S: Final = 20.0
MAX_PENDING_REQUESTS: Final = 256
MAX_JOINED_PROJECTS: Final = 1024
# What may wait for one peer that reads slowly; past it the connection is closed with 1013.
# Two of the largest frames, so that one is never refused because another is on its way.
MAX_QUEUED_BYTES: Final = 2 * MAX_FRAME_BYTES
MAX_QUEUED_FRAMES: Final = 4096

# Reconnecting
RECONNECT_FIRST_S: Final = 1.0
RECONNECT_CAP_S: Final = 60.0
RECONNECT_STABLE_S: Final = 10.0

# The daemon's work
MAX_ACTIVE_REQUESTS: Final = 1024
# Of their payloads; as many of the largest writes as one client may have pending fit in.
MAX_ACTIVE_BYTES: Final = 256 * MIB
MAX_CONCURRENT_READS: Final = 8
# Ends of commands that wait for the next link.
MAX_KEPT_FRAMES: Final = 256
MAX_FILE_THREADS: Final = 8

# Retries
REMEMBERED_REQUESTS_MAX: Final = 10_000
REMEMBERED_REQUESTS_S: Final = 24 * 3600

# What one machine may register
MAX_PROJECTS: Final = 500
MAX_LABEL_CHARS: Final = 100
MAX_WARNINGS: Final = 50
MAX_WARNING_CHARS: Final = 1000

# Files
MAX_READ_BYTES: Final = 10 * MIB
MAX_WRITE_BYTES: Final = 1 * MIB
MAX_TEXT_JSON_BYTES: Final = 16 * MIB
MAX_LIST_ENTRIES: Final = 10_000
MAX_LIST_DEPTH: Final = 20
MAX_PATH_BYTES: Final = 4096

# Change events
CHANGES_QUIET_S: Final = 0.25
CHANGES_LATEST_S: Final = 2.0
MAX_BATCH_CHANGES: Final = 500
GIT_CHANGED_INTERVAL_S: Final = 1.0

# Commands; the first for each project
MAX_RUNS_AT_ONCE: Final = 8
COMMAND_TIMEOUT_MIN_MS: Final = 100
COMMAND_TIMEOUT_DEFAULT_MS: Final = 120_000
COMMAND_TIMEOUT_MAX_MS: Final = 3_600_000
# What Linux takes as one argument of a program, with the zero byte at its end.
MAX_COMMAND_CHARS: Final = 128 * KIB - 1
OUTPUT_PREVIEW_CHARS: Final = 200
KEPT_RUNS_MAX: Final = 10_000
KEPT_RUNS_S: Final = 7 * 24 * 3600

# Agents
MAX_CONTENT_BYTES: Final = 10 * MIB
MAX_CONTENT_BLOCKS: Final = 1000
MAX_QUEUED_TURNS: Final = 50
# On the machine; each is a process of 200 MB.
MAX_TURNS_AT_ONCE: Final = 8
MAX_LOGGED_EVENT_BYTES: Final = 256 * KIB
KEPT_AGENT_EVENTS_S: Final = 30 * 24 * 3600
KEPT_AGENT_EVENTS_BYTES: Final = 50 * MIB

# Git
MAX_REF_CHARS: Final = 1024
MAX_GIT_PATHS: Final = 10_000
MAX_STATUS_PATHS: Final = 10_000
MAX_COMMIT_MESSAGE_CHARS: Final = 1 * MIB
MAX_DIFF_CONTEXT_LINES: Final = 100_000
# Of git's own text; as JSON it may be six times that.
MAX_DIFF_BYTES: Final = 4 * MIB
MAX_DIFF_FILES: Final = 10_000
# Of messages; a page of more of them is shorter.
MAX_LOG_BYTES: Final = 4 * MIB
MAX_GIT_STDERR_BYTES: Final = 4 * KIB

# Pages of what is kept
MAX_PAGE_ITEMS: Final = 1000
MAX_PAGE_BYTES: Final = 4 * MIB
