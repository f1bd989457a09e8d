-- A server's settings, as JSON; no row means every default.
CREATE TABLE servers (
    guild_id INTEGER PRIMARY KEY,
    settings TEXT NOT NULL
) STRICT;

-- What counts against a member's quota of a day, in pictures of 512x512 at 20 steps. No reference
-- to jobs: deleting a picture gives nothing back.
CREATE TABLE spent (
    job_id INTEGER PRIMARY KEY,
    guild_id INTEGER NOT NULL,
    user_id INTEGER NOT NULL,
    at REAL NOT NULL,
    pictures REAL NOT NULL
) STRICT;

CREATE INDEX spent_by_member ON spent (guild_id, user_id, at);
CREATE INDEX spent_by_time ON spent (at);

-- Whatever ends without a picture costs nothing, except one that was drawn and not allowed.
CREATE TRIGGER refund_ended AFTER UPDATE OF state ON jobs
WHEN NEW.state = 'cancelled'
    OR (NEW.state = 'failed' AND json_extract(NEW.error, '$.class') IS NOT 'NotAllowed')
BEGIN
    DELETE FROM spent WHERE job_id = NEW.id;
END;

CREATE TRIGGER refund_refused AFTER DELETE ON jobs
WHEN OLD.state IN ('queued', 'running')
BEGIN
    DELETE FROM spent WHERE job_id = OLD.id;
END;

-- Whether the pictures are shown behind a spoiler.
ALTER TABLE jobs ADD COLUMN spoiler INTEGER NOT NULL DEFAULT 0;

CREATE INDEX jobs_open_by_server ON jobs (guild_id) WHERE state IN ('queued', 'running');
