-- Times ending in _s are seconds since the epoch; others are RFC 3339 UTC.

CREATE TABLE users (
  id         TEXT NOT NULL PRIMARY KEY,
  provider   TEXT NOT NULL,
  subject    TEXT NOT NULL,
  login      TEXT NOT NULL,
  name       TEXT,
  avatar_url TEXT,
  UNIQUE (provider, subject)
);

-- A session is a family of refresh tokens. Every token of it begins with the same secret, so that
-- one that was replaced long ago is still known for what it is, without being kept.
CREATE TABLE sessions (
  id             TEXT NOT NULL PRIMARY KEY,
  user_id        TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  client_id      TEXT NOT NULL,
  family_hash    BLOB NOT NULL UNIQUE,
  current_hash   BLOB NOT NULL,
  previous_hash  BLOB,
  created_at_s   REAL NOT NULL,
  last_used_at_s REAL NOT NULL,
  revoked_at_s   REAL,
  -- What called itself so, and from where it was last used.
  label          TEXT,
  address        TEXT NOT NULL
);
CREATE INDEX sessions_by_last_use ON sessions (last_used_at_s);

-- A retired key signs nothing any more; it is deleted when the last token that it signed has expired.
CREATE TABLE signing_keys (
  kid          TEXT NOT NULL PRIMARY KEY,
  secret       BLOB NOT NULL,
  created_at_s REAL NOT NULL,
  retired_at_s REAL
);

CREATE TABLE passcode (
  id        INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
  salt      BLOB NOT NULL,
  digest    BLOB NOT NULL,
  made_at_s REAL NOT NULL
);

-- Who came in and who did not. Bounded: the oldest rows of each event go.
CREATE TABLE audit (
  id      INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  at_s    REAL NOT NULL,
  event   TEXT NOT NULL,
  who     TEXT NOT NULL,
  address TEXT NOT NULL,
  detail  TEXT NOT NULL
);
CREATE INDEX audit_by_event ON audit (event, id);

CREATE TABLE machines (
  user_id          TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  machine_key      TEXT NOT NULL,
  label            TEXT NOT NULL,
  hostname         TEXT NOT NULL,
  platform         TEXT NOT NULL,
  arch             TEXT NOT NULL,
  daemon_version   TEXT NOT NULL,
  protocol_version INTEGER NOT NULL,
  features         TEXT NOT NULL,
  capabilities     TEXT NOT NULL,
  last_seen_at     TEXT NOT NULL,
  PRIMARY KEY (user_id, machine_key)
) WITHOUT ROWID;

CREATE TABLE projects (
  user_id         TEXT NOT NULL,
  project_id      TEXT NOT NULL,
  machine_key     TEXT NOT NULL,
  name            TEXT NOT NULL,
  path            TEXT NOT NULL,
  created_at      TEXT NOT NULL,
  last_opened_at  TEXT NOT NULL,
  watcher_running INTEGER NOT NULL,
  last_fs_seq     INTEGER NOT NULL,
  PRIMARY KEY (user_id, project_id),
  FOREIGN KEY (user_id, machine_key) REFERENCES machines (user_id, machine_key) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX projects_by_machine ON projects (user_id, machine_key);
