%% The performance suite in its short form: the workloads and files of
%% scripts/run_performance_tests.sh, with fewer and shorter rounds. It fails where a result is
%% wrong, never where one is slow.
-module(performance_suite).
-behaviour(ct_suite).

-include_lib("common_test/include/ct.hrl").
-export([all/0, suite/0, init_per_suite/1, end_per_suite/1]).
-export([json_decode/1, json_encode/1, rpc_decode/1, rpc_reply/1, schema_validate/1]).
-export([cache_calls/1, cache_observed/1, histogram_calls/1, histogram_observed/1, metrics/1, figures/1]).
-export([pool_calls/1, pool_observed/1, limiters/1, breakers/1]).

suite() ->
    [{timetrap, {minutes, 25}}].

all() ->
    [
        json_decode,
        json_encode,
        rpc_decode,
        rpc_reply,
        schema_validate,
        cache_calls,
        cache_observed,
        histogram_calls,
        histogram_observed,
        metrics,
        pool_calls,
        pool_observed,
        limiters,
        breakers,
        figures
    ].

init_per_suite(Config) ->
    %% The terminal, where whoever types the command looks; Common Test would take the table away.
    Leader = group_leader(),
    true = group_leader(whereis(user), self()),
    Root = lists:foldl(fun(_, Dir) -> filename:dirname(Dir) end, code:lib_dir(erlmcp_native), "four"),
    Output = filename:join(Root, "bench/results"),
    {_, Results} = erlmcp_bench:run(#{mode => quick, progress => none, root => Root, output => Output}),
    true = group_leader(Leader, self()),
    [{results, Results}, {output, Output} | Config].

end_per_suite(_Config) ->
    ok.

json_decode(Config) -> measured(json_decode, erlmcp_bench_json_workloads:ids(), Config).

json_encode(Config) -> measured(json_encode, erlmcp_bench_json_workloads:ids(), Config).

rpc_decode(Config) ->
    measured(rpc_decode_raw, [tools_call_174b, batch_50], Config),
    measured(rpc_decode_built, [tools_call_174b, batch_50], Config).

rpc_reply(Config) -> measured(rpc_reply, [tools_call_174b, batch_50], Config).

schema_validate(Config) ->
    measured(schema_validate, [schema_search_issues_term, schema_search_issues_text], Config).

cache_calls(Config) ->
    measured(cache_hit, [hit_integer, hit_tools_100], Config),
    measured(cache_put, [put_integer, put_binary_64kb], Config),
    measured(cache_put_full, [put_full_1k, put_full_100k], Config),
    measured(cache_requests, [zipf_1_0_at_1_percent, scan_and_hot_set], Config),
    measured(cache_erlmcp, [cache_hit_1k, cache_mixed_workload, cache_eviction_stress], Config),
    measured(cache_processes, [get_by_64, get_and_put_by_4], Config).

cache_observed(Config) ->
    observed(cache_hit_ratio, [scan_and_hot_set_ratio], native_lru, Config),
    observed(cache_memory, [memory_integers_100k, memory_binaries_100k], native, Config),
    observed(cache_flood, [flood_500k_into_10mb], native, Config),
    observed(cache_copies, [copies_of_64kb], native, Config),
    observed(cache_tags, [invalidate_tag_of_10000], native, Config).

histogram_calls(Config) ->
    measured(histogram_record, [record_by_1, record_by_2], Config),
    measured(histogram_time, [timed_operation], Config),
    measured(histogram_batch, [batch_binary, batch_list], Config),
    measured(histogram_read, [five_quantiles_of_1m, summary_of_1m, quantiles_of_10000, record_10000_and_ask], Config),
    measured(histogram_snapshot, [snapshot_of_1m, merge_of_two, interval_since_1m], Config).

histogram_observed(Config) ->
    observed(histogram_loss, [lost_of_1m], native, Config),
    observed(histogram_size, [snapshot_size_of_1m], native, Config),
    observed(histogram_memory, [memory_of_100], native, Config),
    [0, 0] = [
        Lost
     || #{group := histogram_loss, observed := Observed} <- ?config(results, Config),
        #{role := Role, figures := Figures} <- Observed,
        Role =/= peer,
        {lost, Lost, count} <- Figures
    ].

metrics(Config) ->
    measured(metrics_record, [counter_by_handle, counter_by_labels, histogram_by_handle, gauge_by_handle], Config),
    measured(metrics_exposition, [exposition_1000_series, exposition_10000_series], Config),
    observed(metrics_unscraped, [unscraped_1m], native, Config).

pool_calls(Config) ->
    measured(pool_checkout, [checkout_of_10, checkout_of_100, checkout_of_1000], Config),
    measured(pool_spawn, [spawn_checkout_exit], Config).

pool_observed(Config) ->
    observed(pool_crowd, [crowd_of_2, crowd_of_16, crowd_of_256], native, Config),
    observed(pool_erlmcp, [pool_10_to_1000, pool_strategies], native, Config),
    observed(pool_storm, [short_storm_of_2000], native, Config),
    observed(pool_reclaim, [short_reclaim], native, Config),
    observed(pool_kills, [kills_for_2_seconds], native, Config).

limiters(Config) ->
    measured(limiter_check, [hot_key, hot_key_by_16, refused, keys_100k], Config),
    measured(limiter_together, [client_tool_global], Config),
    observed(limiter_exact, [admitted_of_16k], native, Config).

breakers(Config) -> measured(breaker_call, [empty_fun, refused], Config).

%% Nothing went wrong with ours or the baseline, and there are figures of both.
observed(Group, Ids, Ours, Config) ->
    Results = [Result || #{group := G} = Result <- ?config(results, Config), G =:= Group],
    [] = Ids -- [Id || #{id := Id} <- Results],
    [] = [{Id, Name, Why} || #{id := Id, wrong := Wrong} <- Results, {Name, Role, Why} <- Wrong, Role =/= peer],
    [] = [
        {Id, Name}
     || #{id := Id, observed := Observed} <- Results,
        Name <- [Ours, pure_erlang],
        [] =:= [Figure || #{name := N, figures := [Figure | _]} <- Observed, N =:= Name]
    ],
    ok.

%% Every case of the group gave the right result, with ours and with the baseline that its ratio
%% is to, and these cases are among them.
measured(Group, Ids, Config) ->
    Results = [Result || #{group := G} = Result <- ?config(results, Config), G =:= Group],
    [] = Ids -- [Id || #{id := Id} <- Results],
    [] = [{Id, Name, Why} || #{id := Id, wrong := Wrong} <- Results, {Name, Role, Why} <- Wrong, Role =/= peer],
    [] = [Id || #{id := Id, comparisons := Comparisons} <- Results, not compared(Comparisons)],
    ok.

compared(Comparisons) ->
    [] =/= [Ratio || #{subject := native, to := pure_erlang, ratio := Ratio} <- Comparisons, Ratio > 0].

%% What was written is JSON with the cases that were measured.
figures(Config) ->
    {ok, Text} = file:read_file(filename:join(?config(output, Config), "performance.json")),
    #{<<"schema_version">> := 1, <<"cases">> := Cases} = erlmcp_json_baseline:decode(Text),
    #{<<"observations">> := [#{<<"value">> := Observed} | _]} = erlmcp_json_baseline:decode(Text),
    true = is_number(Observed),
    true = length(Cases) =:= length([timed || #{measures := [_ | _]} <- ?config(results, Config)]),
    [#{<<"measures">> := [#{<<"median_ns">> := Median} | _]} | _] = Cases,
    true = Median > 0.
