#!/bin/bash
# Can the programs be configured on a machine that has neither GTest nor benchmark, and without any test?
#
# usage: without_tests_test.sh CMAKE SOURCE_DIRECTORY
set -euo pipefail
cmake="$1" source="$2"

build="$(mktemp -d)"
trap 'rm -rf "$build"' EXIT
cd "$source"
"$cmake" --preset programs -B "$build" -DCMAKE_DISABLE_FIND_PACKAGE_GTest=ON \
  -DCMAKE_DISABLE_FIND_PACKAGE_benchmark=ON >"$build/output" 2>&1 || { cat "$build/output"; exit 1; }
targets="$("$cmake" --build "$build" --target help)"
for program in assay assayd; do
  grep -q "^$program: phony" <<<"$targets" || { echo "there is no target $program"; exit 1; }
done
if grep -E '^[a-z_]*(_test|_tests|benchmark|gtest)[a-z_]*: ' <<<"$targets"; then
  echo 'these belong to the tests, and BUILD_TESTING is OFF'
  exit 1
fi
