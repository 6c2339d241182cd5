#!/usr/bin/env bash
# Fuzzes the JSON core and the binary forms of histograms: each target in turn, with the address
# sanitizer and every check of the compiler's. Needs a nightly toolchain and cargo-fuzz. The corpus
# begins with what is kept in native/fuzz/kept and grows in native/fuzz/corpus; an input that breaks
# a property ends the run and stays in native/fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/../native/fuzz"
export PATH="$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin"

usage() {
    cat <<'END'
usage: scripts/fuzz.sh [SECONDS [TARGET...]]
       scripts/fuzz.sh --keep [TARGET...]
  SECONDS  for all targets together; 240 unless told
  TARGET   decode, split, encode, rpc or snapshot; all of them unless told
  --keep   reduce the corpus to inputs that differ in what they reach, and pack those of up to
           512 bytes, to be committed
END
    exit "${1:-2}"
}

case ${1:-} in -h | --help) usage 0 ;; esac
seconds=${1:-240}
[[ $seconds =~ ^([1-9][0-9]*|--keep)$ ]] || usage >&2
shift $(($# > 0))
targets=("$@")
[ $# -gt 0 ] || targets=(decode split encode rpc snapshot)
for target in "${targets[@]}"; do
    [ -f "fuzz_targets/$target.rs" ] || usage >&2
done

missing() {
    echo "fuzz.sh: $1 is missing: $2" >&2
    exit 1
}
cargo +nightly --version >/dev/null 2>&1 ||
    missing "a nightly toolchain" "rustup toolchain install nightly"
cargo fuzz --version >/dev/null 2>&1 || missing cargo-fuzz "cargo install cargo-fuzz"

# JSONTestSuite, where it is, gives the decoder more to begin with.
suite=${ERLMCP_SHARED_DATA:-../../../shared/data}/JSONTestSuite

fuzz() {
    local target=$1 each=$2 corpora=("corpus/$1" "seeds/$1")
    if [ ! -d "corpus/$target" ]; then
        mkdir -p "corpus/$target"
        tar -xzf "kept/$target.tar.gz" -C "corpus/$target"
    fi
    if [ "$target" = decode ] && [ -d "$suite" ]; then corpora+=("$suite"); fi
    echo "fuzz.sh: $target for $each s"
    cargo +nightly fuzz run --fuzz-dir . "$target" "${corpora[@]}" -- \
        -max_total_time="$each" -max_len=4096 -timeout=10 -rss_limit_mb=2048 -dict=json.dict \
        -print_final_stats=1
}

keep() {
    local target=$1
    cargo +nightly fuzz cmin --fuzz-dir . "$target"
    mkdir -p kept
    # What takes more bytes is rarely worth its place in the repository, nor are 40 digits of a name.
    (cd "corpus/$target" && find . -type f -size -513c -print0) | sort -z |
        tar -C "corpus/$target" --null --no-recursion -T - --mtime=@0 --owner=0 --group=0 \
            --numeric-owner --transform 's|^\./\(.\{8\}\).*|\1|' -cf - | gzip -9n >"kept/$target.tar.gz"
    ls -l "kept/$target.tar.gz"
}

for target in "${targets[@]}"; do
    if [ "$seconds" = --keep ]; then
        keep "$target"
    else
        fuzz "$target" $(((seconds + ${#targets[@]} - 1) / ${#targets[@]}))
    fi
done
