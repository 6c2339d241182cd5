-module(erlmcp_native_cache_compat).
-behaviour(gen_server).
-compile({no_auto_import, [get/1, put/2]}).
-include("erlmcp_native_doc.hrl").
?MODULEDOC("""
The API of erlmcp's `erlmcp_cache` on `erlmcp_native_cache`: one cache of this name, least recently
used first out, which belongs to a process that no read and no write goes through. There is one level:
what `stats/0` says of the second and third is 0, and `write_through` and `write_back` differ in
nothing. An entry of which both a tag and a dependency are invalidated counts for both.
""").

-export([start_link/0, start_link/1]).
-export([get/1, get/2, put/2, put/3, put/4, delete/1]).
-export([invalidate_by_tag/1, invalidate_by_dependency/1, clear/0, stats/0]).
-export([generate_etag/1, check_etag/2, warm_cache/2]).
-export([init/1, handle_call/3, handle_cast/2]).
-export_type([config/0, strategy/0]).

-type config() :: #{
    max_l1_size => pos_integer(), default_ttl_seconds => pos_integer(), term() => term()
}.
%% Other keys of erlmcp's configuration are taken and not used.
-type strategy() ::
    {ttl, Seconds :: pos_integer()} | {lru, pos_integer()} | write_through | write_back.

?DOC("""
As `start_link/1`, with 10,000 entries and 300 seconds to live.
""").
-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    start_link(#{}).

?DOC("""
Starts the process that owns the cache.
""").
-spec start_link(config()) -> {ok, pid()} | {error, term()}.
start_link(Config) when is_map(Config) ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, Config, []).

?DOC("""
The value of a key.
""").
-spec get(Key :: term()) -> {ok, Value :: term()} | {error, not_found}.
get(Key) ->
    erlmcp_native_cache:get(?MODULE, Key).

?DOC("""
As `get/1`: the options are ignored.
""").
-spec get(Key :: term(), Opts :: map()) -> {ok, Value :: term()} | {error, not_found}.
get(Key, _Opts) ->
    get(Key).

?DOC("""
Sets the value of a key, with the default time to live.
""").
-spec put(Key :: term(), Value :: term()) -> ok | {error, too_large}.
put(Key, Value) ->
    erlmcp_native_cache:put(?MODULE, Key, Value).

?DOC("""
Sets the value of a key. `{lru, _}` has no time to live; its number is ignored, as in erlmcp.
""").
-spec put(Key :: term(), Value :: term(), strategy()) -> ok | {error, too_large}.
put(Key, Value, Strategy) ->
    put(Key, Value, Strategy, #{}).

?DOC("""
As `put/3`, with tags and with the keys that the entry depends on.
""").
-spec put(Key :: term(), Value :: term(), strategy(), Opts) -> ok | {error, too_large} when
    Opts :: #{tags => [term()], dependencies => [Key :: term()]}.
put(Key, Value, Strategy, Opts) ->
    Given = (lifetime(Strategy))#{
        tags => maps:get(tags, Opts, []),
        depends_on => maps:get(dependencies, Opts, [])
    },
    erlmcp_native_cache:put(?MODULE, Key, Value, Given).

lifetime({ttl, Seconds}) -> #{ttl => Seconds * 1000};
lifetime({lru, _Size}) -> #{ttl => infinity};
lifetime(write_through) -> #{};
lifetime(write_back) -> #{}.

?DOC("""
Deletes a key, if it is there.
""").
-spec delete(Key :: term()) -> ok.
delete(Key) ->
    erlmcp_native_cache:delete(?MODULE, Key).

?DOC("""
Invalidates the entries with a tag; how many they were.
""").
-spec invalidate_by_tag(Tag :: term()) -> {ok, non_neg_integer()}.
invalidate_by_tag(Tag) ->
    erlmcp_native_cache:invalidate_tag(?MODULE, Tag).

?DOC("""
Invalidates the entries that depend on a key; how many they were.
""").
-spec invalidate_by_dependency(Key :: term()) -> {ok, non_neg_integer()}.
invalidate_by_dependency(Key) ->
    erlmcp_native_cache:invalidate_dependents(?MODULE, Key).

?DOC("""
Deletes everything and counts from 0 again.
""").
-spec clear() -> ok.
clear() ->
    gen_server:call(?MODULE, clear, infinity).

?DOC("""
What happened since the last `clear/0`, by erlmcp's names.
""").
-spec stats() -> #{atom() => number()}.
stats() ->
    gen_server:call(?MODULE, stats).

?DOC("""
A short mark of a value, in quotes: equal for equal values.
""").
-spec generate_etag(Value :: term()) -> binary().
generate_etag(Value) ->
    iolist_to_binary(io_lib:format("\"~.16B\"", [erlang:phash2(Value)])).

?DOC("""
Whether a key's value has this mark. Counts as a read.
""").
-spec check_etag(Key :: term(), ETag :: binary()) -> boolean().
check_etag(Key, ETag) ->
    case get(Key) of
        {ok, Value} -> generate_etag(Value) =:= ETag;
        {error, not_found} -> false
    end.

?DOC("""
Has a new process compute the value of a key and put it, unless another is at it.
""").
-spec warm_cache(Key :: term(), fun(() -> Value :: term())) -> ok.
warm_cache(Key, ValueFun) ->
    Compute = fun() -> {ok, ValueFun()} end,
    _ = spawn(fun() -> erlmcp_native_cache:fetch(?MODULE, Key, Compute, 0) end),
    ok.

%%% gen_server

-spec init(config()) -> {ok, Before :: map()}.
init(Config) ->
    {ok, _} = erlmcp_native_cache:new(?MODULE, #{
        policy => lru,
        capacity => maps:get(max_l1_size, Config, 10_000),
        ttl => maps:get(default_ttl_seconds, Config, 300) * 1000
    }),
    {ok, counts()}.

-spec handle_call(clear | stats, {pid(), term()}, map()) -> {reply, ok | map(), map()}.
handle_call(clear, _From, _Before) ->
    ok = erlmcp_native_cache:clear(?MODULE),
    {reply, ok, counts()};
handle_call(stats, _From, Before) ->
    Since = maps:map(fun(Key, Count) -> Count - maps:get(Key, Before) end, counts()),
    #{hits := Hits, misses := Misses} = Since,
    Total = Hits + Misses,
    #{entries := Entries} = erlmcp_native_cache:info(?MODULE),
    Stats = Since#{
        l1_hits => Hits,
        l2_hits => 0,
        l3_hits => 0,
        l1_size => Entries,
        l2_size => 0,
        hit_rate => if Total > 0 -> Hits / Total; true -> 0.0 end,
        total_requests => Total
    },
    {reply, Stats, Before}.

-spec handle_cast(term(), map()) -> {noreply, map()}.
handle_cast(_Message, Before) ->
    {noreply, Before}.

counts() ->
    #{
        hits := Hits, misses := Misses, inserts := Inserts, replacements := Replacements,
        evicted := Evicted, expired := Expired, deleted := Deleted
    } = erlmcp_native_cache:stats(?MODULE),
    #{
        hits => Hits,
        misses => Misses,
        writes => Inserts + Replacements,
        deletes => Deleted,
        evictions => Evicted,
        expirations => Expired
    }.
