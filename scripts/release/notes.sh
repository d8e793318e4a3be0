#!/bin/sh
# The release notes: the version's section of CHANGELOG.md, up to the next one.
set -eu
cd "$(dirname "$0")/../.."
. scripts/release/names.sh
notes=$(awk -v heading="## $version" '
    index($0, "## ") == 1 { on = ($0 == heading || index($0, heading " ") == 1); next }
    on' CHANGELOG.md)
[ -n "$notes" ] || fail "CHANGELOG.md has no section \`## $version\`"
printf '%s\n' "$notes"
