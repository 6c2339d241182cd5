#!/bin/sh
# Brings the official JSON-Schema-Test-Suite to _build/schema_suite, from the source package of
# the Python library jsonschema, which carries it. Does nothing when it is there.
set -eu
VERSION=4.26.0
cd "$(dirname "$0")/.."
target=_build/schema_suite
[ -d "$target/tests" ] && exit 0
command -v pip3 >/dev/null || { echo "fetch_schema_suite: pip3 is not installed" >&2; exit 1; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
pip3 download --quiet --disable-pip-version-check --no-deps --no-binary jsonschema \
    --dest "$scratch" "jsonschema==$VERSION" >&2
tar -xzf "$scratch/jsonschema-$VERSION.tar.gz" -C "$scratch"
mkdir -p "$target"
cp -R "$scratch/jsonschema-$VERSION/json/." "$target"
