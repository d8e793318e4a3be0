#!/bin/sh
# assets.sh STAGE: creates the downloads. For each STAGE/binaries/<os>-<arch>/imgstep an archive
# STAGE/assets/imgstep-<version>-<os>-<arch>.tar.gz with the program, completions and manual pages; the bill of
# materials; checksums of everything. The same input gives the same bytes.
set -eu
cd "$(dirname "$0")/../.."
. scripts/release/names.sh
stage=$1
assets=$stage/assets
mkdir -p "$assets"

pages=$stage/pages
rm -rf "$pages"
cargo run --quiet --locked --example pages -- "$pages"

for binary in "$stage"/binaries/*/imgstep; do
    [ -f "$binary" ] || fail "no program below $stage/binaries"
    platform=$(basename "$(dirname "$binary")")
    folder=$stage/archive
    rm -rf "$folder"
    mkdir -p "$folder"
    cp "$binary" LICENSE README.md "$folder"
    cp -R "$pages/completions" "$pages/man" "$folder"
    chmod -R u=rwX,go=rX "$folder"
    chmod 755 "$folder/imgstep"
    archive=imgstep-$version-$platform.tar.gz
    # GNU tar, and gzip without name and time.
    tar -C "$folder" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --format=ustar \
        -cf - LICENSE README.md completions imgstep man | gzip -9n >"$assets/$archive"
    rm -r "$folder"
done

# The bill of materials: the contents of the Linux program, from Cargo.lock. Its serial number and time are fixed, so
# that it is the same each time; the serial number is derived from the version.
sbom=imgstep-$version.cdx.json
cargo cyclonedx --quiet --format json --spec-version 1.5 --target x86_64-unknown-linux-musl \
    --override-filename "${sbom%.json}"
python3 - "$sbom" "$repository" "$version" <<'END'
import json, sys, uuid
path, repository, version = sys.argv[1:]
with open(path) as file:
    text = json.load(file)
text["serialNumber"] = "urn:uuid:" + str(uuid.uuid5(uuid.NAMESPACE_URL, f"{repository}/releases/tag/v{version}"))

def without_paths(value):
    """No path of the machine that it was made on."""
    if isinstance(value, dict):
        return {name: without_paths(item) for name, item in value.items()}
    if isinstance(value, list):
        return [without_paths(item) for item in value]
    if isinstance(value, str) and value.startswith("path+file://"):
        return "pkg:cargo/imgstep@" + version + (value[value.index(" "):] if " " in value else "")
    if isinstance(value, str) and "download_url=file" in value:
        return value.split("?")[0] + (value[value.index("#"):] if "#" in value else "")
    return value

with open(path, "w") as file:
    json.dump(without_paths(text), file, indent=1, sort_keys=True)
    file.write("\n")
END
mv "$sbom" "$assets/$sbom"

(
    cd "$assets"
    rm -f checksums.txt
    for asset in *; do
        echo "$(sum "$asset")  $asset"
    done >../checksums.txt
    mv ../checksums.txt checksums.txt
    cat checksums.txt
)
