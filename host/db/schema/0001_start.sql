-- Marks the file as ours ("PoCo"), so that another program's database is never taken for it.
PRAGMA application_id = 0x506f436f;

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- path: text, or the raw bytes where they are not UTF-8. Times: RFC 3339 UTC.
CREATE TABLE projects (
    project_id     TEXT PRIMARY KEY,
    name           TEXT NOT NULL,
    path           TEXT NOT NULL UNIQUE,
    created_at     TEXT NOT NULL,
    last_opened_at TEXT NOT NULL
);

-- last_seq: the highest number of a change batch that may have been used.
CREATE TABLE fs_state (
    project_id TEXT PRIMARY KEY REFERENCES projects (project_id) ON DELETE CASCADE,
    last_seq   INTEGER NOT NULL
);

-- session_id, path: what the request was about, '' and NULL for none. answer: as it was sent, only when done.
-- completed_at_s: epoch seconds, once it is not running.
CREATE TABLE requests (
    user_id        TEXT NOT NULL,
    request_id     TEXT NOT NULL,
    hash           BLOB NOT NULL,
    wire_type      TEXT NOT NULL,
    session_id     TEXT NOT NULL,
    path           TEXT,
    state          TEXT NOT NULL CHECK (state IN ('running', 'done', 'unknown')),
    answer         BLOB,
    created_at_s   REAL NOT NULL,
    completed_at_s REAL,
    PRIMARY KEY (user_id, request_id),
    CHECK ((state = 'done') = (answer IS NOT NULL)),
    CHECK ((state = 'running') = (completed_at_s IS NULL))
);
CREATE INDEX requests_by_completion ON requests (completed_at_s);

-- What happened, told in order. stream: command:<requestId> or agent:<agentSessionId>.
-- last_seq: of the newest event, 0 before the first. floor_seq: what is below it was deleted by retention.
CREATE TABLE streams (
    stream_id  INTEGER PRIMARY KEY,
    stream     TEXT NOT NULL UNIQUE,
    project_id TEXT NOT NULL,
    last_seq   INTEGER NOT NULL DEFAULT 0,
    floor_seq  INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX streams_by_project ON streams (project_id);

-- seq: floor_seq to last_seq without a gap. at: RFC 3339 UTC. payload: JSON, as it was sent.
-- The rows lie in the order they came, not by stream: so a commit for many streams writes a quarter of the pages.
CREATE TABLE events (
    stream_id INTEGER NOT NULL REFERENCES streams (stream_id) ON DELETE CASCADE,
    seq       INTEGER NOT NULL,
    at        TEXT NOT NULL,
    type      TEXT NOT NULL,
    payload   BLOB NOT NULL,
    PRIMARY KEY (stream_id, seq)
);

-- The run of a command_exec, and its stream; in the order of their starts. ended_at, reason: NULL while it runs.
CREATE TABLE command_runs (
    stream_id      INTEGER PRIMARY KEY REFERENCES streams (stream_id) ON DELETE CASCADE,
    request_id     TEXT NOT NULL UNIQUE,
    user_id        TEXT NOT NULL,
    command        TEXT NOT NULL,
    started_at     TEXT NOT NULL,
    ended_at       TEXT,
    reason         TEXT CHECK (reason IN ('exited', 'cancelled', 'timeout', 'interrupted')),
    exit_code      INTEGER,
    signal         TEXT,
    truncated      INTEGER NOT NULL DEFAULT 0,
    output_preview TEXT NOT NULL DEFAULT '',
    CHECK ((ended_at IS NULL) = (reason IS NULL))
);
CREATE INDEX command_runs_by_end ON command_runs (ended_at);

-- A session with an agent, and its stream. options: JSON, what the next turn has unless its message says otherwise.
-- is_begun: 1 once a turn was completed; from then on the agent's own store must hold the session.
CREATE TABLE agent_sessions (
    stream_id        INTEGER PRIMARY KEY REFERENCES streams (stream_id) ON DELETE CASCADE,
    agent_session_id TEXT NOT NULL UNIQUE,
    agent            TEXT NOT NULL,
    source           TEXT NOT NULL CHECK (source IN ('pocketcoder', 'terminal')),
    title            TEXT NOT NULL,
    options          TEXT NOT NULL DEFAULT '{}',
    is_begun         INTEGER NOT NULL DEFAULT 0,
    message_count    INTEGER NOT NULL DEFAULT 0,
    created_at       TEXT NOT NULL,
    last_activity_at TEXT NOT NULL
);

-- A message to an agent; place: the order in which they were accepted. content, options: JSON, NULL once it is done.
CREATE TABLE agent_turns (
    place      INTEGER PRIMARY KEY AUTOINCREMENT,
    stream_id  INTEGER NOT NULL REFERENCES agent_sessions (stream_id) ON DELETE CASCADE,
    turn_id    TEXT NOT NULL UNIQUE,
    state      TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'done')),
    content    BLOB,
    options    TEXT,
    started_at TEXT,
    ended_at   TEXT,
    CHECK ((state = 'done') = (ended_at IS NOT NULL)),
    CHECK ((state = 'done') = (content IS NULL))
);
CREATE INDEX agent_turns_by_session ON agent_turns (stream_id, state);
-- One process a session at a time.
CREATE UNIQUE INDEX agent_turns_running ON agent_turns (stream_id) WHERE state = 'running';
CREATE INDEX agent_turns_by_end ON agent_turns (ended_at);

-- What an agent asked. decision: how it was resolved, NULL while it waits.
CREATE TABLE agent_prompts (
    stream_id INTEGER NOT NULL REFERENCES agent_sessions (stream_id) ON DELETE CASCADE,
    prompt_id TEXT NOT NULL,
    turn_id   TEXT NOT NULL REFERENCES agent_turns (turn_id) ON DELETE CASCADE,
    kind      TEXT NOT NULL,
    tool      TEXT,
    asked_at  TEXT NOT NULL,
    decision  TEXT,
    PRIMARY KEY (stream_id, prompt_id)
);
CREATE INDEX agent_prompts_by_turn ON agent_prompts (turn_id);
CREATE INDEX agent_prompts_waiting ON agent_prompts (asked_at) WHERE decision IS NULL;

-- What "always allow" allows in a project, in the agent's own words; the last one added has the highest rowid.
CREATE TABLE agent_rules (
    project_id TEXT NOT NULL REFERENCES projects (project_id) ON DELETE CASCADE,
    agent      TEXT NOT NULL,
    rule       TEXT NOT NULL,
    UNIQUE (project_id, agent, rule)
);

-- How far a session's transcript was read into its stream. position: JSON of the agent's own making.
CREATE TABLE agent_imports (
    stream_id INTEGER PRIMARY KEY REFERENCES streams (stream_id) ON DELETE CASCADE,
    position  BLOB NOT NULL
);

-- What is known of the transcripts in a directory of Claude Code's store. directory: raw bytes. transcripts: JSON.
CREATE TABLE claude_project_dirs (
    directory   BLOB PRIMARY KEY,
    transcripts BLOB NOT NULL
);
