#!/bin/sh
# publish.sh STAGE REPOSITORY BUNDLE: tags what image.sh pushed to REPOSITORY, and builds the bundle from the Tasks and
# StepActions in tasks/, which pins.sh has written. $IMGSTEP names the program, $TREE a tree other than this one.
set -eu
cd "$(dirname "$0")/../.."
. scripts/release/names.sh
stage=$1 to=$2 bundle_to=$3
imgstep() { "${IMGSTEP:-imgstep}" "$@"; }
tree=${TREE:-.}

# Release tags never move; only the moving ones do.
imgstep promote "$to@$(cat "$stage/image.digest")" "$to:v$version" --if-exists fail
imgstep promote "$to@$(cat "$stage/image-shell.digest")" "$to:v$version-shell" --if-exists fail
imgstep tag "$to:v$version" "$moving"
imgstep tag "$to:v$version-shell" "$moving-shell"

if [ -d "$tree/tasks/task" ]; then
    set -- "$tree"/tasks/task/*/ "$tree"/tasks/stepaction/*/
    imgstep bundle "$@" --to "$bundle_to:v$version" --if-exists fail --result "digest=$stage/bundle.digest" \
        "ref=$stage/bundle.ref" --annotation \
        "org.opencontainers.image.title=imgstep for Tekton" "org.opencontainers.image.licenses=Apache-2.0" \
        "org.opencontainers.image.version=$version" "org.opencontainers.image.source=$repository" \
        "org.opencontainers.image.revision=$revision" \
        "org.opencontainers.image.documentation=$repository/blob/v$version/tasks/README.md"
    imgstep tag "$bundle_to:v$version" "$moving"
else
    echo "publish.sh: left out the bundle: there is no tasks/task" >&2
fi
