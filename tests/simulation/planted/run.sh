#!/bin/bash
# Plants one fault after the other in the engine, and counts the seeds until the simulation finds it. A planted fault is
# a file NN-name.patch: the words above its diff say what it is, and `flags:` names what simulation_test has for it
# where that is no patch.
set -euo pipefail
HERE="$(dirname "$(readlink -f "$0")")"
ROOT="$(readlink -f "$HERE/../../..")"
BUILD="${ASSAY_BUILD_DIR:-$ROOT/build}"
TABLE="$HERE/../PLANTED.md"

SEEDS_MAX=10000
RANGES=(1 100001 200001)
EXCEPT=
# What a message of simulation_test names, in the words of the invariants.
INVARIANTS='no stale overwrite|projection = fold|captured once|one history|dense chain|causality|who had seen what'
INVARIANTS+='|transactions whole|causal order|equal tables|equal conflicts|parked with a cause|liveness|no echo loop'
INVARIANTS+='|acknowledged is kept|only into its type|rows seen whole|gap|crash|unexpected|conflict'

say() { printf '%s\n' "$*" >&2; }
die() { say "run.sh: $*"; exit 1; }

usage() {
  cat <<'HELP'
usage: run.sh --check
       run.sh [--once] [--seeds N] [--except REGEX] [NN...]

  --check         every patch applies, and has its row in PLANTED.md; seconds
  --once          one range of seeds instead of three: the number in the row gets a *
  --seeds N       how many seeds of a range are tried, instead of 10,000
  --except REGEX  a failure whose message has this does not count: a fault that the code has just now
  NN...           those faults only, by their numbers

Without --check: builds simulation_test with each fault and writes its row into PLANTED.md. It wants simulation_test
built, in ./build or $ASSAY_BUILD_DIR, from these sources.
HELP
}

# field FILE NAME: what stands behind `NAME: ` above the diff.
field() { sed -n "/^--- /q; s/^$2: //p" "$1"; }
touched() { sed -n 's|^+++ b/||p' "$1"; }
number_of() { basename "$1" | cut -d- -f1; }

# apply PATCH DIRECTORY: puts what it touches there, and applies it.
apply() {
  local file
  while IFS= read -r file; do
    mkdir -p "$2/$(dirname "$file")"
    cp "$ROOT/$file" "$2/$file" || return 1
  done < <(touched "$1")
  [[ -n "$(touched "$1")" ]] || return 0
  GIT_CEILING_DIRECTORIES="$(dirname "$2")" git -C "$2" apply --whitespace=nowarn "$1"
}

check() {
  local patch number failed=0 numbers
  for patch in "$HERE"/[0-9]*.patch; do
    number="$(number_of "$patch")"
    [[ -n "$(field "$patch" fault)" && -n "$(field "$patch" rule)" ]] ||
      { say "$patch: it has no line \`fault: ...\` or \`rule: ...\`"; failed=1; }
    apply "$patch" "$WORK/check-$number" || { say "$patch: it does not apply any more"; failed=1; }
    [[ -n "$(touched "$patch")$(field "$patch" flags)" ]] || { say "$patch: it changes nothing"; failed=1; }
    grep -q "^| $number |" "$TABLE" ||
      { say "$patch: PLANTED.md has no row of it; run.sh $number writes it"; failed=1; }
  done
  numbers="$(sed -n 's/^| \([0-9][0-9]*\) |.*/\1/p' "$TABLE")"
  for number in $numbers; do
    compgen -G "$HERE/$number-*.patch" >/dev/null ||
      { say "PLANTED.md has a row $number, and there is no patch"; failed=1; }
  done
  [[ "$(sort <<<"$numbers" | uniq -d)" == '' ]] || { say "PLANTED.md has a number twice"; failed=1; }
  return "$failed"
}

# make_test PATCH DIRECTORY: a simulation_test with the fault, at DIRECTORY/simulation_test.
make_test() {
  local patch="$1" dir="$2" file command object objects=()
  apply "$patch" "$dir" || die "$patch does not apply any more"
  while IFS= read -r file; do
    object="$dir/${file//\//_}.o"
    command="$(grep -m1 -F -- "-c $ROOT/$file" "$WORK/commands")" || die "$file is no part of simulation_test"
    command="$(sed -E "s|-o [^ ]+ -c $ROOT/$file|-o $object -c $dir/$file|; s| -MF [^ ]+| -MF $object.d|" <<<"$command")"
    (cd "$BUILD" && bash -c "$command") || die "$patch does not compile any more"
    objects+=("$object")
  done < <(touched "$patch")
  command="$(tail -n1 "$WORK/commands")"
  command="${command/-o tests\/simulation\/simulation_test/${objects[*]} -o $dir/simulation_test}"
  (cd "$BUILD" && bash -c "$command") || die "$patch does not link any more"
}

# failure_of BINARY FIRST COUNT [FLAG...]: the first of these seeds that fails, and the invariant, as in "262 no stale
# overwrite".
failure_of() {
  local binary="$1" first="$2" count="$3"
  shift 3
  # A message has several lines, and may name the invariant in any of them.
  { "$binary" --gtest_filter=SimulationTest.EverySeedHolds "--first-seed=$first" "--seeds=$count" --failures=1 "$@" \
    2>/dev/null || true; } | awk '
      /^\.\.\// { if (text) print text; text = "" }
      /^reproduce with --first-seed=/ { sub(/^[^=]*=/, ""); sub(/ --seeds=1:/, ""); text = $0; next }
      text { text = text " " $0 }
      END { if (text) print text }' | sort -n | head -n1 |
    while read -r seed message; do
      [[ -n "$EXCEPT" ]] && grep -qE "$EXCEPT" <<<"$message" && message=excepted
      printf '%s %s\n' "$seed" "$(grep -oE "$INVARIANTS|excepted" <<<"$message" | head -n1 || true)"
    done
}

# seeds_until BINARY FIRST MAX [FLAG...]: how many seeds it takes, and the invariant that fires, which does not fire
# there without the fault; nothing: too many.
seeds_until() {
  local binary="$1" first="$2" end=$(($2 + $3)) next="$2" chunk=20 found without
  shift 3
  while ((next < end)); do
    ((chunk > end - next)) && chunk=$((end - next))
    found="$(failure_of "$binary" "$next" "$chunk" "$@")"
    if [[ -z "$found" ]]; then
      next=$((next + chunk))
      ((chunk < 640)) && chunk=$((chunk * 2))
      continue
    fi
    if [[ "$found" == *' excepted' ]]; then
      next=$((${found%% *} + 1))
      continue
    fi
    without="$(failure_of "$BUILD/tests/simulation/simulation_test" "${found%% *}" 1)"
    if [[ "$without" != "$found" ]]; then
      printf '%s %s\n' "$((${found%% *} - first + 1))" "${found#* }"
      return
    fi
    next=$((${found%% *} + 1))
  done
}

# row_of PATCH: its row of the table.
row_of() {
  local patch="$1" number dir flags=() range found counts=() invariants=() seeds
  number="$(number_of "$patch")"
  dir="$WORK/$number"
  mkdir -p "$dir"
  make_test "$patch" "$dir"
  read -ra flags <<<"$(field "$patch" flags)"
  for range in "${RANGES[@]}"; do
    found="$(seeds_until "$dir/simulation_test" "$range" "$SEEDS_MAX" "${flags[@]}")"
    counts+=("${found%% *}")
    [[ -n "$found" ]] && invariants+=("${found#* }")
    # Not worth three times as long.
    [[ -z "$found" && "$range" == "${RANGES[0]}" ]] && break
  done
  seeds="$(printf '%s\n' "${counts[@]}" | awk -v max="$SEEDS_MAX" '{ print $1 == "" ? max + 1 : $1 }' | sort -n |
    sed -n "$(((${#counts[@]} + 1) / 2))p")"
  if ((seeds > SEEDS_MAX)); then
    seeds="not in $SEEDS_MAX"
  elif ((${#RANGES[@]} == 1)); then
    seeds+='*'
  fi
  printf '| %s | %s | %s | %s | %s |\n' "$number" "$(field "$patch" fault)" "$(field "$patch" rule)" \
    "$(printf '%s\n' "${invariants[@]:-none}" | sort -u | awk '{ printf "%s%s", sep, $0; sep = ", " }')" "$seeds"
}

# write_row ROW: in its place in PLANTED.md.
write_row() {
  local number
  number="$(cut -d'|' -f2 <<<"$1" | tr -d ' ')"
  awk -v row="$1" -v number="$number" '
    /^\| [0-9]+ \|/ && !done && $2 >= number { print row; done = 1; if ($2 == number) next }
    rows && !/^\|/ && !done { print row; done = 1 }
    { print; rows = /^\|/ }
    END { if (!done) print row }' "$TABLE" >"$WORK/table" && cp "$WORK/table" "$TABLE"
}

only_check=
numbers=()
while (($#)); do
  case "$1" in
    -h | --help) usage; exit ;;
    --check) only_check=yes ;;
    --except) EXCEPT="$2"; shift ;;
    --once) RANGES=(1) ;;
    --seeds) SEEDS_MAX="$2"; shift ;;
    [0-9]*) numbers+=("$1") ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done
WORK="$(mktemp -d)"
trap 'rm -r "$WORK"' EXIT
if [[ -n "$only_check" ]]; then
  check
  exit
fi
[[ -x "$BUILD/tests/simulation/simulation_test" ]] || die "there is no simulation_test in $BUILD; build it first"
ninja -C "$BUILD" -t commands simulation_test >"$WORK/commands"
for patch in "$HERE"/[0-9]*.patch; do
  ((${#numbers[@]})) && [[ " ${numbers[*]} " != *" $(number_of "$patch") "* ]] && continue
  row="$(row_of "$patch")"
  printf '%s\n' "$row"
  write_row "$row"
done
