-- name_key is the name folded so that two spellings of one word are one preset.
CREATE TABLE presets (
    user_id INTEGER NOT NULL,
    name_key TEXT NOT NULL,
    name TEXT NOT NULL,
    options TEXT NOT NULL,
    saved_at REAL NOT NULL,
    PRIMARY KEY (user_id, name_key)
) STRICT;
