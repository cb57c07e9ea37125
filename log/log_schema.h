// The tables of a log file, as FORMAT.md describes them. Created together, in one transaction with the format's number.
#pragma once

namespace assay {

inline constexpr char kLogSchema[] = R"sql(
-- One row per chain held here, and per origin that a row version names.
CREATE TABLE chain (
  id             INTEGER PRIMARY KEY,   -- Origin index, dense from 0.
  origin         BLOB NOT NULL UNIQUE,  -- 16 bytes.
  last           INTEGER NOT NULL,      -- Head: events 1..last are held.
  last_stamp     INTEGER NOT NULL,      -- Stamp of event `last`.
  complete       INTEGER NOT NULL,      -- Events 1..complete are whole transactions.
  complete_stamp INTEGER NOT NULL,
  tree           BLOB NOT NULL,         -- Merkle tree of 1..last: size and frontier.
  checkpoint     TEXT NOT NULL,         -- Newest signed checkpoint seen; may be empty.
  checksum       BLOB NOT NULL          -- Of all the above.
) STRICT;

-- The events. Segments of a chain neither overlap nor leave a gap.
CREATE TABLE segment (
  origin INTEGER NOT NULL,
  last   INTEGER NOT NULL,
  first  INTEGER NOT NULL,
  ends   INTEGER NOT NULL,              -- 1: event `last` ends a transaction.
  body   BLOB NOT NULL,
  PRIMARY KEY (origin, last)
) STRICT;

-- What is masked of each chain, by table: no event of it before `first` or after `last`.
CREATE TABLE masked (
  origin     INTEGER NOT NULL,
  table_name TEXT NOT NULL,
  first      INTEGER NOT NULL,
  last       INTEGER NOT NULL,
  events     INTEGER NOT NULL,          -- So many are masked between the two.
  PRIMARY KEY (origin, table_name)
) STRICT, WITHOUT ROWID;

-- The Merkle tree as it was at every 8192nd event, so that an older root need not start from event 1.
CREATE TABLE tree (
  origin INTEGER NOT NULL,
  size   INTEGER NOT NULL,
  tree   BLOB NOT NULL,
  PRIMARY KEY (origin, size)
) STRICT, WITHOUT ROWID;

-- Two contents under one name: what was held and what was offered, the first time.
CREATE TABLE evidence (
  origin   INTEGER NOT NULL,
  kind     TEXT NOT NULL,               -- 'fork' or 'checkpoint'.
  sequence INTEGER NOT NULL,
  held     BLOB NOT NULL,
  offered  BLOB NOT NULL,
  PRIMARY KEY (origin, kind, sequence)
) STRICT;

CREATE TABLE table_name (
  id          INTEGER PRIMARY KEY,
  schema_name TEXT NOT NULL,
  table_name  TEXT NOT NULL,
  UNIQUE (schema_name, table_name)
) STRICT;

CREATE TABLE column_name (
  table_id INTEGER NOT NULL,
  id       INTEGER NOT NULL,
  name     TEXT NOT NULL,
  PRIMARY KEY (table_id, id)
) STRICT, WITHOUT ROWID;

-- The fold's index: per row the versions of its life and columns.
CREATE TABLE row_version (
  table_id INTEGER NOT NULL,
  key_hash BLOB NOT NULL,
  versions BLOB NOT NULL,
  PRIMARY KEY (table_id, key_hash)
) STRICT, WITHOUT ROWID;

-- Row versions older than those of row_version_recent and newer than those of row_version: sorted runs of them, in blocks.
CREATE TABLE row_version_run (
  id   INTEGER PRIMARY KEY AUTOINCREMENT,
  run  INTEGER NOT NULL,                -- Higher ones count before lower ones.
  rows BLOB NOT NULL                    -- By table and key, over all blocks of the run.
) STRICT;

-- The newest row versions, commit by commit; now and then they become a run.
CREATE TABLE row_version_recent (
  id   INTEGER PRIMARY KEY AUTOINCREMENT,
  rows BLOB NOT NULL                    -- The last of a row counts.
) STRICT;

CREATE TABLE value (
  name  TEXT PRIMARY KEY,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE projected (
  origin   INTEGER PRIMARY KEY,
  sequence INTEGER NOT NULL
) STRICT;

CREATE TABLE seen (
  by_origin INTEGER NOT NULL,
  of_origin INTEGER NOT NULL,
  sequence  INTEGER NOT NULL,
  seen      INTEGER NOT NULL,
  PRIMARY KEY (by_origin, of_origin, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE intent (
  batch  INTEGER PRIMARY KEY,
  intent BLOB NOT NULL
) STRICT;

CREATE TABLE unsettled (
  revision    INTEGER PRIMARY KEY AUTOINCREMENT,  -- Of what is noted: each write has one of its own, never used again.
  table_id    INTEGER NOT NULL,
  key_hash    BLOB NOT NULL,
  key         BLOB NOT NULL,
  held_known  INTEGER NOT NULL,
  held        BLOB,                     -- Row versions; NULL: PostgreSQL never had the row.
  cause       TEXT NOT NULL,
  sqlstate    TEXT NOT NULL,
  origin      INTEGER NOT NULL,
  sequence    INTEGER NOT NULL,
  since_ms    INTEGER NOT NULL,
  retry_at_ms INTEGER NOT NULL,
  attempts    INTEGER NOT NULL,
  forgotten_ms INTEGER NOT NULL,        -- Unix milliseconds; 0: nobody has.
  UNIQUE (table_id, key_hash)
) STRICT;
CREATE INDEX unsettled_retry ON unsettled (retry_at_ms);

CREATE TABLE conflict (
  id              INTEGER PRIMARY KEY,
  table_id        INTEGER NOT NULL,
  key_hash        BLOB NOT NULL,
  key             BLOB NOT NULL,
  column_id       INTEGER,              -- NULL: the row's life.
  winner_stamp    INTEGER NOT NULL,
  winner_origin   INTEGER NOT NULL,
  winner_sequence INTEGER NOT NULL,
  loser_stamp     INTEGER NOT NULL,
  loser_origin    INTEGER NOT NULL,
  loser_sequence  INTEGER NOT NULL,
  listed          INTEGER NOT NULL,     -- 0: they do not disagree, and what comes later may with either.
  rule            TEXT NOT NULL,
  found_ms        INTEGER NOT NULL
) STRICT;
CREATE INDEX conflict_winner ON conflict (table_id, key_hash, winner_origin, winner_sequence);
CREATE INDEX conflict_loser ON conflict (table_id, key_hash, loser_origin, loser_sequence);
CREATE INDEX conflict_age ON conflict (loser_stamp);
)sql";

}  // namespace assay
