#!/bin/sh
# Builds dist/imgstep: one file that runs on any Linux of this architecture, in any image, including `scratch`. The same
# sources and tools give the same bytes, in any folder and at any time.
#
# Set by the release: CARGO (`cargo auditable`), TARGET (a triple other than this machine's), OUTPUT.
set -eu
cd "$(dirname "$0")/.."

budget=8000000 # bytes: what a CI job downloads before its first step
target_dir=${CARGO_TARGET_DIR:-target}
host=$(rustc -vV | sed -n 's/^host: //p')
wanted=${TARGET:-$host}
arch=${wanted%%-*}
output=${OUTPUT:-dist/imgstep}

fail() {
    echo "make build: $*" >&2
    exit 1
}

# musl links statically by default, but needs the target's std and a C compiler that finds musl's headers (for ring).
musl_compiler() {
    for compiler in "$arch-linux-musl-gcc" musl-gcc; do
        # The second one only works for this machine's architecture.
        [ "$compiler" != musl-gcc ] || [ "$arch" = "${host%%-*}" ] || continue
        if command -v "$compiler" >/dev/null 2>&1; then
            echo "$compiler"
            return
        fi
    done
}

case $wanted in
*-apple-darwin)
    # macOS has no static executables: its C library can only be linked dynamically.
    target=$wanted
    ;;
*-linux-*)
    musl=$arch-unknown-linux-musl
    compiler=$(musl_compiler)
    # The path alone proves nothing: it is printed for targets that aren't installed, too.
    if [ -n "$compiler" ] && ls "$("${RUSTC:-rustc}" --print target-libdir --target "$musl")"/libstd-*.rlib >/dev/null 2>&1; then
        target=$musl
        export "CC_$(echo "$target" | tr - _)=$compiler"
    else
        target=$arch-unknown-linux-gnu
        # Only with an explicit --target: otherwise the flag would apply to procedural macros, which are shared
        # libraries and can't be built that way.
        RUSTFLAGS="${RUSTFLAGS-} -C target-feature=+crt-static"
        export RUSTFLAGS
    fi
    ;;
*)
    fail "no recipe for $wanted"
    ;;
esac

# The file contains no path of this machine.
crates=${CARGO_HOME:-$HOME/.cargo}/registry/src
RUSTFLAGS="${RUSTFLAGS-} --remap-path-prefix=$crates=crates --remap-path-prefix=$PWD=imgstep"
export RUSTFLAGS
# Split into words: `cargo auditable`.
# shellcheck disable=SC2086
${CARGO:-cargo} build --release --locked --target "$target" --bin imgstep

# Installed by a rename, so that a running binary isn't overwritten.
mkdir -p "$(dirname "$output")"
cp "$target_dir/$target/release/imgstep" "$output.new"
mv "$output.new" "$output"

linkage="linked by the system's rules"
case $target in
*-linux-*)
    linkage=static
    # ldd exits with 1 for some static files and with 0 for others: its output is what counts.
    said=$(ldd "$output" 2>&1) || true
    case $said in
    *"statically linked"* | *"not a dynamic executable"* | *"ot a valid dynamic program"*) ;;
    *) fail "$output is not static: $said" ;;
    esac
    if command -v readelf >/dev/null 2>&1; then
        ! readelf -lW "$output" | grep -q INTERP || fail "$output asks for a dynamic loader (PT_INTERP)"
        ! readelf -dW "$output" | grep -q NEEDED || fail "$output asks for shared libraries (NEEDED)"
    fi
    ;;
esac

size=$(($(wc -c <"$output")))
echo "$output: $target, $linkage, $size bytes of $budget"
[ "$size" -le "$budget" ] || fail "$output is over its budget of $budget bytes"
