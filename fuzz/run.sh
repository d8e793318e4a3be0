#!/bin/sh
# Builds the fuzz targets and runs each for a while: fuzz/run.sh [TARGET...]. SECONDS_EACH is the time for each, in
# seconds.
set -eu
cd "$(dirname "$0")"

# These flags tell libFuzzer which paths an input takes. They work with stable Rust; cargo-fuzz, which needs a nightly,
# sets the same ones. The code is memory safe without a sanitizer, and runs five times as fast.
flags='--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4'
flags="$flags -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
flags="$flags -Cllvm-args=-sanitizer-coverage-trace-compares"
# With an explicit target, the flags apply to the program but not to build scripts and macros.
host=$(rustc -vV | sed -n 's/^host: //p')
built=../target/fuzz-build
RUSTFLAGS=$flags cargo build --quiet --release --target "$host" --target-dir "$built"

seconds=${SECONDS_EACH:-60}
[ $# -gt 0 ] || set -- $(sed -n 's/^name = "\([a-z_]*\)"$/\1/p' Cargo.toml)
failed=
for target; do
    mkdir -p "corpus/$target" "artifacts/$target" "regressions/$target"
    log=artifacts/$target/log
    status=0
    # No input may take ten seconds or half a gigabyte.
    "$built/$host/release/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=512 -print_final_stats=1 \
        -artifact_prefix="artifacts/$target/" "corpus/$target" "seeds/$target" "regressions/$target" >"$log" 2>&1 || status=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    edges=$(grep -o 'cov: [0-9]*' "$log" | tail -n 1 | cut -d ' ' -f 2 || true)
    memory=$(sed -n 's/^stat::peak_rss_mb: *//p' "$log")
    if [ "$status" = 0 ]; then
        printf '%-14s %10s inputs, %5s edges, %4s MB: nothing found\n' "$target" "${runs:-?}" "${edges:-?}" "${memory:-?}"
    else
        printf '%-14s %10s inputs: FOUND something, see fuzz/%s\n' "$target" "${runs:-?}" "$log"
        grep -E "^thread|panicked|ALARM|out-of-memory|Test unit written" "$log" | head -n 5 || true
        failed="$failed $target"
    fi
done
rmdir regressions/* 2>/dev/null || true
[ -z "$failed" ]
