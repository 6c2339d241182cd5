%% The harness itself: what it reports of subjects whose behaviour is known.
-module(erlmcp_bench_SUITE).
-behaviour(ct_suite).

-export([all/0]).
-export([
    wrong_results_are_not_timed/1,
    the_slower_is_slower/1,
    allocation_is_counted/1,
    opened_subjects_are_verified_and_closed/1,
    times_are_by_operation/1,
    several_processes_call_at_once/1,
    a_failing_process_is_noticed/1,
    observations/1,
    targets/1,
    cases_by_mode/1,
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
        opened_subjects_are_verified_and_closed,
        times_are_by_operation,
        several_processes_call_at_once,
        a_failing_process_is_noticed,
        observations,
        targets,
        cases_by_mode,
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

%% One whose state goes wrong while it is measured is not counted; what cannot be opened neither.
%% All that were opened are closed.
opened_subjects_are_verified_and_closed(_Config) ->
    Self = self(),
    Open = fun(Name, Limit) ->
        fun() ->
            Calls = counters:new(1, []),
            #{
                calls => [fun() -> counters:add(Calls, 1, 1) end],
                verify => fun() ->
                    case counters:get(Calls, 1) > Limit of
                        true -> {wrong, <<"over the bound">>};
                        false -> ok
                    end
                end,
                close => fun() -> Self ! {closed, Name} end
            }
        end
    end,
    #{measures := Measures, comparisons := [], wrong := Wrong} = measured(ok, [
        #{name => bounded, role => baseline, open => Open(bounded, 1 bsl 60)},
        #{name => growing, role => measured, open => Open(growing, 100)},
        #{name => nothing, role => peer, open => fun() -> error(no) end}
    ]),
    [bounded] = [Name || #{name := Name} <- Measures],
    [{growing, measured, <<"over the bound">>}, {nothing, peer, <<"{error,no}">>}] = lists:sort(Wrong),
    [bounded, growing] = [
        receive
            {closed, Name} -> Name
        after 0 -> not_closed
        end
     || Name <- [bounded, growing]
    ].

times_are_by_operation(_Config) ->
    Call = fun() -> lists:foldl(fun erlang:'+'/2, 0, lists:seq(1, 2000)) * 0 end,
    Case = fun(Operations) ->
        #{
            group => known,
            id => one,
            set => mcp,
            bytes => 0,
            expected => 0,
            operations => Operations,
            subjects => [subject(sum, measured, Call)]
        }
    end,
    [One, Thousand] = erlmcp_bench_measure:run(
        [Case(1), Case(1000)], erlmcp_bench_measure:settings(quick), fun(_, _, _, _) -> ok end
    ),
    #{operations := 1, measures := [#{median := Whole, heap_bytes := All, reductions := Reds}]} = One,
    #{operations := 1000, measures := [#{median := Part, heap_bytes := Each, reductions := Red}]} = Thousand,
    {true, _} = {Whole > 100 * Part andalso Whole < 10000 * Part, {Whole, Part}},
    {true, _} = {All > 500 * Each andalso All < 2000 * Each, {All, Each}},
    {true, _} = {Reds > 500 * Red andalso Reds < 2000 * Red, {Reds, Red}}.

several_processes_call_at_once(_Config) ->
    Most = atomics:new(2, []),
    Call = fun() ->
        Now = atomics:add_get(Most, 1, 1),
        Now > atomics:get(Most, 2) andalso atomics:put(Most, 2, Now),
        true = erlang:yield(),
        atomics:sub(Most, 1, 1)
    end,
    Four = #{name => four, role => measured, open => fun() -> #{calls => lists:duplicate(4, Call)} end},
    #{processes := 4, measures := [#{median := Median, samples := Samples}]} = measured(ok, [Four]),
    true = Median > 0 andalso Samples > 0,
    %% Whether they met at one moment is the schedulers' affair; that nobody is left over is not.
    0 = atomics:get(Most, 1),
    true = atomics:get(Most, 2) > 1.

a_failing_process_is_noticed(_Config) ->
    Self = self(),
    Failing = fun() -> self() =/= Self andalso exit(failed) end,
    {error, {subject_failed, failed}} =
        try
            erlmcp_bench_crowd:time_per_call([fun() -> ok end, Failing], 100)
        catch
            Class:Reason -> {Class, Reason}
        end,
    {error, {subject_failed, failed}} =
        try
            erlmcp_bench_crowd:among([Failing], fun() -> timer:sleep(10) end)
        catch
            Class1:Reason1 -> {Class1, Reason1}
        end.

observations(_Config) ->
    Case = #{
        group => known,
        id => one,
        set => mcp,
        bytes => 0,
        subjects => [
            #{name => seen, role => measured, observe => fun() -> [{held, 12, count}] end},
            #{name => failing, role => peer, observe => fun() -> error(no) end}
        ]
    },
    [Result] = erlmcp_bench_measure:run([Case], erlmcp_bench_measure:settings(quick), fun(_, _, _, _) -> ok end),
    #{
        measures := [],
        comparisons := [],
        observed := [#{name := seen, role := measured, figures := [{held, 12, count}]}],
        wrong := [{failing, peer, <<"{error,no}">>}]
    } = Result.

%% Every kind of figure, met and missed, and not measured where a part of it is not.
targets(_Config) ->
    Result = fun(Id, Median, Ratio, Held) ->
        #{
            group => known,
            id => Id,
            set => mcp,
            bytes => 0,
            measures => [#{name => ours, median => Median}],
            comparisons => [#{subject => ours, to => theirs, ratio => Ratio}],
            observed => [#{name => ours, figures => [{held, Held, bytes}]}]
        }
    end,
    Results = [Result(one, 100.0, 4.0, 10), Result(two, 200.0, 1.0, 20)],
    Met = fun(Ids, Figure) ->
        Target = #{text => <<"it">>, group => known, subject => ours, ids => Ids, figure => Figure},
        [#{met := Met}] = erlmcp_bench_report:targets([Target], Results),
        Met
    end,
    Both = [one, two],
    true = Met(Both, {at_most, 200}),
    false = Met(Both, {at_most, 199}),
    unknown = Met([one, three], {at_most, 200}),
    true = Met(Both, {mean, theirs, 2.0}),
    false = Met(Both, {least, theirs, 2.0}),
    true = Met([two], {against, one, 0.5}),
    false = Met([two], {against, one, 0.6}),
    unknown = Met([two], {against, three, 0.5}),
    true = Met(Both, {observed, held, at_most, 20}),
    false = Met(Both, {observed, held, at_most, 19}),
    true = Met(Both, {observed, held, at_least, 10}),
    false = Met(Both, {observed, held, at_least, 11}),
    unknown = Met(Both, {observed, lost, at_least, 11}),
    true = Met(Both, {any, [{at_most, 1}, {least, theirs, 1.0}]}),
    false = Met(Both, {any, [{at_most, 1}, {least, theirs, 1.1}]}),
    true = Met(Both, {any, [{observed, lost, at_most, 1}, {at_most, 200}]}),
    unknown = Met(Both, {any, [{observed, lost, at_most, 1}, {at_most, 1}]}).

%% A name chooses what the mode leaves out.
cases_by_mode(_Config) ->
    Ids = fun(Options) -> [Id || #{id := Id} <- erlmcp_bench:chosen(Options)] end,
    [] = [put_full_1m, put_full_10m, flood_5m_into_100mb] -- Ids(#{mode => full}),
    false = lists:member(put_full_10m, Ids(#{mode => standard})),
    false = lists:member(put_full_1m, Ids(#{mode => quick})),
    [put_full_10m] = Ids(#{mode => quick, only => [put_full_10m]}),
    All = [{Group, Id} || #{group := Group, id := Id} <- erlmcp_bench:chosen(#{mode => full})],
    [] = All -- lists:usort(All).

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
