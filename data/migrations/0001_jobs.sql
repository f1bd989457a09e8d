-- Start images, stored once however many jobs use them.
CREATE TABLE inputs (
    sha256 TEXT PRIMARY KEY,
    data BLOB NOT NULL
) STRICT;

CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    state TEXT NOT NULL DEFAULT 'queued'
        CHECK (state IN ('queued', 'running', 'finished', 'delivered', 'failed', 'cancelled')),
    request TEXT NOT NULL,
    init_image TEXT REFERENCES inputs (sha256),
    user_id INTEGER NOT NULL,
    guild_id INTEGER,
    channel_id INTEGER,
    message_id INTEGER,
    application_id INTEGER NOT NULL,
    interaction_token TEXT,
    token_expires_at REAL,
    private INTEGER NOT NULL,
    locale TEXT NOT NULL,
    parent_id INTEGER REFERENCES jobs (id) ON DELETE SET NULL,
    notes TEXT NOT NULL DEFAULT '[]',
    error TEXT,
    created_at REAL NOT NULL,
    started_at REAL,
    finished_at REAL
) STRICT;

CREATE INDEX jobs_by_user ON jobs (user_id, id);
CREATE INDEX jobs_by_parent ON jobs (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX jobs_by_input ON jobs (init_image) WHERE init_image IS NOT NULL;
CREATE INDEX jobs_open ON jobs (id) WHERE state IN ('queued', 'running', 'finished');
CREATE INDEX jobs_with_token ON jobs (token_expires_at) WHERE interaction_token IS NOT NULL;

CREATE TABLE pictures (
    job_id INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    seed INTEGER NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    infotext TEXT NOT NULL,
    attachment_id INTEGER,
    PRIMARY KEY (job_id, position)
) STRICT;
