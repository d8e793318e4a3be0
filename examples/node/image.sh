#!/bin/sh
# sh image.sh BASE DESTINATION: the commands of README.md. $IMGSTEP names another binary.
set -eu
cd "$(dirname "$0")"
base=$1 to=$2
imgstep() { command "${IMGSTEP:-imgstep}" "$@"; }
# ----
npm ci --omit=dev --ignore-scripts

imgstep append "$base" --to "$to" \
    --layer node_modules=/srv/hello/node_modules \
    --layer src=/srv/hello \
    --exclude /.package-lock.json \
    --entrypoint '["node","main.mjs"]' --user 65532:65532 --workdir /srv/hello
