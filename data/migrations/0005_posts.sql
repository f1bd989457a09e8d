CREATE INDEX jobs_by_message ON jobs (message_id) WHERE message_id IS NOT NULL;

-- Further posts of a job: shown again somewhere, or sent to somebody's direct messages.
CREATE TABLE copies (
    message_id INTEGER PRIMARY KEY,
    channel_id INTEGER NOT NULL,
    job_id INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE
) STRICT;

CREATE INDEX copies_by_job ON copies (job_id);

-- Posts whose jobs were deleted with everything of their member, still to be taken away.
CREATE TABLE farewells (
    message_id INTEGER PRIMARY KEY,
    channel_id INTEGER NOT NULL
) STRICT;
