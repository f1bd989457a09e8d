-- The images that a job's request is made from, by kind; their bytes are in inputs, once each.
CREATE TABLE job_inputs (
    job_id INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    sha256 TEXT NOT NULL REFERENCES inputs (sha256),
    PRIMARY KEY (job_id, kind)
) STRICT;

CREATE INDEX job_inputs_by_input ON job_inputs (sha256);

INSERT INTO job_inputs (job_id, kind, sha256)
SELECT id, 'init_image', init_image FROM jobs WHERE init_image IS NOT NULL;

DROP INDEX jobs_by_input;
-- The reference to inputs is the column's own, and goes with it.
ALTER TABLE jobs DROP COLUMN init_image;
