-- Whether the member has still to be told that the job ended without a picture.
ALTER TABLE jobs ADD COLUMN untold INTEGER NOT NULL DEFAULT 0;

CREATE INDEX jobs_untold ON jobs (id) WHERE untold;

-- How often Discord refused to delete the message.
ALTER TABLE farewells ADD COLUMN refused INTEGER NOT NULL DEFAULT 0;
