-- Assay's hub: keeps every branch's chain of events, takes pushes to one's own chain, gives the rest.
--
-- Installed by `assay hub install`, or pasted whole into Supabase's SQL editor, by a role with the privileges of Supabase's
-- `postgres`: CREATEROLE and CREATE on the database, not superuser. Installing again changes nothing. sql/README.md tells who may
-- do what and why, and has the bytes of the frames.
--
-- Rules every line here follows: all names qualified, and `search_path = pg_catalog, pg_temp` with pg_temp last, or a caller's
-- temporary table would be believed; every UPDATE and DELETE with WHERE (Supabase loads safeupdate); 64-bit numbers as strings in
-- JSON; nothing is ever owned by a role with BYPASSRLS, which would void the policies inside the functions.

BEGIN;
SET LOCAL client_min_messages = warning;

-- ---- Roles ------------------------------------------------------------------------------------------------------------

DO $$
DECLARE
  role name;
BEGIN
  IF current_setting('server_version_num')::int < 140000 THEN
    RAISE feature_not_supported USING MESSAGE = 'the hub needs PostgreSQL 14 or newer';
  END IF;
  -- Owner of everything; may administer branches; what the branches' login roles are members of.
  FOREACH role IN ARRAY ARRAY['assay_hub_owner', 'assay_hub_admin', 'assay_branch'] LOOP
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role) THEN
      EXECUTE format('CREATE ROLE %I NOLOGIN', role);
    ELSIF EXISTS (SELECT FROM pg_catalog.pg_roles
                  WHERE rolname = role AND (rolsuper OR rolbypassrls OR rolcanlogin OR rolcreaterole OR rolreplication)) THEN
      RAISE insufficient_privilege USING MESSAGE =
        format('role %s exists with more rights than it may have: DROP ROLE it, or ALTER ROLE %s NOLOGIN NOBYPASSRLS', role, role);
    END IF;
  END LOOP;
END $$;

GRANT assay_hub_admin TO CURRENT_USER;
-- For the length of this transaction: once installed, nobody is a member of the owner.
GRANT assay_hub_owner TO CURRENT_USER;

CREATE SCHEMA IF NOT EXISTS assay_hub AUTHORIZATION assay_hub_owner;
DO $$
BEGIN
  IF (SELECT nspowner::regrole::text FROM pg_catalog.pg_namespace WHERE nspname = 'assay_hub') <> 'assay_hub_owner' THEN
    RAISE insufficient_privilege USING MESSAGE = 'schema assay_hub exists and is not the hub''s: rename it first';
  END IF;
END $$;

-- Created by the owner rather than given to it, which would need CREATE for it and leave the creator's default privileges behind.
SET LOCAL ROLE assay_hub_owner;

-- ---- Tables -----------------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS assay_hub.migration (
  number      integer PRIMARY KEY,
  applied_at  timestamptz NOT NULL DEFAULT now()
);
DO $$
BEGIN
  IF EXISTS (SELECT FROM assay_hub.migration WHERE number > 1) THEN
    RAISE object_not_in_prerequisite_state USING MESSAGE = 'this hub was installed by a newer Assay: upgrade this one';
  END IF;
END $$;

-- Of tables that are there, in the order in which push, pull and the rest take them: whoever installs beside the branches' traffic waits
-- for the calls that are under way, and nobody waits for another in a ring. Not for long, since calls queue up behind: `assay hub
-- install` tries again. (The owner may not LOCK what it may not change; this takes the same lock.)
SET LOCAL lock_timeout = '3s';
DO $$
DECLARE
  target text;
BEGIN
  FOREACH target IN ARRAY ARRAY['branch', 'read_grant', 'origin', 'session', 'staged', 'segment', 'piece', 'presence', 'fork_evidence', 'set_aside', 'migration'] LOOP
    CONTINUE WHEN to_regclass('assay_hub.' || target) IS NULL;
    EXECUTE format('ALTER TABLE assay_hub.%I ENABLE ROW LEVEL SECURITY', target);
  END LOOP;
END $$;

-- Change 1. Later ones follow this block, each doing nothing when its number is there.

CREATE TABLE IF NOT EXISTS assay_hub.branch (
  number      integer PRIMARY KEY CHECK (number > 0),
  name        text NOT NULL UNIQUE CHECK (name <> ''),
  login_role  name NOT NULL UNIQUE,
  active      boolean NOT NULL DEFAULT true,
  retired     boolean NOT NULL DEFAULT false CHECK (NOT (active AND retired)),  -- Closed for good: nobody waits for it.
  created_at  timestamptz NOT NULL DEFAULT now(),
  changed_at  timestamptz NOT NULL DEFAULT clock_timestamp()  -- By the head office: what is above, its grants, or its chains set aside.
);

-- A chain, and its branch for ever. `complete`: the last event that ends a transaction; nobody is given more.
CREATE TABLE IF NOT EXISTS assay_hub.origin (
  origin           bytea PRIMARY KEY CHECK (octet_length(origin) = 16),
  branch           integer NOT NULL REFERENCES assay_hub.branch,
  last             bigint NOT NULL DEFAULT 0,
  complete         bigint NOT NULL DEFAULT 0 CHECK (complete <= last),
  checkpoint       text,
  checkpoint_size  bigint,
  opened_at        timestamptz NOT NULL DEFAULT now()
);

-- A run of events as it was pushed (log/segment.h). One row a segment takes and gives events several times as fast as one row an
-- event, and the parts keep masking by table possible. Parts are compressed already: EXTERNAL saves a vain second try.
CREATE TABLE IF NOT EXISTS assay_hub.segment (
  origin            bytea NOT NULL REFERENCES assay_hub.origin,
  first             bigint NOT NULL,
  last              bigint NOT NULL,
  ends_transaction  boolean NOT NULL,
  bytes             bigint NOT NULL,
  layout            bytea NOT NULL,
  leaf_hashes       bytea NOT NULL,
  tables            text[] NOT NULL,
  event_counts      integer[] NOT NULL,
  payloads          bytea[] NOT NULL,
  piece_part        integer,  -- The part, counted from 0, that is in `piece`: its payload here is empty.
  piece_bytes       bigint,   -- Its length.
  hub_time          timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (origin, last),
  CHECK (first BETWEEN 1 AND last AND octet_length(leaf_hashes) = 32 * (last - first + 1))
);
ALTER TABLE assay_hub.segment ALTER leaf_hashes SET STORAGE EXTERNAL, ALTER payloads SET STORAGE EXTERNAL;

-- A large part, as it was staged. In pieces, so that neither a line nor this server's memory ever has to hold all of it.
CREATE TABLE IF NOT EXISTS assay_hub.piece (
  origin  bytea NOT NULL REFERENCES assay_hub.origin,
  last    bigint NOT NULL,  -- Of its segment. (A foreign key would want to lock that, which nobody may.)
  number  integer NOT NULL,
  bytes   bytea NOT NULL,
  PRIMARY KEY (origin, last, number)
);
ALTER TABLE assay_hub.piece ALTER bytes SET STORAGE EXTERNAL;

-- What has come of the one large part that a chain is being given: nobody's to read, gone once it is pushed, or a day after its last
-- piece. `content` names it: the SHA-256 of all of it, as the branch says.
CREATE TABLE IF NOT EXISTS assay_hub.staged (
  origin     bytea NOT NULL REFERENCES assay_hub.origin,
  number     integer NOT NULL CHECK (number >= 0),
  content    bytea NOT NULL CHECK (octet_length(content) = 32),
  bytes      bytea NOT NULL CHECK (octet_length(bytes) BETWEEN 1 AND 1048576),
  staged_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (origin, number)
);
ALTER TABLE assay_hub.staged ALTER bytes SET STORAGE EXTERNAL;

CREATE TABLE IF NOT EXISTS assay_hub.read_grant (
  branch      integer NOT NULL REFERENCES assay_hub.branch,
  table_name  text NOT NULL CHECK (table_name <> ''),  -- As SegmentPart::table, or '*': every table.
  PRIMARY KEY (branch, table_name)
);

CREATE TABLE IF NOT EXISTS assay_hub.presence (
  branch      integer PRIMARY KEY REFERENCES assay_hub.branch,
  report      jsonb NOT NULL,
  last_seen   timestamptz NOT NULL,
  changed_at  timestamptz NOT NULL  -- When anything but its numbers was last told anew, or it came back.
);

-- Two contents under one name. Enough to convict: what was held, what was pushed, by whom, with the signed checkpoints.
CREATE TABLE IF NOT EXISTS assay_hub.fork_evidence (
  id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  origin             bytea NOT NULL REFERENCES assay_hub.origin,
  sequence           bigint NOT NULL,       -- The first event that differs, or the size both checkpoints claim.
  held               bytea NOT NULL,        -- Leaf hash of that event, or the root in the checkpoint.
  pushed             bytea NOT NULL,
  segment            bytea,                 -- As it was pushed.
  held_checkpoint    text,
  pushed_checkpoint  text,
  branch             integer NOT NULL,
  login_role         name NOT NULL,
  pushed_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
  UNIQUE (origin, sequence, pushed)         -- Pushing the same fork again proves nothing new.
);

-- The one run of a daemon that may write for a branch, and with it the branch's one living chain. Each run opens its own, naming the one
-- before by its nonce, which only the log that opened it knows: an older copy of that log, or a second daemon with it, does not.
CREATE TABLE IF NOT EXISTS assay_hub.session (
  branch     integer PRIMARY KEY REFERENCES assay_hub.branch,
  origin     bytea NOT NULL UNIQUE REFERENCES assay_hub.origin,
  counter    bigint NOT NULL CHECK (counter > 0),
  nonce      bytea NOT NULL CHECK (octet_length(nonce) = 16),
  opened_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Chains that the head office has set aside as evidence: nothing after event `after` is given to anybody, or taken.
CREATE TABLE IF NOT EXISTS assay_hub.set_aside (
  origin  bytea PRIMARY KEY REFERENCES assay_hub.origin,
  after   bigint NOT NULL CHECK (after >= 0),
  at      timestamptz NOT NULL DEFAULT clock_timestamp()
);

INSERT INTO assay_hub.migration (number) VALUES (1) ON CONFLICT DO NOTHING;

-- ---- Who is calling ---------------------------------------------------------------------------------------------------

-- The number of the branch that is calling; an error when it is none, or was deactivated.
--
-- session_user is who logged in: neither SET ROLE nor this function's own rights change it. Claims in request.jwt.claims are
-- worth nothing here, because whoever logs in directly can SET them; a transport over PostgREST may look at them, in this
-- function, and only when session_user is 'authenticator'.
CREATE OR REPLACE FUNCTION assay_hub.caller() RETURNS integer
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  me assay_hub.branch;
BEGIN
  SELECT * INTO me FROM assay_hub.branch WHERE login_role = session_user;
  IF NOT FOUND THEN
    RAISE SQLSTATE 'ZA003' USING MESSAGE = format('role %s is no branch of this hub', session_user);
  ELSIF NOT me.active THEN
    RAISE SQLSTATE 'ZA004' USING MESSAGE =
      format('branch %s was %s by the head office', me.name, CASE WHEN me.retired THEN 'retired' ELSE 'deactivated' END);
  END IF;
  RETURN me.number;
END $$;

CREATE OR REPLACE FUNCTION assay_hub.is_admin() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
RETURN pg_has_role(session_user, 'assay_hub_admin', 'MEMBER');

-- ---- The second line: even the functions' owner can do no more than this --------------------------------------------------

CREATE OR REPLACE FUNCTION assay_hub.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE insufficient_privilege USING MESSAGE =
    format('%s of %I.%I: what is in the hub''s log is never changed or removed', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME);
END $$;

CREATE OR REPLACE FUNCTION assay_hub.only_forward() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NEW.origin <> OLD.origin OR NEW.branch <> OLD.branch OR NEW.last < OLD.last OR NEW.complete < OLD.complete THEN
    RAISE insufficient_privilege USING MESSAGE = 'a chain keeps its branch and never becomes shorter';
  END IF;
  RETURN NEW;
END $$;

DO $$
DECLARE
  target text;
BEGIN
  FOREACH target IN ARRAY ARRAY['migration', 'branch', 'origin', 'segment', 'piece', 'staged', 'read_grant', 'presence', 'fork_evidence',
                              'session', 'set_aside'] LOOP
    EXECUTE format('ALTER TABLE assay_hub.%I ENABLE ROW LEVEL SECURITY', target);
    EXECUTE format('ALTER TABLE assay_hub.%I FORCE ROW LEVEL SECURITY', target);
    EXECUTE format('DROP POLICY IF EXISTS owner_reads ON assay_hub.%I', target);
    EXECUTE format('CREATE POLICY owner_reads ON assay_hub.%I FOR SELECT TO assay_hub_owner USING (true)', target);
  END LOOP;
  FOREACH target IN ARRAY ARRAY['segment', 'piece', 'fork_evidence'] LOOP
    EXECUTE format('CREATE OR REPLACE TRIGGER never_changes BEFORE UPDATE OR DELETE OR TRUNCATE ON assay_hub.%I '
                   'EXECUTE FUNCTION assay_hub.refuse_change()', target);
    -- Also under session_replication_role = replica, which Supabase's postgres may set.
    EXECUTE format('ALTER TABLE assay_hub.%I ENABLE ALWAYS TRIGGER never_changes', target);
    EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON assay_hub.%I FROM assay_hub_owner', target);
  END LOOP;
  FOREACH target IN ARRAY ARRAY['branch', 'origin'] LOOP
    EXECUTE format('CREATE OR REPLACE TRIGGER never_goes BEFORE DELETE OR TRUNCATE ON assay_hub.%I '
                   'EXECUTE FUNCTION assay_hub.refuse_change()', target);
    EXECUTE format('ALTER TABLE assay_hub.%I ENABLE ALWAYS TRIGGER never_goes', target);
    EXECUTE format('REVOKE DELETE, TRUNCATE ON assay_hub.%I FROM assay_hub_owner', target);
  END LOOP;
END $$;
CREATE OR REPLACE TRIGGER only_forward BEFORE UPDATE ON assay_hub.origin
  FOR EACH ROW EXECUTE FUNCTION assay_hub.only_forward();
ALTER TABLE assay_hub.origin ENABLE ALWAYS TRIGGER only_forward;

DROP POLICY IF EXISTS admin_migrates ON assay_hub.migration;
CREATE POLICY admin_migrates ON assay_hub.migration FOR INSERT TO assay_hub_owner WITH CHECK (assay_hub.is_admin());
DROP POLICY IF EXISTS own_chain ON assay_hub.segment;
CREATE POLICY own_chain ON assay_hub.segment FOR INSERT TO assay_hub_owner WITH CHECK (
  (SELECT o.branch FROM assay_hub.origin o WHERE o.origin = segment.origin) = assay_hub.caller());
DROP POLICY IF EXISTS own_piece ON assay_hub.piece;
CREATE POLICY own_piece ON assay_hub.piece FOR INSERT TO assay_hub_owner WITH CHECK (
  (SELECT o.branch FROM assay_hub.origin o WHERE o.origin = piece.origin) = assay_hub.caller());
DROP POLICY IF EXISTS stage_own ON assay_hub.staged;
CREATE POLICY stage_own ON assay_hub.staged FOR INSERT TO assay_hub_owner WITH CHECK (
  (SELECT o.branch FROM assay_hub.origin o WHERE o.origin = staged.origin) = assay_hub.caller());
DROP POLICY IF EXISTS unstage_own ON assay_hub.staged;
CREATE POLICY unstage_own ON assay_hub.staged FOR DELETE TO assay_hub_owner USING (
  staged_at < now() - interval '1 day'
  OR (SELECT o.branch FROM assay_hub.origin o WHERE o.origin = staged.origin) = assay_hub.caller());
DROP POLICY IF EXISTS open_own ON assay_hub.origin;
CREATE POLICY open_own ON assay_hub.origin FOR INSERT TO assay_hub_owner WITH CHECK (branch = assay_hub.caller());
DROP POLICY IF EXISTS extend_own ON assay_hub.origin;
CREATE POLICY extend_own ON assay_hub.origin FOR UPDATE TO assay_hub_owner
  USING (branch = assay_hub.caller()) WITH CHECK (branch = assay_hub.caller());
DROP POLICY IF EXISTS report_own ON assay_hub.presence;
CREATE POLICY report_own ON assay_hub.presence FOR INSERT TO assay_hub_owner WITH CHECK (branch = assay_hub.caller());
DROP POLICY IF EXISTS renew_own ON assay_hub.presence;
CREATE POLICY renew_own ON assay_hub.presence FOR UPDATE TO assay_hub_owner
  USING (branch = assay_hub.caller()) WITH CHECK (branch = assay_hub.caller());
DROP POLICY IF EXISTS begin_own ON assay_hub.session;
CREATE POLICY begin_own ON assay_hub.session FOR INSERT TO assay_hub_owner WITH CHECK (
  branch = assay_hub.caller() AND branch = (SELECT o.branch FROM assay_hub.origin o WHERE o.origin = session.origin));
DROP POLICY IF EXISTS follow_own ON assay_hub.session;
CREATE POLICY follow_own ON assay_hub.session FOR UPDATE TO assay_hub_owner USING (branch = assay_hub.caller()) WITH CHECK (
  branch = assay_hub.caller() AND branch = (SELECT o.branch FROM assay_hub.origin o WHERE o.origin = session.origin));
DROP POLICY IF EXISTS accuse_own ON assay_hub.fork_evidence;
CREATE POLICY accuse_own ON assay_hub.fork_evidence FOR INSERT TO assay_hub_owner WITH CHECK (branch = assay_hub.caller());
DROP POLICY IF EXISTS admin_enrols ON assay_hub.branch;
CREATE POLICY admin_enrols ON assay_hub.branch FOR INSERT TO assay_hub_owner WITH CHECK (assay_hub.is_admin());
DROP POLICY IF EXISTS admin_changes ON assay_hub.branch;
CREATE POLICY admin_changes ON assay_hub.branch FOR UPDATE TO assay_hub_owner
  USING (assay_hub.is_admin()) WITH CHECK (assay_hub.is_admin());
DROP POLICY IF EXISTS admin_grants ON assay_hub.read_grant;
CREATE POLICY admin_grants ON assay_hub.read_grant FOR INSERT TO assay_hub_owner WITH CHECK (assay_hub.is_admin());
DROP POLICY IF EXISTS admin_revokes ON assay_hub.read_grant;
CREATE POLICY admin_revokes ON assay_hub.read_grant FOR DELETE TO assay_hub_owner USING (assay_hub.is_admin());
DROP POLICY IF EXISTS admin_sets_aside ON assay_hub.set_aside;
CREATE POLICY admin_sets_aside ON assay_hub.set_aside FOR INSERT TO assay_hub_owner WITH CHECK (assay_hub.is_admin());
DROP POLICY IF EXISTS admin_takes_back ON assay_hub.set_aside;
CREATE POLICY admin_takes_back ON assay_hub.set_aside FOR DELETE TO assay_hub_owner USING (assay_hub.is_admin());
DROP POLICY IF EXISTS admin_reads ON assay_hub.fork_evidence;
CREATE POLICY admin_reads ON assay_hub.fork_evidence FOR SELECT TO assay_hub_admin USING (true);

-- ---- Bytes --------------------------------------------------------------------------------------------------------------

-- Big-endian numbers at a place counted from 0. The parentheses matter: << and | bind equally, from the left. Their bodies are
-- parsed now, so no search_path reaches them, and they are inlined.
CREATE OR REPLACE FUNCTION assay_hub.u32(bytes bytea, place bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (get_byte(bytes, place::int)::bigint << 24) | (get_byte(bytes, place::int + 1) << 16)
     | (get_byte(bytes, place::int + 2) << 8) | get_byte(bytes, place::int + 3);

CREATE OR REPLACE FUNCTION assay_hub.u64(bytes bytea, place bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (assay_hub.u32(bytes, place) << 32) | assay_hub.u32(bytes, place + 4);

-- STABLE, as extract() is for a timestamptz: as IMMUTABLE it would not be inlined, and take 0.07 ms a call.
CREATE OR REPLACE FUNCTION assay_hub.microseconds(at timestamptz) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (extract(epoch FROM at) * 1000000)::bigint;

CREATE OR REPLACE FUNCTION assay_hub.u16(bytes bytea, place bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (get_byte(bytes, place::int) << 8) | get_byte(bytes, place::int + 1);

-- A checkpoint's text, which is what is signed and kept, and its bytes in a frame: size (8), root (32), key id and signature (68).
-- encode() breaks its lines after 76 characters.
CREATE OR REPLACE FUNCTION assay_hub.checkpoint_text(id bytea, bytes bytea) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN encode(id, 'hex') || E'\n' || assay_hub.u64(bytes, 0)::text || E'\n' || encode(substr(bytes, 9, 32), 'base64') || E'\n\n\u2014 '
    || encode(id, 'hex') || ' ' || translate(encode(substr(bytes, 41, 68), 'base64'), E'\n', '') || E'\n';

CREATE OR REPLACE FUNCTION assay_hub.checkpoint_root(checkpoint text) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN decode(split_part(checkpoint, E'\n', 3), 'base64');

CREATE OR REPLACE FUNCTION assay_hub.checkpoint_bytes(checkpoint text) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN int8send(split_part(checkpoint, E'\n', 2)::bigint) || assay_hub.checkpoint_root(checkpoint)
    || decode(split_part(split_part(checkpoint, E'\n', 5), ' ', 3), 'base64');

-- How many events of a segment are in part 0, 1, …: a layout's last `events` bytes each name an event's part. NULL when a number is left
-- out.
CREATE OR REPLACE FUNCTION assay_hub.events_by_part(layout bytea, events integer) RETURNS integer[]
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  parts bytea := substr(layout, octet_length(layout) - events + 1);
BEGIN
  IF parts = decode(repeat('00', events), 'hex') THEN RETURN ARRAY[events]; END IF;  -- The usual case for large ones.
  RETURN (SELECT CASE WHEN max(part) + 1 = count(*) THEN array_agg(n ORDER BY part) END FROM (
            SELECT get_byte(parts, i) AS part, count(*)::integer AS n FROM generate_series(0, events - 1) AS i GROUP BY 1) AS counted);
END $$;

-- What a reader without a grant gets in place of a part: the leaf hashes of its events.
CREATE OR REPLACE FUNCTION assay_hub.leaves_of(leaf_hashes bytea, layout bytea, part bigint) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  leaves bytea := leaf_hashes || ''::bytea;  -- Fetched once, not once for each slice.
  events integer := octet_length(leaves) / 32;
  parts  bytea := substr(layout, octet_length(layout) - events + 1);
BEGIN
  -- generate_series counts up, and nothing here reorders; ORDER BY would sort the hashes at twice the cost.
  RETURN (SELECT string_agg(substr(leaves, 32 * i + 1, 32), ''::bytea)
          FROM generate_series(0, events - 1) AS i WHERE get_byte(parts, i) = part);
END $$;

-- ---- What a branch may call -----------------------------------------------------------------------------------------------

-- Who the hub takes the caller for. `version` is that of these functions: a client refuses another than its own.
CREATE OR REPLACE FUNCTION assay_hub.whoami() RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (SELECT jsonb_build_object('version', '1', 'number', number::text, 'name', name,
                                    'hub_time', assay_hub.microseconds(clock_timestamp())::text)
          FROM assay_hub.branch WHERE number = assay_hub.caller());
END $$;

-- The chain that lives under a branch's number, and when its machine was last heard of.
CREATE OR REPLACE FUNCTION assay_hub.living(open assay_hub.session) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN jsonb_build_object('origin', encode(open.origin, 'hex'), 'heard', assay_hub.microseconds(greatest(
  open.opened_at, (SELECT p.last_seen FROM assay_hub.presence AS p WHERE p.branch = open.branch)))::text);

-- How far every chain has come (what is left out: `complete` is `last`, and it is not set aside), and the caller's own checkpoints: those
-- of others come with pulls.
CREATE OR REPLACE FUNCTION assay_hub.heads() RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  me integer := assay_hub.caller();
BEGIN
  RETURN json_build_object(
    'hub_time', assay_hub.microseconds(clock_timestamp())::text,
    'living', (SELECT assay_hub.living(s) FROM assay_hub.session AS s WHERE s.branch = me),
    'origins', (SELECT coalesce(json_object_agg(encode(o.origin, 'hex'), json_strip_nulls(json_build_object(
                         'last', o.last::text, 'complete', nullif(least(o.complete, a.after), o.last)::text,
                         'checkpoint', CASE WHEN o.branch = me THEN o.checkpoint END,
                         'set_aside', nullif(a.origin IS NOT NULL, false)))), '{}')
                FROM assay_hub.origin AS o LEFT JOIN assay_hub.set_aside AS a ON a.origin = o.origin WHERE o.last > 0));
END $$;

-- Makes the chain the caller's when it is new, and locks it against other pushes. 42501 when it is another branch's.
CREATE OR REPLACE FUNCTION assay_hub.claim(id bytea, me integer) RETURNS assay_hub.origin
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  chain assay_hub.origin;
BEGIN
  SELECT * INTO chain FROM assay_hub.origin WHERE origin = id AND branch = me FOR UPDATE;
  IF FOUND THEN RETURN chain; END IF;
  INSERT INTO assay_hub.origin (origin, branch) VALUES (id, me) ON CONFLICT (origin) DO NOTHING;
  SELECT * INTO chain FROM assay_hub.origin WHERE origin = id AND branch = me FOR UPDATE;
  IF NOT FOUND THEN
    RAISE insufficient_privilege USING MESSAGE = format('chain %s belongs to another branch', encode(id, 'hex'));
  END IF;
  RETURN chain;
END $$;

-- Opens a session of the caller's chain, if what is here of it is the beginning of the caller's, which ends at `last` and of which `leaf`
-- is the hash of event `shown`; and if the branch's session is not open yet, is of the chain that `replaces` names, or is of this chain and
-- then among `known` (by their hex, blanks between), the asked one itself (its reply was lost), or older than the caller's counter says
-- (this hub was restored from a backup). A refusal takes no session away. None is opened of a chain that was set aside.
CREATE OR REPLACE FUNCTION assay_hub.open_session(request jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  me    integer := assay_hub.caller();
  id    bytea;
  asked bytea;
  ours  bigint;
  held  assay_hub.session;
  chain assay_hub.origin;
  leaf  bytea;              -- Of the last event that is here.
  another boolean;          -- Chain of the branch has the session, and is not to be replaced.
  answer jsonb;
BEGIN
  IF jsonb_typeof(request) <> 'object' OR pg_column_size(request) > 65536
     OR request ->> 'origin' !~ '^[0-9a-f]{32}$' OR request ->> 'session' !~ '^[0-9a-f]{32}$'
     OR request ->> 'counter' !~ '^(0|[1-9][0-9]{0,17})$' OR request ->> 'known' !~ '^([0-9a-f]{32} ?)*$'
     OR request ->> 'last' !~ '^(0|[1-9][0-9]{0,17})$' OR request ->> 'shown' !~ '^(0|[1-9][0-9]{0,17})$'
     OR request ->> 'leaf' !~ '^([0-9a-f]{64})?$' OR request ->> 'replaces' !~ '^([0-9a-f]{32})?$'
     OR NOT request ?& ARRAY['origin', 'session', 'counter', 'known', 'last', 'shown', 'leaf', 'replaces'] THEN
    RAISE SQLSTATE 'ZA002' USING MESSAGE = 'open_session: no request';
  END IF;
  id := decode(request ->> 'origin', 'hex');
  asked := decode(request ->> 'session', 'hex');
  ours := (request ->> 'counter')::bigint;
  -- Locks the session, and then chains, which push locks alone: one at a time.
  SELECT * INTO held FROM assay_hub.session AS s WHERE s.branch = me FOR UPDATE;
  another := coalesce(held.origin <> id AND held.origin <> decode(request ->> 'replaces', 'hex'), false);
  -- Nothing is kept of a chain that is refused before it was ever heard of.
  IF NOT another OR EXISTS (SELECT FROM assay_hub.origin AS o WHERE o.origin = id) THEN
    chain := assay_hub.claim(id, me);
  END IF;
  answer := jsonb_build_object('counter', CASE WHEN held.origin = id THEN held.counter ELSE 0 END::text, 'last', coalesce(chain.last, 0)::text);
  IF EXISTS (SELECT FROM assay_hub.set_aside AS a WHERE a.origin = id) THEN
    RETURN answer || '{"answer": "set-aside"}';
  ELSIF another THEN
    RETURN answer || jsonb_build_object('answer', 'replaced', 'living', assay_hub.living(held));
  ELSIF chain.last > (request ->> 'last')::bigint THEN
    RETURN answer || '{"answer": "hub-has-more"}';
  ELSIF chain.last > 0 AND chain.last <> (request ->> 'shown')::bigint THEN
    RETURN answer || '{"answer": "show"}';
  ELSIF chain.last > 0 THEN
    leaf := (SELECT substr(s.leaf_hashes, octet_length(s.leaf_hashes) - 31) FROM assay_hub.segment AS s
             WHERE s.origin = id AND s.last = chain.last);
    IF leaf IS DISTINCT FROM decode(request ->> 'leaf', 'hex') THEN
      INSERT INTO assay_hub.fork_evidence (origin, sequence, held, pushed, held_checkpoint, branch, login_role)
      VALUES (id, chain.last, leaf, decode(request ->> 'leaf', 'hex'), chain.checkpoint, me, session_user) ON CONFLICT DO NOTHING;
      RETURN answer || '{"answer": "hub-has-another"}';
    END IF;
  END IF;
  IF held.branch IS NULL THEN
    INSERT INTO assay_hub.session (branch, origin, counter, nonce) VALUES (me, id, ours + 1, asked)
    ON CONFLICT (branch) DO NOTHING RETURNING * INTO held;
    IF NOT FOUND THEN RETURN assay_hub.open_session(request); END IF;  -- Somebody else was quicker.
  ELSIF held.origin <> id THEN
    PERFORM FROM assay_hub.origin AS o WHERE o.origin = held.origin FOR UPDATE;  -- What it is pushing now comes before.
    UPDATE assay_hub.session AS s SET origin = id, counter = ours + 1, nonce = asked, opened_at = clock_timestamp()
    WHERE s.branch = me RETURNING * INTO held;
  ELSIF held.nonce <> asked THEN
    IF held.counter >= ours AND encode(held.nonce, 'hex') <> ALL (string_to_array(request ->> 'known', ' ')) THEN
      RETURN answer || '{"answer": "unknown"}';
    END IF;
    UPDATE assay_hub.session AS s SET counter = greatest(held.counter, ours) + 1, nonce = asked, opened_at = clock_timestamp()
    WHERE s.branch = me RETURNING * INTO held;
  END IF;
  RETURN answer || jsonb_build_object('answer', 'opened', 'counter', held.counter::text);
END $$;

-- ZA008 unless `nonce` is the session that is open, and of this chain; a branch that never had one needs none. A chain that was set aside
-- has none: who asks for it is told why.
CREATE OR REPLACE FUNCTION assay_hub.check_session(id bytea, me integer, nonce bytea) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM assay_hub.session AS s
             WHERE s.branch = me AND (s.origin <> id OR s.nonce IS DISTINCT FROM check_session.nonce)) THEN
    RAISE SQLSTATE 'ZA008' USING MESSAGE = format('another daemon has opened the session of this branch than that of chain %s', encode(id, 'hex'));
  ELSIF EXISTS (SELECT FROM assay_hub.set_aside AS a WHERE a.origin = id) THEN
    RAISE SQLSTATE 'ZA008' USING MESSAGE = format('chain %s was set aside by the head office', encode(id, 'hex'));
  END IF;
END $$;

-- Takes one piece of a large part that is to be pushed to the caller's chain, and says how many of it are held: the caller goes on from
-- there, so that no line has to last for more than a piece. Without bytes it only says. A chain has one part staged: another `content`
-- takes its place.
CREATE OR REPLACE FUNCTION assay_hub.stage(frame bytea) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  me     integer := assay_hub.caller();
  id     bytea;
  n      integer;
  asked  bytea;
  piece  bytea;
  held   bigint;
  pieces bigint;
BEGIN
  n := CASE WHEN octet_length(frame) > 17 THEN get_byte(frame, 17) ELSE 0 END;
  IF octet_length(frame) < 54 + n OR get_byte(frame, 0) <> 1 OR octet_length(frame) > 54 + n + 1048576 THEN
    RAISE SQLSTATE 'ZA002' USING MESSAGE = 'stage: not a frame of version 1';
  END IF;
  id := substr(frame, 2, 16);
  asked := substr(frame, 19 + n, 32);
  piece := substr(frame, 55 + n);
  PERFORM assay_hub.claim(id, me);  -- Locks the chain: one at a time.
  PERFORM assay_hub.check_session(id, me, substr(frame, 19, n));
  DELETE FROM assay_hub.staged AS s WHERE s.origin = id AND s.content <> asked;
  SELECT count(*), coalesce(max(s.number) + 1, 0) INTO held, pieces FROM assay_hub.staged AS s WHERE s.origin = id;
  IF held <> pieces THEN  -- Swept in part.
    DELETE FROM assay_hub.staged AS s WHERE s.origin = id;
    held := 0;
  END IF;
  IF octet_length(piece) > 0 AND assay_hub.u32(frame, 50 + n) = held THEN
    INSERT INTO assay_hub.staged (origin, number, content, bytes) VALUES (id, held, asked, piece);
    held := held + 1;
  END IF;
  IF held < 2 THEN  -- Now and then: what others have not gone on with.
    DELETE FROM assay_hub.staged AS s WHERE s.origin IN (
      SELECT t.origin FROM assay_hub.staged AS t GROUP BY t.origin HAVING max(t.staged_at) < now() - interval '1 day');
  END IF;
  RETURN jsonb_build_object('pieces', held::text);
END $$;

-- Appends segments to the caller's chain, all or none; what is there already with the same hashes is not stored again. A second
-- content under a name is not an error here, because an error would roll the evidence back: the reply says {"fork": …} and nothing
-- else was stored. ZA001: a gap before the first segment. ZA002: no frame. ZA009: a part that is said to be staged is not, as a whole.
-- The statements of push and pull are planned once a session: left to itself, PostgreSQL takes a plan that knows the arrays for the cheaper one, and
-- makes it anew with every call, which is one of the 10 ms that a sale takes to the other shop.
CREATE OR REPLACE FUNCTION assay_hub.push(frame bytea) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  me            integer := assay_hub.caller();
  chain         assay_hub.origin;
  id            bytea;
  checkpoint    text;
  size          bigint;             -- Of the checkpoint.
  root          bytea;
  place         bigint;             -- In the frame, counted from 0.
  begins        bigint;
  n             bigint;
  segments      bigint;
  events        bigint;
  parts         integer;
  low           bigint;             -- Its first and last sequence.
  high          bigint;
  flags         integer;
  layout        bytea;
  leaves        bytea;
  tables        text[];
  counts        integer[];
  payloads      bytea[];
  staged        integer;            -- The part, counted from 0, of which the frame has only the name.
  staged_bytes  bigint;
  staged_name   bytea;
  overlap       bigint;
  held          bytea;
  held_first    bigint;
  complete      bigint;
  different     bigint;
BEGIN
  IF octet_length(frame) < 31 OR get_byte(frame, 0) <> 1 THEN
    RAISE SQLSTATE 'ZA002' USING MESSAGE = 'push: not a frame of version 1';
  END IF;
  id := substr(frame, 2, 16);
  n := get_byte(frame, 17);
  chain := assay_hub.claim(id, me);
  PERFORM assay_hub.check_session(id, me, substr(frame, 19, n::int));
  place := 18 + n;
  complete := chain.complete;

  n := get_byte(frame, place::int);
  IF n > 0 THEN
    size := assay_hub.u64(frame, place + 1);
    IF n <> 108 OR place + n >= octet_length(frame) OR size < 0 THEN
      RAISE SQLSTATE 'ZA002' USING MESSAGE = format('push: no checkpoint of chain %s', encode(id, 'hex'));
    END IF;
    checkpoint := assay_hub.checkpoint_text(id, substr(frame, place::int + 2, 108));
    root := assay_hub.checkpoint_root(checkpoint);
    held := assay_hub.checkpoint_root(chain.checkpoint);
    IF size = chain.checkpoint_size AND held <> root THEN
      INSERT INTO assay_hub.fork_evidence (origin, sequence, held, pushed, held_checkpoint, pushed_checkpoint, branch, login_role)
      VALUES (id, size, held, root, chain.checkpoint, checkpoint, me, session_user) ON CONFLICT DO NOTHING;
      RETURN jsonb_build_object('fork', jsonb_build_object('what', 'root', 'sequence', size::text, 'held', encode(held, 'hex'),
                                                           'pushed', encode(root, 'hex')));
    END IF;
  END IF;
  place := place + 1 + n;

  high := assay_hub.u64(frame, place) - 1;
  segments := assay_hub.u32(frame, place + 8);
  place := place + 12;
  FOR number IN 1 .. segments LOOP
    begins := place;
    events := assay_hub.u32(frame, place);
    flags := get_byte(frame, place::int + 4);
    low := high + 1;
    high := high + events;
    n := assay_hub.u32(frame, place + 5);
    layout := substr(frame, place::int + 10, n::int);
    place := place + 9 + n;
    leaves := substr(frame, place::int + 1, (32 * events)::int);
    place := place + 32 * events;
    parts := get_byte(frame, place::int);
    place := place + 1;
    tables := '{}'; payloads := '{}'; staged := NULL; staged_bytes := NULL;
    FOR part IN 1 .. parts LOOP
      n := assay_hub.u16(frame, place);
      IF n > 1024 THEN RAISE SQLSTATE 'ZA002' USING MESSAGE = 'push: no name of a table is that long'; END IF;
      tables := array_append(tables, convert_from(substr(frame, place::int + 3, n::int), 'UTF8'));
      place := place + 2 + n;
      n := assay_hub.u32(frame, place + 1);
      IF get_byte(frame, place::int) = 2 THEN
        IF n <> 40 OR staged IS NOT NULL THEN RAISE SQLSTATE 'ZA002' USING MESSAGE = 'push: no name of a staged part'; END IF;
        staged := part - 1;
        staged_bytes := assay_hub.u64(frame, place + 5);
        staged_name := substr(frame, place::int + 14, 32);
        payloads := array_append(payloads, ''::bytea);
      ELSE
        payloads := array_append(payloads, substr(frame, place::int + 6, n::int));
      END IF;
      place := place + 5 + n;
    END LOOP;
    IF place > octet_length(frame) OR low < 1 OR events < 1 OR events > 16777216 OR flags NOT IN (2, 3)
       OR octet_length(layout) <= events THEN
      RAISE SQLSTATE 'ZA002' USING MESSAGE = format('push: segment %s (events %s to %s) is malformed', number, low, high);
    END IF;
    counts := assay_hub.events_by_part(layout, events::integer);
    IF cardinality(counts) IS DISTINCT FROM parts THEN
      RAISE SQLSTATE 'ZA002' USING MESSAGE = format('push: segment %s (events %s to %s) has not the parts of its layout', number, low, high);
    END IF;

    IF low > chain.last + 1 THEN
      RAISE SQLSTATE 'ZA001' USING MESSAGE =
        format('the hub has chain %s up to %s, and was given %s next', encode(id, 'hex'), chain.last, low);
    ELSIF low <= chain.last THEN
      overlap := least(high, chain.last) - low + 1;
      SELECT min(s.first), string_agg(s.leaf_hashes, ''::bytea ORDER BY s.last) INTO held_first, held
      FROM assay_hub.segment AS s WHERE s.origin = id AND s.last >= low AND s.last <= (
        SELECT min(t.last) FROM assay_hub.segment AS t WHERE t.origin = id AND t.last >= low + overlap - 1);
      held := substr(held, (32 * (low - held_first) + 1)::int, (32 * overlap)::int);
      IF held <> substr(leaves, 1, (32 * overlap)::int) THEN
        different := (SELECT min(i) FROM generate_series(0, overlap - 1) AS i
                      WHERE substr(held, (32 * i + 1)::int, 32) <> substr(leaves, (32 * i + 1)::int, 32));
        held := substr(held, (32 * different + 1)::int, 32);
        leaves := substr(leaves, (32 * different + 1)::int, 32);
        INSERT INTO assay_hub.fork_evidence
          (origin, sequence, held, pushed, segment, held_checkpoint, pushed_checkpoint, branch, login_role)
        VALUES (id, low + different, held, leaves, id || int8send(low) || substr(frame, begins::int + 1, (place - begins)::int),
                chain.checkpoint, checkpoint, me, session_user) ON CONFLICT DO NOTHING;
        RETURN jsonb_build_object('fork', jsonb_build_object('what', 'leaf', 'sequence', (low + different)::text,
                                                             'held', encode(held, 'hex'), 'pushed', encode(leaves, 'hex')));
      END IF;
      -- Held in part: storing the rest would need it cut, and only the branch can. It goes on from the head it is told.
      EXIT WHEN high > chain.last;
    ELSE
      INSERT INTO assay_hub.segment (origin, first, last, ends_transaction, bytes, layout, leaf_hashes, tables, event_counts, payloads,
                                     piece_part, piece_bytes)
      VALUES (id, low, high, flags = 3, place - begins, layout, leaves, tables, counts, payloads, staged, staged_bytes);
      IF staged IS NOT NULL THEN
        IF staged_bytes IS DISTINCT FROM (SELECT sum(octet_length(s.bytes)) FROM assay_hub.staged AS s
                                          WHERE s.origin = id AND s.content = staged_name) THEN
          RAISE SQLSTATE 'ZA009' USING MESSAGE = format('of event %s of chain %s not all pieces are there', low, encode(id, 'hex'));
        END IF;
        INSERT INTO assay_hub.piece (origin, last, number, bytes)
        SELECT id, high, s.number, s.bytes FROM assay_hub.staged AS s WHERE s.origin = id ORDER BY s.number;
        DELETE FROM assay_hub.staged AS s WHERE s.origin = id;
      END IF;
      chain.last := high;
      IF flags = 3 THEN chain.complete := high; END IF;
    END IF;
  END LOOP;

  IF place < octet_length(frame) AND high <= chain.last THEN
    RAISE SQLSTATE 'ZA002' USING MESSAGE = 'push: more bytes than segments';
  END IF;
  IF size <= chain.last AND size > coalesce(chain.checkpoint_size, 0) THEN
    chain.checkpoint := checkpoint;
    chain.checkpoint_size := size;
  END IF;
  UPDATE assay_hub.origin AS o
  SET last = chain.last, complete = chain.complete, checkpoint = chain.checkpoint, checkpoint_size = chain.checkpoint_size
  WHERE o.origin = id AND (o.last, o.checkpoint_size) IS DISTINCT FROM (chain.last, chain.checkpoint_size);
  IF chain.complete > complete THEN PERFORM pg_notify('assay_hub', me::text); END IF;
  RETURN jsonb_build_object('last', chain.last::text);
END $$;

-- Gives what the caller lacks, up to about the bytes it asked for: whole transactions only, each chain in order, and all chains
-- together in the order in which they came in, so that a long backlog of one does not hold up what came before it from others. Of a
-- part that is in pieces it gives the length: the caller fetches the pieces, and a chain goes on behind them with the next pull.
-- One value and never a set, which PostgREST cuts at 1,000 rows; STABLE: all of it from one snapshot.
CREATE OR REPLACE FUNCTION assay_hub.pull(frame bytea) RETURNS bytea
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  me         integer := assay_hub.caller();
  granted    text[] := ARRAY(SELECT table_name FROM assay_hub.read_grant WHERE branch = me);
  everything boolean := '*' = ANY (granted);
  known      bigint;
  ids        bytea[];
  sequences  bigint[];
  roots      bytea[];
  bytes_max  bigint;
  given      bigint;
  more       boolean;
  body       bytea;
BEGIN
  IF octet_length(frame) < 13 OR get_byte(frame, 0) <> 1 OR octet_length(frame) <> 13 + 32 * assay_hub.u32(frame, 9) THEN
    RAISE SQLSTATE 'ZA002' USING MESSAGE = 'pull: not a frame of version 1';
  END IF;
  bytes_max := least(assay_hub.u64(frame, 1), 67108864);
  known := assay_hub.u32(frame, 9);
  SELECT array_agg(substr(frame, (32 * i + 14)::int, 16)), array_agg(assay_hub.u64(frame, 32 * i + 29)),
         array_agg(substr(frame, (32 * i + 38)::int, 8))
  INTO ids, sequences, roots FROM generate_series(0, known - 1) AS i;

  WITH held AS (
    SELECT o.origin, o.branch, least(o.complete, a.after) AS complete, coalesce(h.have, 0) AS have, count(*) OVER () AS behind
    FROM assay_hub.origin AS o LEFT JOIN unnest(ids, sequences) AS h (id, have) ON h.id = o.origin
    LEFT JOIN assay_hub.set_aside AS a ON a.origin = o.origin
    WHERE least(o.complete, a.after) > coalesce(h.have, 0)
  ), candidate AS (
    -- Some thousand rows at most, however long the backlog: what is beyond them comes with a later pull.
    SELECT h.origin, h.branch, s.last, s.bytes, max(s.hub_time) OVER (PARTITION BY h.origin ORDER BY s.last) AS arrived,
           count(s.piece_part) OVER (PARTITION BY h.origin ORDER BY s.last ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS behind_pieces
    FROM held AS h CROSS JOIN LATERAL (
      SELECT t.last, t.bytes, t.hub_time, t.piece_part FROM assay_hub.segment AS t
      WHERE t.origin = h.origin AND t.last > h.have AND t.last <= h.complete
      ORDER BY t.last LIMIT greatest(16, 8192 / h.behind)) AS s
  ), summed AS (
    SELECT *, sum(bytes) OVER (ORDER BY arrived, origin, last ROWS UNBOUNDED PRECEDING) - bytes AS before
    FROM candidate WHERE behind_pieces = 0
  ), picked AS MATERIALIZED (
    SELECT * FROM summed WHERE before = 0 OR before < bytes_max
  ), encoded AS (
    SELECT p.arrived, p.origin, p.last,
      s.origin || int8send(s.first) || int4send((s.last - s.first + 1)::int)
      || CASE WHEN s.ends_transaction THEN '\x01'::bytea ELSE '\x00' END
      || int4send(octet_length(s.layout)) || s.layout || set_byte('\x00'::bytea, 0, cardinality(s.tables))
      || (SELECT string_agg(int2send(octet_length(part.name)::int2) || part.name
                            || CASE WHEN NOT part.readable THEN '\x01'::bytea WHEN part.in_pieces THEN '\x02' ELSE '\x00' END
                            || int4send(octet_length(part.payload)) || part.payload, ''::bytea ORDER BY part.i)
          FROM (SELECT u.i, convert_to(u.name, 'UTF8') AS name, r.readable, u.i - 1 = s.piece_part AS in_pieces,
                       CASE WHEN NOT r.readable THEN assay_hub.leaves_of(s.leaf_hashes, s.layout, u.i - 1)
                            WHEN u.i - 1 = s.piece_part THEN int8send(s.piece_bytes) ELSE u.payload END AS payload
                FROM unnest(s.tables, s.payloads) WITH ORDINALITY AS u (name, payload, i)
                -- The schema events a reader needs are of no table. What a branch wrote itself is not news to it.
                CROSS JOIN LATERAL (SELECT everything OR u.name = '' OR p.branch = me OR u.name = ANY (granted) AS readable) AS r
               ) AS part) AS segment
    FROM picked AS p JOIN assay_hub.segment AS s ON s.origin = p.origin AND s.last = p.last
  )
  SELECT (SELECT count(*) FROM picked),
         (SELECT coalesce(string_agg(e.segment, ''::bytea ORDER BY e.arrived, e.origin, e.last), '') FROM encoded AS e),
         (SELECT coalesce(bool_or(h.complete > coalesce((SELECT max(p.last) FROM picked AS p WHERE p.origin = h.origin), h.have)), false)
          FROM held AS h)
  INTO given, body, more;

  -- Of the heads, those that are not as the caller has them; of a chain that it has and this hub has not, that it is empty.
  RETURN '\x01'::bytea || CASE WHEN more THEN '\x01'::bytea ELSE '\x00' END
    || int8send(assay_hub.microseconds(clock_timestamp()))
    || (SELECT int4send(count(*)::int) || coalesce(string_agg(d.id || int8send(d.last) || int8send(d.complete)
               || CASE WHEN d.known THEN '\x00'::bytea ELSE '\x6c'::bytea || assay_hub.checkpoint_bytes(d.checkpoint) END, ''::bytea), '')
        FROM (SELECT coalesce(o.origin, h.id) AS id, coalesce(o.last, 0) AS last,
                     least(coalesce(o.complete, 0), (SELECT a.after FROM assay_hub.set_aside AS a WHERE a.origin = o.origin)) AS complete,
                     o.checkpoint, h.have,
                     o.checkpoint IS NULL OR h.root IS NOT DISTINCT FROM substr(assay_hub.checkpoint_root(o.checkpoint), 1, 8) AS known
              FROM (SELECT * FROM assay_hub.origin WHERE last > 0) AS o
              FULL JOIN unnest(ids, sequences, roots) AS h (id, have, root) ON h.id = o.origin) AS d
        WHERE d.last IS DISTINCT FROM d.have OR d.complete <> d.last OR NOT d.known)
    || int4send(given::int) || body;
END $$;

-- One piece of a part that pull has given the length of, to whom it would give the part.
CREATE OR REPLACE FUNCTION assay_hub.piece(frame bytea) RETURNS bytea
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  me   integer := assay_hub.caller();
  held bytea;
BEGIN
  IF octet_length(frame) <> 29 OR get_byte(frame, 0) <> 1 THEN
    RAISE SQLSTATE 'ZA002' USING MESSAGE = 'piece: not a frame of version 1';
  END IF;
  SELECT p.bytes INTO held
  FROM assay_hub.origin AS o JOIN assay_hub.segment AS s ON s.origin = o.origin
  JOIN assay_hub.piece AS p ON p.origin = s.origin AND p.last = s.last
  LEFT JOIN assay_hub.set_aside AS a ON a.origin = o.origin
  WHERE o.origin = substr(frame, 2, 16) AND s.last = assay_hub.u64(frame, 17) AND s.last <= least(o.complete, a.after) AND p.number = assay_hub.u32(frame, 25)
    AND (o.branch = me OR s.tables[s.piece_part + 1] = '' OR EXISTS (
           SELECT FROM assay_hub.read_grant AS g WHERE g.branch = me AND g.table_name IN ('*', s.tables[s.piece_part + 1])));
  IF NOT FOUND THEN
    RAISE SQLSTATE 'ZA002' USING MESSAGE = 'piece: there is none that this branch may read';
  END IF;
  RETURN held;
END $$;

-- Keeps the caller's newest report and tells it the others': of each a few words, and only of those that are not as they were at the
-- time that the report names (`since`: `hub_time` of an earlier reply), or of all without one. All ask twice a minute: told of everybody
-- each time, 1,000 branches would be given 20 GB a month each. Numbers change all the time and are no news. Which session somebody has
-- open is nobody else's. The chain is claimed with its report: others learn the id from here, and could otherwise claim it before its
-- first push.
CREATE OR REPLACE FUNCTION assay_hub.heartbeat(report jsonb) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  me       integer := assay_hub.caller();
  own      assay_hub.branch;
  at       timestamptz;
  told     timestamptz;  -- Told of all that was so then. NULL: of nothing.
  news     boolean;      -- The head office has changed something since.
  quiet    CONSTANT interval := '75 s';  -- As kQuietAfter in engine/remotes/hub.h.
  numbers  CONSTANT text[] := ARRAY['head', 'written', 'parked'];
BEGIN
  IF jsonb_typeof(report) <> 'object' OR pg_column_size(report) > 65536 OR report ->> 'origin' !~ '^[0-9a-f]{32}$'
     OR report ->> 'since' !~ '^[0-9]{0,18}$' THEN
    RAISE SQLSTATE 'ZA002' USING MESSAGE = 'heartbeat: no report';
  END IF;
  SELECT * INTO own FROM assay_hub.branch WHERE number = me;
  IF report ->> 'number' <> own.number::text OR report ->> 'name' NOT IN ('', own.name) THEN
    RAISE SQLSTATE 'ZA005' USING MESSAGE = format(
      'this login was enrolled as branch %s "%s", and says it is branch %s "%s": correct [branch] in the configuration, or the hub''s url',
      own.number, own.name, report ->> 'number', report ->> 'name');
  END IF;
  PERFORM assay_hub.claim(decode(report ->> 'origin', 'hex'), me);
  PERFORM assay_hub.check_session(decode(report ->> 'origin', 'hex'), me, decode(coalesce(report ->> 'session', ''), 'hex'));
  PERFORM set_config('synchronous_commit', 'off', true);  -- The next one comes in half a minute: it waits for no disk.
  at := clock_timestamp();
  INSERT INTO assay_hub.presence AS p (branch, report, last_seen, changed_at)
  VALUES (me, heartbeat.report - ARRAY['session', 'name', 'number', 'since'], at, at)
  ON CONFLICT (branch) DO UPDATE SET report = excluded.report, last_seen = at, changed_at = CASE
    WHEN p.report - numbers = excluded.report - numbers AND p.last_seen > at - quiet THEN p.changed_at ELSE at END;

  at := clock_timestamp();  -- Before what it tells of is looked at.
  -- A minute more than that: some may have been under way then. From the future, as after this hub's clock was set back: of nothing.
  told := to_timestamp(0) + nullif(report ->> 'since', '')::bigint * interval '1 microsecond' - interval '1 minute';
  IF told > at THEN told := NULL; END IF;
  news := told IS NULL OR EXISTS (SELECT FROM assay_hub.branch AS b WHERE b.changed_at > told);
  -- As json, which is put together a few times as fast as jsonb. NULL: as it was.
  RETURN json_build_object(
    'hub_time', assay_hub.microseconds(at)::text, 'whole', told IS NULL,
    -- A branch that is granted more asks for what it holds masked.
    'granted', CASE WHEN news THEN (
      SELECT coalesce(json_agg(g.table_name), '[]') FROM assay_hub.read_grant AS g WHERE g.branch = me) END,
    -- Nobody waits for more of these.
    'set_aside', CASE WHEN news THEN (
      SELECT coalesce(json_agg(json_build_object('origin', encode(a.origin, 'hex'), 'after', a.after::text, 'name', b.name)), '[]')
      FROM assay_hub.set_aside AS a JOIN assay_hub.origin AS o ON o.origin = a.origin
      JOIN assay_hub.branch AS b ON b.number = o.branch) END,
    'branches', (SELECT coalesce(json_agg(json_build_object(
                          'number', b.number::text, 'name', b.name, 'active', b.active, 'retired', b.retired,
                          'last_seen', assay_hub.microseconds(p.last_seen)::text, 'report', p.report) ORDER BY b.number), '[]')
                 FROM assay_hub.branch AS b LEFT JOIN assay_hub.presence AS p ON p.branch = b.number
                 WHERE told IS NULL OR b.changed_at > told OR p.changed_at > told
                    OR (p.last_seen < at - quiet AND p.last_seen > told - quiet)));  -- Not heard any more.
END $$;

-- ---- What the head office may call ------------------------------------------------------------------------------------------

-- `tables` as a whole: what is not in it is no longer granted. A name that nobody has is a slip, once there are names to know.
CREATE OR REPLACE FUNCTION assay_hub.set_grants(branch_name text, tables text[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  target  integer := (SELECT number FROM assay_hub.branch WHERE name = branch_name);
  unknown text;
BEGIN
  IF target IS NULL THEN
    RAISE SQLSTATE 'ZA007' USING MESSAGE = format('no branch is called "%s"', branch_name);
  END IF;
  IF EXISTS (SELECT FROM assay_hub.segment AS s WHERE s.tables <> ARRAY['']) THEN
    unknown := (SELECT string_agg(t, ', ' ORDER BY t) FROM unnest(tables) AS t
                WHERE t <> '*' AND NOT EXISTS (SELECT FROM assay_hub.read_grant AS g WHERE g.table_name = t)
                  AND NOT EXISTS (SELECT FROM assay_hub.segment AS s WHERE t = ANY (s.tables)));
  END IF;
  IF unknown IS NOT NULL THEN
    RAISE SQLSTATE 'ZA007' USING MESSAGE = format(
      'no branch has sent a row of %s, and nothing was changed: correct the name, or grant the table once a branch has rows of it', unknown);
  END IF;
  DELETE FROM assay_hub.read_grant WHERE branch = target AND table_name <> ALL (tables);
  INSERT INTO assay_hub.read_grant SELECT DISTINCT target, t FROM unnest(tables) AS t ON CONFLICT DO NOTHING;
  UPDATE assay_hub.branch AS b SET changed_at = clock_timestamp() WHERE b.number = target;
END $$;

CREATE OR REPLACE FUNCTION assay_hub.register_branch(branch_name text, branch_number integer, role name, tables text[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  other assay_hub.branch;
BEGIN
  SELECT * INTO other FROM assay_hub.branch AS b WHERE b.number = branch_number OR b.name = branch_name LIMIT 1;
  IF FOUND THEN
    RAISE SQLSTATE 'ZA006' USING MESSAGE = format(
      'branch %s is enrolled already, as "%s": choose another name and number, or make it a new password (assay hub password)',
      other.number, other.name);
  END IF;
  INSERT INTO assay_hub.branch (number, name, login_role) VALUES (branch_number, branch_name, role);
  -- Perhaps before anybody has a row of them.
  INSERT INTO assay_hub.read_grant SELECT DISTINCT branch_number, t FROM unnest(tables) AS t;
END $$;

CREATE OR REPLACE FUNCTION assay_hub.set_active(branch_name text, active boolean) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE assay_hub.branch AS b SET active = set_active.active, retired = b.retired AND NOT set_active.active,
    changed_at = clock_timestamp() WHERE b.name = branch_name;
  IF NOT FOUND THEN
    RAISE SQLSTATE 'ZA007' USING MESSAGE = format('no branch is called "%s"', branch_name);
  END IF;
END $$;

-- Closed for good. Its history stays; set_active takes it back.
CREATE OR REPLACE FUNCTION assay_hub.retire(branch_name text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE assay_hub.branch AS b SET active = false, retired = true, changed_at = clock_timestamp() WHERE b.name = branch_name;
  IF NOT FOUND THEN
    RAISE SQLSTATE 'ZA007' USING MESSAGE = format('no branch is called "%s"', branch_name);
  END IF;
END $$;

-- Sets chains of a branch aside, or takes that back (`lift`): those that some branch refuses, from where the first of them stands, as
-- they told with their heartbeats; when nobody refuses any, the newest, with all that was given of it. `after`: from there instead.
CREATE OR REPLACE FUNCTION assay_hub.quarantine(branch_name text, after bigint, lift boolean) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  target integer := (SELECT number FROM assay_hub.branch WHERE name = branch_name);
  chains jsonb;
BEGIN
  IF target IS NULL THEN
    RAISE SQLSTATE 'ZA007' USING MESSAGE = format('no branch is called "%s"', branch_name);
  END IF;
  UPDATE assay_hub.branch AS b SET changed_at = clock_timestamp() WHERE b.number = target;
  IF lift THEN
    WITH gone AS (DELETE FROM assay_hub.set_aside AS a USING assay_hub.origin AS o
                  WHERE o.origin = a.origin AND o.branch = target RETURNING a.origin, a.after)
    SELECT jsonb_agg(jsonb_build_object('origin', encode(g.origin, 'hex'), 'after', g.after::text)) INTO chains FROM gone AS g;
    IF chains IS NULL THEN
      RAISE SQLSTATE 'ZA007' USING MESSAGE = format('nothing of branch "%s" is set aside', branch_name);
    END IF;
    RETURN jsonb_build_object('chains', chains);
  END IF;
  WITH told AS (
    SELECT r.key AS id, min(r.value::bigint) AS held
    FROM assay_hub.presence AS p CROSS JOIN LATERAL jsonb_each_text(
      CASE WHEN jsonb_typeof(p.report -> 'refused') = 'object' THEN p.report -> 'refused' ELSE '{}' END) AS r
    WHERE p.branch <> target AND r.value ~ '^(0|[1-9][0-9]{0,17})$' GROUP BY r.key
  ), own AS (
    SELECT o.origin, o.complete, o.opened_at, t.held FROM assay_hub.origin AS o
    LEFT JOIN told AS t ON t.id = encode(o.origin, 'hex') WHERE o.branch = target AND o.last > 0
  ), meant AS (
    SELECT o.origin, o.complete, o.held FROM own AS o WHERE o.held IS NOT NULL
    UNION ALL
    (SELECT o.origin, o.complete, o.held FROM own AS o WHERE NOT EXISTS (SELECT FROM own AS n WHERE n.held IS NOT NULL)
     ORDER BY o.opened_at DESC LIMIT 1)
  ), added AS (
    INSERT INTO assay_hub.set_aside (origin, after)
    SELECT m.origin, least(m.complete, coalesce(quarantine.after, m.held)) FROM meant AS m ON CONFLICT DO NOTHING
    RETURNING set_aside.origin, set_aside.after
  )
  SELECT jsonb_agg(jsonb_build_object('origin', encode(n.origin, 'hex'), 'after', n.after::text)) INTO chains FROM added AS n;
  IF chains IS NULL THEN
    RAISE SQLSTATE 'ZA007' USING MESSAGE = format(
      'nothing of branch "%s" can be set aside: it has sent nothing, or that was done already (--lift takes it back)', branch_name);
  END IF;
  RETURN jsonb_build_object('chains', chains);
END $$;

CREATE OR REPLACE FUNCTION assay_hub.branches() RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (SELECT jsonb_build_object('branches', coalesce(jsonb_agg(jsonb_build_object(
            'number', b.number::text, 'name', b.name, 'login_role', b.login_role, 'active', b.active, 'retired', b.retired,
            'set_aside', (SELECT coalesce(min(a.after)::text, '') FROM assay_hub.set_aside AS a
                          JOIN assay_hub.origin AS o ON o.origin = a.origin WHERE o.branch = b.number),
            'created_at', assay_hub.microseconds(b.created_at)::text, 'last_seen', assay_hub.microseconds(p.last_seen)::text,
            'forks', (SELECT count(*)::text FROM assay_hub.fork_evidence AS f WHERE f.branch = b.number),
            'tables', (SELECT coalesce(jsonb_agg(g.table_name ORDER BY g.table_name), '[]')
                       FROM assay_hub.read_grant AS g WHERE g.branch = b.number)) ORDER BY b.number), '[]'))
          FROM assay_hub.branch AS b LEFT JOIN assay_hub.presence AS p ON p.branch = b.number);
END $$;

-- ---- Privileges ---------------------------------------------------------------------------------------------------------------

-- PostgreSQL gives PUBLIC the right to execute every new function, and a project may have default privileges of its own.
DO $$
DECLARE
  grantee text;
BEGIN
  FOR grantee IN SELECT 'PUBLIC' UNION ALL SELECT quote_ident(rolname) FROM pg_catalog.pg_roles
                 WHERE rolname IN ('anon', 'authenticated', 'service_role', 'authenticator', 'assay_branch', 'assay_hub_admin') LOOP
    EXECUTE 'REVOKE ALL ON SCHEMA assay_hub FROM ' || grantee;
    EXECUTE 'REVOKE ALL ON ALL TABLES IN SCHEMA assay_hub FROM ' || grantee;
    EXECUTE 'REVOKE ALL ON ALL SEQUENCES IN SCHEMA assay_hub FROM ' || grantee;
    EXECUTE 'REVOKE ALL ON ALL FUNCTIONS IN SCHEMA assay_hub FROM ' || grantee;
  END LOOP;
END $$;
GRANT USAGE ON SCHEMA assay_hub TO assay_branch, assay_hub_admin;
GRANT EXECUTE ON FUNCTION assay_hub.whoami(), assay_hub.heads(), assay_hub.stage(bytea), assay_hub.push(bytea),
  assay_hub.pull(bytea), assay_hub.piece(bytea), assay_hub.heartbeat(jsonb), assay_hub.open_session(jsonb) TO assay_branch;
GRANT EXECUTE ON FUNCTION assay_hub.register_branch(text, integer, name, text[]), assay_hub.set_grants(text, text[]),
  assay_hub.set_active(text, boolean), assay_hub.retire(text), assay_hub.quarantine(text, bigint, boolean), assay_hub.branches()
  TO assay_hub_admin;
GRANT SELECT ON assay_hub.fork_evidence TO assay_hub_admin;

RESET ROLE;
REVOKE assay_hub_owner FROM CURRENT_USER;
NOTIFY pgrst, 'reload schema';
COMMIT;
