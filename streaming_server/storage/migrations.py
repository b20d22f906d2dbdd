"""The schema of the database, as the changes that lead to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

_VOICE_SAMPLES_VOICES_CONFIGURATION = """
CREATE TABLE prompts (
    id TEXT PRIMARY KEY,
    sha256 TEXT NOT NULL,
    duration_s DOUBLE PRECISION NOT NULL,
    sample_rate INTEGER NOT NULL,
    original_format TEXT NOT NULL,
    original_sample_rate INTEGER NOT NULL,
    channels INTEGER NOT NULL,
    warnings TEXT NOT NULL,
    waveform TEXT NOT NULL,
    transcript TEXT,
    transcript_source TEXT,
    transcript_language TEXT,
    transcript_language_probability DOUBLE PRECISION,
    transcript_findings TEXT NOT NULL,
    discovered_at TEXT NOT NULL
);
CREATE INDEX prompts_by_content ON prompts (sha256);
CREATE TABLE voices (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    style TEXT NOT NULL,
    primary_speaker TEXT NOT NULL,
    prompt TEXT REFERENCES prompts (id) ON DELETE RESTRICT,
    transcript TEXT,
    temperature DOUBLE PRECISION,
    cfg_scale DOUBLE PRECISION,
    top_p DOUBLE PRECISION,
    seed BIGINT,
    speed DOUBLE PRECISION
);
CREATE INDEX voices_by_prompt ON voices (prompt);
CREATE TABLE configuration (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    value TEXT NOT NULL
);
"""

_JOBS_JOURNAL = """
CREATE TABLE jobs (
    number $SERIAL,
    id TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    request TEXT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    started_at DOUBLE PRECISION,
    finished_at DOUBLE PRECISION,
    utterances INTEGER NOT NULL DEFAULT 0,
    audio_s DOUBLE PRECISION NOT NULL DEFAULT 0,
    error_code TEXT,
    error_message TEXT,
    file TEXT
);
CREATE INDEX jobs_by_status ON jobs (status, number);
CREATE TABLE journal (
    number $SERIAL,
    id TEXT NOT NULL UNIQUE,
    made_at DOUBLE PRECISION NOT NULL,
    text TEXT NOT NULL,
    voice TEXT NOT NULL,
    prompt TEXT,
    took_s DOUBLE PRECISION NOT NULL,
    audio_s DOUBLE PRECISION NOT NULL,
    file TEXT,
    file_size BIGINT
);
CREATE INDEX journal_by_voice ON journal (voice, number);
"""

_VOICE_SAMPLE_MARK = "ALTER TABLE prompts ADD COLUMN mark TEXT;"

_VOICE_LANGUAGE = "ALTER TABLE voices ADD COLUMN language TEXT;"

_PRONUNCIATIONS = """
CREATE TABLE pronunciations (
    number INTEGER PRIMARY KEY,
    language TEXT NOT NULL,
    word TEXT NOT NULL,
    respelling TEXT,
    ipa TEXT
);
"""

_JOB_LEASES = """
ALTER TABLE jobs ADD COLUMN node TEXT;
ALTER TABLE jobs ADD COLUMN lease_until DOUBLE PRECISION;
ALTER TABLE jobs ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN lost INTEGER NOT NULL DEFAULT 0;
"""

_CHANGES = """
CREATE TABLE changes (
    topic TEXT PRIMARY KEY,
    version BIGINT NOT NULL
);
ALTER TABLE journal ADD COLUMN node TEXT;
"""

_VOICE_PRESET = "ALTER TABLE voices ADD COLUMN preset TEXT;"

_LEASES = """
CREATE TABLE leases (
    name TEXT NOT NULL,
    holder TEXT NOT NULL,
    lease_until DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (name, holder)
);
"""

MIGRATIONS: tuple[str, ...] = (
    _VOICE_SAMPLES_VOICES_CONFIGURATION,
    _JOBS_JOURNAL,
    _VOICE_SAMPLE_MARK,
    _VOICE_LANGUAGE,
    _PRONUNCIATIONS,
    _JOB_LEASES,
    _CHANGES,
    _VOICE_PRESET,
    _LEASES,
)
"""Scripts that bring an empty database to the current schema, for SQLite and PostgreSQL alike.

Each database counts those that were applied to it. Append only; never edit one. Every statement ends with a
semicolon at the end of a line. SQLite and PostgreSQL differ in one word, `$SERIAL`: the type of a key that
counts up and never repeats.
"""


def statements(script: str) -> Iterator[str]:
    """Yield the statements of a script."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    # A last statement without a semicolon must not be skipped silently.
    if statement.strip():
        yield statement
