%% The harness itself: what it reports of subjects whose behaviour is known.
-module(erlmcp_bench_SUITE).
-behaviour(ct_suite).

-export([all/0]).
-export([
    wrong_results_are_not_timed/1,
    the_slower_is_slower/1,
    allocation_is_counted/1,
    quantiles/1,
    medians_and_ratios/1,
    workloads_are_fixed/1,
    writer_and_term_agree/1,
    busy_machines_are_noticed/1
]).

all() ->
    [
        wrong_results_are_not_timed,
        the_slower_is_slower,
        allocation_is_counted,
        quantiles,
        medians_and_ratios,
        workloads_are_fixed,
        writer_and_term_agree,
        busy_machines_are_noticed
    ].

wrong_results_are_not_timed(_Config) ->
    Result = measured(#{a => [1]}, [
        subject(right, baseline, fun() -> #{a => [1]} end),
        subject(wrong, measured, fun() -> #{a => [2]} end),
        subject(failing, peer, fun() -> error(no) end)
    ]),
    [right] = [Name || #{name := Name} <- maps:get(measures, Result)],
    [
        {wrong, measured, <<"at a: at 0: 2 instead of 1">>},
        {failing, peer, <<"{error,no}">>}
    ] = maps:get(wrong, Result),
    [] = maps:get(comparisons, Result).

the_slower_is_slower(_Config) ->
    Work = fun(Size) -> fun() -> lists:foldl(fun erlang:'+'/2, 0, lists:seq(1, Size)) * 0 end end,
    #{comparisons := [Comparison], measures := Measures} =
        measured(0, [subject(quick, measured, Work(100)), subject(slow, baseline, Work(5000))]),
    #{subject := quick, to := slow, ratio := Ratio, low := Low, high := High} = Comparison,
    true = Ratio > 5 andalso High > 5 andalso Low =< High,
    [#{reductions := Few, samples := Samples, quantiles := Quantiles}, #{reductions := Many}] = Measures,
    true = Many > 10 * Few,
    true = Samples > 100,
    true = proplists:get_value(p50, Quantiles) =< proplists:get_value(max, Quantiles).

%% A list of a thousand cells is 16,000 bytes; a binary of 100,000 is outside the heap. Some
%% hundred calls are enough for collections to come between.
allocation_is_counted(_Config) ->
    #{measures := [#{heap_bytes := List}, #{heap_bytes := Small, binary_bytes := Binary}]} = measured(ok, [
        (subject(list, measured, fun() -> lists:seq(1, 1000) end))#{normal => fun(_) -> ok end},
        (subject(binary, baseline, fun() -> binary:copy(<<0>>, 100000) end))#{normal => fun(_) -> ok end}
    ]),
    true = List >= 16000 andalso List < 16500,
    true = Binary >= 100000 andalso Binary < 101000,
    true = Small < 1000.

%% Never below the true quantile, and at most 3.2 % above it.
quantiles(_Config) ->
    Histogram = erlmcp_bench_histogram:new(),
    undefined = erlmcp_bench_histogram:maximum(Histogram),
    undefined = erlmcp_bench_histogram:quantile(Histogram, 0.5),
    Values = [N * N || N <- lists:seq(1, 1000)],
    lists:foreach(fun(Value) -> erlmcp_bench_histogram:record(Histogram, Value) end, Values),
    1000 = erlmcp_bench_histogram:count(Histogram),
    lists:foreach(
        fun(Quantile) ->
            True = lists:nth(ceil(1000 * Quantile), Values),
            Told = erlmcp_bench_histogram:quantile(Histogram, Quantile),
            {Quantile, true} = {Quantile, Told >= True andalso Told =< True * 1.032}
        end,
        [0.001, 0.01, 0.5, 0.9, 0.99]
    ),
    true = erlmcp_bench_histogram:maximum(Histogram) >= 1000000,
    undefined = erlmcp_bench_histogram:quantile(Histogram, 0.9995).

medians_and_ratios(_Config) ->
    3.0 = erlmcp_bench_statistics:median([9, 1, 3]),
    2.5 = erlmcp_bench_statistics:median([4, 1, 2, 3]),
    4.0 = erlmcp_bench_statistics:median([4]),
    {2.0, 2.0, 2.0} = erlmcp_bench_statistics:ratio([1, 2, 3], [2, 4, 6], 100),
    {Ratio, Low, High} = erlmcp_bench_statistics:ratio([10, 11, 12, 13, 14], [20, 30, 22, 25, 40], 500),
    true = Low < Ratio andalso Ratio < High,
    {Ratio, Low, High} = erlmcp_bench_statistics:ratio([10, 11, 12, 13, 14], [20, 30, 22, 25, 40], 500),
    true = abs(erlmcp_bench_statistics:geometric_mean([1.0, 2.0, 4.0]) - 2.0) < 1.0e-9.

%% A change here makes old figures another benchmark's.
workloads_are_fixed(_Config) ->
    Sizes = [{Id, byte_size(Json)} || #{id := Id, set := mcp, json := Json} <- erlmcp_bench_json_workloads:all()],
    [
        {initialize, 372},
        {tools_list_50, 37608},
        {tools_call_174b, 174},
        {tools_call_2kb, 2111},
        {resource_text_16kb, 16620},
        {resource_base64_100kb, 102527},
        {prompt_get, 2138},
        {progress_notification, 151},
        {batch_50, 7678},
        {escaped_text_64kb, 73353},
        {json_1k, 168},
        {json_10k, 1356},
        {json_100k, 24477}
    ] = Sizes.

writer_and_term_agree(_Config) ->
    Document = {[
        {<<"b">>, [1, -2.5, true, null, {[]}, []]},
        {<<"a">>, <<"\"\\\b\f\n\r\t", 1, "/", "é€😀"/utf8>>},
        {<<>>, [[1, 2], {[{<<"deep">>, []}]}]}
    ]},
    Term = erlmcp_bench_writer:to_term(Document),
    Term = erlmcp_json_baseline:decode(erlmcp_bench_writer:compact(Document)),
    Term = erlmcp_json_baseline:decode(erlmcp_bench_writer:pretty(Document)),
    <<"{\"b\":[1,-2.5,true,null,{},[]],", _/binary>> = erlmcp_bench_writer:compact(Document).

%% Work outside this VM is seen, where the system tells.
busy_machines_are_noticed(_Config) ->
    Port = open_port({spawn, "sh -c 'while :; do :; done'"}, []),
    {os_pid, Pid} = erlang:port_info(Port, os_pid),
    Start = erlmcp_bench_environment:load_start(),
    timer:sleep(1000),
    {[{<<"other_cores">>, Cores}, {<<"idle">>, Idle}]} = erlmcp_bench_environment:load_since(Start),
    _ = os:cmd("kill " ++ integer_to_list(Pid)),
    case filelib:is_regular("/proc/stat") of
        true -> {false, true} = {Idle, Cores > 0.1};
        false -> {null, null} = {Idle, Cores}
    end.

measured(Expected, Subjects) ->
    Case = #{group => known, id => one, set => mcp, bytes => 1, expected => Expected, subjects => Subjects},
    [Result] = erlmcp_bench_measure:run([Case], erlmcp_bench_measure:settings(quick), fun(_, _, _, _) -> ok end),
    Result.

subject(Name, Role, Call) ->
    #{name => Name, role => Role, call => Call}.
