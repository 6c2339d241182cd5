-module(erlmcp_native_histogram_options).
-include("erlmcp_native_doc.hrl").
?MODULEDOC(false).

%% What callers give beside a histogram, checked and as the NIFs take it.

-export([new/2, check/4]).

-define(PRECISION, 7).
-define(BITS, 42).
-define(MAX_TIME, (1 bsl 40)).

%% The options of a new histogram as histogram_new takes them, with the defaults filled in.
-spec new(erlmcp_native_histogram:opts(), erlmcp_native_error:call()) ->
    {5..10, 1..64, atom(), pid() | none, boolean(), pos_integer() | none}.
new(Opts, Call) ->
    ok = check(fun is_new/2, Opts, 1, Call),
    {
        maps:get(precision, Opts, ?PRECISION),
        bits(maps:get(max, Opts, 1 bsl ?BITS - 1), 1),
        maps:get(name, Opts, undefined),
        maps:get(owner, Opts, self()),
        maps:get(windows, Opts, false),
        maps:get(half_life, Opts, none)
    }.

is_new(precision, V) -> is_integer(V) andalso V >= 5 andalso V =< 10;
is_new(max, V) -> is_integer(V) andalso V > 0 andalso V < 1 bsl 64;
is_new(name, V) -> is_atom(V) andalso V =/= undefined;
is_new(owner, none) -> true;
is_new(owner, V) -> is_pid(V) andalso node(V) =:= node();
is_new(windows, V) -> is_boolean(V);
is_new(half_life, V) -> is_integer(V) andalso V > 0 andalso V < ?MAX_TIME;
is_new(_, _) -> false.

bits(Max, Bits) when Max < 1 bsl Bits -> Bits;
bits(Max, Bits) -> bits(Max, Bits + 1).

%% Whether a term is a map of options that Is knows.
-spec check(fun((term(), term()) -> boolean()), term(), pos_integer(), erlmcp_native_error:call()) ->
    ok.
check(Is, Opts, At, Call) when is_map(Opts) ->
    _ = [
        erlmcp_native_error:bad_option(Call, At, Key, Value)
     || {Key, Value} <- maps:to_list(Opts), not Is(Key, Value)
    ],
    ok;
check(_Is, _Opts, At, Call) ->
    erlmcp_native_error:badarg(Call, At, "not a map of options").
