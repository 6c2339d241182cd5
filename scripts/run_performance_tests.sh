#!/bin/sh
# The performance suite: builds the library as released, measures it against pure Erlang and
# every other coder on the code path, prints the table and writes the figures and a page.
set -eu
cd "$(dirname "$0")/.."

usage() {
    cat <<'END'
usage: scripts/run_performance_tests.sh [options]
  --quick             short rounds: about a minute, rough figures
  --full              long rounds: for figures to be published
  --only=ID,...       these workloads only
  --direction=NAME,.. decode, encode, ..., or a whole group such as json_decode
  --record            also keep the figures in bench/record under date and machine
  --list              say which cases there are, measure nothing
Other coders are measured too when they are found: ERL_LIBS=/folder/of/applications
END
}

progress=lines
[ -t 2 ] && progress=bar
for argument; do
    shift
    case $argument in
        -h | --help) usage; exit 0 ;;
        --record) argument=--record=bench/record ;;
        --quick | --full | --list | --only=?* | --direction=?*) ;;
        *) usage >&2; exit 2 ;;
    esac
    set -- "$@" "$argument"
done

if [ -x scripts/setup.sh ]; then scripts/setup.sh; fi
PROFILE=release rebar3 as test compile

paths=$(find _build/test/lib/erlmcp_native/ebin _build/test/lib/erlmcp_native/bench -name '*.beam' -exec dirname {} + | sort -u)
# shellcheck disable=SC2086 # one path to a word
exec erl -noshell -pa $paths -run erlmcp_bench main -extra --progress=$progress "$@"
