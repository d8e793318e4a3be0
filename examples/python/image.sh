#!/bin/sh
# sh image.sh BASE DESTINATION: the commands of README.md. $IMGSTEP names another binary.
set -eu
cd "$(dirname "$0")"
base=$1 to=$2
imgstep() { command "${IMGSTEP:-imgstep}" "$@"; }
# ----
python3 -m pip install --quiet --upgrade --require-hashes --only-binary=:all: --no-compile \
    --target out/packages --requirement requirements.txt

imgstep append "$base" --to "$to" \
    --layer out/packages=/srv/packages \
    --layer src=/srv/hello \
    --env PYTHONPATH=/srv/packages \
    --entrypoint '["python3","main.py"]' --user 65532:65532 --workdir /srv/hello
