-- The post of a shared preset, so that it can be taken away with everything of its member.
ALTER TABLE shared_presets ADD COLUMN channel_id INTEGER;
ALTER TABLE shared_presets ADD COLUMN message_id INTEGER;
