#!/usr/bin/env bash
# What .github/workflows/action.yml uses to test the action on each kind of runner:
#   begin   serves a release of this tree's program on loopback, with its checksum in checksums.txt, and a registry
#   compare checks that the action gave what the program gives for the same values, and that nothing was executed
#   damage  writes a wrong checksum into checksums.txt
#   end     stops both servers
# $PROGRAM names a prebuilt program.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=$RUNNER_TEMP/imgstep-self-test

# port LOG: prints the port that a server listens on, once its log has it.
port() {
    local found='' tries=0
    while [ -z "$found" ] && [ "$tries" -lt 100 ]; do
        sleep 0.1
        found=$(sed -n 's/.*127\.0\.0\.1[^0-9]*\([0-9]\{1,\}\).*/\1/p' "$1" | head -n 1)
        tries=$((tries + 1))
    done
    [ -n "$found" ] || { cat "$1" >&2 && return 1; }
    echo "$found"
}

# serve NAME COMMAND...: runs it in the background, with its log and its process number in files.
serve() {
    local name=$1
    shift
    nohup "$@" >"$work/$name.log" 2>&1 </dev/null &
    echo "$!" >"$work/$name.pid"
}

begin() {
    local program=${PROGRAM:-target/debug/imgstep} system arch asset sum
    [ -x "$program" ] || cargo build --locked
    case $(uname -s) in Darwin) system=darwin ;; *) system=linux ;; esac
    case $(uname -m) in arm64 | aarch64) arch=arm64 ;; *) arch=amd64 ;; esac
    asset=imgstep-0.0.0-test-$system-$arch.tar.gz
    mkdir -p "$work/assets/v0.0.0-test"
    tar -cf - -C "$(dirname "$program")" imgstep | gzip -1 >"$work/assets/v0.0.0-test/$asset"
    sum=$( (sha256sum || shasum -a 256) <"$work/assets/v0.0.0-test/$asset" 2>/dev/null)
    echo "${sum%% *}  $asset" >github-action/checksums.txt

    serve assets python3 -u -m http.server 0 --bind 127.0.0.1 --directory "$work/assets"
    serve registry "$program" registry serve --address 127.0.0.1:0
    {
        echo "assets=http://127.0.0.1:$(port "$work/assets.log")"
        echo "registry=127.0.0.1:$(port "$work/registry.log")"
        echo "program=$program"
        # Must not be expanded again.
        # shellcheck disable=SC2016
        echo 'expression=${{ github.token }}'
    } >>"$GITHUB_OUTPUT"
}

# The digest depends on each value, so one digest shows that all of them arrived unchanged.
# shellcheck disable=SC2016,SC2153
compare() {
    local expected
    test ! -e pwned
    expected=$("$PROGRAM" append scratch --to "$REGISTRY/by-hand" --check-entrypoint=false \
        --layer README.md=/README.md,platform=linux/amd64 LICENSE=/LICENSE,platform=linux/arm64 \
        --entrypoint '["/a b", "-c", "it'\''s \"$(touch pwned)\" `touch pwned` \\ \n::error::x"]' \
        --env "QUOTED=\"double\" 'single' \\" 'EXECUTED=$(touch pwned) `touch pwned` ; touch pwned' \
        --label 'org.example.expression=${{ github.token }}' 'org.example.command=::set-output name=digest::wrong' \
        --annotation 'org.example.snowman=☃ %0A::error::x')
    same "$expected" "$REGISTRY/by-hand@$APPENDED"
    same "$REGISTRY/copy@$APPENDED" "$PROMOTED"
    same "$REGISTRY/app" "$NAME"
    same "$NAME:also $NAME:latest $NAME:v1 " "$(printf '%s\n' "$TAGS" | sort | tr '\n' ' ')"
    same , "$(printf %s "$IMAGES" | tr -cd ,)"
}

same() {
    [ "$1" = "$2" ] || { echo "expected: $1, found: $2" >&2 && exit 1; }
}

case $1 in
begin) begin ;;
compare) compare ;;
damage)
    read -r sum asset <github-action/checksums.txt
    echo "${sum#????????}00000000  $asset" >github-action/checksums.txt
    ;;
end)
    for name in assets registry; do
        [ ! -f "$work/$name.pid" ] || kill "$(cat "$work/$name.pid")" || true
    done
    ;;
*) echo "self-test.sh begin|compare|damage|end" >&2 && exit 2 ;;
esac
