-- A server's prompt templates. name_key is the name folded, as for presets.
CREATE TABLE styles (
    guild_id INTEGER NOT NULL,
    name_key TEXT NOT NULL,
    name TEXT NOT NULL,
    template TEXT NOT NULL,
    negative_prompt TEXT NOT NULL,
    PRIMARY KEY (guild_id, name_key)
) STRICT;

-- Presets that were posted for others to import: the values as they were then.
CREATE TABLE shared_presets (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    options TEXT NOT NULL,
    shared_at REAL NOT NULL
) STRICT;

CREATE INDEX shared_presets_by_user ON shared_presets (user_id, id);
