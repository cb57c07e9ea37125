# shellcheck shell=bash
# The demonstration's fleet: servers and daemons in one temporary directory, and nothing of them left afterwards.
# Sourced by tools/demo after common.sh. Every process started here is ended by its pid.

FLEET=
DIFFERENCES=0
declare -A PIDS=()
TIMES=()

title() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[[ -t 1 ]] || title() { printf '\n== %s\n' "$*"; }
tell() { printf '%s\n' "$*"; }

now_ms() { local t=${EPOCHREALTIME/[.,]/}; printf '%s' $((10#$t / 1000)); }
stopwatch() { WATCH_MS="$(now_ms)"; }
took() {
  local ms=$(($(now_ms) - WATCH_MS))
  TIMES+=("$(printf '%6d ms  %s' "$ms" "$1")")
  tell "($ms ms $1)"
}
print_times() { printf '%s\n' "${TIMES[@]}"; }

fleet_begin() {
  stopwatch
  FLEET="$(mktemp -d "${TMPDIR:-/tmp}/assay-demo-XXXXXX")"
  chmod 755 "$FLEET"
  trap fleet_end EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  PG_BIN="${ASSAY_PG_BIN:-$(find /usr/lib/postgresql -maxdepth 3 -name postgres -path '*/bin/*' -printf '%h\n' | sort -V | tail -1)}"
  [[ -x "$PG_BIN/postgres" ]] || die 'no PostgreSQL server under /usr/lib/postgresql; set ASSAY_PG_BIN to its bin directory'
  AS_SERVER=()
  if ((EUID == 0)); then
    AS_SERVER=(setpriv --reuid=postgres --regid=postgres --init-groups)  # PostgreSQL refuses root.
  fi
}

# Daemons first, so that they say goodbye to servers that still answer.
fleet_end() {
  trap - EXIT
  trap '' INT TERM HUP
  local name
  for name in mumbai-daemon pune-daemon mumbai pune hub; do end_process "$name"; done
  rm -rf "$FLEET"
}

# start_process NAME SIGNAL-TO-END COMMAND…: in a session of its own, so that Ctrl-C reaches only us; it dies with us in
# any case.
start_process() {
  local name="$1" signal="$2"
  shift 2
  setsid setpriv --pdeathsig "$signal" "$@" >>"$FLEET/$name.log" 2>&1 </dev/null &
  PIDS[$name]="$! $signal"
}

end_process() {
  local name="$1" pid signal
  read -r pid signal <<<"${PIDS[$name]:-}" || true
  [[ -n "$pid" ]] || return 0
  unset "PIDS[$name]"
  kill -s "$signal" "$pid" 2>/dev/null || true
  local tries state
  for ((tries = 0; tries < 400; ++tries)); do
    state="$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$pid/status" 2>/dev/null || true)"
    [[ -z "$state" || "$state" == Z ]] && break
    sleep 0.05
  done
  kill -s KILL "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
}

# ---- Servers: on a unix socket only, $FLEET/NAME, so that no port can be taken ----

start_server() {
  local name="$1" superuser="$2"
  mkdir "$FLEET/$name"
  ((EUID != 0)) || chown postgres: "$FLEET/$name"
  "${AS_SERVER[@]}" "$PG_BIN/initdb" -D "$FLEET/$name/data" -U "$superuser" --auth=trust --no-sync \
    --encoding=UTF8 --locale=C.UTF-8 >"$FLEET/$name.log" 2>&1 ||
    { cat "$FLEET/$name.log"; die "initdb failed for $name"; }
  cat >>"$FLEET/$name/data/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$FLEET/$name'
wal_level = logical
shared_buffers = 32MB
log_line_prefix = '%m [%p] %u@%d '
CONF
  resume_server "$name"
}

resume_server() {
  local name="$1" tries
  start_process "$name" INT "${AS_SERVER[@]:1}" "$PG_BIN/postgres" -D "$FLEET/$name/data"
  for ((tries = 0; tries < 600; ++tries)); do
    "$PG_BIN/pg_isready" -q -h "$FLEET/$name" && return 0
    sleep 0.05
  done
  tail -20 "$FLEET/$name.log"
  die "PostgreSQL of $name did not start"
}

stop_server() { end_process "$1"; }

# sql SERVER USER DATABASE psql-arguments…
sql() {
  local server="$1" user="$2" database="$3"
  shift 3
  PGOPTIONS='-c client_min_messages=warning' "$PG_BIN/psql" -XqAt -v ON_ERROR_STOP=1 -h "$FLEET/$server" -U "$user" -d "$database" "$@"
}

# write SHOP PERSON SQL: as the ERP does it, saying who sits at the till. Sets COMMITTED_MS.
write() {
  COMMITTED_MS="$(sql "$1" erp erp -c "SET assay.application_user = '$2'" -c "SET assay.terminal = '$1 till'" -c "$3" \
    -c 'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint' | tail -1)"
}

# watch_for SHOP QUERY: waits, in the background and inside that server, until the query gives a row; seen_after then
# sets SEEN_MS, counted from the last write's commit.
watch_for() {
  sql "$1" erp erp -c "DO \$\$ BEGIN FOR i IN 1..20000 LOOP EXIT WHEN EXISTS ($2); PERFORM pg_sleep(0.001); END LOOP; END \$\$" \
    -c "SELECT CASE WHEN EXISTS ($2) THEN (extract(epoch FROM clock_timestamp()) * 1000)::bigint END" >"$FLEET/seen" &
  WATCHER=$!
  sleep 0.3
}
seen_after() {
  wait "$WATCHER"
  [[ -s "$FLEET/seen" && -n "$(<"$FLEET/seen")" ]] || return 1
  SEEN_MS=$(($(<"$FLEET/seen") - COMMITTED_MS))
  ((SEEN_MS > 0)) || SEEN_MS='less than 1'
  TIMES+=("$(printf '%6s ms  from the commit in Mumbai until Pune shows the product' "$SEEN_MS")")
}

# ---- Assay ----

assay_at() {
  local shop="$1"
  shift
  "$BUILD_DIR/tools/assay" --config "$FLEET/$shop.toml" "$@"
}

# As the head office: Supabase's `postgres`, which is no superuser.
install_hub() {
  sql hub supabase_admin postgres \
    -c "CREATE ROLE postgres NOSUPERUSER CREATEDB CREATEROLE LOGIN REPLICATION BYPASSRLS" \
    -c 'ALTER DATABASE postgres OWNER TO postgres' \
    -c 'CREATE ROLE anon NOLOGIN' -c 'CREATE ROLE authenticated NOLOGIN' \
    -c 'CREATE ROLE service_role NOLOGIN BYPASSRLS' -c "CREATE ROLE authenticator NOINHERIT LOGIN" \
    -c 'GRANT anon, authenticated, service_role TO authenticator, postgres' -c 'CREATE PUBLICATION supabase_realtime'
  hub_command install
}
hub_command() {
  SUPABASE_DB_URL="postgresql://postgres@/postgres?host=$FLEET/hub" "$BUILD_DIR/tools/assay" hub "$@" >>"$FLEET/assay.log" 2>&1 ||
    { tail -20 "$FLEET/assay.log"; die "assay hub $1 failed"; }
}

# enrol_branch SHOP NAME NUMBER: at the hub; then the shop's config, and the shop's database.
enrol_branch() {
  local shop="$1" name="$2" number="$3"
  mkdir -m 700 "$FLEET/$shop-state"
  hub_command enrol "$name" --number "$number" --password-file "$FLEET/$shop.password"
  (umask 077; cat >"$FLEET/$shop.toml") <<TOML
[branch]
name = "$name"
number = $number
state_dir = "$FLEET/$shop-state"

[postgres]
url = "postgresql://postgres@/erp?host=$FLEET/$shop"
tables = ["public.*"]

[hub]
url = "postgresql://assay_branch_$number@/postgres?host=$FLEET/hub"
password_file = "$FLEET/$shop.password"
interval = "5m"
realtime = true

[admin]
listen = "unix:$FLEET/$shop.sock"
TOML
  assay_at "$shop" init >>"$FLEET/assay.log" 2>&1 || { tail -20 "$FLEET/assay.log"; die "assay init failed for $shop"; }
}

start_daemon() {
  local shop="$1" tries
  start_process "$shop-daemon" TERM "$BUILD_DIR/tools/assayd" --config "$FLEET/$shop.toml"
  for ((tries = 0; tries < 200; ++tries)); do
    assay_at "$shop" status >/dev/null 2>&1 && return 0
    sleep 0.1
  done
  tail -20 "$FLEET/$shop-daemon.log"
  die "assayd of $shop did not come up"
}

# status_of SHOP EXPRESSION: of the status as JSON, called `j`; the shop's own PostgreSQL reads it for us.
status_of() {
  local text
  text="$(assay_at "$1" status --json)"
  sql "$1" postgres postgres -v text="$text" <<<"SELECT $2 FROM (SELECT :'text'::jsonb AS j) AS given"
}

show_status() {
  local sentence
  sentence="$(status_of "$1" "concat_ws(' ', j->'sentence'->>'headline', nullif(j->'sentence'->>'line', ''))")"
  tell "  $1 is $(status_of "$1" "j->>'state'"): $sentence"
}

wait_state() {
  local tries
  for ((tries = 0; tries < 100; ++tries)); do
    [[ "$(status_of "$1" "j->>'state'")" == "$2" ]] && return 0
    sleep 0.2
  done
  tell "  ($1 does not say \"$2\")"
  DIFFERENCES=$((DIFFERENCES + 1))
}

# ---- Comparing ----

# One line a table: name, rows, digest of all rows. Generated by the server, so that both are asked exactly the same.
digests() {
  sql "$1" erp erp <<'SQL'
SELECT format($f$SELECT %L, count(*), coalesce(left(md5(string_agg(r::text, E'\n' ORDER BY r::text COLLATE "C")), 12), 'empty') FROM %s r$f$,
              c.oid::regclass, c.oid::regclass)
FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY relname COLLATE "C"
\gexec
SQL
}

# Until both databases hold the same rows, and keep them.
wait_equal() {
  local deadline=$(($(now_ms) + $1 * 1000)) same=0
  while (($(now_ms) < deadline)); do
    if [[ "$(digests mumbai)" == "$(digests pune)" ]]; then
      ((++same == 2)) && return 0
    else
      same=0
    fi
    sleep 0.02
  done
  return 1
}

expect() {
  local shop="$1" what="$2" found
  found="$(sql "$shop" erp erp -c "$3")"
  if [[ "$found" == "$4" ]]; then
    tell "$(printf '  ok     %-7s %s' "$shop" "$what")"
  else
    tell "$(printf '  WRONG  %-7s %s: expected %s, found %s' "$shop" "$what" "$4" "$found")"
    DIFFERENCES=$((DIFFERENCES + 1))
  fi
}

compare_tables() {
  local table rows digest other_rows other_digest verdict
  printf '  %-15s %8s  %-14s %-14s\n' table rows Mumbai Pune
  while IFS='|' read -r table rows digest other_rows other_digest; do
    verdict=equal
    if [[ "$rows $digest" != "$other_rows $other_digest" ]]; then
      verdict="DIFFERS ($other_rows rows in Pune)"
      DIFFERENCES=$((DIFFERENCES + 1))
    fi
    printf '  %-15s %8s  %-14s %-14s %s\n' "$table" "$rows" "$digest" "$other_digest" "$verdict"
  done < <(LC_ALL=C join -t '|' <(digests mumbai) <(digests pune))
}

# Every event of every chain is at both branches and at the hub.
compare_hub() {
  local shop ask="string_agg(left(o->>'origin', 8) || ' ' || (o->>'branch') || ': ' || (o->>'head') || ' events', ', ' ORDER BY o->>'branch')"
  local here there tries
  for ((tries = 0; tries < 100; ++tries)); do
    here="$(status_of mumbai "(SELECT $ask FROM jsonb_array_elements(j->'origins') o)")"
    there="$(status_of pune "(SELECT $ask FROM jsonb_array_elements(j->'origins') o)")"
    [[ "$here" == "$there" ]] && hub_agrees mumbai && hub_agrees pune && break
    sleep 0.1
  done
  tell "  log in Mumbai   $here"
  tell "  log in Pune     $there"
  if [[ "$here" != "$there" ]]; then
    DIFFERENCES=$((DIFFERENCES + 1))
  fi
  for shop in mumbai pune; do
    hub_agrees "$shop" && tell "  the hub has every event that $shop has" && continue
    tell "  WRONG: the hub lacks events that $shop has"
    DIFFERENCES=$((DIFFERENCES + 1))
  done
}
hub_agrees() {
  [[ "$(status_of "$1" "(SELECT count(*) FROM jsonb_array_elements(j->'origins') o WHERE o->>'head' <> o->>'hub_head')")" == 0 ]]
}

what_next() {
  local assay="$BUILD_DIR/tools/assay"
  cat <<TEXT
The shops' databases:
  $PG_BIN/psql -h $FLEET/mumbai -U erp erp
  $PG_BIN/psql -h $FLEET/pune -U erp erp
Write in one, look in the other:
  UPDATE products SET price = price + 100 WHERE sku = 'SKU-1';
  SELECT sell('MUM', 'MUM-6', 3);
What the daemons say:
  $assay --config $FLEET/mumbai.toml status --watch
  $assay --config $FLEET/pune.toml branches
  $assay --config $FLEET/pune.toml log tail
Take a shop off the line, and bring it back:
  $assay --config $FLEET/pune.toml sync pause
  $assay --config $FLEET/pune.toml sync resume

Ctrl-C stops everything and removes $FLEET.
TEXT
}

wait_for_ctrl_c() {
  while :; do
    read -r -t 3600 <> <(:) || true  # Sleeps without a process of its own.
  done
}
