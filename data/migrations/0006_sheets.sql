-- A sheet's axes, as JSON; the request is that of its base.
ALTER TABLE jobs ADD COLUMN sheet TEXT;
