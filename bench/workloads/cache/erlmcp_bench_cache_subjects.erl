%% The caches that are on the code path, each brought to one shape, and bare ETS beside them.
-module(erlmcp_bench_cache_subjects).

-export([all/0, missing/0, native/0, native/2, native_bytes/2, pure_erlang/0, ets/0, ets_plain/0, erlmcp/0, within_bound/3]).
-export_type([subject/0, cache/0]).

-type subject() :: #{
    name := atom(),
    role := measured | baseline | peer | variant,
    version := binary(),
    %% A cache for so many entries, owned by the caller.
    new := fun((Capacity :: pos_integer()) -> cache()),
    get := fun((cache(), term()) -> {ok, term()} | none),
    put := fun((cache(), term(), term()) -> ok),
    put_tagged => fun((cache(), term(), term(), Tag :: term()) -> ok),
    invalidate_tag => fun((cache(), Tag :: term()) -> term()),
    %% Whether the bound holds at any time, is restored some time after, or is not there.
    bound := strict | late | none,
    %% What the bound is on, the entries mostly.
    size := fun((cache()) -> non_neg_integer()),
    %% What one writer may have beyond the bound for a moment, in the same unit; 1 unless said.
    in_flight => pos_integer(),
    drop := fun((cache()) -> term())
}.
-type cache() :: term().

%% What the tables of timings compare.
-spec all() -> [subject()].
all() ->
    [native(), pure_erlang(), ets(), ets_plain() | lists:append([Peer() || {_, Peer} <- peers()])].

-spec missing() -> [{atom(), binary()}].
missing() ->
    [{Name, <<"not on the code path">>} || {Name, Peer} <- peers(), Peer() =:= []].

%% Whether a cache is within its bound, for the harness, which asks after every round.
-spec within_bound(subject(), cache(), Capacity :: pos_integer()) -> ok | {wrong, binary()}.
within_bound(#{bound := strict, size := Size}, Cache, Capacity) ->
    case Size(Cache) of
        Held when Held =< Capacity ->
            ok;
        Held ->
            {wrong, iolist_to_binary(io_lib:format("holds ~b, where ~b is the bound", [Held, Capacity]))}
    end;
within_bound(_, _, _) ->
    ok.

%% With the default policy.
-spec native() -> subject().
native() -> native(native, #{}).

-spec native(atom(), map()) -> subject().
native(Name, Options) ->
    #{
        name => Name,
        role => measured,
        version => erlmcp_bench_suite:version(erlmcp_native),
        new => fun(Capacity) ->
            %% What is stored in ETS needs the application's processes.
            {ok, _} = application:ensure_all_started(erlmcp_native),
            Unique = list_to_atom("erlmcp_bench_" ++ integer_to_list(erlang:unique_integer([positive]))),
            {ok, Cache} = erlmcp_native_cache:new(Unique, maps:merge(#{capacity => Capacity}, Options)),
            Cache
        end,
        get => fun erlmcp_native_cache:get/2,
        put => fun erlmcp_native_cache:put/3,
        put_tagged => fun(Cache, Key, Value, Tag) -> erlmcp_native_cache:put(Cache, Key, Value, #{tags => [Tag]}) end,
        invalidate_tag => fun erlmcp_native_cache:invalidate_tag/2,
        bound => strict,
        size => fun(Cache) -> maps:get(entries, erlmcp_native_cache:info(Cache)) end,
        drop => fun erlmcp_native_cache:drop/1
    }.

%% Bounded by bytes: `size` is of those.
-spec native_bytes(atom(), map()) -> subject().
native_bytes(Name, Options) ->
    (native(Name, Options#{bound => bytes}))#{
        size := fun(Cache) -> maps:get(used, erlmcp_native_cache:info(Cache)) end,
        in_flight => 256
    }.

-spec pure_erlang() -> subject().
pure_erlang() ->
    #{
        name => pure_erlang,
        role => baseline,
        version => <<"erlmcp_cache_baseline">>,
        new => fun erlmcp_cache_baseline:new/1,
        get => fun erlmcp_cache_baseline:get/2,
        put => fun erlmcp_cache_baseline:put/3,
        put_tagged => fun(Cache, Key, Value, Tag) -> erlmcp_cache_baseline:put(Cache, Key, Value, [Tag]) end,
        invalidate_tag => fun erlmcp_cache_baseline:invalidate_tag/2,
        bound => strict,
        size => fun erlmcp_cache_baseline:size/1,
        drop => fun erlmcp_cache_baseline:drop/1
    }.

%% The bare table, which bounds nothing: what a hit and a put cannot cost less than where many
%% processes use it, and, plain, where one does.
-spec ets() -> subject().
ets() -> ets(ets, peer, [{read_concurrency, true}, {write_concurrency, true}]).

-spec ets_plain() -> subject().
ets_plain() -> ets(ets_plain, variant, []).

ets(Name, Role, Concurrency) ->
    #{
        name => Name,
        role => Role,
        version => <<"stdlib ", (erlmcp_bench_suite:version(stdlib))/binary>>,
        new => fun(_Capacity) -> ets:new(?MODULE, [set, public | Concurrency]) end,
        get => fun ets:lookup/2,
        put => fun(Table, Key, Value) -> ets:insert(Table, {Key, Value}) end,
        put_tagged => fun(Table, Key, Value, Tag) -> ets:insert(Table, {Key, Value, Tag}) end,
        invalidate_tag => fun(Table, Tag) -> ets:match_delete(Table, {'_', '_', Tag}) end,
        bound => none,
        size => fun(Table) -> ets:info(Table, size) end,
        drop => fun ets:delete/1
    }.

peers() ->
    [{p1_cache_tab, fun p1_cache_tab/0}, {erlmcp, fun erlmcp/0}].

%% Debian's erlang-p1-cache-tab. When it is full its process drops everything, and says so in the
%% log each time.
p1_cache_tab() ->
    _ = logger:add_primary_filter(?MODULE, {fun shrinking/2, []}),
    Functions = [{new, 2}, {lookup, 2}, {insert, 3}, {delete, 1}],
    case erlmcp_bench_suite:present(ets_cache, Functions) andalso application:ensure_all_started(cache_tab) of
        {ok, _} ->
            [
                #{
                    name => p1_cache_tab,
                    role => peer,
                    version => erlmcp_bench_suite:version(cache_tab),
                    new => fun(Capacity) ->
                        Name = list_to_atom("erlmcp_bench_p1_" ++ integer_to_list(erlang:unique_integer([positive]))),
                        ok = ets_cache:new(Name, [{max_size, Capacity}]),
                        Name
                    end,
                    get => fun ets_cache:lookup/2,
                    put => fun(Name, Key, Value) ->
                        _ = ets_cache:insert(Name, Key, Value),
                        ok
                    end,
                    bound => late,
                    size => fun(Name) -> ets_cache:info(Name, size) end,
                    drop => fun ets_cache:delete/1
                }
            ];
        _ ->
            []
    end.

shrinking(#{msg := {report, #{format := "Shrinking cache" ++ _}}}, _) -> stop;
shrinking(_, _) -> ignore.

%% erlmcp's own cache: one process, and one at a time.
-spec erlmcp() -> [subject()].
erlmcp() ->
    Functions = [{start_link, 1}, {get, 1}, {put, 4}, {invalidate_by_tag, 1}, {stats, 0}],
    case erlmcp_bench_suite:present(erlmcp_cache, Functions) of
        true ->
            [
                #{
                    name => erlmcp,
                    role => peer,
                    version => erlmcp_bench_suite:version(erlmcp),
                    new => fun(Capacity) ->
                        {ok, Pid} = erlmcp_cache:start_link(#{max_l1_size => Capacity}),
                        {Pid, Capacity}
                    end,
                    get => fun(_, Key) -> erlmcp_cache:get(Key) end,
                    put => fun({_, Capacity}, Key, Value) -> erlmcp_cache:put(Key, Value, {lru, Capacity}, #{}) end,
                    put_tagged => fun({_, Capacity}, Key, Value, Tag) ->
                        erlmcp_cache:put(Key, Value, {lru, Capacity}, #{tags => [Tag]})
                    end,
                    invalidate_tag => fun(_, Tag) -> erlmcp_cache:invalidate_by_tag(Tag) end,
                    bound => strict,
                    size => fun(_) -> maps:get(l1_size, erlmcp_cache:stats()) end,
                    drop => fun({Pid, _}) -> gen_server:stop(Pid) end
                }
            ];
        false ->
            []
    end.
