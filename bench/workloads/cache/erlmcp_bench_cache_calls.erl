%% The cases that are timed. Each subject fills a cache of its own when its case begins, and is
%% asked after every round whether that is within its bound.
-module(erlmcp_bench_cache_calls).

-export([cases/0]).

-define(CACHES, erlmcp_bench_cache_subjects).
-define(WORKLOADS, erlmcp_bench_cache_workloads).

%% Of requests that are recorded ahead: lists of so many, and so many lists.
-define(CHUNK, 1024).
-define(CHUNKS, 256).

%% Operations in a call where several processes make them.
-define(WORKER, 250).

-spec cases() -> [erlmcp_bench_measure:bench_case()].
cases() ->
    lists:append([hits(), puts(), full(), requested(), erlmcp(), crowds()]).

%% One key of a thousand, again and again.

hits() ->
    [
        bench_case(cache_hit, id("hit_", Id), Bytes, #{
            expected => Value,
            subjects => [
                subject(Cache, 2048, fun(#{get := Get, put := Put} = Of, Held) ->
                    lists:foreach(fun(Key) -> Put(Held, Key, Value) end, lists:seq(1, 1000)),
                    opened(Of, Held, 2048, [fun() -> Get(Held, 500) end])
                end)
             || Cache <- caches([native_lru | store(Value)])
            ]
        })
     || {Id, Bytes, Value} <- ?WORKLOADS:values()
    ].

%% What the store in ETS is for.
store(Value) when is_map(Value) -> [native_store];
store(_) -> [].

puts() ->
    [
        bench_case(cache_put, id("put_", Id), Bytes, #{
            expected => ok,
            subjects => [
                subject(Cache, 2048, fun(#{get := Get, put := Put} = Of, Held) ->
                    lists:foreach(fun(Key) -> Put(Held, Key, Value) end, lists:seq(1, 1000)),
                    #{verify := Bound} = Opened = opened(Of, Held, 2048, [fun() -> Put(Held, 500, Value) end]),
                    Opened#{
                        verify := fun() ->
                            case value(Get(Held, 500)) of
                                Value -> Bound();
                                _ -> {wrong, <<"another value than was put">>}
                            end
                        end
                    }
                end)
             || Cache <- caches([native_lru | store(Value)])
            ]
        })
     || {Id, Bytes, Value} <- ?WORKLOADS:values()
    ].

%% A new key at each call, in a full cache. The bare table, which would grow, has its rows
%% replaced in turn; erlmcp's cache searches all entries for the oldest and is left out where that
%% is a second and more.

full() ->
    [
        bench_case(cache_put_full, Id, 0, #{
            expected => ok,
            modes => Modes,
            subjects => [
                subject(Cache, Capacity, fun(Of, Held) -> full(Of, Held, Capacity) end)
             || #{name := Name} = Cache <- caches([native_lru]),
                Name =/= erlmcp orelse Capacity =< 10_000
            ]
        })
     || {Id, Capacity, Modes} <- [
            {put_full_1k, 1_000, all()},
            {put_full_10k, 10_000, all()},
            {put_full_100k, 100_000, all()},
            {put_full_1m, 1_000_000, [standard, full]},
            {put_full_10m, 10_000_000, [full]}
        ]
    ].

full(#{put := Put, bound := Bound} = Of, Held, Capacity) ->
    lists:foreach(fun(Key) -> Put(Held, Key, 7) end, lists:seq(1, Capacity)),
    Last = atomics:new(1, []),
    ok = atomics:put(Last, 1, Capacity),
    Call =
        case Bound of
            none -> fun() -> Put(Held, 1 + atomics:add_get(Last, 1, 1) rem Capacity, 7) end;
            _ -> fun() -> Put(Held, atomics:add_get(Last, 1, 1), 7) end
        end,
    opened(Of, Held, Capacity, [Call]).

%% Requests in the proportions of use: a value that is not there is put. The recording of 262,144
%% begins anew where it ends. The bare table keeps everything.

requested() ->
    Universe = 1_000_000,
    Zipf = fun(S) -> ?WORKLOADS:zipf(S, Universe, ?CHUNK * ?CHUNKS, 11) end,
    [
        bench_case(cache_requests, Id, 0, #{
            expected => ?CHUNK,
            operations => ?CHUNK,
            subjects => [
                subject(Cache, Capacity, fun(Of, Held) -> requested(Of, Held, Capacity, Requests) end)
             || #{name := Name} = Cache <- caches([native_lru]),
                Name =/= erlmcp
            ]
        })
     || {Id, Capacity, Requests} <- [
            {zipf_0_8_at_1_percent, Universe div 100, Zipf(0.8)},
            {zipf_0_8_at_10_percent, Universe div 10, Zipf(0.8)},
            {zipf_1_0_at_1_percent, Universe div 100, Zipf(1.0)},
            {zipf_1_0_at_10_percent, Universe div 10, Zipf(1.0)},
            {scan_and_hot_set, 2_000, ?WORKLOADS:scan_and_hot(?CHUNK * ?CHUNKS)}
        ]
    ].

%% The recording is kept where no process copies it.
requested(#{get := Get, put := Put} = Of, Held, Capacity, Requests) ->
    Recording = {?MODULE, make_ref()},
    Chunks = ?WORKLOADS:chunks(?CHUNK, Requests),
    ok = persistent_term:put(Recording, list_to_tuple(Chunks)),
    Position = atomics:new(1, []),
    Next = fun() ->
        Keys = element(1 + atomics:add_get(Position, 1, 1) rem ?CHUNKS, persistent_term:get(Recording)),
        read_through(Keys, Get, Put, Held, 0)
    end,
    lists:foreach(fun(_) -> Next() end, Chunks),
    #{close := Close} = Opened = opened(Of, Held, Capacity, [Next]),
    Opened#{
        close := fun() ->
            true = persistent_term:erase(Recording),
            Close()
        end
    }.

%% How many keys gave their value, or none.
read_through([Key | Keys], Get, Put, Held, Count) ->
    case Get(Held, Key) of
        {ok, Key} ->
            read_through(Keys, Get, Put, Held, Count + 1);
        [{Key, Key}] ->
            read_through(Keys, Get, Put, Held, Count + 1);
        Miss when Miss =:= {error, not_found}; Miss =:= error; Miss =:= [] ->
            _ = Put(Held, Key, Key),
            read_through(Keys, Get, Put, Held, Count + 1);
        _ ->
            read_through(Keys, Get, Put, Held, Count)
    end;
read_through([], _, _, _, Count) ->
    Count.

%% The seven shapes of erlmcp's own erlmcp_bench_cache, by their ids: the numbers of workers and
%% keys are theirs, as is the room (their first level and the ten times larger second); making
%% the keys is left out of the time. There is one level here, so their two ways of writing to the
%% others are both a put.

erlmcp() ->
    [
        bench_case(cache_erlmcp, Id, 0, #{
            expected => ?WORKER,
            operations => ?WORKER,
            subjects => [
                subject(Cache, Capacity, fun(#{put := Put} = Of, Held) ->
                    lists:foreach(fun(N) -> Put(Held, text("key_", N), text("value_", N)) end, lists:seq(1, Present)),
                    Calls = [worker(Kind, Keys, Worker, Of, Held) || Worker <- lists:seq(1, Workers)],
                    opened(Of, Held, Capacity, Calls)
                end)
             || Cache <- caches([])
            ]
        })
     || {Id, Kind, Workers, Capacity, Keys, Present} <- [
            {cache_hit_1k, hit, 1, 1_100, 1_000, 1_000},
            {cache_hit_10k, hit, 10, 11_000, 10_000, 10_000},
            {cache_hit_100k, hit, 100, 110_000, 10_000, 10_000},
            {cache_mixed_workload, mixed, 50, 55_000, 10_000, 0},
            {cache_eviction_stress, put, 10, 100, 200, 0},
            {cache_write_through, put, 10, 11_000, 1_000, 0},
            {cache_write_back, put, 10, 11_000, 1_000, 0}
        ]
    ].

worker(Kind, Keys, Worker, #{get := Get, put := Put}, Held) ->
    Operations = worker(Kind, Keys, Worker),
    fun() -> perform(Operations, Get, Put, Held, 0) end.

worker(hit, Keys, Worker) ->
    [{hit, text("key_", N)} || N <- random(Keys, Worker)];
%% Seven of ten are gets.
worker(mixed, Keys, Worker) ->
    [
        case Kind =< 70 of
            true -> {get, text("key_", N)};
            false -> {put, text("key_", N), text("value_", N)}
        end
     || {N, Kind} <- lists:zip(random(Keys, Worker), random(100, 1000 + Worker))
    ];
worker(put, Keys, Worker) ->
    First = Worker * ?WORKER,
    [{put, text("key_", N rem Keys), text("value_", N)} || N <- lists:seq(First + 1, First + ?WORKER)].

text(Prefix, N) ->
    iolist_to_binary([Prefix, integer_to_list(N)]).

random(Most, Seed) ->
    {Numbers, _} = lists:mapfoldl(
        fun(_, State) -> rand:uniform_s(Most, State) end,
        rand:seed_s(exsss, Seed),
        lists:seq(1, ?WORKER)
    ),
    Numbers.

%% How many did what they should.
perform([{hit, Key} | Rest], Get, Put, Held, Count) ->
    case Get(Held, Key) of
        {ok, _} -> perform(Rest, Get, Put, Held, Count + 1);
        [_] -> perform(Rest, Get, Put, Held, Count + 1);
        _ -> perform(Rest, Get, Put, Held, Count)
    end;
perform([{get, Key} | Rest], Get, Put, Held, Count) ->
    _ = Get(Held, Key),
    perform(Rest, Get, Put, Held, Count + 1);
perform([{put, Key, Value} | Rest], Get, Put, Held, Count) ->
    case Put(Held, Key, Value) of
        ok -> perform(Rest, Get, Put, Held, Count + 1);
        true -> perform(Rest, Get, Put, Held, Count + 1);
        _ -> perform(Rest, Get, Put, Held, Count)
    end;
perform([], _, _, _, Count) ->
    Count.

%% Several processes: hits on a thousand keys, the first the most frequent; and gets and puts by
%% one process that does both against two that get and two that put, in a cache of many shards
%% and in one so small that it has a single lock for its writers.

crowds() ->
    Gets = [
        {list_to_atom("get_by_" ++ integer_to_list(Processes)), Modes, 2048, lists:duplicate(Processes, get)}
     || {Processes, Modes} <- [
            {1, all()},
            {2, [standard, full]},
            {4, all()},
            {8, [standard, full]},
            {16, [standard, full]},
            {32, [standard, full]},
            {64, all()}
        ]
    ],
    Both = [
        {get_and_put_by_1, all(), 100_000, [both]},
        {get_and_put_by_4, all(), 100_000, [get, put, get, put]},
        {get_and_put_small_by_1, all(), 2048, [both]},
        {get_and_put_small_by_4, all(), 2048, [get, put, get, put]}
    ],
    [
        bench_case(cache_processes, Id, 0, #{
            expected => ?WORKER,
            operations => ?WORKER,
            modes => Modes,
            subjects => [
                subject(Cache, Capacity, fun(#{get := Get, put := Put} = Of, Held) ->
                    lists:foreach(fun(Key) -> Put(Held, Key, Key) end, lists:seq(1, 1000)),
                    Calls = [
                        begin
                            Operations = process(Kind, Number),
                            fun() -> perform(Operations, Get, Put, Held, 0) end
                        end
                     || {Kind, Number} <- lists:zip(Kinds, lists:seq(1, length(Kinds)))
                    ],
                    opened(Of, Held, Capacity, Calls)
                end)
             || Cache <- caches([native_lru])
            ]
        })
     || {Id, Modes, Capacity, Kinds} <- Gets ++ Both
    ].

process(Kind, Seed) ->
    [Keys] = ?WORKLOADS:chunks(?WORKER, ?WORKLOADS:zipf(1.0, 1000, ?WORKER, Seed)),
    [operation(Kind, Number, Key) || {Number, Key} <- lists:zip(lists:seq(1, ?WORKER), Keys)].

operation(both, Number, Key) when Number rem 2 =:= 0 -> operation(put, Number, Key);
operation(put, _, Key) -> {put, Key, Key};
operation(_, _, Key) -> {hit, Key}.

%% What the cases have in common.

bench_case(Group, Id, Bytes, Case) ->
    maps:merge(
        #{group => Group, id => Id, set => cache, bytes => Bytes, missing => ?CACHES:missing()},
        Case
    ).

id(Prefix, Id) ->
    list_to_atom(Prefix ++ atom_to_list(Id)).

all() ->
    [quick, standard, full].

%% Ours, also in the forms named; then the others.
caches(Forms) ->
    [Native | Others] = ?CACHES:all(),
    [Native] ++ [form(Form) || Form <- Forms] ++ Others.

form(native_lru) -> (?CACHES:native(native_lru, #{policy => lru}))#{role := variant};
form(native_store) -> ?CACHES:native(native_store, #{store => ets}).

subject(#{name := Name, role := Role, new := New} = Of, Capacity, Fill) ->
    #{name => Name, role => Role, open => fun() -> Fill(Of, New(Capacity)) end, normal => fun value/1}.

opened(#{drop := Drop} = Of, Held, Capacity, Calls) ->
    #{
        calls => Calls,
        verify => fun() -> ?CACHES:within_bound(Of, Held, Capacity) end,
        close => fun() -> Drop(Held) end
    }.

value({ok, Value}) -> Value;
value([{_, Value}]) -> Value;
value(true) -> ok;
value(Answer) -> Answer.
