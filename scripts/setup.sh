#!/usr/bin/env bash
# Installs what building and testing need and what is missing, on Debian and Ubuntu, as root or with
# sudo; elsewhere says what that would be. Cargo is never downloaded silently.
set -euo pipefail

# kind      name              Debian package       needed, or optional
needs='
command     make              make                 needed
command     cc                gcc                  needed
command     git               git                  needed
command     erl               erlang-base          needed
command     rebar3            rebar3               needed
header      kernel            erlang-dev           needed
application common_test       erlang-common-test   needed
application crypto            erlang-crypto        needed
application dialyzer          erlang-dialyzer      needed
application edoc              erlang-edoc          needed
application eunit             erlang-eunit         needed
application inets             erlang-inets         needed
application proper            erlang-proper        needed
application public_key        erlang-public-key    needed
application runtime_tools     erlang-runtime-tools needed
application syntax_tools      erlang-syntax-tools  needed
application tools             erlang-tools         needed
application bear              erlang-bear          optional
application folsom            erlang-folsom        optional
application jiffy             erlang-jiffy         optional
application p1_cache_tab      erlang-p1-cache-tab  optional
application poolboy           erlang-poolboy       optional
command     prometheus        prometheus           optional
command     python3           python3              optional
python      ensurepip         python3-venv         optional
'
rust_version=1.91

export PATH="$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin"

has() { command -v "$1" >/dev/null; }

# The applications among the arguments that the VM does not find; `header` ones without include/.
absent_in_erlang() {
    erl -noinput -eval '
        Missing = fun
            ("header-" ++ App) ->
                not filelib:is_dir(code:lib_dir(list_to_atom(App), include));
            (App) ->
                is_tuple(code:lib_dir(list_to_atom(App)))
        end,
        [io:put_chars([App, "\n"]) || App <- init:get_plain_arguments(), Missing(App)],
        halt().' -extra "$@"
}

# Lines of the table whose need is not met.
missing() {
    local in_erlang kind name
    if has erl; then
        in_erlang=$(absent_in_erlang $(awk '
            $1 == "application" { print $2 }
            $1 == "header" { print "header-" $2 }' <<<"$needs"))
    else
        in_erlang=$(awk '
            $1 == "application" { print $2 }
            $1 == "header" { print "header-" $2 }' <<<"$needs")
    fi
    while read -r kind name rest; do
        case $kind in
            command) has "$name" || echo "$kind $name $rest" ;;
            python) python3 -c "import $name" 2>/dev/null || echo "$kind $name $rest" ;;
            application) grep -qx "$name" <<<"$in_erlang" && echo "$kind $name $rest" ;;
            header) grep -qx "header-$name" <<<"$in_erlang" && echo "$kind $name $rest" ;;
        esac
    done <<<"$needs" || true
}

# apt can add to an Erlang of its own only.
apt_serves_erlang() {
    has apt-get && { ! has erl || dpkg -S "$(readlink -f "$(command -v erl)")" >/dev/null 2>&1; }
}

as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)

install() {
    [ "$(id -u)" -eq 0 ] || has sudo || { echo "setup: not root, and there is no sudo" >&2; return 1; }
    "${as_root[@]}" apt-get update -q </dev/null
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends "$@" </dev/null
}

lacking=$(missing)
if [ -n "$lacking" ] && apt_serves_erlang; then
    # Without the optional ones if they are what cannot be had.
    # shellcheck disable=SC2046
    install $(awk '{ print $3 }' <<<"$lacking") ||
        install $(awk '$4 == "needed" { print $3 }' <<<"$lacking") || true
    # The tests start servers of their own; the package has started one that listens to everyone.
    if grep -q '^command prometheus' <<<"$lacking" && has prometheus && has systemctl; then
        "${as_root[@]}" systemctl disable --now prometheus.service || true
    fi
    lacking=$(missing)
fi

status=0
while read -r kind name package need; do
    [ -n "$kind" ] || continue
    echo "setup: missing: $kind $name (on Debian: $package), $need" >&2
    [ "$need" = optional ] || status=1
done <<<"$lacking"

rust_is_new() {
    rustc --version | awk -F'[ .]' -v want="$rust_version" \
        '{ split(want, w, "."); exit !($2 > w[1] || ($2 == w[1] && $3 >= w[2])) }'
}
if ! has cargo || ! rust_is_new; then
    if [ -z "${ERLMCP_NATIVE_LIB:-}" ]; then
        cat >&2 <<MESSAGE
setup: missing: Rust $rust_version or newer. Get it from https://rustup.rs:
setup:     curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh
setup: or set ERLMCP_NATIVE_LIB=/path/to.so to a prebuilt library
MESSAGE
        status=1
    fi
elif ! has cargo-clippy || ! has cargo-fmt; then
    echo "setup: missing: rustup component add clippy rustfmt" >&2
    status=1
fi
exit $status
