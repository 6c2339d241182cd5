-module(erlmcp_native_cache_options).
-include("erlmcp_native_doc.hrl").
?MODULEDOC(false).

%% What callers give as options, checked and as the NIFs take it.

-export([new/2, put/3, is_put/1, put_given/2, counter/3, lifetime/3, name/2, tag/1]).
-export([subscription/2]).
-export_type([put_tuple/0]).

-define(MAX_TIME, (1 bsl 48 - 1)).
-define(MAX_SIZE, (1 bsl 48 - 1)).
%% It is copied at once, also when the owner ends.
-define(MAX_HEIR_DATA, 65_536).
-define(MAX_TAGS, 500).
-define(MAX_TAG_BYTES, 30_000).
-define(MAX_QUEUE, 65_536).

%% Time to live, idle, weight, stale_for, stale_if_error, tags, dependencies, and the token of the
%% flight that computed the value.
-type put_tuple() :: {
    time(), time(), size(), time(), time(), [term()], [term()], reference() | default
}.
-type time() :: default | infinity | 0..?MAX_TIME.
-type size() :: default | pos_integer().

%% The options of a new cache with the defaults filled in.
-spec new(erlmcp_native_cache:opts(), erlmcp_native_error:call()) -> map().
new(Opts, Call) when is_map(Opts) ->
    check(fun is_new/2, Opts, 2, Call),
    is_map_key(capacity, Opts) orelse
        erlmcp_native_error:badarg(Call, 2, "no capacity is given"),
    All = #{bound := Bound, capacity := Capacity} = maps:merge(defaults(), Opts),
    maps:get(max_entry, Opts, 1) =< Capacity orelse
        erlmcp_native_error:badarg(Call, 2, "max_entry is beyond the capacity"),
    Bound =:= weight orelse maps:get(weigher, All) =:= none orelse
        erlmcp_native_error:badarg(Call, 2, "a weigher needs the bound weight"),
    maps:map(fun clamped/2, All);
new(_Opts, Call) ->
    erlmcp_native_error:badarg(Call, 2, "not a map of options").

defaults() ->
    #{
        policy => s3_fifo,
        bound => entries,
        max_entry => default,
        weigher => none,
        ttl => infinity,
        idle => infinity,
        jitter => 0,
        stale_for => 0,
        stale_if_error => 0,
        refresh_before => 0,
        negative_ttl => 0,
        store => native,
        heir => none
    }.

is_new(policy, V) -> lists:member(V, [lru, s3_fifo, fifo, lfu, random]);
is_new(bound, V) -> lists:member(V, [entries, bytes, weight]);
is_new(capacity, V) -> is_size(V);
is_new(max_entry, V) -> is_size(V);
is_new(weigher, V) -> is_function(V, 2);
is_new(ttl, V) -> is_lifetime(V);
is_new(idle, V) -> is_lifetime(V);
is_new(jitter, V) -> is_integer(V) andalso V >= 0 andalso V =< 90;
is_new(stale_for, V) -> is_duration(V);
is_new(stale_if_error, V) -> is_duration(V);
is_new(refresh_before, V) -> is_duration(V);
is_new(negative_ttl, V) -> is_duration(V);
is_new(store, V) -> lists:member(V, [native, ets]);
is_new(heir, none) -> true;
is_new(heir, {Pid, Data}) ->
    is_pid(Pid) andalso node(Pid) =:= node() andalso erlang:external_size(Data) =< ?MAX_HEIR_DATA;
is_new(_, _) -> false.

%% The options of a put, for the NIF; At is their place in the call.
-spec put(erlmcp_native_cache:put_opts(), pos_integer(), erlmcp_native_error:call()) ->
    put_tuple().
put(Opts, At, Call) when is_map(Opts) ->
    check(fun is_put/2, Opts, At, Call),
    put_given(Opts, default);
put(_Opts, At, Call) ->
    erlmcp_native_error:badarg(Call, At, "not a map of options").

%% Whether put/3 would take it.
-spec is_put(term()) -> boolean().
is_put(Opts) ->
    is_map(Opts) andalso lists:all(fun({Key, V}) -> is_put(Key, V) end, maps:to_list(Opts)).

%% As put/3, of a map that is checked, for the flight with this token.
-spec put_given(#{atom() => term()}, reference() | default) -> put_tuple().
put_given(Opts, Token) when Opts =:= #{} ->
    {default, default, default, default, default, [], [], Token};
put_given(Opts, Token) ->
    Time = fun(Key) -> time(maps:get(Key, Opts, default)) end,
    Tags = fun(Key) -> lists:usort([tag(Tag) || Tag <- maps:get(Key, Opts, [])]) end,
    {
        Time(ttl),
        Time(idle),
        maps:get(weight, Opts, default),
        Time(stale_for),
        Time(stale_if_error),
        Tags(tags),
        Tags(depends_on),
        Token
    }.

is_put(ttl, V) -> is_lifetime(V);
is_put(idle, V) -> is_lifetime(V);
is_put(weight, V) -> is_size(V);
is_put(stale_for, V) -> is_duration(V);
is_put(stale_if_error, V) -> is_duration(V);
is_put(tags, V) -> are_tags(V);
is_put(depends_on, V) -> are_tags(V);
is_put(_, _) -> false.

%% What a counter starts from, and the options of its entry.
-spec counter(erlmcp_native_cache:counter_opts(), pos_integer(), erlmcp_native_error:call()) ->
    {integer(), put_tuple()}.
counter(Opts, At, Call) when is_map(Opts) ->
    Initial = maps:get(initial, Opts, 0),
    is_small(Initial) orelse erlmcp_native_error:bad_option(Call, At, initial, Initial),
    {Initial, put(maps:remove(initial, Opts), At, Call)};
counter(_Opts, At, Call) ->
    erlmcp_native_error:badarg(Call, At, "not a map of options").

-spec lifetime(term(), pos_integer(), erlmcp_native_error:call()) -> infinity | 1..?MAX_TIME.
lifetime(Time, At, Call) ->
    is_lifetime(Time) orelse
        erlmcp_native_error:badarg(Call, At, "not a number of milliseconds or infinity"),
    time(Time).

%% Few and small enough for one entry.
are_tags(Tags) when is_list(Tags) ->
    case length_or_none(Tags) of
        none -> false;
        Length -> Length =< ?MAX_TAGS andalso lists:sum([size_of(tag(T)) || T <- Tags]) =< ?MAX_TAG_BYTES
    end;
are_tags(_) ->
    false.

size_of({external, Bytes}) -> byte_size(Bytes);
size_of(Tag) when is_binary(Tag) -> byte_size(Tag);
size_of(_) -> 16.

-spec name(term(), erlmcp_native_error:call()) -> atom().
name(Name, _Call) when is_atom(Name), Name =/= undefined ->
    Name;
name(_Name, Call) ->
    erlmcp_native_error:badarg(Call, 1, "not a name: an atom other than undefined").

%% Tags are compared by their bytes; a term that has no single form of its own gets one.
-spec tag(term()) -> term().
tag(Tag) when is_atom(Tag); is_binary(Tag) -> Tag;
tag(Tag) when is_integer(Tag), Tag >= -(1 bsl 59), Tag < 1 bsl 59 -> Tag;
tag(Tag) -> {external, term_to_binary(Tag, [deterministic])}.

-spec subscription(erlmcp_native_cache:subscribe_opts(), erlmcp_native_error:call()) ->
    {[erlmcp_native_cache:event()], pos_integer()}.
subscription(Opts, Call) when is_map(Opts) ->
    check(fun is_subscription/2, Opts, 2, Call),
    {maps:get(events, Opts, [deleted, evicted, expired, replaced]),
        maps:get(capacity, Opts, 1024)};
subscription(_Opts, Call) ->
    erlmcp_native_error:badarg(Call, 2, "not a map of options").

is_subscription(events, [_ | _] = V) ->
    length_or_none(V) =/= none andalso V -- [deleted, evicted, expired, replaced] =:= [];
is_subscription(capacity, V) ->
    is_integer(V) andalso V > 0 andalso V =< ?MAX_QUEUE;
is_subscription(_, _) ->
    false.

check(Is, Opts, At, Call) ->
    _ = [
        erlmcp_native_error:bad_option(Call, At, Key, Value)
     || {Key, Value} <- maps:to_list(Opts), not Is(Key, Value)
    ],
    ok.

is_small(V) -> is_integer(V) andalso V >= -(1 bsl 63) andalso V < 1 bsl 63.

is_size(V) -> is_integer(V) andalso V > 0 andalso V =< ?MAX_SIZE.

is_lifetime(infinity) -> true;
is_lifetime(V) -> is_integer(V) andalso V > 0.

is_duration(V) -> is_integer(V) andalso V >= 0.

%% Times beyond nine thousand years are as good as that.
time(V) when is_integer(V) -> min(V, ?MAX_TIME);
time(V) -> V.

clamped(Key, V) when
    Key =:= ttl; Key =:= idle; Key =:= stale_for; Key =:= stale_if_error;
    Key =:= refresh_before; Key =:= negative_ttl
->
    time(V);
clamped(_Key, V) ->
    V.

length_or_none(List) ->
    try
        length(List)
    catch
        error:badarg -> none
    end.
