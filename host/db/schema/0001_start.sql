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
