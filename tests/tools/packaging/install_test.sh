#!/bin/bash
# What does `cmake --install` put where, and does it work there? Below a prefix of its own, removed afterwards.
#
# usage: install_test.sh CMAKE BUILD_DIRECTORY VERSION
set -euo pipefail
cmake="$1" build="$2" version="$3"

root="$(mktemp -d)"
trap 'rm -rf "$root"' EXIT
prefix="$root/opt/assay"
"$cmake" --install "$build" --prefix "$prefix" >"$root/log" || { cat "$root/log"; exit 1; }

fail() { echo "install: $*"; exit 1; }

for program in assay assayd; do
  said="$("$prefix/bin/$program" --version)" || fail "$program --version does not run"
  [[ "$said" == *"$version"* ]] || fail "$program --version says \"$said\", not $version"
done

# Nothing but this, and the pages below share/doc.
files="$(cd "$prefix" && find . -type f ! -path './share/doc/assay/*' | LC_ALL=C sort)"
expected='./bin/assay
./bin/assayd
./lib/systemd/system/assayd.service'
[[ "$files" == "$expected" ]] || fail "these files are there: $files"
[[ -z "$(find "$prefix" -type d -empty)" ]] ||
  fail "empty directories: $(find "$prefix" -type d -empty)"

program="$(sed -n 's/^ExecStart=\([^ ]*\).*/\1/p' "$prefix/lib/systemd/system/assayd.service")"
[[ "$program" == "$prefix/bin/assayd" ]] || fail "the unit starts \"$program\", not $prefix/bin/assayd"

docs="$prefix/share/doc/assay"
for page in README.md ARCHITECTURE.md CHANGELOG.md LICENSE log/FORMAT.md; do
  [[ -s "$docs/$page" ]] || fail "share/doc/assay/$page is missing"
done
# Pages refer to each other by their places in the tree, and must find each other here.
while IFS=: read -r page link; do
  target="${link#](}"
  target="${target%%[)#]*}"
  [[ -s "$(dirname "$page")/$target" ]] || fail "${page#"$docs/"} links to $target, which is not installed"
done < <(grep -roE '\]\([^):]+\.md[)#]' "$docs")

# A package is made below DESTDIR: the unit still names where the program will be.
DESTDIR="$root/package" "$cmake" --install "$build" --prefix /usr >"$root/log" || { cat "$root/log"; exit 1; }
grep -q '^ExecStart=/usr/bin/assayd ' "$root/package/usr/lib/systemd/system/assayd.service" ||
  fail 'the packaged unit does not start /usr/bin/assayd'
[[ -x "$root/package/usr/bin/assayd" ]] || fail 'DESTDIR is not respected'
echo "installed: $(find "$prefix" -type f | wc -l) files"
