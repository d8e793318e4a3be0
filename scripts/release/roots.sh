#!/bin/sh
# roots.sh FILE: Mozilla's certificate authorities, as packaged by Debian (or Ubuntu), in one file. They are taken from
# the package and not from /etc/ssl: this machine may trust others, which must not end up in the image.
set -eu
cd "$(dirname "$0")/../.."
file=$1
work=${WORK:-target/release-work}

rm -rf "$work/roots"
WORK=$work/packages sh examples/base/packages.sh "$(dpkg --print-architecture)" "$work/roots" \
    '!ca-certificates' ca-certificates >&2
mkdir -p "$(dirname "$file")"
find "$work/roots/usr/share/ca-certificates/mozilla" -name '*.crt' | LC_ALL=C sort | while read -r certificate; do
    cat "$certificate"
    # Some of them don't end with a newline.
    [ -z "$(tail -c 1 "$certificate")" ] || echo
done >"$file"
found=$(grep -c 'BEGIN CERTIFICATE' "$file") || found=0
# Mozilla has about 140: far fewer would mean that the package is built differently.
[ "$found" -ge 100 ] || { echo "roots.sh: only $found authorities in ca-certificates" >&2 && exit 1; }
echo "$file: $found authorities, $(wc -c <"$file") bytes" >&2
