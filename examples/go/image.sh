#!/bin/sh
# sh image.sh BASE DESTINATION: the commands of README.md. $IMGSTEP names another binary.
set -eu
cd "$(dirname "$0")"
base=$1 to=$2
imgstep() { command "${IMGSTEP:-imgstep}" "$@"; }
# ----
for arch in amd64 arm64; do
    CGO_ENABLED=0 GOOS=linux GOARCH=$arch \
        go build -trimpath -buildvcs=false -ldflags='-s -w' -o out/$arch/hello .
done

imgstep append "$base" --to "$to" \
    --layer files=/srv/hello \
    --layer out/amd64/hello=/usr/local/bin/hello,platform=linux/amd64 \
    --layer out/arm64/hello=/usr/local/bin/hello,platform=linux/arm64 \
    --entrypoint '["/usr/local/bin/hello"]' --user 65532:65532 --workdir /srv/hello
