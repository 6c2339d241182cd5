-module(erlmcp_native_breaker_options).
-include("erlmcp_native_doc.hrl").
?MODULEDOC(false).

%% What callers give beside a breaker, checked and as the NIFs take it.

-export([new/2, call/2, allow/2]).

-define(FAILURES, 5).
-define(CALLS, 100).
-define(MINIMUM_CALLS, 10).
-define(OPEN, 60_000).
-define(PROBE_TIMEOUT, 60_000).

-define(MAX_CALLS, 100_000).
-define(MAX_PROBES, 1_000).
-define(MAX_TIME, (1 bsl 40)).
-define(MAX_FACTOR, 1.0e6).

%% The arguments of breaker_new, with the defaults filled in.
-spec new(erlmcp_native_breaker:opts(), erlmcp_native_error:call()) ->
    {atom(), pid() | none, tuple(), erlmcp_native_breaker:outcome_fun() | none}.
new(Opts, Call) ->
    ok = check(fun is_new/2, Opts, Call),
    Probes = maps:get(probes, Opts, 1),
    Successes = maps:get(successes, Opts, Probes),
    ok = agree(Successes =< Probes, "successes cannot be more than probes", Call),
    Slow = maps:get(slow_call, Opts, none),
    ok = agree(
        Slow =/= none orelse not is_map_key(slow_rate, Opts), "slow_rate needs slow_call", Call
    ),
    FailureRate = maps:get(failure_rate, Opts, none),
    SlowRate = slow_rate(Slow, Opts),
    HasRate = FailureRate =/= none orelse SlowRate =/= none,
    ok = agree(
        HasRate orelse not (is_map_key(window, Opts) orelse is_map_key(minimum_calls, Opts)),
        "window and minimum_calls need failure_rate or slow_call",
        Call
    ),
    {Window, Minimum} = window(HasRate, Opts),
    ok = agree(can_fill(Window, Minimum), "the window cannot hold minimum_calls", Call),
    Open = open(maps:get(open, Opts, ?OPEN)),
    {Wait, Factor, Max, Jitter} = Open,
    ok = agree(Max >= Wait, "open: max is less than wait", Call),
    Settings =
        {
            maps:get(failures, Opts, default_failures(HasRate)),
            rate(FailureRate),
            rate(SlowRate),
            Minimum,
            Window,
            Slow,
            Wait,
            Factor,
            Max,
            Jitter,
            Probes,
            Successes,
            maps:get(probe_timeout, Opts, ?PROBE_TIMEOUT)
        },
    {
        maps:get(name, Opts, undefined),
        maps:get(owner, Opts, self()),
        Settings,
        maps:get(outcome, Opts, none)
    }.

%% Who asks for a rate does not ask for failures in a row.
default_failures(true) -> infinity;
default_failures(false) -> ?FAILURES.

slow_rate(none, _) -> none;
slow_rate(_, Opts) -> maps:get(slow_rate, Opts, 1.0).

window(false, _) ->
    {none, 1};
window(true, Opts) ->
    Window = maps:get(window, Opts, {count, ?CALLS}),
    Most =
        case Window of
            {count, Calls} -> Calls;
            {time, _} -> ?MINIMUM_CALLS
        end,
    {Window, maps:get(minimum_calls, Opts, min(?MINIMUM_CALLS, Most))}.

can_fill({count, Calls}, Minimum) -> Minimum =< Calls;
can_fill(_, _) -> true.

open(Wait) when is_integer(Wait) ->
    open(#{wait => Wait});
open(#{wait := Wait} = Open) ->
    Factor = maps:get(factor, Open, 1.0),
    Max = maps:get(max, Open, max(Wait, ?MAX_TIME - 1)),
    {Wait, float(Factor), Max, float(maps:get(jitter, Open, 0.0))}.

rate(none) -> none;
rate(Rate) -> float(Rate).

%% The options of a call.
-spec call(erlmcp_native_breaker:call_opts(), erlmcp_native_error:call()) ->
    {
        erlmcp_native_breaker:fallback() | none,
        erlmcp_native_breaker:outcome_fun() | default
    }.
call(Opts, Call) ->
    ok = check(fun is_call/2, Opts, Call, 3),
    {maps:get(fallback, Opts, none), maps:get(outcome, Opts, default)}.

%% The process that is to be watched.
-spec allow(erlmcp_native_breaker:allow_opts(), erlmcp_native_error:call()) -> pid().
allow(Opts, Call) ->
    ok = check(fun is_allow/2, Opts, Call, 2),
    maps:get(caller, Opts, self()).

is_new(name, V) -> is_atom(V) andalso V =/= undefined;
is_new(owner, none) -> true;
is_new(owner, V) -> is_local(V);
is_new(failures, infinity) -> true;
is_new(failures, V) -> is_number_of(V, ?MAX_CALLS);
is_new(failure_rate, V) -> is_rate(V);
is_new(slow_rate, V) -> is_rate(V);
is_new(slow_call, V) -> is_time(V);
is_new(window, {count, V}) -> is_number_of(V, ?MAX_CALLS);
is_new(window, {time, V}) -> is_time(V) andalso V > 0;
is_new(minimum_calls, V) -> is_number_of(V, ?MAX_CALLS);
is_new(open, #{wait := V} = Open) -> is_time(V) andalso lists:all(fun is_open/1, maps:to_list(Open));
is_new(open, V) -> is_time(V);
is_new(probes, V) -> is_number_of(V, ?MAX_PROBES);
is_new(successes, V) -> is_number_of(V, ?MAX_PROBES);
is_new(probe_timeout, infinity) -> true;
is_new(probe_timeout, V) -> is_time(V);
is_new(outcome, V) -> is_function(V, 2);
is_new(_, _) -> false.

is_open({wait, _}) -> true;
is_open({factor, V}) -> is_number(V) andalso V >= 1 andalso V =< ?MAX_FACTOR;
is_open({max, V}) -> is_time(V);
is_open({jitter, V}) -> is_number(V) andalso V >= 0 andalso V =< 1;
is_open(_) -> false.

is_call(fallback, V) -> is_function(V, 0) orelse is_function(V, 1);
is_call(outcome, V) -> is_function(V, 2);
is_call(_, _) -> false.

is_allow(caller, V) -> is_local(V);
is_allow(_, _) -> false.

is_local(V) -> is_pid(V) andalso node(V) =:= node().
is_number_of(V, Max) -> is_integer(V) andalso V > 0 andalso V =< Max.
is_rate(V) -> is_number(V) andalso V > 0 andalso V =< 1.
is_time(V) -> is_integer(V) andalso V >= 0 andalso V < ?MAX_TIME.

agree(true, _Why, _Call) -> ok;
agree(false, Why, Call) -> erlmcp_native_error:badarg(Call, 1, Why).

check(Is, Opts, Call) ->
    check(Is, Opts, Call, 1).

check(Is, Opts, Call, At) when is_map(Opts) ->
    _ = [
        erlmcp_native_error:bad_option(Call, At, Key, Value)
     || {Key, Value} <- maps:to_list(Opts), not Is(Key, Value)
    ],
    ok;
check(_Is, _Opts, Call, At) ->
    erlmcp_native_error:badarg(Call, At, "not a map of options").
