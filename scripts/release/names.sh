# Names for the release scripts in this folder; each sources this file. A fork changes them here, and in
# github-action/install.sh, tasks/generate/names.rs and Cargo.toml.
# shellcheck shell=sh disable=SC2034 # used by those who read it

repository=https://github.com/org/imgstep
image=ghcr.io/org/imgstep
bundle=ghcr.io/org/imgstep/tekton

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
# The tag that moves with every compatible release: v1, or v0 before that.
moving=v${version%%.*}
# The time of everything that is built: that of the commit.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
# The commit being built. The release commit on top of it changes nothing that is built (tag.sh).
revision=$(git rev-parse HEAD 2>/dev/null) || revision=unknown
[ "$(git log -1 --format=%s 2>/dev/null)" != "Release $version" ] || revision=$(git rev-parse HEAD^)
# Sort order doesn't depend on a locale.
export LC_ALL=C

fail() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

# sum FILE: prints its SHA-256.
sum() {
    if command -v sha256sum >/dev/null 2>&1; then
        sha256sum <"$1" | cut -d ' ' -f 1
    else
        shasum -a 256 <"$1" | cut -d ' ' -f 1
    fi
}
