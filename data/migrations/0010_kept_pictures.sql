-- Whether the picture's file is kept. Over KEEP_GB the oldest files are removed; the rows stay, for
-- what was asked for and the parameters.
ALTER TABLE pictures ADD COLUMN kept INTEGER NOT NULL DEFAULT 1;

-- How many jobs are in each state.
CREATE INDEX jobs_by_state ON jobs (state);

-- The oldest of what may be removed.
CREATE INDEX jobs_by_end ON jobs (finished_at) WHERE state IN ('delivered', 'failed', 'cancelled');
