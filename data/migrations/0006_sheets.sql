-- A sheet's axes, as bot/sheets.py writes them; the request is that of its base.
ALTER TABLE jobs ADD COLUMN sheet TEXT;
