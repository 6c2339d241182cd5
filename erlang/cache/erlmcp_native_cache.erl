-module(erlmcp_native_cache).
-include("erlmcp_native_doc.hrl").
?MODULEDOC("""
A concurrent, bounded cache in native memory.

A hit takes no lock and waits for no writer; the bound is strict; no call goes through a process.
Keys and values are any terms; keys are compared by `=:=`. A cache belongs to the process that
creates it, as an ETS table does, and every call takes its handle or its name. A call on a cache
that is not there raises `badarg`.

Times are milliseconds. Past its time to live an entry is not found by any call but `fetch/3`, which
may serve it stale. Results of tagged or dependent entries, and policies and bounds, are
explained in docs/caching_strategies.md; files and warmers in docs/cache_snapshots.md.
""").

-export([new/2, drop/1, whereis/1, names/0, info/1, stats/1, resize/2, clear/1]).
-export([get/2, get/3, get_entry/2, get_many/2, is_key/2, ttl/2]).
-export([put/3, put/4, put_new/3, put_new/4, put_many/2, compare_and_put/4, compare_and_put/5]).
-export([update_counter/3, update_counter/4, take/2, touch/2, touch/3, delete/2, delete_many/2]).
-export([fetch/3, fetch/4]).
-export([invalidate_tag/2, invalidate_dependents/2, invalidate_prefix/2, invalidate_matching/2]).
-export([subscribe/2, unsubscribe/2, events/2, fold/3, keys/1, keys/2]).
-export([save/2, load/2, load/3, warm/2, warm/3, start_warmer/3, stop_warmer/1]).
-export([format_error/2]).
-export_type([
    cache/0, handle/0, opts/0, put_opts/0, counter_opts/0, entry/0, version/0, loader/0,
    fetch_error/0, subscribe_opts/0, subscription/0, event/0, cause/0, cursor/0
]).

-type handle() :: reference().
-type cache() :: handle() | atom().
-type milliseconds() :: pos_integer().
-type version() :: pos_integer().

-type opts() :: #{
    capacity := pos_integer(),
    bound => entries | bytes | weight,
    max_entry => pos_integer(),
    weigher => fun((Key :: term(), Value :: term()) -> pos_integer()),
    policy => s3_fifo | lru | lfu | fifo | random,
    ttl => milliseconds() | infinity,
    idle => milliseconds() | infinity,
    jitter => 0..90,
    stale_for => non_neg_integer(),
    stale_if_error => non_neg_integer(),
    refresh_before => non_neg_integer(),
    negative_ttl => non_neg_integer(),
    store => native | ets,
    heir => none | {pid(), Data :: term()}
}.
%% What a cache is created with:
%%
%% `capacity': how much it holds, in what `bound' counts: `entries' (default), `bytes' (key, value
%% and overhead) or `weight', which is what put says, else what `weigher' says, else 1.
%% `max_entry': the largest entry, in the same unit; a larger one is refused. Default: an eighth of
%% the capacity.
%% `policy': who leaves a full cache; default `s3_fifo'.
%% `ttl': time to live from when an entry is put; default `infinity'.
%% `idle': time to live from its last use; default `infinity'.
%% `jitter': percent; each time to live is shortened by a random part of up to so much, so that
%% entries put together do not end together; default 0.
%% `stale_for': how long past its end fetch still serves an entry while one process computes it
%% anew; default 0.
%% `stale_if_error': how long past its end fetch serves an entry where computing it anew fails;
%% default 0.
%% `refresh_before': where fetch meets an entry with less than this left to live, it serves it and
%% one process computes it anew; default 0.
%% `negative_ttl': how long fetch answers again with the error that its fun answered; default 0.
%% `store': `ets' keeps what is not a number, an atom or a binary in a table of the VM, which copies
%% maps and nested terms faster than they can be decoded; the application must be running.
%% `heir': who owns the cache after its owner has ended, and gets the message
%% `{erlmcp_native_cache, Cache, {transfer, Owner, Data}}', Data being at most 64 KB in the external
%% term format; default: it is dropped.
-type put_opts() :: #{
    ttl => milliseconds() | infinity,
    idle => milliseconds() | infinity,
    weight => pos_integer(),
    stale_for => non_neg_integer(),
    stale_if_error => non_neg_integer(),
    tags => [term()],
    depends_on => [term()]
}.
%% As the options of the cache, for one entry; `weight' counts in caches so bound. An entry goes
%% with any of its `tags' (invalidate_tag/2) and with any key that it `depends_on'
%% (invalidate_dependents/2), which need not be there.
-type counter_opts() :: #{
    initial => integer(),
    ttl => milliseconds() | infinity,
    idle => milliseconds() | infinity,
    weight => pos_integer(),
    tags => [term()],
    depends_on => [term()]
}.
-type entry() :: #{value := term(), version := version(), ttl := milliseconds() | infinity}.
-type loader() :: fun(() ->
    {ok, Value :: term()}
    | {ok, Value :: term(), put_opts()}
    | {no_cache, Value :: term()}
    | {error, Reason :: term()}).
-type fetch_error() :: timeout | too_large | system_limit | {raised, error | exit | throw, Reason :: term()} | term().
-type event() :: evicted | expired | replaced | deleted.
-type cause() ::
    size | ttl | idle | put | update | explicit | take | tag | dependency | prefix
    | pattern | clear.
-type subscribe_opts() :: #{events => [event(), ...], capacity => 1..65_536}.
%% `events': which; default all. `capacity': how many wait to be taken, beyond which they are
%% counted and dropped; default 1,024.
-opaque subscription() :: reference().
-opaque cursor() :: non_neg_integer().

-define(CALL(Name, Args), {?MODULE, Name, Args}).

%%% The cache

?DOC("""
Creates a cache under a name, which must be an atom other than `undefined`. The caller owns it.

`{error, exists}`: there is one of that name. `{error, not_started}`: `store => ets` needs the
application. `{error, system_limit}`: there is no thread for the caches to be kept in order by.
""").
-spec new(Name :: atom(), Opts :: opts()) ->
    {ok, handle()} | {error, exists | not_started | system_limit}.
new(Name, Opts) ->
    Call = ?CALL(new, [Name, Opts]),
    _ = erlmcp_native_cache_options:name(Name, Call),
    case erlmcp_native_cache_options:new(Opts, Call) of
        #{store := ets} = All -> new_stored(Name, All);
        All -> erlmcp_native_nif:cache_new(Name, All)
    end.

new_stored(Name, Opts) ->
    case erlmcp_native_cache_store:start() of
        {ok, Store, Table} ->
            case erlmcp_native_nif:cache_new(Name, Opts#{store := Table}) of
                {ok, Cache} ->
                    ok = erlmcp_native_cache_store:started(Store, Cache),
                    {ok, Cache};
                {error, _} = Error ->
                    ok = erlmcp_native_cache_store:stop(Store),
                    Error
            end;
        {error, not_started} = Error ->
            Error
    end.

?DOC("""
Ends a cache: its memory is freed at once, its name is free again. Any process may.
""").
-spec drop(Cache :: cache()) -> ok.
drop(Cache) ->
    Store = maps:get(store, on(drop, Cache, fun erlmcp_native_nif:cache_info/1)),
    ok = on(drop, Cache, fun erlmcp_native_nif:cache_drop/1),
    Store =:= native orelse erlmcp_native_cache_store:stop(Store),
    ok.

?DOC("""
The handle of the cache of that name.
""").
-spec whereis(Name :: atom()) -> handle() | undefined.
whereis(Name) when is_atom(Name) ->
    erlmcp_native_nif:cache_whereis(Name);
whereis(Name) ->
    erlmcp_native_error:badarg(?CALL(whereis, [Name]), 1, "not an atom").

?DOC("""
The names of all caches of this node.
""").
-spec names() -> [atom()].
names() ->
    erlmcp_native_nif:cache_names().

?DOC("""
What the cache was created with, its `name` and `owner`, and what it holds now: `used` in the unit
of its bound, which is never more than the capacity, and `entries`, counted, which is exact
when nobody writes.
""").
-spec info(Cache :: cache()) -> #{atom() => term()}.
info(Cache) ->
    case on(info, Cache, fun erlmcp_native_nif:cache_info/1) of
        #{store := native} = Info -> Info;
        #{store := Table} = Info ->
            Info#{store := ets, table_bytes => erlmcp_native_cache_store:memory(Table)}
    end.

?DOC("""
What happened since the cache was created. Counted without a lock: what goes on meanwhile may be
in one number already and not yet in another. Times are nanoseconds. `hit_ratio`, over the last
seconds that the keys of the map say.
""").
-spec stats(Cache :: cache()) -> #{atom() => term()}.
stats(Cache) ->
    on(stats, Cache, fun erlmcp_native_nif:cache_stats/1).

?DOC("""
Changes the capacity. What no longer fits is evicted before this returns.
`{error, too_large}`: it is more than 4 times the capacity that the cache was created with.
""").
-spec resize(Cache :: cache(), Capacity :: pos_integer()) -> ok | {error, too_large}.
resize(Cache, Capacity) when is_integer(Capacity), Capacity > 0, Capacity < 1 bsl 48 ->
    Resize = fun() -> erlmcp_native_nif:cache_resize(Cache, Capacity) end,
    on_cache(?CALL(resize, [Cache, Capacity]), Resize);
resize(Cache, Capacity) ->
    erlmcp_native_error:badarg(?CALL(resize, [Cache, Capacity]), 2, "not a capacity").

?DOC("""
Deletes everything. What is put meanwhile may stay.
""").
-spec clear(Cache :: cache()) -> ok.
clear(Cache) ->
    on(clear, Cache, fun erlmcp_native_nif:cache_clear/1).

%%% Reading

?DOC("""
The value of a key. Counts as a use.
""").
-spec get(Cache :: cache(), Key :: term()) -> {ok, Value :: term()} | {error, not_found}.
get(Cache, Key) ->
    try erlmcp_native_nif:cache_get(Cache, Key, []) of
        {ok, _} = Hit -> Hit;
        Other -> erlmcp_native_cache_terms:found(Other, Cache, Key)
    catch
        error:badarg -> no_cache(?CALL(get, [Cache, Key]), 1)
    end.

?DOC("""
The value of a key, or Default.
""").
-spec get(Cache :: cache(), Key :: term(), Default) -> Value :: term() | Default.
get(Cache, Key, Default) ->
    case get(Cache, Key) of
        {ok, Value} -> Value;
        {error, not_found} -> Default
    end.

?DOC("""
The value of a key with its version, which every change of the entry changes, and the time it has
left to live. Counts as a use.
""").
-spec get_entry(Cache :: cache(), Key :: term()) -> {ok, entry()} | {error, not_found}.
get_entry(Cache, Key) ->
    Get = fun(Bytes) -> erlmcp_native_nif:cache_get_entry(Cache, Key, Bytes) end,
    case erlmcp_native_cache_terms:keyed(?CALL(get_entry, [Cache, Key]), Key, Get) of
        {error, not_found} = Miss ->
            Miss;
        {Answer, Version, Left} ->
            case erlmcp_native_cache_terms:value(Answer) of
                {ok, Value} -> {ok, #{value => Value, version => Version, ttl => Left}};
                gone -> get_entry(Cache, Key)
            end
    end.

?DOC("""
The keys that are there, with their values.
""").
-spec get_many(Cache :: cache(), Keys :: [term()]) -> #{Key :: term() => Value :: term()}.
get_many(Cache, Keys) when is_list(Keys) ->
    get_many(Cache, Keys, #{}, ?CALL(get_many, [Cache, Keys]));
get_many(Cache, Keys) ->
    erlmcp_native_error:badarg(?CALL(get_many, [Cache, Keys]), 2, "not a list").

get_many(Cache, [Key | Keys], Found, Call) ->
    case get(Cache, Key) of
        {ok, Value} -> get_many(Cache, Keys, Found#{Key => Value}, Call);
        {error, not_found} -> get_many(Cache, Keys, Found, Call)
    end;
get_many(_Cache, [], Found, _Call) ->
    Found;
get_many(_Cache, _Tail, _Found, Call) ->
    erlmcp_native_error:badarg(Call, 2, "not a proper list").

?DOC("""
Whether a key is there. Does not count as a use, nor as hit or miss.
""").
-spec is_key(Cache :: cache(), Key :: term()) -> boolean().
is_key(Cache, Key) ->
    keyed(is_key, Cache, Key, fun(Bytes) -> erlmcp_native_nif:cache_is_key(Cache, Key, Bytes) end).

?DOC("""
The time that an entry has left, by its time to live and its time to idle. Does not count as a use.
""").
-spec ttl(Cache :: cache(), Key :: term()) ->
    {ok, milliseconds() | infinity} | {error, not_found}.
ttl(Cache, Key) ->
    keyed(ttl, Cache, Key, fun(Bytes) -> erlmcp_native_nif:cache_ttl(Cache, Key, Bytes) end).

%%% Writing

?DOC("""
Sets the value of a key. Another value, with its times and tags, is replaced.
`{error, too_large}`: the entry is larger than `max_entry`, or its key than 65,535 bytes; nothing
has changed.
""").
-spec put(Cache :: cache(), Key :: term(), Value :: term()) -> ok | {error, too_large}.
put(Cache, Key, Value) when byte_size(Value) > 1024 ->
    Call = ?CALL(put, [Cache, Key, Value]),
    erlmcp_native_cache_terms:put(Call, Cache, Key, Value, always, default);
put(Cache, Key, Value) ->
    try erlmcp_native_nif:cache_put(Cache, Key, [], Value, plain) of
        ok -> ok;
        Other -> erlmcp_native_cache_terms:put_on(Other, ?CALL(put, [Cache, Key, Value]))
    catch
        error:badarg -> no_cache(?CALL(put, [Cache, Key, Value]), 1)
    end.

?DOC("""
As `put/3`, with options for this entry.
""").
-spec put(Cache :: cache(), Key :: term(), Value :: term(), Opts :: put_opts()) ->
    ok | {error, too_large}.
put(Cache, Key, Value, Opts) ->
    Call = ?CALL(put, [Cache, Key, Value, Opts]),
    Options = erlmcp_native_cache_options:put(Opts, 4, Call),
    erlmcp_native_cache_terms:put(Call, Cache, Key, Value, always, Options).

?DOC("""
Sets the value of a key that is not there. `{error, exists}`: it is.
""").
-spec put_new(Cache :: cache(), Key :: term(), Value :: term()) ->
    ok | {error, exists | too_large}.
put_new(Cache, Key, Value) ->
    put_new(Cache, Key, Value, #{}).

?DOC("""
As `put_new/3`, with options for this entry.
""").
-spec put_new(Cache :: cache(), Key :: term(), Value :: term(), Opts :: put_opts()) ->
    ok | {error, exists | too_large}.
put_new(Cache, Key, Value, Opts) ->
    Call = ?CALL(put_new, [Cache, Key, Value, Opts]),
    Options = erlmcp_native_cache_options:put(Opts, 4, Call),
    case erlmcp_native_cache_terms:put(Call, Cache, Key, Value, new, Options) of
        {ok, _Version} -> ok;
        {error, _} = Error -> Error
    end.

?DOC("""
Puts pairs, each by itself. `{error, {too_large, Keys}}`: these were refused, the others are there.
""").
-spec put_many(Cache :: cache(), Pairs :: [{Key, Value :: term()}] | #{Key => Value :: term()}) ->
    ok | {error, {too_large, [Key]}}.
put_many(Cache, Pairs) when is_map(Pairs) ->
    put_many(Cache, maps:to_list(Pairs));
put_many(Cache, Pairs) ->
    put_many(Cache, Pairs, [], ?CALL(put_many, [Cache, Pairs])).

put_many(Cache, [{Key, Value} | Pairs], Refused, Call) ->
    case put(Cache, Key, Value) of
        ok -> put_many(Cache, Pairs, Refused, Call);
        {error, too_large} -> put_many(Cache, Pairs, [Key | Refused], Call)
    end;
put_many(_Cache, [], [], _Call) ->
    ok;
put_many(_Cache, [], Refused, _Call) ->
    {error, {too_large, lists:reverse(Refused)}};
put_many(_Cache, _Rest, _Refused, Call) ->
    erlmcp_native_error:badarg(Call, 2, "not a map or a list of pairs").

?DOC("""
Sets the value of a key whose entry still has the version that `get_entry/2` gave; the answer is the
new one. `{error, {conflict, Version}}`: it has another one. `{error, not_found}`: it has gone.
""").
-spec compare_and_put(Cache :: cache(), Key :: term(), Version :: version(), Value :: term()) ->
    {ok, version()} | {error, {conflict, version()} | not_found | too_large}.
compare_and_put(Cache, Key, Version, Value) ->
    compare_and_put(Cache, Key, Version, Value, #{}).

?DOC("""
As `compare_and_put/4`, with options for this entry.
""").
-spec compare_and_put(Cache, Key, Version, Value, Opts) ->
    {ok, version()} | {error, {conflict, version()} | not_found | too_large}
when
    Cache :: cache(), Key :: term(), Version :: version(), Value :: term(), Opts :: put_opts().
compare_and_put(Cache, Key, Version, Value, Opts) ->
    Call = ?CALL(compare_and_put, [Cache, Key, Version, Value, Opts]),
    is_version(Version) orelse erlmcp_native_error:badarg(Call, 3, "not a version"),
    Options = erlmcp_native_cache_options:put(Opts, 5, Call),
    erlmcp_native_cache_terms:put(Call, Cache, Key, Value, {version, Version}, Options).

is_version(Version) -> is_integer(Version) andalso Version >= 0 andalso Version < 1 bsl 64.

?DOC("""
Adds to an integer, in one step; a key that is not there counts as 0. The entry keeps its times and
tags. `{error, not_integer}`: the value is not an integer of 64 bits; `{error, overflow}`: the sum
would not be.
""").
-spec update_counter(Cache :: cache(), Key :: term(), Increment :: integer()) ->
    {ok, integer()} | {error, not_integer | overflow | too_large}.
update_counter(Cache, Key, Increment) ->
    update_counter(Cache, Key, Increment, #{}).

?DOC("""
As `update_counter/3`; `initial` is what a key that is not there counts as, and the other options
are for the entry that is made then.
""").
-spec update_counter(Cache, Key, Increment, Opts) ->
    {ok, integer()} | {error, not_integer | overflow | too_large}
when
    Cache :: cache(), Key :: term(), Increment :: integer(), Opts :: counter_opts().
update_counter(Cache, Key, Increment, Opts) ->
    Call = ?CALL(update_counter, [Cache, Key, Increment, Opts]),
    is_small(Increment) orelse
        erlmcp_native_error:badarg(Call, 3, "not an integer of 64 bits"),
    {Initial, Options} = erlmcp_native_cache_options:counter(Opts, 4, Call),
    Update = fun(Bytes) ->
        erlmcp_native_nif:cache_update_counter(Cache, Key, Bytes, Increment, Initial, Options)
    end,
    erlmcp_native_cache_terms:keyed(Call, Key, Update).

is_small(I) -> is_integer(I) andalso I >= -(1 bsl 63) andalso I < 1 bsl 63.

?DOC("""
The value of a key, which is then no longer there.
""").
-spec take(Cache :: cache(), Key :: term()) -> {ok, Value :: term()} | {error, not_found}.
take(Cache, Key) ->
    Take = fun(Bytes) -> erlmcp_native_nif:cache_take(Cache, Key, Bytes) end,
    case keyed(take, Cache, Key, Take) of
        {error, not_found} = Miss -> Miss;
        Answer -> taken(erlmcp_native_cache_terms:value(Answer))
    end.

taken({ok, _} = Taken) -> Taken;
%% The taker slept so long that the row was thought to be read.
taken(gone) -> {error, not_found}.

?DOC("""
Starts the time to live and the time to idle of an entry anew, as it was put with them, and counts as
a use. Whether the key is there.
""").
-spec touch(Cache :: cache(), Key :: term()) -> boolean().
touch(Cache, Key) ->
    Touch = fun(Bytes) -> erlmcp_native_nif:cache_touch(Cache, Key, Bytes, default) end,
    keyed(touch, Cache, Key, Touch).

?DOC("""
As `touch/2`, with another time to live.
""").
-spec touch(Cache :: cache(), Key :: term(), Ttl :: milliseconds() | infinity) -> boolean().
touch(Cache, Key, Ttl) ->
    Call = ?CALL(touch, [Cache, Key, Ttl]),
    Time = erlmcp_native_cache_options:lifetime(Ttl, 3, Call),
    Touch = fun(Bytes) -> erlmcp_native_nif:cache_touch(Cache, Key, Bytes, Time) end,
    erlmcp_native_cache_terms:keyed(Call, Key, Touch).

?DOC("""
Deletes a key, if it is there.
""").
-spec delete(Cache :: cache(), Key :: term()) -> ok.
delete(Cache, Key) ->
    Delete = fun(Bytes) -> erlmcp_native_nif:cache_delete(Cache, Key, Bytes) end,
    _ = keyed(delete, Cache, Key, Delete),
    ok.

?DOC("""
Deletes keys, each by itself.
""").
-spec delete_many(Cache :: cache(), Keys :: [term()]) -> ok.
delete_many(Cache, Keys) ->
    delete_many(Cache, Keys, ?CALL(delete_many, [Cache, Keys])).

delete_many(Cache, [Key | Keys], Call) ->
    ok = delete(Cache, Key),
    delete_many(Cache, Keys, Call);
delete_many(_Cache, [], _Call) ->
    ok;
delete_many(_Cache, _Rest, Call) ->
    erlmcp_native_error:badarg(Call, 2, "not a list").

%%% Computing once

?DOC("""
As `fetch/4`, waiting for at most 5 seconds.
""").
-spec fetch(Cache :: cache(), Key :: term(), Fun :: loader()) ->
    {ok, Value :: term()} | {error, fetch_error()}.
fetch(Cache, Key, Fun) ->
    fetch(Cache, Key, Fun, 5000).

?DOC("""
The value of a key; where it is not there, what the fun computes.

Of all processes that miss a key at once, one runs its fun, in itself; the others wait for what
comes of it and get the same. Should that process die, exactly one of them runs its own fun instead.
The fun answers `{ok, Value}`, which is put; `{ok, Value, PutOpts}`, put with these options;
`{no_cache, Value}`, which is not put; or `{error, Reason}`. What is deleted, replaced or
invalidated while its value is computed does not come back: that value is answered, not put.

Timeout, in milliseconds, bounds the wait for another process, not the own fun:
`{error, timeout}`. `{error, too_large}`: no cache can hold that key. `{error, {raised, Class, Reason}}`: the fun raised this; `{bad_return, Term}`
is the reason where it answered something else. A fun that fetches the key that it computes gets
`error:recursive_fetch`.

With `stale_for` or `refresh_before` a value that is past its time or near to it is served, and one
new process runs the fun; with `stale_if_error` such a value is served where the fun fails; with
`negative_ttl` the error that a fun answered is answered again for that long.
""").
-spec fetch(Cache :: cache(), Key :: term(), Fun :: loader(), Timeout :: timeout()) ->
    {ok, Value :: term()} | {error, fetch_error()}.
fetch(Cache, Key, Fun, Timeout) when
    is_function(Fun, 0), Timeout =:= infinity;
    is_function(Fun, 0), is_integer(Timeout), Timeout >= 0, Timeout < 1 bsl 32
->
    try erlmcp_native_nif:cache_fetch(Cache, Key, [], 0, default) of
        {ok, Value} = Hit when not is_tuple(Value) -> Hit;
        Other -> erlmcp_native_cache_fetch:other(Other, ?CALL(fetch, [Cache, Key, Fun, Timeout]))
    catch
        error:badarg -> no_cache(?CALL(fetch, [Cache, Key, Fun, Timeout]), 1)
    end;
fetch(Cache, Key, Fun, Timeout) ->
    Call = ?CALL(fetch, [Cache, Key, Fun, Timeout]),
    is_function(Fun, 0) orelse erlmcp_native_error:badarg(Call, 3, "not a fun of no arguments"),
    erlmcp_native_error:badarg(Call, 4, "not a number of milliseconds or infinity").

%%% Invalidating

?DOC("""
Invalidates the entries with a tag, all at once, whatever their number. They are
no longer found from then on, and their memory is freed in steps. How many they were, with those that
another tag had taken shortly before.
""").
-spec invalidate_tag(Cache :: cache(), Tag :: term()) -> {ok, non_neg_integer()}.
invalidate_tag(Cache, Tag) ->
    Invalidate = fun() ->
        erlmcp_native_nif:cache_invalidate(Cache, tag, erlmcp_native_cache_options:tag(Tag))
    end,
    on_cache(?CALL(invalidate_tag, [Cache, Tag]), Invalidate).

?DOC("""
As `invalidate_tag/2`, for the entries that depend on a key; not for what depends on those, and not
for the key itself.
""").
-spec invalidate_dependents(Cache :: cache(), Key :: term()) -> {ok, non_neg_integer()}.
invalidate_dependents(Cache, Key) ->
    Invalidate = fun() ->
        erlmcp_native_nif:cache_invalidate(Cache, dependents, erlmcp_native_cache_options:tag(Key))
    end,
    on_cache(?CALL(invalidate_dependents, [Cache, Key]), Invalidate).

?DOC("""
Deletes the entries whose key is a binary that begins with these bytes, in a walk over all keys.
How many they were.
""").
-spec invalidate_prefix(Cache :: cache(), Prefix :: binary()) -> {ok, non_neg_integer()}.
invalidate_prefix(Cache, Prefix) when is_binary(Prefix) ->
    Call = ?CALL(invalidate_prefix, [Cache, Prefix]),
    erlmcp_native_cache_walk:purge(Cache, {prefix, Prefix}, Call);
invalidate_prefix(Cache, Prefix) ->
    erlmcp_native_error:badarg(?CALL(invalidate_prefix, [Cache, Prefix]), 2, "not a binary").

?DOC("""
Deletes the entries whose key is a binary that matches a pattern of at most 256 bytes, in a walk over
all keys: `*` stands for any bytes, `?` for one. How many they were.
""").
-spec invalidate_matching(Cache :: cache(), Pattern :: binary()) -> {ok, non_neg_integer()}.
invalidate_matching(Cache, Pattern) when is_binary(Pattern), byte_size(Pattern) =< 256 ->
    Call = ?CALL(invalidate_matching, [Cache, Pattern]),
    erlmcp_native_cache_walk:purge(Cache, {glob, Pattern}, Call);
invalidate_matching(Cache, Pattern) ->
    Call = ?CALL(invalidate_matching, [Cache, Pattern]),
    erlmcp_native_error:badarg(Call, 2, "not a binary of at most 256 bytes").

%%% Watching and walking

?DOC("""
Subscribes the caller to what happens to entries. It gets `{erlmcp_native_cache, Subscription,
ready}` when there are events to take by `events/2`, once until it has taken them. A subscription ends
with `unsubscribe/2`, with its process or with the cache. `{error, system_limit}`: the cache has 64.
""").
-spec subscribe(Cache :: cache(), Opts :: subscribe_opts()) ->
    {ok, subscription()} | {error, system_limit}.
subscribe(Cache, Opts) ->
    Call = ?CALL(subscribe, [Cache, Opts]),
    {Events, Capacity} = erlmcp_native_cache_options:subscription(Opts, Call),
    on_cache(Call, fun() -> erlmcp_native_nif:cache_subscribe(Cache, Events, Capacity) end).

?DOC("""
Ends a subscription. A `ready` that is under way may still come.
""").
-spec unsubscribe(Cache :: cache(), Subscription :: subscription()) -> ok.
unsubscribe(Cache, Subscription) ->
    try
        erlmcp_native_nif:cache_unsubscribe(Cache, Subscription)
    catch
        error:badarg ->
            Call = ?CALL(unsubscribe, [Cache, Subscription]),
            case erlmcp_native_cache_warm:is_there(Cache) of
                true -> erlmcp_native_error:badarg(Call, 2, "not a subscription");
                false -> no_cache(Call, 1)
            end
    end.

?DOC("""
Takes up to Max events, oldest first, and how many were dropped since the last call for want of
room. Where it gives fewer than Max, the next event sends `ready` again.

Causes: of `evicted` size; of `expired` ttl, idle; of `replaced` put, update; of `deleted`
explicit, take, tag, dependency, prefix, pattern, clear. An entry whose tag was invalidated is
reported when it is found dead.
""").
-spec events(Subscription :: subscription(), Max :: pos_integer()) ->
    {[{event(), Key :: term(), cause()}], Dropped :: non_neg_integer()}.
events(Subscription, Max) ->
    Call = ?CALL(events, [Subscription, Max]),
    is_integer(Max) andalso Max > 0 orelse
        erlmcp_native_error:badarg(Call, 2, "not a positive integer"),
    erlmcp_native_cache_walk:events(Subscription, Max, Call).

?DOC("""
Folds over the entries, in no order. Each that is there all the time is met once; what is put, moved
or deleted meanwhile may or may not be met. Does not count as use.
""").
-spec fold(Fun, Acc0 :: Acc, Cache :: cache()) -> Acc1 :: Acc when
    Fun :: fun((Key :: term(), Value :: term(), Acc) -> Acc), Acc :: term().
fold(Fun, Acc, Cache) ->
    Call = ?CALL(fold, [Fun, Acc, Cache]),
    is_function(Fun, 3) orelse erlmcp_native_error:badarg(Call, 1, "not a fun of three arguments"),
    erlmcp_native_cache_walk:fold(Fun, Acc, Cache, Call).

?DOC("""
All keys, as `fold/3` meets them.
""").
-spec keys(Cache :: cache()) -> [Key :: term()].
keys(Cache) ->
    erlmcp_native_cache_walk:all_keys(Cache, ?CALL(keys, [Cache])).

?DOC("""
Some of the keys, as `fold/3` meets them, and the cursor to go on with. The first cursor is `start`;
after `done` there are no more.
""").
-spec keys(Cache :: cache(), Cursor :: start | cursor()) ->
    {[Key :: term()], Next :: cursor() | done}.
keys(_Cache, done) ->
    {[], done};
keys(Cache, Cursor) when
    Cursor =:= start; is_integer(Cursor), Cursor >= 0, Cursor < 1 bsl 64
->
    erlmcp_native_cache_walk:keys(Cache, Cursor, ?CALL(keys, [Cache, Cursor]));
keys(Cache, Cursor) ->
    erlmcp_native_error:badarg(?CALL(keys, [Cache, Cursor]), 2, "not a cursor").

%%% Files and warming

?DOC("""
Writes what the cache holds to a file: beside the live cache, in the order of its policy, with the
time that each entry has left, its tags and its weight. Entries that are put or deleted meanwhile
may be in it or not. Until all is on the disk, the file is the one that was there before, whatever
happens; it is for its owner alone to read. The new one is under way as `File.tmp`.

A thread of the library does the work, and gives up when the caller dies. `entries` and `bytes` say
what was written. `{error, {file, Posix}}`: as the file module says it; `{error, busy}`: another save
to this file is under way; `{error, system_limit}`: sixteen saves and loads are; `{error,
no_cache}`: the cache was dropped meanwhile.
""").
-spec save(Cache :: cache(), File :: file:name_all()) ->
    {ok, erlmcp_native_cache_snapshot:saved()} | {error, erlmcp_native_cache_snapshot:reason()}.
save(Cache, File) ->
    erlmcp_native_cache_snapshot:save(Cache, File, ?CALL(save, [Cache, File])).

?DOC("""
As `load/3` with no options.
""").
-spec load(Cache :: cache(), File :: file:name_all()) ->
    {ok, erlmcp_native_cache_snapshot:loaded()} | {error, erlmcp_native_cache_snapshot:reason()}.
load(Cache, File) ->
    erlmcp_native_cache_snapshot:load(Cache, File, #{}, ?CALL(load, [Cache, File])).

?DOC("""
Puts what a file of `save/2` holds into the cache. The time that has passed since by the wall clock
counts. The whole file is verified before anything is put; one that is damaged, truncated, not
a snapshot or of a newer version is refused. Neither the policy nor the bound need be those of the
cache that was saved: where there is no room for all, the order says who stays.

Options: `overwrite`, whether keys that are there get the file's value (default `false`); `atoms`,
`any` to make atoms that this node does not know (default `existing`: such entries are left out,
since atoms are never freed); `timeout` in milliseconds (default `infinity`), after which
what was put stays.

The counts: `loaded`; `present`, left as they were; `expired` since; `too_large` for this cache; and
`undecodable`, of unknown atoms for the most part.
""").
-spec load(
    Cache :: cache(), File :: file:name_all(), Opts :: erlmcp_native_cache_snapshot:load_opts()
) ->
    {ok, erlmcp_native_cache_snapshot:loaded()} | {error, erlmcp_native_cache_snapshot:reason()}.
load(Cache, File, Opts) ->
    erlmcp_native_cache_snapshot:load(Cache, File, Opts, ?CALL(load, [Cache, File, Opts])).

?DOC("""
As `warm/3` with no options.
""").
-spec warm(Cache :: cache(), Source :: erlmcp_native_cache_warm:source()) ->
    {ok, erlmcp_native_cache_warm:warmed()} | {error, Reason :: term()}.
warm(Cache, Source) ->
    erlmcp_native_cache_warm:warm(Cache, Source, #{}, ?CALL(warm, [Cache, Source])).

?DOC("""
Fills the cache from elsewhere: `{file, Name}` of `save/2`; `{function, Fun}`, whose fun of no arguments
answers `{ok, Entries}`, `{more, Entries, NextFun}` or `{error, Reason}`, entries being `{Key, Value}`
or `{Key, Value, PutOpts}`; `{node, Node}` or `{node, Node, Name}`, the cache of this or that name on
another node, in chunks of about a megabyte, with the time that entries have left but without tags.

Options are those of `load/3`; the timeout is looked at between batches of a fun. Keys that are there
stay as they are unless `overwrite` is `true`. What was put before an error stays. `{error,
{raised, Class, Reason}}`: the fun raised this; `{error, {node, Node, Reason}}`: the node did, or could
not be reached; `{error, {bad_entry, Entry}}` and `{error, {bad_batch, Term}}`: the fun answered that.
""").
-spec warm(
    Cache :: cache(),
    Source :: erlmcp_native_cache_warm:source(),
    Opts :: erlmcp_native_cache_warm:opts()
) -> {ok, erlmcp_native_cache_warm:warmed()} | {error, Reason :: term()}.
warm(Cache, Source, Opts) ->
    erlmcp_native_cache_warm:warm(Cache, Source, Opts, ?CALL(warm, [Cache, Source, Opts])).

?DOC("""
Starts a process that warms the cache as `warm/3` does: at its start, and every `interval` milliseconds;
with `blocking` this waits for the first time, and fails if that does. See
erlmcp_native_cache_warmer, also for one under a supervisor of yours. It ends with the
cache. `{error, not_started}`: the application is not running.
""").
-spec start_warmer(
    Cache :: cache(),
    Source :: erlmcp_native_cache_warm:source(),
    Opts :: erlmcp_native_cache_warmer:opts()
) -> {ok, pid()} | {error, Reason :: term()}.
start_warmer(Cache, Source, Opts) ->
    Call = ?CALL(start_warmer, [Cache, Source, Opts]),
    erlmcp_native_cache_warmer:start(Cache, Source, Opts, Call).

?DOC("""
Ends a warmer, and a run of it that is under way.
""").
-spec stop_warmer(Warmer :: pid()) -> ok.
stop_warmer(Warmer) when is_pid(Warmer) ->
    erlmcp_native_cache_warmer:stop(Warmer);
stop_warmer(Warmer) ->
    erlmcp_native_error:badarg(?CALL(stop_warmer, [Warmer]), 1, "not a pid").

?DOC(false).
-spec format_error(term(), list()) -> #{pos_integer() | general => unicode:chardata()}.
format_error(Reason, Stack) ->
    erlmcp_native_error:format(Reason, Stack).

on(Name, Cache, Nif) ->
    on_cache(?CALL(Name, [Cache]), fun() -> Nif(Cache) end).

%% Whatever else could be wrong has been checked before.
on_cache(Call, Nif) ->
    erlmcp_native_cache_terms:on_cache(Call, 1, Nif).

-spec no_cache(erlmcp_native_error:call(), pos_integer()) -> no_return().
no_cache(Call, At) ->
    erlmcp_native_error:badarg(Call, At, "no such cache").

keyed(Name, Cache, Key, Nif) ->
    erlmcp_native_cache_terms:keyed(?CALL(Name, [Cache, Key]), Key, Nif).
