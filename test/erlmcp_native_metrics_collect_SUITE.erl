%% What the registry holds as it is collected: histograms with exemplars, rates, collectors, and the
%% families that are there by default.
-module(erlmcp_native_metrics_collect_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2]).
-export([
    families_as_agreed/1,
    histograms/1,
    timing/1,
    histogram_options/1,
    exemplars/1,
    wrong_exemplars/1,
    exemplars_go_with_their_series/1,
    removed_histogram/1,
    native_memory_comes_back/1,
    rates/1,
    parallel_histograms/1,
    parallel_collecting/1,
    ten_thousand_series/1,
    nothing_is_kept_between_readings/1,
    collector/1,
    collectors_that_fail/1,
    collectors_that_clash/1,
    collector_ends_with_its_reader/1,
    standard_families/1,
    without_standard_families/1,
    vm/1,
    caches/1
]).

-import(erlmcp_native_test_cache, [until/1, parallel/2]).
-import(erlmcp_native_test_metrics, [badarg/2, new/2, new/3, series/1, family/1, family/2, summary/1]).

-define(m, erlmcp_native_metrics).

all() ->
    [
        families_as_agreed,
        histograms,
        timing,
        histogram_options,
        exemplars,
        wrong_exemplars,
        exemplars_go_with_their_series,
        removed_histogram,
        native_memory_comes_back,
        rates,
        parallel_histograms,
        parallel_collecting,
        ten_thousand_series,
        nothing_is_kept_between_readings,
        collector,
        collectors_that_fail,
        collectors_that_clash,
        collector_ends_with_its_reader,
        standard_families,
        without_standard_families,
        vm,
        caches
    ].

suite() -> [{timetrap, {minutes, 2}}].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    Config.

end_per_suite(_) ->
    application:unset_env(erlmcp_native, collector_timeout).

%% No reading is cut short by a slow machine.
init_per_testcase(_, Config) ->
    application:set_env(erlmcp_native, collector_timeout, 60_000),
    ok = erlmcp_native_test_metrics:restart(),
    Config.

%%% Families

families_as_agreed(_) ->
    Before = erlang:system_time(second),
    ok = ?m:new(#{name => c_total, type => counter, help => "C.", labels => [b, a]}),
    ok = ?m:new(#{name => u, type => up_down_counter, help => "U."}),
    ok = ?m:new(#{name => g_bytes, type => gauge, help => "G.", unit => bytes, scale => 1024}),
    ?m:inc({c, [1, 2]}),
    ?m:dec(u),
    ?m:set(g_bytes, 2.5),
    Families = ?m:collect(),
    ?assertMatch(
        {<<"c">>, counter, <<"C.">>, <<>>, 1, [], [{[{<<"b">>, <<"1">>}, {<<"a">>, <<"2">>}], 1, _, []}]},
        family(c, Families)
    ),
    ?assertMatch({<<"u">>, gauge, <<"U.">>, <<>>, 1, [], [{[], -1, _, []}]}, family(u, Families)),
    {<<"g_bytes">>, gauge, <<"G.">>, <<"bytes">>, 1024, [], [{[], 2.5, Created, []}]} = family(g_bytes, Families),
    ?assert(Created >= Before - 1 andalso Created =< erlang:system_time(second) + 1),
    Names = [element(1, Family) || Family <- Families],
    ?assertEqual(Names, lists:usort(Names)),
    %% A reset is a new beginning.
    timer:sleep(5),
    ok = ?m:reset(g_bytes),
    {_, _, _, _, _, _, [{[], +0.0, After, []}]} = family(g_bytes),
    ?assert(After > Created).

histograms(_) ->
    ok = ?m:new(#{name => took_seconds, type => histogram, help => "", unit => seconds, labels => [a]}),
    [?m:observe({took_seconds, [I rem 2]}, I * 1_000_000) || I <- lists:seq(1, 100)],
    Handle = ?m:with_labels(took_seconds, [0]),
    ok = ?m:observe(Handle, 0),
    {<<"took_seconds">>, histogram, _, <<"seconds">>, 1.0e-9, Bounds, Series} = family(took_seconds),
    ?assertEqual([0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10], Bounds),
    ?assertEqual(2, length(Series)),
    Histogram = ?m:histogram({took_seconds, [<<"0">>]}),
    ?assertEqual(Histogram, ?m:histogram(Handle)),
    ?assert(lists:keymember(Histogram, 2, Series)),
    ?assertMatch(#{count := 51}, summary(Histogram)),
    %% A reset is for who reads here; what is exposed goes on, and so its beginning stays.
    timer:sleep(5),
    ok = ?m:reset(took_seconds),
    ?assertMatch(#{count := 0}, summary(Histogram)),
    ?assertEqual(lists:sort(Series), lists:sort(element(7, family(took_seconds)))),
    [badarg(2, fun() -> ?m:observe(Metric, Value) end) || Value <- [-1, 1.5, a], Metric <- [Handle, {took_seconds, [0]}]],
    badarg(1, fun() -> ?m:value(Handle) end),
    badarg(1, fun() -> ?m:inc(Handle) end),
    badarg(1, fun() -> ?m:inc({took_seconds, [0]}) end),
    badarg(1, fun() -> ?m:dec(Handle) end),
    badarg(1, fun() -> ?m:set(Handle, 1) end),
    badarg(1, fun() -> ?m:mark(Handle) end).

timing(_) ->
    new(took, histogram),
    Handle = ?m:with_labels(took, []),
    Since = ?m:start(),
    ok = ?m:stop(Handle, Since),
    ok = ?m:stop(took, Since),
    ok = ?m:stop({took, []}, Since, #{trace_id => abc}),
    ?assertEqual({answer, 1}, ?m:time(took, fun() -> {answer, 1} end)),
    ?assertExit(why, ?m:time(Handle, fun() -> exit(why) end)),
    #{count := 5, min := Min} = summary(?m:histogram(took)),
    ?assert(Min >= 0),
    badarg(2, fun() -> ?m:stop(Handle, a) end),
    badarg(2, fun() -> ?m:stop(took, a) end),
    badarg(2, fun() -> ?m:stop(took, a, #{}) end),
    badarg(3, fun() -> ?m:stop(took, Since, a) end),
    ?assertMatch({_, _, _, _, _, _, [{[], _, _, [{[{<<"trace_id">>, <<"abc">>}], _, _}]}]}, family(took)).

histogram_options(_) ->
    Opts = #{name => took, type => histogram, help => "", precision => 5, max => 1000, windows => true, half_life => 1000, bounds => [1, 2.5], scale => 0.1},
    ok = ?m:new(Opts),
    ?assertEqual(ok, ?m:new(Opts)),
    ?assertEqual({error, exists}, ?m:new(Opts#{precision => 6})),
    ?assertEqual({error, exists}, ?m:new(maps:remove(max, Opts))),
    Info = ?m:info(took),
    ?assertEqual(maps:without([name, help], Opts), maps:with(maps:keys(Opts) -- [name, help], Info)),
    ?m:observe(took, 2000),
    ?assertMatch(#{count := 1, overflow := 1}, summary(?m:histogram(took))),
    ?assertMatch([_ | _], erlmcp_native_nif:histogram_windows(?m:histogram(took))).

%% The last one of each bucket.
exemplars(_) ->
    ok = ?m:new(#{name => took, type => histogram, help => "", bounds => [10, 20], scale => 0.1}),
    Before = erlang:system_time(millisecond) / 1000,
    Observe = fun(Value, Id) -> ok = ?m:observe(took, Value, #{id => Id}) end,
    [Observe(Value, Value) || Value <- [0, 99, 100, 101, 200, 201, 5000, 7000]],
    ok = ?m:observe(took, 100),
    {_, _, _, _, _, _, [{[], Histogram, _, Exemplars}]} = family(took),
    ?assertEqual(
        [{10.0, <<"100">>}, {20.0, <<"200">>}, {700.0, <<"7000">>}],
        lists:sort([{round(Value * 10) / 10, Id} || {[{<<"id">>, Id}], Value, _} <- Exemplars])
    ),
    After = erlang:system_time(millisecond) / 1000,
    [?assert(Time >= Before andalso Time =< After) || {_, _, Time} <- Exemplars],
    ?assertMatch(#{count := 9}, summary(Histogram)),
    %% 128 characters are the most.
    ok = ?m:observe(took, 1, #{id => binary:copy(<<"é"/utf8>>, 126)}),
    badarg(3, fun() -> ?m:observe(took, 1, #{id => binary:copy(<<"é"/utf8>>, 127)}) end),
    ok = ?m:observe(?m:with_labels(took, []), 1, #{}),
    %% Larger than a float can be.
    ok = ?m:observe(took, 1 bsl 3000, #{id => large}),
    ?assertMatch(<<_, _/binary>>, erlmcp_native_nif:metrics_encode(openmetrics, ?m:collect())).

wrong_exemplars(_) ->
    new(took, histogram),
    Wrong = [[], a, #{1 => a}, #{'a-b' => a}, #{a => 1.0}, #{a => "b"}, #{a => b, <<"a">> => c}, #{"a" => b}],
    [badarg(3, fun() -> ?m:observe(took, 1, Exemplar) end) || Exemplar <- Wrong],
    badarg(2, fun() -> ?m:observe(took, -1, #{a => b}) end),
    badarg(1, fun() -> ?m:observe(erlmcp_active_sessions, 1, #{a => b}) end),
    ?assertMatch(#{count := 0}, summary(?m:histogram(took))).

exemplars_go_with_their_series(_) ->
    new(took, histogram, [a]),
    Handles = [?m:with_labels(took, [I]) || I <- lists:seq(1, 10)],
    Rows = fun() -> ets:info(erlmcp_native_metrics_exemplars, size) end,
    %% To remove them the registry looks at no others.
    ?assertEqual(ordered_set, ets:info(erlmcp_native_metrics_exemplars, type)),
    [ok = ?m:observe(Handle, 1, #{a => b}) || Handle <- Handles],
    ?assertEqual(10, Rows()),
    ?m:remove_series(took, [1]),
    ?assertEqual(9, Rows()),
    ok = ?m:observe(hd(Handles), 1, #{a => b}),
    ?assertEqual(9, Rows()),
    %% One that came late goes with the next reading.
    {histogram, Gone, _} = hd(Handles),
    true = ets:insert(erlmcp_native_metrics_exemplars, {{Gone, 1}, [], 1, 1}),
    _ = ?m:collect(),
    ?assertEqual(9, Rows()),
    ?m:delete(took),
    ?assertEqual(0, Rows()).

removed_histogram(_) ->
    new(took, histogram, [a]),
    Handle = ?m:with_labels(took, [1]),
    Histogram = ?m:histogram(Handle),
    ok = ?m:observe(Handle, 1),
    ?assert(?m:remove_series(took, [1])),
    %% Recording in what was removed is recording for nobody.
    ?assertEqual(ok, ?m:observe(Handle, 1)),
    ?assertEqual(ok, ?m:observe(Handle, 1, #{a => b})),
    ?assertEqual(ok, ?m:stop(Handle, ?m:start())),
    ?assertError(badarg, erlmcp_native_histogram:info(Histogram)),
    ?assertEqual([], series(took)),
    ok = ?m:observe({took, [1]}, 1),
    ?assertMatch(#{count := 1}, summary(?m:histogram({took, [1]}))),
    %% Somebody deletes what is the registry's.
    ok = erlmcp_native_histogram:delete(?m:histogram({took, [1]})),
    ok = ?m:reset(took),
    ?assert(?m:remove_series(took, [1])),
    ?assert(is_pid(whereis(erlmcp_native_metrics_registry))).

native_memory_comes_back(_) ->
    Before = erlmcp_native:memory(),
    Fill = fun() ->
        ok = ?m:new(#{name => took, type => histogram, help => "", labels => [a], max_series => 1000}),
        [?m:observe({took, [I]}, I) || I <- lists:seq(1, 1000)],
        ?assert(erlmcp_native:memory() - Before > 1_000_000)
    end,
    IsBack = fun() -> erlmcp_native:memory() - Before < 200_000 end,
    Fill(),
    ?m:delete(took),
    until(IsBack),
    %% With the application too.
    Fill(),
    ok = erlmcp_native_test_metrics:restart(),
    until(IsBack).

rates(_) ->
    new(events, rate, [a]),
    Handle = ?m:with_labels(events, [x]),
    ok = ?m:mark(Handle),
    ok = ?m:mark({events, [x]}, 9),
    ?assertMatch(#{total := 10}, erlmcp_native_rate:read(?m:rate({events, #{a => x}}))),
    ?assertEqual(?m:rate(Handle), ?m:rate({events, [x]})),
    {<<"events">>, gauge, _, _, 1, [], Series} = family(events),
    ?assertEqual(
        [[{<<"a">>, <<"x">>}, {<<"window">>, Window}] || Window <- [<<"10s">>, <<"1h">>, <<"1m">>, <<"1s">>, <<"24h">>, <<"5m">>]],
        lists:sort([Labels || {Labels, Value, _, _} <- Series, is_number(Value)])
    ),
    [badarg(2, fun() -> ?m:mark(Metric, N) end) || N <- [-1, 1.5, a, 1 bsl 64], Metric <- [Handle, {events, [x]}]],
    [badarg(1, fun() -> ?m:mark(Metric) end) || Metric <- [erlmcp_active_sessions, a, {events, []}]],
    [badarg(1, fun() -> Fun(Handle) end) || Fun <- [fun ?m:inc/1, fun ?m:value/1, fun ?m:histogram/1]],
    badarg(1, fun() -> ?m:rate(erlmcp_active_sessions) end),
    badarg(1, fun() -> ?m:new(#{name => e, type => rate, help => "", labels => [window]}) end),
    ok = ?m:reset(events),
    ?assert(?m:remove_series(events, [x])),
    ?assertEqual(ok, ?m:mark(Handle)),
    ?assertEqual([], series(events)).

parallel_histograms(_) ->
    new(took, histogram, [a]),
    Count = 5_000,
    parallel(8, fun(P) -> [?m:observe({took, [I rem 10]}, I * P) || I <- lists:seq(1, Count)] end),
    Series = series(took),
    ?assertEqual(10, length(Series)),
    ?assertEqual(8 * Count, lists:sum([maps:get(count, summary(H)) || {_, H} <- Series])).

%% While series come and go.
parallel_collecting(_) ->
    new(counted, counter, [a]),
    new(took, histogram, [a]),
    parallel(4, fun
        (1) ->
            [?assert(is_list(?m:collect())) || _ <- lists:seq(1, 50)];
        (P) ->
            [
                begin
                    ?m:inc({counted, [{P, I} =:= {P, I}]}),
                    ok = ?m:observe({took, [I rem 50]}, I, #{id => I}),
                    ?m:remove_series(took, [(I + 7) rem 50])
                end
             || I <- lists:seq(1, 500)
            ]
    end),
    _ = ?m:collect(),
    Live = [Histogram || {_, Histogram} <- series(took)],
    Kept = [Histogram || {{Histogram, _}, _, _, _} <- ets:tab2list(erlmcp_native_metrics_exemplars)],
    ?assertEqual([], lists:usort(Kept) -- Live),
    ?assertEqual([{[{<<"a">>, <<"true">>}], 1500}], series(counted)).

ten_thousand_series(_) ->
    ok = ?m:new(#{name => counted, type => counter, help => "", labels => [a, b], max_series => 10_000}),
    [?m:inc({counted, [I, x]}, I) || I <- lists:seq(1, 10_000)],
    Series = series(counted),
    ?assertEqual(10_000, length(Series)),
    ?assertEqual(10_000 * 10_001 div 2, lists:sum([Value || {_, Value} <- Series])).

%% However often something is recorded or read.
nothing_is_kept_between_readings(_) ->
    new(counted, counter, [a]),
    ok = ?m:new(#{name => took, type => histogram, help => "", bounds => [10, 100]}),
    Tables = [erlmcp_native_metrics_series, erlmcp_native_metrics_exemplars, erlmcp_native_metrics_families],
    Record = fun() ->
        [
            begin
                ?m:inc({counted, [I rem 10]}),
                ?m:observe(took, I, #{id => I rem 10})
            end
         || I <- lists:seq(1, 2000)
        ],
        _ = ?m:collect(),
        {[ets:info(Table, size) || Table <- Tables], erlmcp_native:memory()}
    end,
    {Sizes, Memory} = Record(),
    {_, Same} = lists:unzip([{I, Record()} || I <- lists:seq(1, 10)]),
    [?assertEqual(Sizes, Now) || {Now, _} <- Same],
    %% Less may be what others had left.
    [?assert(Now - Memory < 100_000) || {_, Now} <- Same].

%%% Collectors

one(Name) -> one(Name, 1).

one(Name, Value) -> {Name, gauge, <<"Of a collector.">>, <<>>, 1, [], [{[], Value, 1.0, []}]}.

failures(Collector, Reason) ->
    ?m:value({erlmcp_metrics_collector_failures, [Collector, Reason]}).

collector(_) ->
    ok = ?m:add_collector(mine, fun() -> [one(<<"mine">>)] end),
    ?assertEqual(one(<<"mine">>), family(mine)),
    ok = ?m:add_collector(mine, fun() -> [one(<<"mine">>, 2), one(<<"yours">>)] end),
    ?assertEqual(one(<<"mine">>, 2), family(mine)),
    ?assertEqual(one(<<"yours">>), family(yours)),
    ?assert(?m:remove_collector(mine)),
    ?assertNot(?m:remove_collector(mine)),
    ?assertEqual(false, family(mine)),
    Snapshot = erlmcp_native_histogram:snapshot(erlmcp_native_histogram:new()),
    Full = {<<"full_seconds">>, histogram, <<"é"/utf8>>, <<"seconds">>, 0.1, [1, 2.0], [
        {[{<<"a">>, <<"é"/utf8>>}], Snapshot, 1, [{[{<<"id">>, <<"1">>}], 0.5, 2}]}
    ]},
    ok = ?m:add_collector(full, fun() -> [Full] end),
    ?assertEqual(Full, family(full_seconds)).

collectors_that_fail(_) ->
    ok = logger:set_module_level(erlmcp_native_metrics_collect, error),
    ok = ?m:add_collector(good, fun() -> [one(<<"good">>)] end),
    Raise = [
        fun() -> error(why) end, fun() -> throw(why) end, fun() -> exit(why) end, fun() -> exit(normal) end,
        fun() -> exit(self(), kill) end
    ],
    [
        begin
            ok = ?m:add_collector(bad, Fun),
            ?assertEqual(one(<<"good">>), family(good)),
            ?assertEqual(I, failures(bad, raised))
        end
     || {I, Fun} <- lists:zip(lists:seq(1, length(Raise)), Raise)
    ],
    Family = {<<"a">>, gauge, <<>>, <<>>, 1, [], []},
    Series = fun(One) -> [setelement(7, Family, [One])] end,
    Wrong = [
        a, [a | b], [a], [{}], [{[]}], [Family | a]
    ] ++ [[setelement(2, setelement(7, Family, [{[], <<1, 2, 3>>, 1, []}]), histogram)]]
    ++ [[setelement(At, Family, Value)] || {At, Value} <- [
        {1, a}, {1, <<"a-b">>}, {1, <<>>}, {2, rate}, {3, "help"}, {4, a}, {5, a}, {6, a}, {6, [a]},
        {6, [1 | 2]}, {6, [2, 1]}, {5, 0}, {7, a}, {7, [a]}, {7, [a | b]}
    ]] ++ [Series(One) || One <- [
        {[], a, 1, []}, {[], 1, a, []}, {[], 1, 1, a}, {a, 1, 1, []}, {[a], 1, 1, []}, {[{a, <<"b">>}], 1, 1, []},
        {[{<<"a">>, b}], 1, 1, []}, {[{<<"a">>, <<>>}, {<<"a">>, <<>>}], 1, 1, []}, {[{<<"a-b">>, <<>>}], 1, 1, []}, {[], 1, 1},
        {[], <<>>, 1, []}, {[], 1 bsl 2000, 1, []}, {[], 1, 1, [a]}, {[], 1, 1, [{[], a, 1}]}, {[], 1, 1, [{[], 1, a}]}, {[], 1, 1, [{a, 1, 1}]}
    ]],
    [
        begin
            ok = ?m:add_collector(bad, fun() -> Families end),
            ?assertEqual(one(<<"good">>), family(good)),
            ?assertEqual({I, Families}, {failures(bad, invalid), Families})
        end
     || {I, Families} <- lists:zip(lists:seq(1, length(Wrong)), Wrong)
    ],
    %% One that hangs is left out and ended; what is quick is there.
    Self = self(),
    Hang = fun() ->
        process_flag(trap_exit, true),
        Self ! {hangs, self()},
        receive after infinity -> [] end
    end,
    ok = ?m:add_collector(bad, Hang),
    application:set_env(erlmcp_native, collector_timeout, 2_000),
    ?assertEqual(one(<<"good">>), family(good)),
    Pid = receive {hangs, P} -> P end,
    until(fun() -> not is_process_alive(Pid) end),
    ?assertEqual(1, failures(bad, timeout)),
    ?assertEqual(0, failures(good, timeout)),
    ?m:remove_collector(bad),
    erlmcp_native_test_cache:no_message(),
    ok = logger:unset_module_level(erlmcp_native_metrics_collect).

collectors_that_clash(_) ->
    ok = logger:set_module_level(erlmcp_native_metrics_collect, error),
    new(mine, counter),
    new(took, histogram),
    Clashes = [
        <<"mine">>, <<"mine_total">>, <<"took_bucket">>, <<"took_sum">>, <<"erlmcp_requests_total">>, <<"first">>
    ],
    ok = ?m:add_collector(a_first, fun() -> [one(<<"first">>)] end),
    [
        begin
            ok = ?m:add_collector(other, fun() -> [one(<<"fine">>), one(Name)] end),
            ?assertEqual(false, family(fine)),
            ?assertEqual(I, failures(other, clash))
        end
     || {I, Name} <- lists:zip(lists:seq(1, length(Clashes)), Clashes)
    ],
    %% With itself.
    ok = ?m:add_collector(other, fun() -> [one(<<"fine">>), one(<<"fine">>)] end),
    ?assertEqual(false, family(fine)),
    ?assertEqual(length(Clashes) + 1, failures(other, clash)),
    ?assertEqual(one(<<"first">>), family(first)),
    ok = logger:unset_module_level(erlmcp_native_metrics_collect).

collector_ends_with_its_reader(_) ->
    Self = self(),
    ok = ?m:add_collector(hangs, fun() ->
        Self ! {hangs, self()},
        receive after infinity -> [] end
    end),
    Reader = spawn(fun ?m:collect/0),
    Pid = receive {hangs, P} -> P end,
    exit(Reader, kill),
    until(fun() -> not is_process_alive(Pid) end).

%%% Defaults

standard_families(_) ->
    Types = maps:from_list([{Name, {Type, Unit}} || {Name, Type, _, Unit, _, _, _} <- ?m:collect()]),
    Expected = #{
        <<"erlmcp_requests">> => {counter, <<>>},
        <<"erlmcp_request_duration_seconds">> => {histogram, <<"seconds">>},
        <<"erlmcp_errors">> => {counter, <<>>},
        <<"erlmcp_responses">> => {counter, <<>>},
        <<"erlmcp_connections">> => {counter, <<>>},
        <<"erlmcp_memory_bytes">> => {gauge, <<"bytes">>},
        <<"erlmcp_queue_size">> => {gauge, <<>>},
        <<"erlmcp_queue_wait_seconds">> => {histogram, <<"seconds">>},
        <<"erlmcp_rate_limit_exceeded">> => {counter, <<>>},
        <<"erlmcp_healthy">> => {gauge, <<>>},
        <<"erlmcp_pool_connections">> => {gauge, <<>>},
        <<"erlmcp_pool_checkouts">> => {counter, <<>>},
        <<"erlmcp_pool_wait_seconds">> => {histogram, <<"seconds">>},
        <<"erlmcp_circuit_breaker_state">> => {gauge, <<>>},
        <<"erlmcp_native_memory_bytes">> => {gauge, <<"bytes">>},
        <<"erlmcp_metrics_overflow">> => {counter, <<>>}
    },
    ?assertEqual(Expected, maps:with(maps:keys(Expected), Types)),
    ?assertEqual([{[], 1.0}], series(erlmcp_healthy)),
    ?assertEqual([{[], 0}], series(erlmcp_active_sessions)),
    %% As dashboards ask for them.
    ?m:inc({erlmcp_requests_total, #{method => <<"tools/call">>, status => 200, transport => http}}),
    ?m:inc({erlmcp_errors_total, #{error_type => timeout}}),
    ?m:inc({erlmcp_responses_total, #{status => 500, endpoint => <<"/mcp">>}}),
    ?m:observe({erlmcp_request_duration_seconds, #{component => core}}, 1_000_000),
    ?m:inc({erlmcp_queue_size, [main]}),
    ?m:dec({erlmcp_queue_size, [main]}),
    ?m:observe({erlmcp_queue_wait_seconds, [main]}, 1),
    ?m:inc({erlmcp_connections_total, [http]}),
    ?m:set(erlmcp_healthy, 0),
    [
        ?assert(byte_size(erlmcp_native_nif:metrics_encode(Format, ?m:collect())) > 1000)
     || Format <- [text, openmetrics, protobuf, {otlp, [], 0}]
    ].

without_standard_families(_) ->
    application:set_env(erlmcp_native, standard_metrics, false),
    ok = erlmcp_native_test_metrics:restart(),
    Names = [element(1, Family) || Family <- ?m:collect()],
    application:unset_env(erlmcp_native, standard_metrics),
    ?assertEqual(
        [<<"erlmcp_metrics_collector_failures">>, <<"erlmcp_metrics_overflow">>, <<"erlmcp_metrics_telemetry_failures">>],
        Names
    ).

vm(_) ->
    Families = ?m:collect(),
    ?assertEqual(0, lists:sum([failures(Name, Reason) || Name <- [erlmcp_vm, erlmcp_memory, erlmcp_native_memory, erlmcp_caches, erlmcp_limiters], Reason <- [raised, timeout, invalid, clash]])),
    Value = fun(Name, Labels) ->
        {_, _, _, _, _, _, Series} = family(Name, Families),
        {_, V, _, _} = lists:keyfind(Labels, 1, Series),
        V
    end,
    [
        ?assert(Value(Name, []) > 0)
     || Name <- [
            erlmcp_vm_processes, erlmcp_vm_processes_limit, erlmcp_vm_ports, erlmcp_vm_ports_limit,
            erlmcp_vm_atoms, erlmcp_vm_atoms_limit, erlmcp_vm_ets_tables, erlmcp_vm_ets_tables_limit,
            erlmcp_vm_reductions, erlmcp_vm_context_switches, erlmcp_vm_garbage_collections,
            erlmcp_vm_garbage_collected_bytes, erlmcp_vm_cpu_seconds, erlmcp_vm_uptime_seconds,
            erlmcp_native_memory_bytes
        ]
    ],
    [?assert(Value(erlmcp_memory_bytes, [{<<"type">>, Type}]) > 0) || Type <- [<<"total">>, <<"system">>, <<"processes">>, <<"atom">>]],
    [?assert(Value(erlmcp_vm_run_queue_length, [{<<"type">>, Type}]) >= 0) || Type <- [<<"normal">>, <<"dirty_cpu">>, <<"dirty_io">>]],
    ?assertEqual(erlang:system_info(schedulers_online), Value(erlmcp_vm_schedulers, [{<<"type">>, <<"normal">>}])),
    ?assertEqual(false, family(erlmcp_vm_scheduler_ticks, Families)),
    %% Utilization is told while it is measured.
    _ = erlang:system_flag(scheduler_wall_time, true),
    Measured = series(erlmcp_vm_scheduler_ticks),
    Active = series(erlmcp_vm_scheduler_active_ticks),
    _ = erlang:system_flag(scheduler_wall_time, false),
    Schedulers = erlang:system_info(schedulers) + erlang:system_info(dirty_cpu_schedulers) + erlang:system_info(dirty_io_schedulers),
    ?assertEqual(Schedulers, length(Measured)),
    ?assertEqual([Labels || {Labels, _} <- Measured], [Labels || {Labels, _} <- Active]),
    ?assert(lists:member([{<<"scheduler">>, <<"1">>}, {<<"type">>, <<"normal">>}], [Labels || {Labels, _} <- Active])).

caches(_) ->
    {ok, Cache} = erlmcp_native_cache:new(shown, #{capacity => 2, policy => fifo}),
    [ok = erlmcp_native_cache:put(Cache, I, I) || I <- [1, 2, 3]],
    {ok, 3} = erlmcp_native_cache:get(Cache, 3),
    {error, not_found} = erlmcp_native_cache:get(Cache, 4),
    Families = ?m:collect(),
    Value = fun(Name, More) ->
        {_, _, _, _, Scale, _, Series} = family(Name, Families),
        {_, V, _, _} = lists:keyfind([{<<"cache">>, <<"shown">>} | More], 1, Series),
        V * Scale
    end,
    ?assertEqual(1, Value(erlmcp_cache_hits, [])),
    ?assertEqual(1, Value(erlmcp_cache_misses, [])),
    ?assertEqual(3, Value(erlmcp_cache_inserts, [])),
    ?assertEqual(1, Value(erlmcp_cache_removals, [{<<"cause">>, <<"evicted">>}])),
    [?assertEqual(2, Value(Name, [{<<"bound">>, <<"entries">>}])) || Name <- [erlmcp_cache_entries, erlmcp_cache_used, erlmcp_cache_capacity]],
    ok = erlmcp_native_cache:drop(Cache),
    ?assertNot(lists:any(fun({Labels, _}) -> lists:member({<<"cache">>, <<"shown">>}, Labels) end, series(erlmcp_cache_hits))).
