%% What is no time of a call: hit ratios, memory, what a flood of inserts does, copies of large
%% binaries, tags.
-module(erlmcp_bench_cache_observed).

-export([cases/0]).
-export([textbook_lru/2]).

-define(CACHES, erlmcp_bench_cache_subjects).
-define(WORKLOADS, erlmcp_bench_cache_workloads).
-define(VM, erlmcp_bench_vm).

%% How often a flood is tried at most where a call was long.
-define(FLOODS, 3).

-spec cases() -> [erlmcp_bench_measure:bench_case()].
cases() ->
    lists:append([hit_ratios(), memory(), floods(), copies(), tags()]).

bench_case(Group, Id, Modes, Subjects) ->
    #{
        group => Group,
        id => Id,
        set => cache,
        bytes => 0,
        modes => Modes,
        subjects => [observer(Subject) || Subject <- Subjects]
    }.

%% `anew`: in a VM of its own, whose memory nobody used before.
observer({anew, #{name := Name, role := Role} = Of, Capacity, Observe}) ->
    #{name => Name, role => Role, observe => fun() -> ?VM:anew(fun() -> with(Of, Capacity, Observe) end) end};
observer({flood, #{name := Name, role := Role} = Of, Capacity, Observe}) ->
    Flood = fun() -> ?VM:anew(fun() -> with(Of, Capacity, Observe) end) end,
    #{name => Name, role => Role, observe => fun() -> least(Flood, ?FLOODS) end};
observer({#{name := Name, role := Role} = Of, Capacity, Observe}) ->
    #{name => Name, role => Role, observe => fun() -> with(Of, Capacity, Observe) end}.

with(#{new := New, drop := Drop} = Of, Capacity, Observe) ->
    Held = New(Capacity),
    try
        Observe(Of, Held)
    after
        Drop(Held)
    end.

%% Requests where a value that is not there is put; the cache is empty at first.

hit_ratios() ->
    Universe = 1_000_000,
    Policies = [
        ?CACHES:native(Name, #{policy => Policy})
     || {Name, Policy} <- [{native_lru, lru}, {native_s3_fifo, s3_fifo}, {native_lfu, lfu}]
    ],
    [
        bench_case(cache_hit_ratio, Id, Modes, [
            {Of, Capacity, fun(One, Held) -> hit_ratio(One, Held, Capacity, Requests) end}
         || Of <- Policies ++ [?CACHES:pure_erlang()]
        ])
     || {Id, Capacity, Modes, Requests} <-
            lists:append([
                trace(oltp_at_1000, 1_000, [quick, standard, full], "OLTP"),
                trace(oltp_at_2000, 2_000, [standard, full], "OLTP"),
                trace(p6_at_20000, 20_000, [standard, full], "P6")
            ]) ++
                [
                    {zipf_1_0_at_1_percent_ratio, Universe div 100, [standard, full],
                        ?WORKLOADS:zipf(1.0, Universe, 4_000_000, 7)},
                    {zipf_0_8_at_10_percent_ratio, Universe div 10, [standard, full],
                        ?WORKLOADS:zipf(0.8, Universe, 4_000_000, 7)},
                    {zipf_1_0_of_10000_ratio, 100, [quick], ?WORKLOADS:zipf(1.0, 10_000, 300_000, 7)},
                    {scan_and_hot_set_ratio, 2_000, [quick, standard, full], ?WORKLOADS:scan_and_hot(500_000)}
                ]
    ].

trace(Id, Capacity, Modes, Name) ->
    [{Id, Capacity, Modes, Requests} || {ok, Requests} <- [?WORKLOADS:trace(Name)]].

%% Of our exact policy also what the textbook's would have had.
hit_ratio(#{name := Name, get := Get, put := Put} = Of, Held, Capacity, Requests) ->
    {Hits, Asked, Most} = ?WORKLOADS:fold(
        fun(Key, {Hits, Asked, Most}) ->
            Most1 =
                case Asked band 1023 of
                    0 -> max(Most, held(Of, Held, Capacity));
                    _ -> Most
                end,
            case Get(Held, Key) of
                {ok, Key} ->
                    {Hits + 1, Asked + 1, Most1};
                {error, not_found} ->
                    ok = Put(Held, Key, Key),
                    {Hits, Asked + 1, Most1}
            end
        end,
        {0, 0, 0},
        Requests
    ),
    Ratio = 100 * Hits / Asked,
    Figures = [{hit_ratio, Ratio, percent}, {requests, Asked, count}, {most_entries, Most, count}],
    case Name of
        native_lru ->
            Textbook = textbook_lru(Capacity, Requests),
            Figures ++ [{textbook, Textbook, percent}, {off_textbook, abs(Ratio - Textbook), percent}];
        _ ->
            Figures
    end.

%% The entries held, which are within the bound.
held(#{size := Size} = Of, Held, Capacity) ->
    case ?CACHES:within_bound(Of, Held, Capacity) of
        ok -> Size(Held);
        {wrong, Why} -> error({bound, Why})
    end.

%% The hit ratio of exact LRU, in percent, by two tables: when a key was last used, and what key
%% was used when.
-spec textbook_lru(pos_integer(), erlmcp_bench_cache_workloads:requests()) -> float().
textbook_lru(Capacity, Requests) ->
    Used = ets:new(?MODULE, [set, private]),
    Order = ets:new(?MODULE, [ordered_set, private]),
    {Hits, Asked} = ?WORKLOADS:fold(
        fun(Key, {Hits, Now}) ->
            Hit =
                case ets:lookup(Used, Key) of
                    [{_, Before}] ->
                        true = ets:delete(Order, Before),
                        1;
                    [] ->
                        0
                end,
            true = ets:insert(Order, {Now, Key}),
            true = ets:insert(Used, {Key, Now}),
            _ = [oldest_leaves(Used, Order) || ets:info(Used, size) > Capacity],
            {Hits + Hit, Now + 1}
        end,
        {0, 0},
        Requests
    ),
    true = ets:delete(Used),
    true = ets:delete(Order),
    100 * Hits / Asked.

oldest_leaves(Used, Order) ->
    [{_, Key}] = ets:take(Order, ets:first(Order)),
    ets:delete(Used, Key).

%% What an entry costs, its key and value included, and beyond them: by what the VM and the
%% library count, and by the growth of resident memory.

memory() ->
    Integer = fun(N) -> {N, N + 1} end,
    Binary = fun(N) -> {<<"key:", N:96>>, <<N:320>>} end,
    [
        bench_case(cache_memory, Id, Modes, [
            {anew, Of, 2 * Count, fun(One, Held) -> memory(One, Held, Count, Make, Payload) end}
         || Of <- [?CACHES:native(), ?CACHES:native(native_lru, #{policy => lru}), ?CACHES:pure_erlang(), ?CACHES:ets()]
        ])
     || {Id, Modes, Count, Make, Payload} <- [
            {memory_integers_100k, [quick], 100_000, Integer, 16},
            {memory_integers_1m, [standard, full], 1_000_000, Integer, 16},
            {memory_binaries_100k, [quick], 100_000, Binary, 16 + 40},
            {memory_binaries_1m, [standard, full], 1_000_000, Binary, 16 + 40}
        ]
    ].

memory(#{put := Put}, Held, Count, Make, Payload) ->
    Resident0 = ?VM:resident(),
    Counted0 = ?VM:counted(),
    fill(Put, Held, Count, Make),
    true = erlang:garbage_collect(),
    Counted = (?VM:counted() - Counted0) / Count,
    [
        {bytes_per_entry, Counted, bytes},
        {beyond_key_and_value, Counted - Payload, bytes},
        {resident_per_entry, (?VM:resident() - Resident0) / Count, bytes}
    ].

fill(_, _, 0, _) ->
    ok;
fill(Put, Held, Left, Make) ->
    {Key, Value} = Make(Left),
    _ = Put(Held, Key, Value),
    fill(Put, Held, Left - 1, Make).

%% Two processes insert as fast as they can; a third looks at the bound all the while. The cache
%% of ours is bounded by bytes, the baseline by as many entries as fit ours.

floods() ->
    Megabyte = 1_000_000,
    [
        bench_case(cache_flood, Id, Modes, [
            {flood, Of, Bound, fun(One, Held) -> flood(One, Held, Bound, Inserts) end}
         || {Of, Bound} <- [
                {?CACHES:native_bytes(native, #{}), Bytes},
                {?CACHES:native_bytes(native_lru, #{policy => lru}), Bytes},
                {?CACHES:pure_erlang(), Bytes div 200}
            ]
        ])
     || {Id, Modes, Inserts, Bytes} <- [
            {flood_500k_into_10mb, [quick], 500_000, 10 * Megabyte},
            {flood_5m_into_100mb, [standard, full], 5_000_000, 100 * Megabyte}
        ]
    ].

-define(WRITERS, 2).

%% The clock of CPU time jumps on a busy host: a call that is long by itself is so in every flood.
least(Flood, Left) ->
    Figures = Flood(),
    case lists:keyfind(longest_call_in_cpu_time, 1, Figures) of
        {_, Longest, _} when Longest > 1_000_000, Left > 1 ->
            hd(lists:sort(fun shorter/2, [Figures, least(Flood, Left - 1)]));
        _ ->
            Figures
    end.

shorter(A, B) ->
    lists:keyfind(longest_call_in_cpu_time, 1, A) =< lists:keyfind(longest_call_in_cpu_time, 1, B).

flood(#{put := Put} = Of, Held, Bound, Inserts) ->
    Self = self(),
    ok = reset_call_time(),
    Start = erlang:monotonic_time(nanosecond),
    Writers = [
        spawn_monitor(fun() -> Self ! {longest, self(), insert(Put, Held, Inserts div ?WRITERS, Writer, 0)} end)
     || Writer <- lists:seq(1, ?WRITERS)
    ],
    {Most, Resident, []} = watch(Of, Held, Bound, Writers, 0, []),
    Time = erlang:monotonic_time(nanosecond) - Start,
    Longest = [
        receive
            {longest, Pid, Ns} -> Ns
        end
     || {Pid, _} <- Writers
    ],
    %% The cache is full long before half of them are in.
    {_, Full} = lists:split(length(Resident) div 2, lists:reverse(Resident)),
    [
        {inserts, Inserts, count},
        {time_per_insert, Time / Inserts, nanoseconds},
        {most_of_bound, 100 * Most / Bound, percent},
        {resident_growth_when_full, lists:last(Full) - hd(Full), bytes},
        {longest_call_on_the_wall, lists:max(Longest), nanoseconds}
    ] ++ [{longest_call_in_cpu_time, Ns, nanoseconds} || Ns <- call_time()].

insert(_, _, 0, _, Longest) ->
    Longest;
insert(Put, Held, Left, Writer, Longest) ->
    Value = <<Left:512>>,
    Start = erlang:monotonic_time(nanosecond),
    _ = Put(Held, Left * ?WRITERS + Writer, Value),
    Time = erlang:monotonic_time(nanosecond) - Start,
    insert(Put, Held, Left - 1, Writer, max(Longest, Time)).

%% Looks every few milliseconds until the writers have ended.
watch(_, _, _, [], Most, Resident) ->
    {Most, Resident, []};
watch(#{size := Size} = Of, Held, Bound, Writers, Most, Resident) ->
    Used = Size(Held),
    Used =< Bound + ?WRITERS * maps:get(in_flight, Of, 1) orelse error({bound, Used, Bound}),
    receive
        {'DOWN', Monitor, process, Pid, normal} ->
            watch(Of, Held, Bound, lists:delete({Pid, Monitor}, Writers), max(Used, Most), [?VM:resident() | Resident]);
        {'DOWN', _, process, _, Reason} ->
            error(Reason)
    after 5 -> watch(Of, Held, Bound, Writers, max(Used, Most), [?VM:resident() | Resident])
    end.

%% Only a library that was built with the feature `call_time` counts it.
reset_call_time() ->
    erlmcp_native_nif:call_time_reset().

call_time() ->
    case erlmcp_native_nif:call_time_read() of
        Counted when is_list(Counted) -> [lists:max([Most || {_, _, Most} <- Counted])];
        _ -> []
    end.

%% A binary of 64 KB: the bytes of binaries that come to be when it is put under a hundred keys,
%% and when it is had from there a hundred times, by call.

copies() ->
    [
        bench_case(cache_copies, copies_of_64kb, [quick, standard, full], [
            {Of, 1000, fun copied/2}
         || Of <- [?CACHES:native(), ?CACHES:pure_erlang(), ?CACHES:ets()]
        ])
    ].

copied(#{get := Get, put := Put}, Held) ->
    Value = binary:copy(<<"64 KB of it", 0:40>>, 4096),
    Keys = lists:seq(1, 100),
    {Puts, _} = grown(fun() -> lists:foreach(fun(Key) -> Put(Held, Key, Value) end, Keys) end),
    {Gets, Answers} = grown(fun() -> [Get(Held, Key) || Key <- Keys] end),
    lists:foreach(
        fun
            ({ok, Had}) -> Value = Had;
            ([{_, Had}]) -> Value = Had
        end,
        Answers
    ),
    [{copied_by_put, Puts / 100, bytes}, {copied_by_get, Gets / 100, bytes}].

%% What is small beside the binary: the entries themselves, and the references.
-define(NO_COPY, 1024).

grown(Fun) ->
    true = erlang:garbage_collect(),
    Before = erlang:memory(binary) + erlmcp_native:memory(),
    Answer = Fun(),
    Grown = max(0, erlang:memory(binary) + erlmcp_native:memory() - Before),
    {max(0, Grown - 100 * ?NO_COPY), Answer}.

%% 10,000 entries with a tag: from the call until a get of one of them finds nothing. Then none of
%% them is there, and one without the tag is.

tags() ->
    [
        bench_case(cache_tags, invalidate_tag_of_10000, [quick, standard, full], [
            {Of, 20_000, fun tagged/2}
         || Of <- [?CACHES:native(), ?CACHES:pure_erlang(), ?CACHES:ets() | ?CACHES:erlmcp()]
        ])
    ].

tagged(Of, Held) ->
    Times = [tagged(Of, Held, Tag) || Tag <- lists:seq(1, 25)],
    [
        {time_to_be_effective, erlmcp_bench_statistics:median(Times), nanoseconds},
        {longest, lists:max(Times), nanoseconds}
    ].

tagged(#{get := Get, put := Put, put_tagged := PutTagged, invalidate_tag := Invalidate}, Held, Tag) ->
    Keys = lists:seq(1, 10_000),
    lists:foreach(fun(Key) -> PutTagged(Held, Key, Key, Tag) end, Keys),
    _ = Put(Held, other, 1),
    true = is_there(Get(Held, 5_000)),
    Start = erlang:monotonic_time(nanosecond),
    _ = Invalidate(Held, Tag),
    After = Get(Held, 5_000),
    Time = erlang:monotonic_time(nanosecond) - Start,
    false = is_there(After),
    [] = [Key || Key <- Keys, is_there(Get(Held, Key))],
    true = is_there(Get(Held, other)),
    Time.

is_there({ok, _}) -> true;
is_there([_]) -> true;
is_there({error, not_found}) -> false;
is_there([]) -> false.
