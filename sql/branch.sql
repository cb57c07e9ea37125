-- What Assay installs in a branch's database: schema `assay`. Run by `assay init` as the tables' owner or a superuser, in one
-- transaction, with search_path = ''. Idempotent: every `assay init` runs it, and it changes nothing the second time; a later
-- version appends its own numbered section. The role, the grants on tables, the triggers and the publication are made table by
-- table (tools/setup/enrolled_tables.cc), because each needs its own short lock.

-- 1. --------------------------------------------------------------------------------------------------------------------------

CREATE SCHEMA IF NOT EXISTS assay;
COMMENT ON SCHEMA assay IS 'Assay replication: remove with `assay leave`.';

CREATE TABLE IF NOT EXISTS assay.installation (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  version integer NOT NULL,
  role_created boolean NOT NULL DEFAULT false);  -- assay_projector was made by `assay init`, so `assay leave` drops it.

DO $$
BEGIN
  IF (SELECT version FROM assay.installation) > 1 THEN
    RAISE EXCEPTION 'schema assay is version %, made by a newer Assay than this one (version 1)',
      (SELECT version FROM assay.installation) USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
END $$;
INSERT INTO assay.installation (version) VALUES (1) ON CONFLICT DO NOTHING;

-- The newest projection batch that committed: written in each projection's own transaction, so that one whose reply was lost can
-- be looked up. `origin` is the log that this database belongs to: an older or another copy of either is known by that.
CREATE TABLE IF NOT EXISTS assay.progress (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  batch bigint NOT NULL,
  origin text CHECK (origin ~ '^[0-9a-f]{32}$'));
INSERT INTO assay.progress (batch) VALUES (0) ON CONFLICT DO NOTHING;

-- Every relation that was changed for replication (tables, and the partitions below them), and how it was before.
CREATE TABLE IF NOT EXISTS assay.enrolled (
  relation regclass PRIMARY KEY,
  schema_name name NOT NULL,           -- Its name when it was enrolled: it may be renamed, or dropped.
  table_name name NOT NULL,
  root regclass NOT NULL,              -- The table that is published: `relation` itself, or the top of its partition tree.
  replica_identity "char" NOT NULL,    -- pg_class.relreplident before.
  identity_index name);                -- Of REPLICA IDENTITY USING INDEX.

-- Sequences that step by the stride, and their increment and start before.
CREATE TABLE IF NOT EXISTS assay.sequences (
  sequence regclass PRIMARY KEY,
  increment bigint NOT NULL,
  start bigint NOT NULL,
  stride bigint NOT NULL,
  number bigint NOT NULL);

-- Says once per transaction who is writing, in a message that logical decoding delivers with the transaction. The trigger's WHEN
-- clause keeps it from being called again; the setting is local to the (sub)transaction, so that a rolled-back savepoint takes the
-- setting and the message away together. An application tells who uses it by
--   SET LOCAL assay.application_user = 'Asha';   -- Until the transaction ends; SET without LOCAL: for the session.
-- and, if it likes, assay.terminal and assay.reason. Nothing in here can fail, nor needs a privilege of the writing role: the definer's are used,
-- so that an application's statement never fails because of it.
CREATE OR REPLACE FUNCTION assay.attribute() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM set_config('assay.attributed', 'yes', true);
  PERFORM pg_logical_emit_message(true, 'assay.attribution', jsonb_strip_nulls(jsonb_build_object(
    'database_user', session_user,
    'application_user', nullif(current_setting('assay.application_user', true), ''),
    'terminal', nullif(current_setting('assay.terminal', true), ''),
    'reason', nullif(current_setting('assay.reason', true), ''),
    'application_name', nullif(current_setting('application_name', true), ''),
    'client_address', host(inet_client_addr())))::text);
  RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION assay.attribute() FROM PUBLIC;
