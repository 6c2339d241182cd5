#!/usr/bin/env bash
# Every check and every test. Goes on after a failure; the last line counts them all:
# `N passed, N failed[, N skipped]`. A step without tests of its own counts as one.
set -uo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin"
export TERM=dumb # no colours in what is read below
unset ERLMCP_NATIVE_LIB FEATURES PROFILE

logs=_build/run_tests
mkdir -p $logs
passed=0 failed=0 skipped=0

# step NAME COUNTER COMMAND...: COUNTER reads the log and prints `passed failed skipped`.
step() {
    local name=$1 counter=$2 status=0 start=$SECONDS log p f s
    shift 2
    log="$logs/${name//[^a-z0-9]/_}.log"
    "$@" >"$log" 2>&1 </dev/null || status=$?
    read -r p f s < <($counter "$log" $status)
    if [ $status -ne 0 ] && [ "$f" -eq 0 ]; then f=1; fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    if [ "$f" -eq 0 ]; then
        echo "ok      $name: $p passed, $s skipped ($((SECONDS - start)) s)"
    else
        echo "FAILED  $name: $p passed, $f failed, $s skipped ($((SECONDS - start)) s), from $log:"
        tail -n 200 "$log" | sed 's/^/    /'
    fi
    skip_reasons "$log"
}

count_step() { if [ "$2" -eq 0 ]; then echo 1 0 0; else echo 0 1 0; fi; }

count_cargo() {
    awk '/^test result:/ { for (i = 3; i < NF; i++) {
            if ($(i + 1) == "passed;") p += $i
            if ($(i + 1) == "failed;") f += $i
            if ($(i + 1) == "ignored;") s += $i
        } }
        END { print p + 0, f + 0, s + 0 }' "$1"
}

# Common Test skips by itself what a failed init would have prepared: those are failures here.
count_ct() {
    awk '/^All [0-9]+ tests passed/ { p += $2 }
        { while (match($0, /(Failed|Skipped|Passed) [0-9]+ (\([0-9]+, [0-9]+\) )?tests/)) {
            split(substr($0, RSTART, RLENGTH), w, /[ (,)]+/)
            if (w[1] == "Failed") f += w[2]
            if (w[1] == "Passed") p += w[2]
            if (w[1] == "Skipped") { s += w[3]; f += w[4] }
            $0 = substr($0, RSTART + RLENGTH)
        } }
        END { print p + 0, f + 0, s + 0 }' "$1"
}

# Common Test gives the reason on the line after, as `{tc_user_skip,Reason}`.
skip_reasons() {
    awk '/^%%% .*: SKIPPED$/ { name = $2 " " $4; getline; sub(/^%%% [^ ]+ ==> /, "")
            print "    skipped: " name " " $0 }
        /^test .* \.\.\. ignored/ { sub(/^test /, ""); print "    skipped: " $0 }' "$1"
}

scripts/setup.sh || { echo "0 passed, 1 failed"; exit 1; }

# Tests build one profile, with the checks that release leaves out; its dependencies are built once.
tested=(env PROFILE=quick CARGO_PROFILE_QUICK_DEBUG_ASSERTIONS=true
    CARGO_PROFILE_QUICK_OVERFLOW_CHECKS=true)
library=(--locked --workspace --target-dir target --profile quick)
# The reports' program and the fuzz targets are workspaces of their own.
bench=(--locked --workspace --target-dir target --manifest-path bench/Cargo.toml)
fuzz=(--locked --workspace --target-dir target --manifest-path native/fuzz/Cargo.toml)

format() {
    local manifest status=0
    for manifest in Cargo.toml bench/Cargo.toml native/fuzz/Cargo.toml; do
        [ ! -f $manifest ] || cargo fmt --all --check --manifest-path $manifest || status=1
    done
    return $status
}

step "cargo fmt --check" count_step format
step "cargo clippy" count_step "${tested[@]}" \
    cargo clippy "${library[@]}" --all-targets -- -D warnings
step "cargo test --workspace" count_cargo "${tested[@]}" \
    cargo test "${library[@]}" --no-fail-fast
step "cargo clippy (bench)" count_step cargo clippy "${bench[@]}" --all-targets -- -D warnings
step "cargo test (bench)" count_cargo cargo test "${bench[@]}" --no-fail-fast
step "cargo clippy (fuzz)" count_step cargo clippy "${fuzz[@]}" --all-targets -- -D warnings
step "cargo test (fuzz seeds)" count_cargo cargo test "${fuzz[@]}" --no-fail-fast
step "rebar3 compile" count_step rebar3 compile
step "rebar3 xref" count_step rebar3 xref
step "rebar3 dialyzer" count_step rebar3 dialyzer
step "rebar3 ct --suite=performance_suite" count_ct rebar3 ct --suite=performance_suite
step "rebar3 ct" count_ct "${tested[@]}" FEATURES=call_time rebar3 ct --cover
step "rebar3 cover" count_step "${tested[@]}" FEATURES=call_time rebar3 cover --verbose

if [ $skipped -gt 0 ]; then
    echo "$passed passed, $failed failed, $skipped skipped"
else
    echo "$passed passed, $failed failed"
fi
[ $failed -eq 0 ]
