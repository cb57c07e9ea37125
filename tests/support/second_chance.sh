#!/bin/bash
# usage: second_chance.sh COMMAND...
#
# Runs COMMAND; with ASSAY_SECOND_CHANCE=1, as in .ci/run, once more when it fails, and says so. It stands before the
# tests that need servers: on a machine that is busy one of those may wait in vain for a neighbour to let it run, and
# what fails twice is broken. ctest's own --repeat would give the same chance to unit tests and simulation, which wait
# for nobody: what fails there once has a bug.
set -uo pipefail
if [[ "${ASSAY_SECOND_CHANCE:-}" != 1 ]]; then
  exec "$@"
fi
"$@"
status=$?
# 77: skipped. Ended by a signal that ctest sent: there is no time left.
if ((status == 0 || status == 77 || status == 128 + 15 || status == 128 + 9)); then
  exit "$status"
fi
printf '\n*** FAILED ONCE with %s, TRIED AGAIN: %s ***\n\n' "$status" "$*" >&2
exec "$@"
