BEGIN TRANSACTION;
CREATE TABLE configuration (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    value TEXT NOT NULL
);
INSERT INTO "configuration" VALUES(1,'{"debug_mode":true}');
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    request TEXT NOT NULL,
    created_at REAL NOT NULL,
    started_at REAL,
    finished_at REAL,
    utterances INTEGER NOT NULL DEFAULT 0,
    audio_s REAL NOT NULL DEFAULT 0,
    error_code TEXT,
    error_message TEXT,
    file TEXT
);
INSERT INTO "jobs" VALUES(1,'6956294d08ca174b2a696bc8797ee473','processing',X'7B2274657874223A2246697273742E222C22766F6963655F6964223A2261726961227D',1.79572315127515649791e+09,1.79572315127911543838e+09,NULL,0,0.0,NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(2,'145d41e27e63a65769af02a324813344','pending',X'7B2274657874223A225365636F6E642E222C22766F6963655F6964223A2261726961227D',1.7957231512788703442e+09,NULL,NULL,0,0.0,NULL,NULL,NULL);
CREATE TABLE journal (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    made_at REAL NOT NULL,
    text TEXT NOT NULL,
    voice TEXT NOT NULL,
    prompt TEXT,
    took_s REAL NOT NULL,
    audio_s REAL NOT NULL,
    file TEXT,
    file_size INTEGER
);
INSERT INTO "journal" VALUES(1,'559814937d7fccc627f68d82e9d3aace',1.79572315127201366426e+09,'Hello «there».','aria',NULL,0.5,2.0,NULL,NULL);
CREATE TABLE prompts (
    id TEXT PRIMARY KEY,
    sha256 TEXT NOT NULL,
    duration_s REAL NOT NULL,
    sample_rate INTEGER NOT NULL,
    original_format TEXT NOT NULL,
    original_sample_rate INTEGER NOT NULL,
    channels INTEGER NOT NULL,
    warnings TEXT NOT NULL,
    waveform TEXT NOT NULL,
    transcript TEXT,
    transcript_source TEXT,
    transcript_language TEXT,
    transcript_language_probability REAL,
    transcript_findings TEXT NOT NULL,
    discovered_at TEXT NOT NULL
, mark TEXT);
INSERT INTO "prompts" VALUES('ann','92afe841073926b01e0fe1b1aa0decb811059321b79da633a8b9f27832d321f6',6.5,44100,'mp3',48000,2,'["Longer than 10 s."]','[0,7,-3]','Good morning.','manual',NULL,NULL,'[]','2026-11-26T19:59:11.262+00:00','9 bytes');
CREATE TABLE pronunciations (
    number INTEGER PRIMARY KEY,
    language TEXT NOT NULL,
    word TEXT NOT NULL,
    respelling TEXT,
    ipa TEXT
);
INSERT INTO "pronunciations" VALUES(1,'en','GIF','jif',NULL);
INSERT INTO "pronunciations" VALUES(2,'','Ünïcode',NULL,'ˈjuːnɪkoʊd');
CREATE TABLE voices (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    style TEXT NOT NULL,
    primary_speaker TEXT NOT NULL,
    prompt TEXT REFERENCES prompts (id) ON DELETE RESTRICT,
    transcript TEXT,
    temperature REAL,
    cfg_scale REAL,
    top_p REAL,
    seed INTEGER,
    speed REAL
, language TEXT);
INSERT INTO "voices" VALUES('reader','Reader','neutral','S1','ann',NULL,1.25,NULL,NULL,9223372036854775807,NULL,'de');
CREATE INDEX prompts_by_content ON prompts (sha256);
CREATE INDEX voices_by_prompt ON voices (prompt);
CREATE INDEX jobs_by_status ON jobs (status, number);
CREATE INDEX journal_by_voice ON journal (voice, number);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('journal',1);
INSERT INTO "sqlite_sequence" VALUES('jobs',2);
COMMIT;
