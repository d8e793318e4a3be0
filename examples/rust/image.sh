#!/bin/sh
# sh image.sh BASE DESTINATION: the commands of README.md. $IMGSTEP names another binary.
set -eu
cd "$(dirname "$0")"
base=$1 to=$2
imgstep() { command "${IMGSTEP:-imgstep}" "$@"; }
# ----
for arch in x86_64 aarch64; do
    cargo build --release --locked --target $arch-unknown-linux-gnu
done

imgstep append "$base" --to "$to" \
    --layer files=/srv/hello \
    --layer target/x86_64-unknown-linux-gnu/release/hello=/usr/local/bin/hello,platform=linux/amd64 \
    --layer target/aarch64-unknown-linux-gnu/release/hello=/usr/local/bin/hello,platform=linux/arm64 \
    --entrypoint '["/usr/local/bin/hello"]' --user 65532:65532 --workdir /srv/hello
