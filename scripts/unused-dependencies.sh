#!/bin/sh
# Finds dependencies that no source names. The compiler finds those of the library by itself (src/lib.rs), but each
# dependency of the tests is handed to every test, example and program.
set -eu
cd "$(dirname "$0")/.."

status=0
# A manifest, and the folders of its sources.
check() {
    manifest=$1
    shift
    names=$(awk '
        /^\[/ { inside = /^\[(dev-|build-)?dependencies\]$/ }
        inside && /^[a-z0-9_-]+ *=/ { print $1 }
    ' "$manifest")
    for name in $names; do
        case $name in
        rustls-webpki) crate=webpki ;;
        *) crate=$(printf '%s' "$name" | tr - _) ;;
        esac
        if ! grep -rqE --include='*.rs' "(^|[^A-Za-z0-9_])$crate(::|!|;| as )" "$@"; then
            echo "$manifest: nothing uses $name" >&2
            status=1
        fi
    done
}

check Cargo.toml src tests tasks github-action scripts
check bench/Cargo.toml bench/src
check fuzz/Cargo.toml fuzz
exit $status
