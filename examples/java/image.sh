#!/bin/sh
# sh image.sh BASE DESTINATION: the commands of README.md. $IMGSTEP names another binary.
set -eu
cd "$(dirname "$0")"
base=$1 to=$2
imgstep() { command "${IMGSTEP:-imgstep}" "$@"; }
# ----
javac --release 17 -d out/lib lib/durations/Durations.java
mkdir -p out/libs
jar --create --file out/libs/durations.jar --date 1980-01-01T00:00:02Z -C out/lib .
javac --release 17 -cp 'out/libs/*' -d out/classes src/hello/Main.java

imgstep append "$base" --to "$to" \
    --layer out/libs=/app/libs \
    --layer resources=/app/resources \
    --layer out/classes=/app/classes \
    --entrypoint '["java","-cp","/app/resources:/app/classes:/app/libs/*","hello.Main"]' \
    --user 65532:65532 --workdir /app
