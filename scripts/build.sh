#!/bin/sh
# Builds dist/imgstep: one file that runs on any Linux of this architecture, in any image, `scratch` included.
set -eu
cd "$(dirname "$0")/.."

budget=6000000 # bytes: what a CI job downloads before its first step
target_dir=${CARGO_TARGET_DIR:-target}
host=$(rustc -vV | sed -n 's/^host: //p')
arch=${host%%-*}

fail() {
    echo "make build: $*" >&2
    exit 1
}

# musl links statically as it is, but takes the target's std and a C compiler that knows musl's headers (for ring).
musl_compiler() {
    for compiler in "$arch-linux-musl-gcc" musl-gcc; do
        if command -v "$compiler" >/dev/null 2>&1; then
            echo "$compiler"
            return
        fi
    done
}

case $host in
*-apple-darwin)
    # macOS has no static executables: its C library is only there to be linked dynamically.
    target=$host
    ;;
*-linux-*)
    musl=$arch-unknown-linux-musl
    compiler=$(musl_compiler)
    # The path alone proves nothing: it is printed for targets that are not installed, too.
    if [ -n "$compiler" ] && ls "$(rustc --print target-libdir --target "$musl")"/libstd-*.rlib >/dev/null 2>&1; then
        target=$musl
        export "CC_$(echo "$target" | tr - _)=$compiler"
    else
        target=$host
        # Only together with an explicit --target: without it the flag would reach procedural macros, which are
        # shared libraries and can't be built so.
        RUSTFLAGS="${RUSTFLAGS-} -C target-feature=+crt-static"
        export RUSTFLAGS
    fi
    ;;
*)
    fail "no recipe for $host"
    ;;
esac

cargo build --release --locked --target "$target"

# Installed by a rename, so that a binary that is running is not written to.
mkdir -p dist
cp "$target_dir/$target/release/imgstep" dist/imgstep.new
mv dist/imgstep.new dist/imgstep

linkage="linked by the system's rules"
case $target in
*-linux-*)
    linkage=static
    # ldd ends with 1 for some static files and with 0 for others: what it says is what counts.
    said=$(ldd dist/imgstep 2>&1) || true
    case $said in
    *"statically linked"* | *"not a dynamic executable"* | *"ot a valid dynamic program"*) ;;
    *) fail "dist/imgstep is not static: $said" ;;
    esac
    if command -v readelf >/dev/null 2>&1; then
        ! readelf -lW dist/imgstep | grep -q INTERP || fail "dist/imgstep asks for a dynamic loader (PT_INTERP)"
        ! readelf -dW dist/imgstep | grep -q NEEDED || fail "dist/imgstep asks for shared libraries (NEEDED)"
    fi
    ;;
esac

size=$(($(wc -c <dist/imgstep)))
echo "dist/imgstep: $target, $linkage, $size bytes of $budget"
[ "$size" -le "$budget" ] || fail "dist/imgstep is over its budget of $budget bytes"
