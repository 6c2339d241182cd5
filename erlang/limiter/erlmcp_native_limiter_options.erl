-module(erlmcp_native_limiter_options).
-include("erlmcp_native_doc.hrl").
?MODULEDOC(false).

%% What callers give beside a limiter and a key, checked and as the NIFs take it.

-export([new/2, ask/3]).

-define(LARGEST, 1_000_000_000).
-define(MAX_KEYS, 100_000_000).
-define(MAX_TIME, (1 bsl 40)).

-define(DEFAULT_KEYS, 1_000_000).
-define(SECOND, 1000).

%% The arguments of limiter_new.
-spec new(erlmcp_native_limiter:opts(), erlmcp_native_error:call()) ->
    {atom(), pid() | none, tuple()}.
new(Opts, Call) when is_map(Opts) ->
    Algorithm = maps:get(algorithm, Opts, token_bucket),
    Given = fun(Key, Value) -> is_new(Key, Value) andalso is_of(Key, Algorithm) end,
    ok = check(Given, Opts, Call),
    Limit =
        case Opts of
            #{limit := Value} -> Value;
            _ -> erlmcp_native_error:badarg(Call, 1, "the option limit is missing")
        end,
    Burst = maps:get(burst, Opts, Limit),
    Config = {
        Algorithm,
        {Limit, maps:get(per, Opts, ?SECOND), Burst},
        maps:get(max_keys, Opts, ?DEFAULT_KEYS),
        floors(maps:get(reserve, Opts, #{}), Burst, Call),
        maps:get(bypass, Opts, none) =:= high,
        block(maps:get(block, Opts, none))
    },
    {maps:get(name, Opts, undefined), maps:get(owner, Opts, self()), Config};
new(_Opts, Call) ->
    erlmcp_native_error:badarg(Call, 1, "not a map of options").

check(Is, Opts, Call) ->
    _ = [
        erlmcp_native_error:bad_option(Call, 1, Key, Value)
     || {Key, Value} <- maps:to_list(Opts), not Is(Key, Value)
    ],
    ok.

is_new(name, V) -> is_atom(V) andalso V =/= undefined;
is_new(owner, none) -> true;
is_new(owner, V) -> is_pid(V) andalso node(V) =:= node();
is_new(algorithm, V) -> lists:member(V, [token_bucket, sliding_window, leaky_bucket, concurrency]);
is_new(limit, V) -> is_count(V, ?LARGEST);
is_new(per, V) -> is_count(V, ?MAX_TIME);
is_new(burst, V) -> is_count(V, ?LARGEST);
is_new(max_keys, V) -> is_count(V, ?MAX_KEYS);
is_new(block, V) -> is_block(V);
is_new(reserve, V) -> is_map(V) andalso lists:all(fun is_reserve/1, maps:to_list(V));
is_new(bypass, V) -> V =:= none orelse V =:= high;
is_new(_, _) -> false.

%% What is not of rates in time.
is_of(per, Algorithm) -> Algorithm =/= concurrency;
is_of(burst, Algorithm) -> Algorithm =:= token_bucket orelse Algorithm =:= leaky_bucket;
is_of(_, _) -> true.

is_count(V, Most) -> is_integer(V) andalso V > 0 andalso V =< Most.

is_block(none) ->
    true;
is_block(#{violations := Violations, within := Within, duration := Duration} = Block) ->
    map_size(Block) =:= 3 andalso is_count(Violations, ?LARGEST) andalso
        is_count(Within, ?MAX_TIME) andalso is_count(Duration, ?MAX_TIME);
is_block(_) ->
    false.

block(none) -> none;
block(#{violations := Violations, within := Within, duration := Duration}) -> {Violations, Within, Duration}.

is_reserve({Priority, Share}) when Priority =:= high; Priority =:= normal ->
    (is_float(Share) andalso Share >= 0.0 andalso Share < 1.0) orelse
        (is_integer(Share) andalso Share >= 0 andalso Share < ?LARGEST);
is_reserve(_) ->
    false.

%% What is left to others by those of each priority.
floors(Reserve, Most, Call) ->
    [High, Normal] = [tokens(maps:get(Priority, Reserve, 0), Most) || Priority <- [high, normal]],
    case High + Normal < Most of
        true -> {0, High, High + Normal};
        false -> erlmcp_native_error:badarg(Call, 1, "the option reserve leaves nothing to others")
    end.

tokens(Share, Most) when is_float(Share) -> ceil(Share * Most);
tokens(Tokens, _Most) -> Tokens.

%% Cost and priority of a request.
-spec ask(erlmcp_native_limiter:ask(), pos_integer(), erlmcp_native_error:call()) ->
    {pos_integer(), 0..2}.
ask(Opts, At, Call) when is_map(Opts) ->
    {Cost, WithCost} =
        case Opts of
            #{cost := C} when is_integer(C), C > 0, C =< ?LARGEST -> {C, 1};
            #{cost := C} -> erlmcp_native_error:bad_option(Call, At, cost, C);
            _ -> {1, 0}
        end,
    {Priority, Known} =
        case Opts of
            #{priority := high} -> {0, WithCost + 1};
            #{priority := normal} -> {1, WithCost + 1};
            #{priority := low} -> {2, WithCost + 1};
            #{priority := P} -> erlmcp_native_error:bad_option(Call, At, priority, P);
            _ -> {1, WithCost}
        end,
    case map_size(Opts) of
        Known ->
            {Cost, Priority};
        _ ->
            [{Key, Value} | _] = maps:to_list(maps:without([cost, priority], Opts)),
            erlmcp_native_error:bad_option(Call, At, Key, Value)
    end;
ask(_Opts, At, Call) ->
    erlmcp_native_error:badarg(Call, At, "not a map of options").
