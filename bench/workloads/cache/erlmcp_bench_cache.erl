%% The cache: hits, puts and evictions, requests in the proportions of use, many processes, and
%% what an entry weighs. (erlmcp has a module of this name among its tests; its workloads are the
%% group cache_erlmcp here.)
-module(erlmcp_bench_cache).
-behaviour(erlmcp_bench_suite).

-export([cases/0, targets/0, subjects/0]).

-spec cases() -> [erlmcp_bench_measure:bench_case()].
cases() ->
    erlmcp_bench_cache_calls:cases() ++ erlmcp_bench_cache_observed:cases().

-spec subjects() -> [{atom(), binary()}].
subjects() ->
    [{Name, Version} || #{name := Name, version := Version} <- erlmcp_bench_cache_subjects:all()].

-spec targets() -> [erlmcp_bench_suite:target()].
targets() ->
    Target = fun(Text, Group, Ids, Subject, Figure) ->
        #{text => Text, group => Group, ids => Ids, subject => Subject, figure => Figure}
    end,
    Hit = fun(Text, Id, Subject, Figure) -> Target(Text, cache_hit, [Id], Subject, Figure) end,
    %% A ratio is how many times faster: 1.3 times as long is 1 / 1.3.
    Within = fun(Times) -> {least, ets, 1 / Times} end,
    Small = [
        {<<"hit on an integer">>, hit_integer},
        {<<"hit on a tuple of five">>, hit_tuple_5},
        {<<"hit on a binary of 40 bytes">>, hit_binary_40b}
    ],
    Ratio = fun(Text, Id, Subject, AtLeast) ->
        Target(Text, cache_hit_ratio, [Id], Subject, {observed, hit_ratio, at_least, AtLeast})
    end,
    [Hit(Text, Id, native, {any, [{at_most, 100}, Within(1.3)]}) || {Text, Id} <- Small] ++
        [
            Target(
                <<"the same over pure Erlang, least">>,
                cache_hit,
                [Id || {_, Id} <- Small],
                native,
                {least, pure_erlang, 3.0}
            ),
            Hit(<<"hit on a binary of 64 KB">>, hit_binary_64kb, native, {any, [{at_most, 80}, Within(1.0)]}),
            Target(<<"put of a binary of 64 KB">>, cache_put, [put_binary_64kb], native, {at_most, 500}),
            Target(
                <<"bytes of 64 KB copied by a put">>,
                cache_copies,
                [copies_of_64kb],
                native,
                {observed, copied_by_put, at_most, 0}
            ),
            Target(
                <<"bytes of 64 KB copied by a hit">>,
                cache_copies,
                [copies_of_64kb],
                native,
                {observed, copied_by_get, at_most, 0}
            ),
            Hit(<<"hit on a nested map of 100 tools">>, hit_tools_100, native, Within(1.5)),
            Hit(<<"the same, stored in ETS">>, hit_tools_100, native_store, Within(1.15)),
            Target(
                <<"put in a full cache, up to a million">>,
                cache_put_full,
                [put_full_1k, put_full_10k, put_full_100k, put_full_1m],
                native,
                {at_most, 1000}
            ),
            Target(<<"put in a full cache of ten million">>, cache_put_full, [put_full_10m], native, {at_most, 1000}),
            Target(
                <<"tag of 10,000 entries until effective">>,
                cache_tags,
                [invalidate_tag_of_10000],
                native,
                {observed, time_to_be_effective, at_most, 5000}
            ),
            Target(
                <<"exact lru off the textbook, OLTP at 1,000">>,
                cache_hit_ratio,
                [oltp_at_1000],
                native_lru,
                {observed, off_textbook, at_most, 0.3}
            ),
            Ratio(<<"s3_fifo hit ratio, OLTP at 1,000">>, oltp_at_1000, native_s3_fifo, 39.5),
            Ratio(<<"s3_fifo hit ratio, P6 at 20,000">>, p6_at_20000, native_s3_fifo, 16),
            Ratio(<<"s3_fifo hit ratio, Zipf 1.0 at 1 %">>, zipf_1_0_at_1_percent_ratio, native_s3_fifo, 65.8),
            Target(
                <<"memory beyond key and value">>,
                cache_memory,
                [memory_integers_1m, memory_binaries_1m],
                native,
                {observed, beyond_key_and_value, at_most, 96}
            ),
            Target(
                <<"the same under lru">>,
                cache_memory,
                [memory_integers_1m, memory_binaries_1m],
                native_lru,
                {observed, beyond_key_and_value, at_most, 96}
            ),
            Target(
                <<"5 million inserts: resident growth when full">>,
                cache_flood,
                [flood_5m_into_100mb],
                native,
                {observed, resident_growth_when_full, at_most, 5_000_000}
            ),
            Target(
                <<"5 million inserts: longest call in CPU time">>,
                cache_flood,
                [flood_5m_into_100mb],
                native,
                {observed, longest_call_in_cpu_time, at_most, 1_000_000}
            ),
            Target(
                <<"two writers and two readers against one">>,
                cache_processes,
                [get_and_put_by_4],
                native,
                {against, get_and_put_by_1, 1.0}
            ),
            Target(
                <<"the same in a cache of 2,048 entries">>,
                cache_processes,
                [get_and_put_small_by_4],
                native,
                {against, get_and_put_small_by_1, 1.0}
            )
        ].
