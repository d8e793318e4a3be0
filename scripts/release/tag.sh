#!/bin/sh
# The release commit, on top of the commit that was built, and its tags:
#
#     tag.sh STAGE     commits what pins.sh writes, tags it vX.Y.Z and pushes the tag
#     tag.sh moving    moves the moving tag (v1) to the same commit
#
# $TOKEN may push. Both commands change nothing when they are run again.
set -eu
cd "$(dirname "$0")/../.."
. scripts/release/names.sh
what=$1
tag=v$version
remote=${REMOTE:-https://x-access-token:${TOKEN:?}@${repository#https://}}

git config user.name 'imgstep release'
git config user.email 'imgstep-release@users.noreply.github.com'

if [ "$what" = moving ]; then
    git fetch --quiet --force "$remote" "refs/tags/$tag:refs/tags/$tag"
    git tag --force "$moving" "$tag^{commit}"
    git push --quiet --force "$remote" "refs/tags/$moving"
    exit
fi

built=$(git rev-parse HEAD)
sh scripts/release/pins.sh write "$what"
sh scripts/release/pins.sh check "$what"
git add --update
# Nothing else may differ from what was built.
strange=$(git diff --cached --name-only | grep -vE '^(github-action/checksums[.]txt|tasks/)' || true)
[ -z "$strange" ] || fail "the release would change $strange"
# Derived only from its parent, so that a second run makes the same commit.
GIT_AUTHOR_DATE="@$SOURCE_DATE_EPOCH +0000" GIT_COMMITTER_DATE="@$SOURCE_DATE_EPOCH +0000" \
    git commit --quiet --allow-empty -m "Release $version" -m "The image and the archives were built from $built; this commit names them by their digests."
git tag --force "$tag" HEAD
there=$(git ls-remote "$remote" "refs/tags/$tag" | cut -f 1)
if [ -z "$there" ]; then
    git push --quiet "$remote" "refs/tags/$tag"
elif [ "$there" != "$(git rev-parse HEAD)" ]; then
    fail "$tag is there already, and names $there; raise the version in Cargo.toml"
fi
