#!/bin/sh
# Runs cargo's tests with these arguments, and lists the skipped tests at the end: cargo counts a test that doesn't find
# its tool as passed. With CI=true such a test fails.
set -u
cd "$(dirname "$0")/.." || exit

SKIPPED_TESTS=$PWD/target/skipped-tests.txt
export SKIPPED_TESTS
mkdir -p target
: >"$SKIPPED_TESTS"
status=0
PATH=$PWD/target/tools/bin:$PATH cargo test --locked "$@" || status=$?
sort -u -o "$SKIPPED_TESTS" "$SKIPPED_TESTS"
if [ -s "$SKIPPED_TESTS" ]; then
    tests=$(sed 's/: .*//' "$SKIPPED_TESTS" | sort -u | wc -l)
    echo
    echo "skipped, at least in part: $((tests)) tests that are counted as passed above"
    sed 's/^/    /' "$SKIPPED_TESTS"
fi
exit "$status"
