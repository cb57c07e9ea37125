#!/bin/bash
# Are the programs hardened? Asks the ELF files themselves, so that a flag that was lost on the way is missed here.
#
# usage: hardening_test.sh PROGRAM...
set -euo pipefail

failures=0
program=
# expect WHAT PATTERN: that what is read from stdin has a line with it.
expect() {
  grep -qE -- "$2" || { echo "$program: $1 is missing (no line like: $2)"; failures=$((failures + 1)); }
}
# refuse WHAT PATTERN: that no line has it.
refuse() {
  local found
  found="$(grep -E -- "$2" || true)"
  [[ -z "$found" ]] || { printf '%s: %s:\n%s\n' "$program" "$1" "$found"; failures=$((failures + 1)); }
}

(($#)) || { echo 'usage: hardening_test.sh PROGRAM...'; exit 2; }
for program in "$@"; do
  [[ -x "$program" ]] || { echo "$program is not there: build it first"; exit 1; }
  header="$(LC_ALL=C readelf -hW "$program")"
  segments="$(readelf -lW "$program")"
  dynamic="$(readelf -dW "$program")"
  symbols="$(readelf --dyn-syms -W "$program")"

  expect 'a position-independent executable' '^ *Type: +DYN' <<<"$header"
  expect 'a position-independent executable (PIE)' 'FLAGS_1.*\bPIE\b' <<<"$dynamic"
  expect 'RELRO' 'GNU_RELRO' <<<"$segments"
  expect 'full RELRO: binding at start' 'FLAGS_1.*\bNOW\b|BIND_NOW' <<<"$dynamic"
  expect 'a stack segment' 'GNU_STACK' <<<"$segments"
  refuse 'the stack is executable' 'GNU_STACK.*RWE' <<<"$segments"
  refuse 'a segment is writable and executable' '^ *LOAD.*RWE' <<<"$segments"
  refuse 'libraries are looked for in a place of the build' 'R(UN)?PATH' <<<"$dynamic"
  expect 'the stack protector' '__stack_chk_fail' <<<"$symbols"
  expect 'FORTIFY_SOURCE' '__(mem|str|v?sn?|v?f|read|fd)[a-z]*_chk' <<<"$symbols"
  expect "libstdc++'s assertions" '__glibcxx_assert_fail' <<<"$symbols"
  # GCC notes its flags in each object's debug information: no library may have been built without these. CET is looked
  # for here, too. The program as a whole is not marked for it where the C library's start files, as Debian 12's, are
  # not.
  producers="$(readelf --debug-dump=info --dwarf-depth=1 -W "$program" 2>/dev/null | grep 'DW_AT_producer.*: GNU C++' || true)"
  [[ -n "$producers" ]] || echo "$program: no debug information by GCC, so the flags of its objects are not looked at"
  flags=(-fPIE -fstack-protector-strong -fstack-clash-protection)
  if grep -q 'X86-64' <<<"$header"; then
    flags+=(-fcf-protection=full)
  fi
  for flag in "${flags[@]}"; do
    # That no object is without it is no failure of grep's.
    without="$({ grep -vE -- "$flag\b" <<<"$producers" || true; } | sed 's/.*: GNU/GNU/' | sort | uniq -c)"
    refuse "objects were built without $flag" . <<<"$without"
  done
done
((failures == 0)) && echo "hardened: $*"
exit $((failures > 0))
