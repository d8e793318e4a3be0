#!/bin/sh
# sh image.sh BASE DESTINATION: the commands of README.md. $IMGSTEP names another binary.
set -eu
cd "$(dirname "$0")"
base=$1 to=$2
imgstep() { command "${IMGSTEP:-imgstep}" "$@"; }
# ----
(cd src && deno install --frozen)

imgstep append "$base" --to "$to" \
    --layer src/node_modules=/srv/hello/node_modules \
    --layer src=/srv/hello \
    --exclude /node_modules .setup-cache.bin .deno.lock \
    --entrypoint '["deno","run","--cached-only","--allow-read=.","--allow-sys=uid","main.ts"]' \
    --user 65532:65532 --workdir /srv/hello
