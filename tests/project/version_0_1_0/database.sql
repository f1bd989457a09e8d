BEGIN TRANSACTION;
CREATE TABLE copies (
    message_id INTEGER PRIMARY KEY,
    channel_id INTEGER NOT NULL,
    job_id INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE
) STRICT;
INSERT INTO "copies" VALUES(1456074443980800080,1456074443980800022,1);
INSERT INTO "copies" VALUES(1456074443980800087,1456074443980800086,1);
CREATE TABLE farewells (
    message_id INTEGER PRIMARY KEY,
    channel_id INTEGER NOT NULL
) STRICT;
INSERT INTO "farewells" VALUES(1456074443980800090,1456074443980800022);
CREATE TABLE inputs (
    sha256 TEXT PRIMARY KEY,
    data BLOB NOT NULL
) STRICT;
INSERT INTO "inputs" VALUES('ef5c3130d6d7d2345a2da6e0a42fd75a71e8608e3b960f17b2e210f525bdad27',X'89504E470D0A1A0A0000000D49484452000000400000003008020000002E29EB4800000087494441547801EDD2B10D002110C4C07BFAEF992F62027492C9BD029BEFCEEE73765F7FA607BC2E58810AA081BE100A64BC02AC10072A800219AF002BC4810AA040C62BC00A71A0022890F10AB0421CA8000A64BC02AC10072A800219AF002BC4810AA040C62BC00A71A0022890F10AB0421CA8000A64BC02AC10072A800219AF002BC481F5057EFA77015FDB1A492B0000000049454E44AE426082');
INSERT INTO "inputs" VALUES('9ec5ccdd40f144302ce12ddc6cbfe3eb4bfb408ed7e3a54e26496e54fe24b9de',X'89504E470D0A1A0A0000000D49484452000000400000003008020000002E29EB480000008A494441547801EDD2C10DC02010C4C023FDF71C941AE6119D64FE5E81CD997967F379365FFEBB7B0FF8BB60052A8006FA422890F10AB0421CA8000A64BC02AC10072A800219AF002BC4810AA040C62BC00A71A0022890F10AB0421CA8000A64BC02AC10072A800219AF002BC4810AA040C62BC00A71A0022890F10AB0421CA8000A64BC02AC1007D617B8F879015F081660A80000000049454E44AE426082');
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    state TEXT NOT NULL DEFAULT 'queued'
        CHECK (state IN ('queued', 'running', 'finished', 'delivered', 'failed', 'cancelled')),
    request TEXT NOT NULL,
    init_image TEXT REFERENCES inputs (sha256),
    user_id INTEGER NOT NULL,
    guild_id INTEGER,
    channel_id INTEGER,
    message_id INTEGER,
    application_id INTEGER NOT NULL,
    interaction_token TEXT,
    token_expires_at REAL,
    private INTEGER NOT NULL,
    locale TEXT NOT NULL,
    parent_id INTEGER REFERENCES jobs (id) ON DELETE SET NULL,
    notes TEXT NOT NULL DEFAULT '[]',
    error TEXT,
    created_at REAL NOT NULL,
    started_at REAL,
    finished_at REAL
, spoiler INTEGER NOT NULL DEFAULT 0, sheet TEXT) STRICT;
INSERT INTO "jobs" VALUES(1,'delivered','{"prompt": "a red circle", "model": "plain", "seed": 7, "negative_prompt": "blurry", "vae": "vivid", "clip_skip": 1, "steps": 25, "cfg_scale": 7.0, "sampler": "Euler", "schedule_type": "Automatic", "width": 512, "height": 512, "count": 1, "variation_seed": 0, "variation_strength": 0.0, "denoising_strength": 0.75, "hires": null}',NULL,1456074443980800023,1456074443980800019,1456074443980800022,1456074443980800036,1456074443980800000,NULL,NULL,0,'en-US',NULL,'[]',NULL,1800000000.0,1800000000.0,1800000000.0,0,NULL);
INSERT INTO "jobs" VALUES(2,'delivered','{"prompt": "a cat", "model": "plain", "seed": 100, "negative_prompt": "blurry", "vae": "Automatic", "clip_skip": 1, "steps": 25, "cfg_scale": 7.0, "sampler": "Euler", "schedule_type": "Automatic", "width": 512, "height": 512, "count": 4, "variation_seed": 0, "variation_strength": 0.0, "denoising_strength": 0.75, "hires": null}',NULL,1456074443980800023,1456074443980800019,1456074443980800022,1456074443980800040,1456074443980800000,NULL,NULL,0,'en-US',NULL,'[]',NULL,1800000000.0,1800000000.0,1800000000.0,0,NULL);
INSERT INTO "jobs" VALUES(3,'delivered','{"prompt": "a hill", "model": "plain", "seed": 3, "negative_prompt": "blurry", "vae": "Automatic", "clip_skip": 1, "steps": 25, "cfg_scale": 7.0, "sampler": "Euler", "schedule_type": "Automatic", "width": 592, "height": 440, "count": 1, "variation_seed": 0, "variation_strength": 0.0, "denoising_strength": 0.75, "hires": null}','ef5c3130d6d7d2345a2da6e0a42fd75a71e8608e3b960f17b2e210f525bdad27',1456074443980800023,1456074443980800019,1456074443980800022,1456074443980800048,1456074443980800000,NULL,NULL,0,'en-US',NULL,'[]',NULL,1800000000.0,1800000000.0,1800000000.0,0,NULL);
INSERT INTO "jobs" VALUES(4,'delivered','{"prompt": "a red circle", "model": "plain", "seed": 7, "negative_prompt": "blurry", "vae": "vivid", "clip_skip": 1, "steps": 25, "cfg_scale": 7.0, "sampler": "Euler", "schedule_type": "Automatic", "width": 512, "height": 512, "count": 1, "variation_seed": 0, "variation_strength": 0.0, "denoising_strength": 0.75, "hires": {"scale": 1.5, "steps": 0, "denoising_strength": 0.35, "upscaler": "Lanczos"}}',NULL,1456074443980800023,1456074443980800019,1456074443980800022,1456074443980800054,1456074443980800000,NULL,NULL,0,'en-US',1,'[]',NULL,1800000000.0,1800000000.0,1800000000.0,0,NULL);
INSERT INTO "jobs" VALUES(5,'delivered','{"prompt": "a dog", "model": "plain", "seed": 5, "negative_prompt": "blurry", "vae": "Automatic", "clip_skip": 1, "steps": 25, "cfg_scale": 7.0, "sampler": "Euler", "schedule_type": "Automatic", "width": 512, "height": 512, "count": 1, "variation_seed": 0, "variation_strength": 0.0, "denoising_strength": 0.75, "hires": null}',NULL,1456074443980800023,1456074443980800019,1456074443980800022,1456074443980800058,1456074443980800000,NULL,NULL,0,'en-US',NULL,'[]',NULL,1800000000.0,1800000000.0,1800000000.0,0,'[{"axis": "clip_skip", "text": "1,2,3", "values": [1, 2, 3]}]');
INSERT INTO "jobs" VALUES(6,'delivered','{"prompt": "a dog", "model": "plain", "seed": 5, "negative_prompt": "blurry", "vae": "Automatic", "clip_skip": 1, "steps": 25, "cfg_scale": 7.0, "sampler": "Euler", "schedule_type": "Automatic", "width": 512, "height": 512, "count": 1, "variation_seed": 0, "variation_strength": 0.0, "denoising_strength": 0.75, "hires": null}',NULL,1456074443980800023,1456074443980800019,1456074443980800022,1456074443980800062,1456074443980800000,NULL,NULL,0,'en-US',NULL,'[]',NULL,1800000000.0,1800000000.0,1800000000.0,0,'[{"axis": "clip_skip", "text": "1,2,3", "values": [1, 2, 3]}, {"axis": "steps", "text": "5,6", "values": [5, 6]}]');
INSERT INTO "jobs" VALUES(7,'delivered','{"prompt": "a secret", "model": "plain", "seed": 9, "negative_prompt": "blurry", "vae": "Automatic", "clip_skip": 1, "steps": 25, "cfg_scale": 7.0, "sampler": "Euler", "schedule_type": "Automatic", "width": 512, "height": 512, "count": 1, "variation_seed": 0, "variation_strength": 0.0, "denoising_strength": 0.75, "hires": null}',NULL,1456074443980800023,1456074443980800019,1456074443980800022,1456074443980800066,1456074443980800000,NULL,NULL,1,'en-US',NULL,'[]',NULL,1800000000.0,1800000000.0,1800000000.0,0,NULL);
INSERT INTO "jobs" VALUES(8,'delivered','{"prompt": "a red circle", "model": "plain", "seed": 7, "negative_prompt": "blurry", "vae": "vivid", "clip_skip": 2, "steps": 25, "cfg_scale": 7.0, "sampler": "Euler", "schedule_type": "Automatic", "width": 512, "height": 512, "count": 1, "variation_seed": 0, "variation_strength": 0.0, "denoising_strength": 0.75, "hires": null}',NULL,1456074443980800024,1456074443980800019,1456074443980800022,1456074443980800070,1456074443980800000,NULL,NULL,0,'en-US',1,'[]',NULL,1800000000.0,1800000000.0,1800000000.0,0,NULL);
INSERT INTO "jobs" VALUES(9,'failed','{"prompt": "too large", "model": "plain", "seed": 1, "negative_prompt": "blurry", "vae": "Automatic", "clip_skip": 1, "steps": 25, "cfg_scale": 7.0, "sampler": "Euler", "schedule_type": "Automatic", "width": 512, "height": 512, "count": 1, "variation_seed": 0, "variation_strength": 0.0, "denoising_strength": 0.75, "hires": null}',NULL,1456074443980800023,1456074443980800019,1456074443980800022,1456074443980800074,1456074443980800000,'simcord_interaction_1456074443980800073',1800000900.0,0,'en-US',NULL,'[]','{"class": "OutOfMemory", "fields": {"width": 512, "height": 512}}',1800000000.0,1800000000.0,1800000000.0,0,NULL);
INSERT INTO "jobs" VALUES(10,'delivered','{"prompt": "a beach", "model": "plain", "seed": 8, "negative_prompt": "blurry", "vae": "Automatic", "clip_skip": 1, "steps": 25, "cfg_scale": 7.0, "sampler": "Euler", "schedule_type": "Automatic", "width": 512, "height": 512, "count": 1, "variation_seed": 0, "variation_strength": 0.0, "denoising_strength": 0.75, "hires": null}',NULL,1456074443980800024,1456074443980800019,1456074443980800022,1456074443980800076,1456074443980800000,NULL,NULL,0,'en-US',NULL,'[]',NULL,1800000000.0,1800000000.0,1800000000.0,1,NULL);
INSERT INTO "jobs" VALUES(12,'finished','{"prompt": "finished", "model": "plain", "seed": 21, "negative_prompt": "blurry", "vae": "Automatic", "clip_skip": 1, "steps": 12, "cfg_scale": 7.0, "sampler": "Euler a", "schedule_type": "Automatic", "width": 512, "height": 512, "count": 1, "variation_seed": 0, "variation_strength": 0.0, "denoising_strength": 0.75, "hires": null}',NULL,1456074443980800023,1456074443980800019,1456074443980800022,1456074443980800190,1456074443980800000,'simcord_interaction_1456074443980800189',1800000900.0,0,'en-US',NULL,'[]',NULL,1800000000.0,1800000000.0,1800000000.0,1,NULL);
INSERT INTO "jobs" VALUES(13,'finished','{"prompt": "finished in private", "model": "plain", "seed": 22, "negative_prompt": "blurry", "vae": "Automatic", "clip_skip": 1, "steps": 12, "cfg_scale": 7.0, "sampler": "Euler a", "schedule_type": "Automatic", "width": 512, "height": 512, "count": 1, "variation_seed": 0, "variation_strength": 0.0, "denoising_strength": 0.75, "hires": null}',NULL,1456074443980800023,1456074443980800019,1456074443980800022,1456074443980800192,1456074443980800000,'simcord_interaction_1456074443980800191',1800000900.0,1,'en-US',NULL,'[]',NULL,1800000000.0,1800000000.0,1800000000.0,1,NULL);
INSERT INTO "jobs" VALUES(14,'finished','{"prompt": "finished", "model": "plain", "seed": 23, "negative_prompt": "blurry", "vae": "Automatic", "clip_skip": 1, "steps": 12, "cfg_scale": 7.0, "sampler": "Euler a", "schedule_type": "Automatic", "width": 512, "height": 512, "count": 1, "variation_seed": 0, "variation_strength": 0.0, "denoising_strength": 0.75, "hires": null}',NULL,1456074443980800023,1456074443980800019,1456074443980800022,1456074443980800194,1456074443980800000,'simcord_interaction_1456074443980800193',1800000900.0,0,'en-US',NULL,'[]',NULL,1800000000.0,1800000000.0,1800000000.0,1,'[{"axis": "seed", "text": "1, 2", "values": [1, 2]}]');
INSERT INTO "jobs" VALUES(15,'running','{"prompt": "a hill", "model": "plain", "seed": 31, "negative_prompt": "blurry", "vae": "Automatic", "clip_skip": 1, "steps": 12, "cfg_scale": 7.0, "sampler": "Euler a", "schedule_type": "Automatic", "width": 592, "height": 440, "count": 1, "variation_seed": 0, "variation_strength": 0.0, "denoising_strength": 0.75, "hires": null}','ef5c3130d6d7d2345a2da6e0a42fd75a71e8608e3b960f17b2e210f525bdad27',1456074443980800023,1456074443980800019,1456074443980800022,1456074443980800197,1456074443980800000,'simcord_interaction_1456074443980800196',1800000900.0,0,'en-US',NULL,'[]',NULL,1800000000.0,1800000000.0,NULL,1,NULL);
INSERT INTO "jobs" VALUES(16,'queued','{"prompt": "a sea", "model": "plain", "seed": 32, "negative_prompt": "blurry", "vae": "Automatic", "clip_skip": 1, "steps": 12, "cfg_scale": 7.0, "sampler": "Euler a", "schedule_type": "Automatic", "width": 592, "height": 440, "count": 2, "variation_seed": 0, "variation_strength": 0.0, "denoising_strength": 0.4, "hires": null}','9ec5ccdd40f144302ce12ddc6cbfe3eb4bfb408ed7e3a54e26496e54fe24b9de',1456074443980800023,1456074443980800019,1456074443980800022,1456074443980800200,1456074443980800000,'simcord_interaction_1456074443980800199',1800000900.0,0,'en-US',NULL,'[]',NULL,1800000000.0,NULL,NULL,1,NULL);
INSERT INTO "jobs" VALUES(17,'queued','{"prompt": "a dog", "model": "plain", "seed": 33, "negative_prompt": "blurry", "vae": "Automatic", "clip_skip": 1, "steps": 25, "cfg_scale": 7.0, "sampler": "Euler", "schedule_type": "Automatic", "width": 592, "height": 440, "count": 1, "variation_seed": 0, "variation_strength": 0.0, "denoising_strength": 0.75, "hires": null}','ef5c3130d6d7d2345a2da6e0a42fd75a71e8608e3b960f17b2e210f525bdad27',1456074443980800024,1456074443980800019,1456074443980800022,1456074443980800203,1456074443980800000,'simcord_interaction_1456074443980800202',1800000900.0,0,'en-US',NULL,'[]',NULL,1800000000.0,NULL,NULL,1,'[{"axis": "steps", "text": "5,6", "values": [5, 6]}]');
INSERT INTO "jobs" VALUES(18,'queued','{"prompt": "a queued secret", "model": "plain", "seed": 34, "negative_prompt": "blurry", "vae": "Automatic", "clip_skip": 1, "steps": 12, "cfg_scale": 7.0, "sampler": "Euler a", "schedule_type": "Automatic", "width": 512, "height": 512, "count": 1, "variation_seed": 0, "variation_strength": 0.0, "denoising_strength": 0.75, "hires": null}',NULL,1456074443980800023,1456074443980800019,1456074443980800022,1456074443980800205,1456074443980800000,'simcord_interaction_1456074443980800204',1800000900.0,1,'en-US',NULL,'[]',NULL,1800000000.0,NULL,NULL,1,NULL);
INSERT INTO "jobs" VALUES(19,'cancelled','{"prompt": "never mind", "model": "plain", "seed": 35, "negative_prompt": "blurry", "vae": "Automatic", "clip_skip": 1, "steps": 12, "cfg_scale": 7.0, "sampler": "Euler a", "schedule_type": "Automatic", "width": 512, "height": 512, "count": 1, "variation_seed": 0, "variation_strength": 0.0, "denoising_strength": 0.75, "hires": null}',NULL,1456074443980800023,1456074443980800019,1456074443980800022,1456074443980800207,1456074443980800000,'simcord_interaction_1456074443980800206',1800000900.0,0,'en-US',NULL,'[]',NULL,1800000000.0,NULL,1800000000.0,1,NULL);
CREATE TABLE pictures (
    job_id INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    seed INTEGER NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    infotext TEXT NOT NULL,
    attachment_id INTEGER,
    PRIMARY KEY (job_id, position)
) STRICT;
INSERT INTO "pictures" VALUES(1,0,7,512,512,'a red circle
Steps: 25, Sampler: Euler, CFG scale: 7, Seed: 7, Size: 512x512, Model: plain, Clip skip: 1',1456074443980800037);
INSERT INTO "pictures" VALUES(2,0,100,512,512,'a cat
Steps: 25, Sampler: Euler, CFG scale: 7, Seed: 100, Size: 512x512, Model: plain, Clip skip: 1',1456074443980800041);
INSERT INTO "pictures" VALUES(2,1,101,512,512,'a cat
Steps: 25, Sampler: Euler, CFG scale: 7, Seed: 101, Size: 512x512, Model: plain, Clip skip: 1',1456074443980800042);
INSERT INTO "pictures" VALUES(2,2,102,512,512,'a cat
Steps: 25, Sampler: Euler, CFG scale: 7, Seed: 102, Size: 512x512, Model: plain, Clip skip: 1',1456074443980800043);
INSERT INTO "pictures" VALUES(2,3,103,512,512,'a cat
Steps: 25, Sampler: Euler, CFG scale: 7, Seed: 103, Size: 512x512, Model: plain, Clip skip: 1',1456074443980800044);
INSERT INTO "pictures" VALUES(3,0,3,592,440,'a hill
Steps: 25, Sampler: Euler, CFG scale: 7, Seed: 3, Size: 592x440, Model: plain, Clip skip: 1',1456074443980800049);
INSERT INTO "pictures" VALUES(4,0,7,768,768,'a red circle
Steps: 25, Sampler: Euler, CFG scale: 7, Seed: 7, Size: 512x512, Model: plain, Clip skip: 1',1456074443980800055);
INSERT INTO "pictures" VALUES(5,0,5,56,134,'a dog
Negative prompt: blurry
Steps: 25, Sampler: Euler, Schedule type: Automatic, CFG scale: 7.0, Seed: 5, Size: 512x512, Model: plain, Script: X/Y/Z plot, X Type: Clip skip, X Values: "1,2,3", Version: Penultimate 0.1.0',1456074443980800059);
INSERT INTO "pictures" VALUES(5,1,5,512,512,'a dog
Steps: 25, Sampler: Euler, CFG scale: 7, Seed: 5, Size: 512x512, Model: plain, Clip skip: 1',NULL);
INSERT INTO "pictures" VALUES(5,2,5,512,512,'a dog
Steps: 25, Sampler: Euler, CFG scale: 7, Seed: 5, Size: 512x512, Model: plain, Clip skip: 2',NULL);
INSERT INTO "pictures" VALUES(5,3,5,512,512,'a dog
Steps: 25, Sampler: Euler, CFG scale: 7, Seed: 5, Size: 512x512, Model: plain, Clip skip: 3',NULL);
INSERT INTO "pictures" VALUES(6,0,5,121,156,'a dog
Negative prompt: blurry
Steps: 5, Sampler: Euler, Schedule type: Automatic, CFG scale: 7.0, Seed: 5, Size: 512x512, Model: plain, Script: X/Y/Z plot, X Type: Clip skip, X Values: "1,2,3", Y Type: Steps, Y Values: "5,6", Version: Penultimate 0.1.0',1456074443980800063);
INSERT INTO "pictures" VALUES(6,1,5,512,512,'a dog
Steps: 5, Sampler: Euler, CFG scale: 7, Seed: 5, Size: 512x512, Model: plain, Clip skip: 1',NULL);
INSERT INTO "pictures" VALUES(6,2,5,512,512,'a dog
Steps: 5, Sampler: Euler, CFG scale: 7, Seed: 5, Size: 512x512, Model: plain, Clip skip: 2',NULL);
INSERT INTO "pictures" VALUES(6,3,5,512,512,'a dog
Steps: 5, Sampler: Euler, CFG scale: 7, Seed: 5, Size: 512x512, Model: plain, Clip skip: 3',NULL);
INSERT INTO "pictures" VALUES(6,4,5,512,512,'a dog
Steps: 6, Sampler: Euler, CFG scale: 7, Seed: 5, Size: 512x512, Model: plain, Clip skip: 1',NULL);
INSERT INTO "pictures" VALUES(6,5,5,512,512,'a dog
Steps: 6, Sampler: Euler, CFG scale: 7, Seed: 5, Size: 512x512, Model: plain, Clip skip: 2',NULL);
INSERT INTO "pictures" VALUES(6,6,5,512,512,'a dog
Steps: 6, Sampler: Euler, CFG scale: 7, Seed: 5, Size: 512x512, Model: plain, Clip skip: 3',NULL);
INSERT INTO "pictures" VALUES(7,0,9,512,512,'a secret
Steps: 25, Sampler: Euler, CFG scale: 7, Seed: 9, Size: 512x512, Model: plain, Clip skip: 1',1456074443980800067);
INSERT INTO "pictures" VALUES(8,0,7,512,512,'a red circle
Steps: 25, Sampler: Euler, CFG scale: 7, Seed: 7, Size: 512x512, Model: plain, Clip skip: 2',1456074443980800071);
INSERT INTO "pictures" VALUES(10,0,8,512,512,'a beach
Steps: 25, Sampler: Euler, CFG scale: 7, Seed: 8, Size: 512x512, Model: plain, Clip skip: 1',1456074443980800077);
INSERT INTO "pictures" VALUES(12,0,21,512,512,'finished
Steps: 12, Sampler: Euler a, CFG scale: 7, Seed: 21, Size: 512x512, Model: plain, Clip skip: 1',NULL);
INSERT INTO "pictures" VALUES(13,0,22,512,512,'finished in private
Steps: 12, Sampler: Euler a, CFG scale: 7, Seed: 22, Size: 512x512, Model: plain, Clip skip: 1',NULL);
INSERT INTO "pictures" VALUES(14,0,1,38,134,'finished
Negative prompt: blurry
Steps: 12, Sampler: Euler a, Schedule type: Automatic, CFG scale: 7.0, Seed: 1, Size: 512x512, Model: plain, Script: X/Y/Z plot, X Type: Seed, X Values: "1, 2", Version: Penultimate 0.1.0',NULL);
INSERT INTO "pictures" VALUES(14,1,1,512,512,'finished
Steps: 12, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512, Model: plain, Clip skip: 1',NULL);
INSERT INTO "pictures" VALUES(14,2,2,512,512,'finished
Steps: 12, Sampler: Euler a, CFG scale: 7, Seed: 2, Size: 512x512, Model: plain, Clip skip: 1',NULL);
CREATE TABLE presets (
    user_id INTEGER NOT NULL,
    name_key TEXT NOT NULL,
    name TEXT NOT NULL,
    options TEXT NOT NULL,
    saved_at REAL NOT NULL,
    PRIMARY KEY (user_id, name_key)
) STRICT;
INSERT INTO "presets" VALUES(1456074443980800023,'anime','Anime','{"model": "anime", "clip_skip": 2, "seed": -1}',1800000000.0);
INSERT INTO "presets" VALUES(1456074443980800023,'default','default','{"steps": 12, "sampler": "Euler a", "seed": 7}',1800000000.0);
INSERT INTO "presets" VALUES(1456074443980800024,'wide','wide','{"size": "768x512", "count": 2}',1800000000.0);
CREATE TABLE servers (
    guild_id INTEGER PRIMARY KEY,
    settings TEXT NOT NULL
) STRICT;
INSERT INTO "servers" VALUES(1456074443980800019,'{
  "version": 1,
  "channels": [
    "1456074443980800022",
    "1456074443980800027",
    999
  ],
  "roles": [
    "1456074443980800025"
  ],
  "models": [
    "plain",
    "anime"
  ],
  "model_roles": {
    "anime": [
      "1456074443980800025"
    ]
  },
  "max_steps": 100,
  "max_size": 1024,
  "max_count": 4,
  "max_cells": 20,
  "queue_per_member": 20,
  "queue_total": 100,
  "quota": 500,
  "role_quotas": {
    "1456074443980800025": 800
  },
  "defaults": {
    "steps": 25,
    "negative_prompt": "blurry"
  },
  "channel_defaults": {
    "1456074443980800027": {
      "steps": 8,
      "clip_skip": 3
    }
  },
  "words": [
    "forbidden",
    "worse words"
  ],
  "nsfw": "spoiler",
  "spoiler": true,
  "reactions": true,
  "language": "ja",
  "log_channel": "1456074443980800026",
  "banned": [
    4242
  ]
}');
INSERT INTO "servers" VALUES(1456074443980800182,'{"version": 99}');
CREATE TABLE shared_presets (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    options TEXT NOT NULL,
    shared_at REAL NOT NULL
, channel_id INTEGER, message_id INTEGER) STRICT;
INSERT INTO "shared_presets" VALUES(1,1456074443980800023,'Anime','{"model": "anime", "clip_skip": 2, "seed": -1}',1800000000.0,1456074443980800022,1456074443980800100);
CREATE TABLE spent (
    job_id INTEGER PRIMARY KEY,
    guild_id INTEGER NOT NULL,
    user_id INTEGER NOT NULL,
    at REAL NOT NULL,
    pictures REAL NOT NULL
) STRICT;
INSERT INTO "spent" VALUES(1,1456074443980800019,1456074443980800023,1800000000.0,1.25);
INSERT INTO "spent" VALUES(2,1456074443980800019,1456074443980800023,1800000000.0,5.0);
INSERT INTO "spent" VALUES(3,1456074443980800019,1456074443980800023,1800000000.0,1.24206542968749977795e+00);
INSERT INTO "spent" VALUES(4,1456074443980800019,1456074443980800023,1800000000.0,4.06249999999999911182e+00);
INSERT INTO "spent" VALUES(5,1456074443980800019,1456074443980800023,1800000000.0,3.75);
INSERT INTO "spent" VALUES(6,1456074443980800019,1456074443980800023,1800000000.0,1.65);
INSERT INTO "spent" VALUES(7,1456074443980800019,1456074443980800023,1800000000.0,1.25);
INSERT INTO "spent" VALUES(8,1456074443980800019,1456074443980800024,1800000000.0,1.25);
INSERT INTO "spent" VALUES(10,1456074443980800019,1456074443980800024,1800000000.0,1.25);
INSERT INTO "spent" VALUES(11,1456074443980800019,1456074443980800032,1800000000.0,1.25);
INSERT INTO "spent" VALUES(12,1456074443980800019,1456074443980800023,1800000000.0,0.6);
INSERT INTO "spent" VALUES(13,1456074443980800019,1456074443980800023,1800000000.0,0.6);
INSERT INTO "spent" VALUES(14,1456074443980800019,1456074443980800023,1800000000.0,1.2);
INSERT INTO "spent" VALUES(15,1456074443980800019,1456074443980800023,1800000000.0,0.59619140625);
INSERT INTO "spent" VALUES(16,1456074443980800019,1456074443980800023,1800000000.0,1.1923828125);
INSERT INTO "spent" VALUES(17,1456074443980800019,1456074443980800024,1800000000.0,0.5465087890625);
INSERT INTO "spent" VALUES(18,1456074443980800019,1456074443980800023,1800000000.0,0.6);
CREATE TABLE styles (
    guild_id INTEGER NOT NULL,
    name_key TEXT NOT NULL,
    name TEXT NOT NULL,
    template TEXT NOT NULL,
    negative_prompt TEXT NOT NULL,
    PRIMARY KEY (guild_id, name_key)
) STRICT;
INSERT INTO "styles" VALUES(1456074443980800019,'oil','Oil','oil painting of {prompt}','photo');
CREATE INDEX jobs_by_user ON jobs (user_id, id);
CREATE INDEX jobs_by_parent ON jobs (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX jobs_by_input ON jobs (init_image) WHERE init_image IS NOT NULL;
CREATE INDEX jobs_open ON jobs (id) WHERE state IN ('queued', 'running', 'finished');
CREATE INDEX jobs_with_token ON jobs (token_expires_at) WHERE interaction_token IS NOT NULL;
CREATE INDEX spent_by_member ON spent (guild_id, user_id, at);
CREATE INDEX spent_by_time ON spent (at);
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
CREATE INDEX jobs_open_by_server ON jobs (guild_id) WHERE state IN ('queued', 'running');
CREATE INDEX shared_presets_by_user ON shared_presets (user_id, id);
CREATE INDEX jobs_by_message ON jobs (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX copies_by_job ON copies (job_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('jobs',19);
INSERT INTO "sqlite_sequence" VALUES('shared_presets',1);
COMMIT;
PRAGMA user_version = 7;
