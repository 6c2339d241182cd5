-module(erlmcp_native_pool_options).
-include("erlmcp_native_doc.hrl").
?MODULEDOC(false).

%% What callers give a pool, checked, and as the manager, the keepers and the native part take it.

-export([new/2, native/2, resize/3]).
-export_type([checked/0]).

%% The options of erlmcp_native_pool:start_link/1 with all defaults filled in.
-type checked() :: #{
    name := atom(),
    worker := erlmcp_native_pool:source(),
    min := non_neg_integer(),
    max := pos_integer(),
    concurrency := pos_integer(),
    strategy := erlmcp_native_pool:strategy(),
    queue := non_neg_integer() | infinity,
    barging := non_neg_integer(),
    codel := none | #{target := pos_integer(), interval := pos_integer()},
    adaptive := none | #{min := pos_integer(), max := pos_integer(), initial := pos_integer()},
    latency_decay := pos_integer(),
    checkout_timeout := timeout(),
    start := background | first | all,
    start_timeout := pos_integer(),
    stop_timeout := non_neg_integer(),
    reset_timeout := pos_integer(),
    backoff := #{min := pos_integer(), max := pos_integer()},
    idle_timeout := pos_integer() | infinity,
    max_lifetime := pos_integer() | infinity,
    max_uses := pos_integer() | infinity,
    health := none | #{interval := pos_integer(), timeout := pos_integer()},
    leak_timeout := pos_integer() | infinity
}.

-define(MAX_WORKERS, 100_000).
-define(MAX_CONCURRENCY, 1_000_000).
%% The longest that a process can wait for a message, in milliseconds: 49 days.
-define(MAX_TIME, 16#ffff_ffff).

-spec new(erlmcp_native_pool:opts(), erlmcp_native_error:call()) -> checked().
new(Opts, Call) when is_map(Opts) ->
    _ = [
        erlmcp_native_error:bad_option(Call, 1, Key, Value)
     || {Key, Value} <- maps:to_list(Opts), not is_option(Key, Value)
    ],
    Worker =
        case Opts of
            #{worker := Given} -> Given;
            #{} -> erlmcp_native_error:badarg(Call, 1, "no worker is given")
        end,
    Checked = maps:merge(defaults(), maps:merge(sizes(Worker, Opts, Call), Opts)),
    All = nested(codel, nested(health, nested(backoff, nested(adaptive, Checked)))),
    ok = fits(All, Call),
    All;
new(_Opts, Call) ->
    erlmcp_native_error:badarg(Call, 1, "not a map of options").

defaults() ->
    #{
        name => undefined,
        concurrency => 1,
        strategy => lifo,
        queue => infinity,
        barging => 1,
        codel => none,
        adaptive => none,
        latency_decay => 10_000,
        checkout_timeout => 5_000,
        start => background,
        start_timeout => 30_000,
        stop_timeout => 5_000,
        reset_timeout => 5_000,
        backoff => #{},
        idle_timeout => 60_000,
        max_lifetime => infinity,
        max_uses => infinity,
        health => none,
        leak_timeout => infinity
    }.

%% How many workers there are. Those that the pool does not start are as many as they are.
sizes({static, Terms}, Opts, Call) ->
    ok = no(
        [min, max, max_lifetime, max_uses, idle_timeout, health, backoff], Opts, "static workers", Call
    ),
    #{min => length(Terms), max => length(Terms)};
sizes(token, Opts, Call) ->
    is_map_key(concurrency, Opts) orelse
        erlmcp_native_error:badarg(Call, 1, "tokens need a concurrency: how many there are"),
    ok = no(
        [min, max, max_lifetime, max_uses, idle_timeout, health, backoff], Opts, "tokens", Call
    ),
    #{min => 1, max => 1};
sizes({_Module, _Args}, Opts, _Call) ->
    Max = maps:get(max, Opts, max(10, maps:get(min, Opts, 0))),
    #{max => Max, min => Max}.

no(Keys, Opts, What, Call) ->
    _ = [
        erlmcp_native_error:badarg(Call, 1, io_lib:format("no option of ~ts: ~tw", [What, Key]))
     || Key <- Keys, is_map_key(Key, Opts)
    ],
    ok.

nested(codel, #{codel := #{} = Given} = Opts) ->
    Opts#{codel := maps:merge(#{target => 50, interval => 1_000}, Given)};
nested(health, #{health := #{} = Given} = Opts) ->
    Opts#{health := maps:merge(#{interval => 30_000, timeout => 5_000}, Given)};
nested(backoff, #{backoff := Given} = Opts) ->
    Opts#{backoff := maps:merge(#{min => 100, max => max(10_000, maps:get(min, Given, 0))}, Given)};
nested(adaptive, #{adaptive := #{} = Given, max := Max, concurrency := Concurrency} = Opts) ->
    Most = maps:get(max, Given, Max * Concurrency),
    Least = maps:get(min, Given, 1),
    Initial = maps:get(initial, Given, min(Most, max(Least, 20))),
    Opts#{adaptive := #{min => Least, max => Most, initial => Initial}};
nested(_, Opts) ->
    Opts.

is_option(name, V) -> is_atom(V) andalso V =/= undefined;
is_option(worker, V) -> is_worker(V);
is_option(min, V) -> is_in(V, 0, ?MAX_WORKERS);
is_option(max, V) -> is_in(V, 1, ?MAX_WORKERS);
is_option(concurrency, V) -> is_in(V, 1, ?MAX_CONCURRENCY);
is_option(strategy, V) -> lists:member(V, strategies());
is_option(queue, V) -> V =:= infinity orelse is_integer(V) andalso V >= 0;
is_option(barging, V) -> is_in(V, 0, ?MAX_TIME);
is_option(codel, V) -> V =:= none orelse is_map_of_times(V, [target, interval]);
is_option(adaptive, none) -> true;
is_option(adaptive, V) -> is_map_of(V, [min, max, initial], fun(L) -> is_in(L, 1, 1 bsl 30) end);
is_option(latency_decay, V) -> is_time(V);
is_option(checkout_timeout, V) -> V =:= infinity orelse is_in(V, 0, ?MAX_TIME);
is_option(start, V) -> lists:member(V, [background, first, all]);
is_option(start_timeout, V) -> is_time(V);
is_option(stop_timeout, V) -> is_in(V, 0, ?MAX_TIME);
is_option(reset_timeout, V) -> is_time(V);
is_option(backoff, V) -> is_map_of_times(V, [min, max]);
is_option(idle_timeout, V) -> V =:= infinity orelse is_time(V);
is_option(max_lifetime, V) -> V =:= infinity orelse is_time(V);
is_option(max_uses, V) -> V =:= infinity orelse is_in(V, 1, 1 bsl 32);
is_option(health, V) -> V =:= none orelse is_map_of_times(V, [interval, timeout]);
is_option(leak_timeout, V) -> V =:= infinity orelse is_time(V);
is_option(_, _) -> false.

strategies() ->
    [fifo, lifo, round_robin, random, least_loaded, p2c, hash].

is_worker(token) ->
    true;
is_worker({static, Terms}) ->
    try length(Terms) of
        Length -> is_in(Length, 1, ?MAX_WORKERS)
    catch
        error:badarg -> false
    end;
is_worker({Module, _Args}) ->
    is_atom(Module);
is_worker(_) ->
    false.

is_in(V, Min, Max) -> is_integer(V) andalso V >= Min andalso V =< Max.

is_time(V) -> is_in(V, 1, ?MAX_TIME).

is_map_of_times(V, Keys) -> is_map_of(V, Keys, fun is_time/1).

is_map_of(V, Keys, Is) when is_map(V) ->
    maps:keys(maps:without(Keys, V)) =:= [] andalso lists:all(Is, maps:values(V));
is_map_of(_, _, _) ->
    false.

%% What no option shows by itself.
fits(#{min := Min, max := Max}, Call) when Min > Max ->
    erlmcp_native_error:badarg(Call, 1, "min is more than max");
fits(#{backoff := #{min := Min, max := Max}}, Call) when Min > Max ->
    erlmcp_native_error:badarg(Call, 1, "min of backoff is more than its max");
fits(#{adaptive := #{min := Min, max := Max, initial := Initial}}, Call) when
    Initial < Min; Initial > Max
->
    erlmcp_native_error:badarg(Call, 1, "initial of adaptive is not from its min to its max");
fits(#{worker := {static, _}}, _Call) ->
    ok;
fits(#{worker := {Module, _}, health := Health}, Call) ->
    case code:ensure_loaded(Module) of
        {module, Module} -> ok;
        {error, _} -> erlmcp_native_error:badarg(Call, 1, io_lib:format("no module ~tw", [Module]))
    end,
    erlang:function_exported(Module, start_link, 1) orelse
        erlmcp_native_error:badarg(Call, 1, io_lib:format("~tw has no start_link/1", [Module])),
    Health =:= none orelse erlang:function_exported(Module, check, 1) orelse
        erlmcp_native_error:badarg(Call, 1, io_lib:format("health, but ~tw has no check/1", [Module])),
    ok;
fits(_Opts, _Call) ->
    ok.

%% As pool_new takes them. Only a worker that the pool started, and that one process uses at a time, can be
%% reset between two of them.
-spec native(checked(), erlmcp_native_histogram:handle()) -> map().
native(#{worker := Worker, concurrency := Concurrency} = Opts, Waits) ->
    Taken = [strategy, concurrency, max, queue, barging, latency_decay, checkout_timeout],
    (maps:with(Taken, Opts))#{
        codel => codel(Opts),
        adaptive => adaptive(Opts),
        reset => Concurrency =:= 1 andalso Worker =/= token andalso element(1, Worker) =/= static,
        wait_histogram => Waits
    }.

codel(#{codel := none}) -> none;
codel(#{codel := #{target := Target, interval := Interval}}) -> {Target, Interval}.

adaptive(#{adaptive := none}) -> none;
adaptive(#{adaptive := #{min := Min, max := Max, initial := Initial}}) -> {Min, Max, Initial}.

%% The least and the most of resize/2, of a pool that has these.
-spec resize(term(), {non_neg_integer(), pos_integer()}, erlmcp_native_error:call()) ->
    {non_neg_integer(), pos_integer()}.
resize(Max, {Fixed, Fixed}, Call) when is_integer(Max) ->
    resize({Max, Max}, {Fixed, Fixed}, Call);
resize(Max, {Min, Before}, Call) when is_integer(Max) ->
    resize({min(Min, Max), Max}, {Min, Before}, Call);
resize({Min, Max} = Size, _Before, Call) ->
    is_option(min, Min) andalso is_option(max, Max) andalso Min =< Max orelse
        erlmcp_native_error:badarg(Call, 2, "not a number of workers, nor the least and the most"),
    Size;
resize(_Size, _Before, Call) ->
    erlmcp_native_error:badarg(Call, 2, "not a number of workers, nor the least and the most").
