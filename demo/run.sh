#!/bin/sh
# The main jobs in one minute: builds a program and appends it to an image for each of two platforms, joins the images
# with an index, and promotes that from a staging registry to production. Needs only this repository, a shell and a C
# compiler; no network, no root, no daemon.
set -eu
cd "$(dirname "$0")/.."
imgstep=$PWD/dist/imgstep

# `registry serve -- COMMAND` serves while COMMAND runs, with its address in IMGSTEP_REGISTRY. Nested, that is two
# registries, which end with this script however it ends.
if [ -z "${DEMO_STAGING-}" ]; then
    [ -x "$imgstep" ] || { echo "dist/imgstep is not there: run 'make build' first" >&2; exit 1; }
    # Expanded by the inner shell.
    # shellcheck disable=SC2016
    exec "$imgstep" registry serve -- \
        sh -c 'DEMO_STAGING=$IMGSTEP_REGISTRY exec "$0" registry serve -- sh "$1"' "$imgstep" "$PWD/demo/run.sh"
fi
staging=$DEMO_STAGING
production=$IMGSTEP_REGISTRY

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

heading() {
    printf '\n\033[1m%s\033[0m\n' "$*"
}
[ -t 1 ] || heading() { printf '\n# %s\n' "$*"; }

# Prints a command as one would type it, then runs it. Prints to stderr, so that the output can be captured from stdout.
run() {
    shown=
    for word in "$@"; do
        case $word in
        *[!A-Za-z0-9_./:=,@%+-]*) shown="$shown '$word'" ;;
        *) shown="$shown $word" ;;
        esac
    done
    printf '$%s\n' "$shown" | sed "s|$imgstep|imgstep|g; s|$work/||g" >&2
    "$@"
}

fail() {
    echo "demo: $*" >&2
    exit 1
}

# --- A program for two platforms. -----------------------------------------------------------------------------------

# compile COMPILER OUTPUT FLAGS...: links statically if the system can.
compile() {
    compiler=$1 output=$2
    shift 2
    "$compiler" -O "$@" -static -o "$output" "$work/hello.c" 2>/dev/null ||
        "$compiler" -O "$@" -o "$output" "$work/hello.c"
}

# Two platforms that this machine can compile for: with a cross compiler the other architecture, otherwise this
# architecture and a newer generation of it, which is a platform of its own.
build() {
    cat >"$work/hello.c" <<'END'
#include <stdio.h>
int main(void) { puts("Hello from " PLATFORM); return 0; }
END
    case $(uname -m) in
    x86_64 | amd64) own=amd64 other=arm64 cross=aarch64-linux-gnu-gcc variant=v3 flag=-march=x86-64-v3 ;;
    aarch64 | arm64) own=arm64 other=amd64 cross=x86_64-linux-gnu-gcc variant=v9 flag=-march=armv9-a ;;
    *) fail "the demo knows no second platform for $(uname -m)" ;;
    esac
    one=linux/$own two=linux/$other
    compile cc "$work/hello-one" "-DPLATFORM=\"$one\""
    if command -v "$cross" >/dev/null 2>&1 && compile "$cross" "$work/hello-two" "-DPLATFORM=\"$two\"" 2>/dev/null; then
        return
    fi
    two=linux/$own/$variant
    compile cc "$work/hello-two" "-DPLATFORM=\"$two\"" "$flag"
}

# --- The job. -------------------------------------------------------------------------------------------------------

build
heading "A program for $one and for $two"
"$work/hello-one"
# Programs for systems other than Linux can be built here, and would be refused in a Linux image.
[ "$(uname -s)" = Linux ] || export IMGSTEP_ALLOW_FOREIGN_BINARIES=true

# append_to TAG PLATFORM PROGRAM
append_to() {
    run "$imgstep" append scratch --to "$staging/hello:$1" --layer "$3=/usr/bin/hello,platform=$2" \
        --entrypoint '["/usr/bin/hello"]' --label org.example.demo=yes
}

heading "An image for each, in the staging registry ($staging)"
image_one=$(append_to one "$one" "$work/hello-one")
echo "$image_one"
image_two=$(append_to two "$two" "$work/hello-two")
echo "$image_two"

heading "The same files again: the same digest, nothing to send"
again=$(append_to one "$one" "$work/hello-one" 2>"$work/said")
cat "$work/said" >&2
echo "$again"
[ "$again" = "$image_one" ] || fail "the digest should be that of $image_one"
grep -q 'no blobs to send' "$work/said" || fail "the second run sent something"

heading "Joined by an index"
joined=$(run "$imgstep" index "$image_one" "$image_two" --to "$staging/hello:1.0")
echo "$joined"
digest=${joined#*@}

heading "From staging to production ($production), under three tags, the digest as a result"
first=$(run "$imgstep" promote "$staging/hello:1.0" "$production/team/hello:1.0" --tags 1 latest \
    --result "digest=$work/digest")
echo "$first"
echo "the file digest holds: $(cat "$work/digest")"

heading "The same again: nothing to send"
report=$(run "$imgstep" promote "$staging/hello:1.0" "$production/team/hello:1.0" --tags 1 latest --output json)
case $report in
*'"state":"unchanged"'*) ;;
*) fail "the second run found something to write: $report" ;;
esac
echo "$report" | sed -n 's/.*"totals":{\([^}]*\)}.*/\1/p'
case $report in
*'"sentBytes":0'*) ;;
*) fail "the second run sent bytes: $report" ;;
esac

heading "What is there now"
run "$imgstep" inspect "$production/team/hello:latest"

heading "Byte for byte"
for tag in 1.0 1 latest; do
    there=$("$imgstep" digest "$production/team/hello:$tag")
    echo "team/hello:$tag is $there"
    [ "$there" = "$digest" ] || fail "team/hello:$tag should be $digest"
done
[ "$(cat "$work/digest")" = "$digest" ] || fail "the result file should hold $digest"
[ "$first" = "$production/team/hello@$digest" ] || fail "the answer should be $production/team/hello@$digest"
echo "The same digest at staging, at production, and in the result."
