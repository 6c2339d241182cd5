%% The registry of metrics: options, labels, recording, the bound, concurrency, crashes. What is
%% collected has a suite of its own.
-module(erlmcp_native_metrics_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2]).
-export([
    properties/1,
    wrong_options/1,
    wrong_arguments/1,
    no_such_metric/1,
    needs_the_application/1,
    names/1,
    names_that_clash/1,
    new_twice/1,
    number_of_families/1,
    counters/1,
    up_down_counters/1,
    gauges/1,
    labels_are_text/1,
    labels_by_name/1,
    labels_keep_no_parent/1,
    bound/1,
    long_values_overflow/1,
    removed_series/1,
    deleted_family/1,
    reset/1,
    parallel_series_are_one/1,
    parallel_bound_is_strict/1,
    parallel_sums_are_exact/1,
    crash_loses_nothing/1,
    calls_wait_for_the_registry/1
]).

-import(erlmcp_native_test_cache, [until/1, parallel/2]).
-import(erlmcp_native_test_metrics, [badarg/2, new/3, new/2, series/1]).

-define(m, erlmcp_native_metrics).

all() ->
    [
        properties,
        wrong_options,
        wrong_arguments,
        no_such_metric,
        needs_the_application,
        names,
        names_that_clash,
        new_twice,
        number_of_families,
        counters,
        up_down_counters,
        gauges,
        labels_are_text,
        labels_by_name,
        labels_keep_no_parent,
        bound,
        long_values_overflow,
        removed_series,
        deleted_family,
        reset,
        parallel_series_are_one,
        parallel_bound_is_strict,
        parallel_sums_are_exact,
        crash_loses_nothing,
        calls_wait_for_the_registry
    ].

suite() -> [{timetrap, {minutes, 2}}].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    Config.

end_per_suite(_) -> ok.

%% Each case has the registry as the application starts with it.
init_per_testcase(_, Config) ->
    ok = erlmcp_native_test_metrics:restart(),
    Config.

properties(_) ->
    %% Collecting is of the registry alone.
    application:set_env(erlmcp_native, standard_metrics, false),
    ok = erlmcp_native_test_metrics:restart(),
    application:unset_env(erlmcp_native, standard_metrics),
    erlmcp_native_test_proper:check(prop_metrics).

%%% Options and arguments

wrong_options(_) ->
    Good = #{name => wrong, type => counter, help => "help"},
    Missing = [maps:remove(Key, Good) || Key <- maps:keys(Good)],
    Wrong = [
        #{name => undefined}, #{name => "a"}, #{name => ''}, #{name => <<>>}, #{name => '1a'},
        #{name => 'a-b'}, #{name => 'a:b'}, #{name => <<"a\n">>}, #{name => <<"ä"/utf8>>},
        #{name => '_total'}, #{name => binary:copy(<<"a">>, 256)}, #{name => 1},
        #{type => timer}, #{type => "counter"}, #{help => a}, #{help => [a]}, #{help => <<255>>},
        #{help => binary:copy(<<"a">>, 4097)},
        #{unit => "seconds"}, #{unit => seconds}, #{unit => '1'},
        #{labels => a}, #{labels => [a | b]}, #{labels => [a, a]}, #{labels => [a, <<"a">>]},
        #{labels => [le]}, #{labels => [quantile]}, #{labels => ['__a']}, #{labels => [<<"__">>]},
        #{labels => [otel_metric_overflow]}, #{labels => ["a"]}, #{labels => ['a-b']},
        #{labels => ['']}, #{labels => [list_to_atom("a" ++ integer_to_list(I)) || I <- lists:seq(1, 33)]},
        #{max_series => 0}, #{max_series => 1.0}, #{max_series => infinity}, #{max_series => 1_000_001},
        #{scale => 0}, #{scale => -1}, #{scale => a}, #{scale => 1 bsl 2000},
        #{bounds => [1]}, #{precision => 7}, #{max => 100}, #{nosuch => 1},
        #{type => histogram, bounds => []}, #{type => histogram, bounds => [1, 1]},
        #{type => histogram, bounds => [2, 1]}, #{type => histogram, bounds => [1 | 2]},
        #{type => histogram, bounds => [a]}, #{type => histogram, bounds => [1 bsl 2000]},
        #{type => histogram, bounds => [1 bsl 60, (1 bsl 60) + 1]}, #{type => histogram, bounds => lists:seq(1, 257)},
        #{type => histogram, precision => 4}, #{type => histogram, precision => 11},
        #{type => histogram, max => 0}, #{type => histogram, max => 1 bsl 64}
    ],
    [
        badarg(1, fun() -> ?m:new(Opts) end)
     || Opts <- [[], a] ++ Missing ++ [maps:merge(Good, Other) || Other <- Wrong]
    ],
    ?assertNot(lists:member(wrong, ?m:names())),
    Right = [
        #{}, #{name => binary:copy(<<"a">>, 255)}, #{name => '_'}, #{name => 'A9_z'}, #{help => []},
        #{help => ["h", <<"ä"/utf8>>]}, #{help => binary:copy(<<"a">>, 4096)}, #{unit => <<>>},
        #{name => x_seconds_total, unit => seconds}, #{name => y_bytes, unit => <<"bytes">>},
        #{labels => []}, #{labels => ['_a', <<"B">>]}, #{max_series => 1}, #{max_series => 1_000_000},
        #{labels => [list_to_atom("a" ++ integer_to_list(I)) || I <- lists:seq(1, 32)]}, #{scale => 0.5}
    ],
    [
        begin
            #{name := Name} = All = maps:merge(Good, Opts),
            ?assertEqual(ok, ?m:new(All)),
            ?assert(?m:delete(Name))
        end
     || Opts <- Right
    ].

wrong_arguments(_) ->
    new(counted, counter, [a]),
    new(level, gauge),
    new(moves, up_down_counter),
    Counter = ?m:with_labels(counted, [1]),
    {counter, Chunk, _} = Counter,
    [
        badarg(1, fun() -> ?m:inc(Metric) end)
     || Metric <- ["counted", 1, {}, {counted}, {1, [a]}, {counter, a, 1}, {gauge, a, 1}, {gauge, make_ref(), 2},
            {counter, make_ref(), 1}, {counter, {write_concurrency, make_ref()}, 1}, {counter, Chunk, 0},
            {counter, Chunk, 9}, {up_down_counter, Chunk, a}, {a, b, c}, counted, {counted, []}, {counted, [1, 2]}, {counted, [1 | 2]},
            {counted, [1.0]}, {counted, ["a"]}, {counted, [<<1:1>>]}, {counted, [1 bsl 64]}, {counted, a},
            {counted, #{b => 1}}, {counted, #{a => 1.0}}, {counted, #{1 => 1}}, {counted, #{a => 1, <<"a">> => 2}}]
    ],
    [badarg(2, fun() -> ?m:inc(Counter, By) end) || By <- [-1, 1.5, a, 1 bsl 64]],
    [badarg(2, fun() -> ?m:inc({counted, [1]}, By) end) || By <- [-1, 1.5, a, 1 bsl 64]],
    [badarg(2, fun() -> ?m:inc(level, By) end) || By <- [a, 1 bsl 2000]],
    [badarg(2, fun() -> ?m:inc(moves, By) end) || By <- [a, 1.5, 1 bsl 64]],
    [badarg(2, fun() -> ?m:dec(moves, By) end) || By <- [a, 1.5, 1 bsl 64]],
    [badarg(2, fun() -> ?m:dec(level, By) end) || By <- [a, 1 bsl 2000]],
    [badarg(2, fun() -> ?m:set(level, Value) end) || Value <- [a, 1 bsl 2000, "1"]],
    [badarg(2, fun() -> ?m:set(?m:with_labels(level, []), V) end) || V <- [a, 1 bsl 2000]],
    [badarg(1, fun() -> ?m:dec(Metric) end) || Metric <- [Counter, {counted, [1]}, a]],
    [badarg(1, fun() -> ?m:set(Metric, 1) end) || Metric <- [Counter, {counted, [1]}, moves]],
    [badarg(1, fun() -> ?m:observe(Metric, 1) end) || Metric <- [Counter, level, moves]],
    [badarg(1, fun() -> ?m:histogram(Metric) end) || Metric <- [Counter, level, moves]],
    badarg(1, fun() -> ?m:time(level, fun() -> ok end) end),
    badarg(2, fun() -> ?m:time(level, fun(_) -> ok end) end),
    badarg(2, fun() -> ?m:with_labels(counted, [1, 2]) end),
    badarg(2, fun() -> ?m:with_labels(counted, #{b => 1}) end),
    badarg(2, fun() -> ?m:remove_series(counted, [1, 2]) end),
    badarg(1, fun() -> ?m:add_collector("a", fun() -> [] end) end),
    badarg(2, fun() -> ?m:add_collector(a, fun(_) -> [] end) end),
    badarg(1, fun() -> ?m:remove_collector("a") end),
    ?assertEqual(0, ?m:value(Counter)),
    ?assertEqual(0, ?m:value(moves)),
    ?assertEqual(+0.0, ?m:value(level)).

no_such_metric(_) ->
    Names = [nosuch, <<"nosuch">>, "nosuch", 1, erlmcp_requests_bucket, <<"erlmcp_requests_created">>,
        erlmcp_request_duration_seconds_bucket, undefined],
    [
        begin
            badarg(1, fun() -> ?m:inc({Name, []}) end),
            badarg(1, fun() -> ?m:set({Name, []}, 1) end),
            badarg(1, fun() -> ?m:observe({Name, #{}}, 1) end),
            badarg(1, fun() -> ?m:with_labels(Name, []) end),
            badarg(1, fun() -> ?m:remove_series(Name, []) end),
            badarg(1, fun() -> ?m:reset(Name) end),
            badarg(1, fun() -> ?m:info(Name) end),
            badarg(1, fun() -> ?m:value({Name, []}) end),
            ?assertNot(?m:delete(Name))
        end
     || Name <- Names
    ].

needs_the_application(_) ->
    new(before, counter),
    Handle = ?m:with_labels(before, []),
    ok = application:stop(erlmcp_native),
    ?assertEqual({error, not_started}, ?m:new(#{name => a, type => counter, help => ""})),
    [
        badarg(general, Fun)
     || Fun <- [
            fun() -> ?m:inc(before) end,
            fun() -> ?m:with_labels(before, []) end,
            fun() -> ?m:delete(before) end,
            fun() -> ?m:names() end,
            fun() -> ?m:collect() end,
            fun() -> ?m:add_collector(a, fun() -> [] end) end,
            fun() -> ?m:remove_collector(a) end
        ]
    ],
    %% A handle that is still about harms nobody.
    ?assertEqual(ok, ?m:inc(Handle)),
    {ok, _} = application:ensure_all_started(erlmcp_native),
    badarg(1, fun() -> ?m:inc(before) end).

%%% Families

names(_) ->
    ok = ?m:new(#{name => some_total, type => counter, help => "Some.", labels => [a]}),
    Spellings = [some_total, <<"some_total">>, some, <<"some">>],
    [?m:inc({Name, [x]}) || Name <- Spellings],
    [?assertEqual(4, ?m:value({Name, [<<"x">>]})) || Name <- Spellings],
    [?assertMatch(#{name := <<"some">>, type := counter, help := <<"Some.">>, labels := [<<"a">>],
        max_series := 1000, series := 1, scale := 1, unit := <<>>, bounds := []}, ?m:info(Name)) || Name <- Spellings],
    ?assert(lists:member(some_total, ?m:names())),
    ?assert(?m:delete(<<"some">>)),
    ?assertNot(?m:delete(some_total)),
    %% A gauge's name is what it is.
    new(<<"level_total">>, gauge),
    badarg(1, fun() -> ?m:set(level, 1) end),
    ?assertEqual(ok, ?m:set(level_total, 1)).

%% What is exposed under one name is one family's.
names_that_clash(_) ->
    Taken = fun(Name, Type) ->
        ?assertEqual({error, exists}, ?m:new(#{name => Name, type => Type, help => ""}))
    end,
    new(a, counter),
    [Taken(Name, Type) || {Name, Type} <- [{a, gauge}, {a_total, gauge}, {<<"a_total">>, histogram}, {a_created, gauge}, {<<"a">>, up_down_counter}]],
    new(h, histogram),
    [Taken(Name, Type) || {Name, Type} <- [{h, counter}, {h_bucket, gauge}, {h_sum, counter}, {h_count, gauge}, {h_created, gauge}]],
    new(g_sum, gauge),
    Taken(g, histogram),
    ?assert(?m:delete(g_sum)),
    new(g, histogram),
    new(b_count, counter),
    new(b, gauge).

new_twice(_) ->
    Opts = #{name => twice, type => counter, help => "a", labels => [x, y], max_series => 7},
    ?assertEqual(ok, ?m:new(Opts)),
    ?m:inc({twice, [1, 2]}),
    [?assertEqual(ok, ?m:new(Same)) || Same <- [Opts, Opts#{name => <<"twice_total">>}, Opts#{help => <<"a">>}, Opts#{labels => [<<"x">>, y]}]],
    ?assertEqual(1, ?m:value({twice, [1, 2]})),
    [
        ?assertEqual({error, exists}, ?m:new(maps:merge(Opts, Other)))
     || Other <- [#{type => gauge}, #{help => "b"}, #{labels => [y, x]}, #{labels => []}, #{max_series => 8}, #{scale => 2}]
    ].

number_of_families(_) ->
    Make = fun(I) -> ?m:new(#{name => integer_to_binary(I, 16, <<"n">>), type => gauge, help => "", labels => [a]}) end,
    Before = length(?m:names()),
    [?assertEqual(ok, Make(I)) || I <- lists:seq(1, 10_000 - Before)],
    ?assertEqual({error, system_limit}, Make(0)),
    ?assertEqual(ok, Make(1)),
    ?assert(?m:delete(<<"n1">>)),
    ?assertEqual(ok, Make(0)),
    ?assertEqual({error, system_limit}, Make(1)).

integer_to_binary(I, Base, Prefix) ->
    <<Prefix/binary, (integer_to_binary(I, Base))/binary>>.

%%% Recording

counters(_) ->
    new(counted, counter, [a]),
    [?m:inc({counted, [I]}, I) || I <- lists:seq(1, 20), _ <- [1, 2]],
    [?assertEqual(2 * I, ?m:value({counted, [I]})) || I <- lists:seq(1, 20)],
    Handle = ?m:with_labels(counted, [3]),
    ?assertEqual(ok, ?m:inc(Handle)),
    ?assertEqual(ok, ?m:inc(Handle, 0)),
    ?assertEqual(7, ?m:value(Handle)),
    ?assertEqual(ok, ?m:inc(Handle, 1 bsl 62)),
    ?assertEqual((1 bsl 62) + 7, ?m:value({counted, [<<"3">>]})),
    %% Nothing is made by looking.
    ?assertEqual(0, ?m:value({counted, [none]})),
    ?assertMatch(#{series := 20}, ?m:info(counted)).

up_down_counters(_) ->
    new(moves, up_down_counter),
    ok = ?m:inc(moves, 5),
    ok = ?m:dec(moves),
    ok = ?m:dec(moves, 7),
    ok = ?m:inc(moves, -1),
    ok = ?m:dec(moves, -2),
    ?assertEqual(-2, ?m:value(moves)).

gauges(_) ->
    new(level, gauge),
    ?assertEqual(+0.0, ?m:value(level)),
    [
        begin
            ?assertEqual(ok, ?m:set(level, Value)),
            ?assertEqual(float(Value), ?m:value(level))
        end
     || Value <- [1, -1, 0.1, -2.5e-300, 1.7976931348623157e308, 1 bsl 64, -0.0, 0]
    ],
    Handle = ?m:with_labels(level, []),
    ok = ?m:set(Handle, 10),
    ok = ?m:inc(Handle),
    ok = ?m:inc(level, 0.5),
    ok = ?m:dec(Handle, 2),
    ok = ?m:dec(level),
    ?assertEqual(8.5, ?m:value(Handle)),
    ok = ?m:set(level, 1.7e308),
    badarg(2, fun() -> ?m:inc(level, 1.7e308) end),
    ?assertEqual(1.7e308, ?m:value(level)).

%%% Labels

labels_are_text(_) ->
    new(counted, counter, [a, b]),
    Same = [[200, ok], [<<"200">>, <<"ok">>], ['200', ok], #{a => 200, b => ok}, #{<<"b">> => ok, a => <<"200">>}],
    [?m:inc({counted, Labels}) || Labels <- Same],
    [?m:inc(?m:with_labels(counted, Labels)) || Labels <- Same],
    ?assertEqual([{[{<<"a">>, <<"200">>}, {<<"b">>, <<"ok">>}], 10}], series(counted)),
    %% What is no UTF-8 shows as Latin-1, and is one with it.
    new(bytes, counter, [a]),
    [?m:inc({bytes, [Value]}) || Value <- [<<233>>, <<"é"/utf8>>, 'é', <<233>>]],
    ?assertEqual([{[{<<"a">>, <<"é"/utf8>>}], 4}], series(bytes)),
    [?m:inc({bytes, [Value]}) || Value <- [-(1 bsl 63), (1 bsl 64) - 1, <<>>, '', <<0>>, <<"\"\\\n">>]],
    ?assertEqual(6, length(series(bytes))).

labels_by_name(_) ->
    new(counted, counter, [a, b]),
    ?m:inc({counted, #{b => x}}),
    ?m:inc({counted, [<<>>, x]}),
    ?m:inc({counted, #{}}),
    ?assertEqual(
        [{[{<<"a">>, <<>>}, {<<"b">>, <<>>}], 1}, {[{<<"a">>, <<>>}, {<<"b">>, <<"x">>}], 2}],
        series(counted)
    ).

labels_keep_no_parent(_) ->
    new(counted, counter, [a]),
    Large = binary:copy(<<"0123456789">>, 100_000),
    ?m:inc({counted, [binary:part(Large, 5, 100)]}),
    [{[{_, Value}], 1}] = series(counted),
    ?assertEqual(100, byte_size(Value)),
    ?assertEqual(100, binary:referenced_byte_size(Value)).

%%% The bound

bound(_) ->
    ok = ?m:new(#{name => few, type => counter, help => "", labels => [a], max_series => 3}),
    Lost = fun() -> ?m:value({erlmcp_metrics_overflow, [few]}) end,
    [?m:inc({few, [I]}) || I <- lists:seq(1, 3), _ <- [1, 2]],
    ?assertEqual(3, length(series(few))),
    ?assertEqual(0, Lost()),
    %% One more, by name and by handle.
    ?m:inc({few, [4]}, 10),
    ?m:inc({few, #{a => 5}}, 100),
    Handle = ?m:with_labels(few, [6]),
    ?m:inc(Handle, 1000),
    ?m:inc(Handle, 1000),
    ?assertEqual(3, Lost()),
    ?assertEqual(
        [{[{<<"a">>, integer_to_binary(I)}], 2} || I <- lists:seq(1, 3)] ++
            [{[{<<"otel_metric_overflow">>, <<"true">>}], 2110}],
        series(few)
    ),
    ?assertMatch(#{series := 3}, ?m:info(few)),
    %% Those that are there have not suffered.
    ?m:inc({few, [3]}),
    ?assertEqual(3, ?m:value({few, [3]})),
    ?assertEqual(0, ?m:value({few, [4]})),
    %% Room again.
    ?assert(?m:remove_series(few, [1])),
    ?m:inc({few, [4]}),
    ?assertEqual(1, ?m:value({few, [4]})),
    ?m:inc({few, [1]}),
    ?assertEqual(4, Lost()),
    ?assert(?m:remove_series(few, overflow)),
    ?assertNot(?m:remove_series(few, overflow)),
    ?assertEqual(3, length(series(few))),
    ?assertMatch(#{series := 3}, ?m:info(few)),
    %% Also where nobody wants it counted.
    ?assert(?m:delete(erlmcp_metrics_overflow)),
    ?assertEqual(ok, ?m:inc({few, [7]})),
    ?assertEqual({[{<<"otel_metric_overflow">>, <<"true">>}], 1}, lists:last(series(few))).

long_values_overflow(_) ->
    new(counted, counter, [a]),
    ?m:inc({counted, [binary:copy(<<"a">>, 1024)]}),
    ?assertMatch(#{series := 1}, ?m:info(counted)),
    ?m:inc({counted, [binary:copy(<<"a">>, 1025)]}),
    %% 600 characters of Latin-1 are 1,200 bytes.
    ?m:inc({counted, [binary:copy(<<233>>, 600)]}),
    ?assertMatch(#{series := 1}, ?m:info(counted)),
    ?assertEqual({[{<<"otel_metric_overflow">>, <<"true">>}], 2}, lists:last(series(counted))).

removed_series(_) ->
    [new(Name, Type, [a]) || {Name, Type} <- [{counted, counter}, {level, gauge}]],
    [
        begin
            Handle = ?m:with_labels(Name, [1]),
            ?m:inc(Handle),
            ?assertNot(?m:remove_series(Name, [2])),
            ?assert(?m:remove_series(Name, #{a => 1})),
            ?assertNot(?m:remove_series(Name, [1])),
            ?assertMatch(#{series := 0}, ?m:info(Name)),
            %% The handle counts for nobody, and not for who comes next.
            ?assertEqual(ok, ?m:inc(Handle)),
            ?m:inc({Name, [1]}, 5),
            [?m:inc({Name, [I]}) || I <- lists:seq(2, 20)],
            ?assertEqual(ok, ?m:inc(Handle)),
            ?assert(5 == ?m:value({Name, [1]})),
            [?assert(1 == ?m:value({Name, [I]})) || I <- lists:seq(2, 20)]
        end
     || Name <- [counted, level]
    ].

deleted_family(_) ->
    new(counted, counter, [a]),
    Handle = ?m:with_labels(counted, [1]),
    ?m:inc(Handle),
    ?assert(?m:delete(counted)),
    ?assertEqual(ok, ?m:inc(Handle)),
    badarg(1, fun() -> ?m:inc({counted, [1]}) end),
    new(counted, gauge, [a]),
    ?assertEqual(0, ?m:value({counted, [1]})),
    ?assertMatch(#{series := 0, type := gauge}, ?m:info(counted)).

reset(_) ->
    new(counted, counter, [a]),
    new(level, gauge),
    [?m:inc({counted, [I]}, I) || I <- lists:seq(1, 10)],
    ?m:set(level, 4.5),
    Handle = ?m:with_labels(counted, [10]),
    ?assertEqual(ok, ?m:reset(counted)),
    ?assertEqual(ok, ?m:reset(level)),
    ?assertEqual([0], lists:usort([Value || {_, Value} <- series(counted)])),
    ?assertEqual(+0.0, ?m:value(level)),
    ?m:inc(Handle),
    ?assertEqual(1, ?m:value({counted, [10]})),
    ?assertMatch(#{series := 10}, ?m:info(counted)).

%%% Many processes

parallel_series_are_one(_) ->
    new(counted, counter, [a]),
    Count = 200,
    Handles = parallel(8, fun(_) -> [?m:with_labels(counted, [I]) || I <- lists:seq(1, Count)] end),
    ?assertMatch([_], lists:usort(Handles)),
    ?assertEqual(Count, length(lists:usort(hd(Handles)))),
    ?assertMatch(#{series := Count}, ?m:info(counted)).

parallel_bound_is_strict(_) ->
    Max = 100,
    ok = ?m:new(#{name => few, type => counter, help => "", labels => [a], max_series => Max}),
    %% Half of the sets are those of all processes, the other half are its own.
    parallel(8, fun(P) ->
        [
            begin
                ?m:inc({few, [I]}),
                ?m:inc({few, [<<(integer_to_binary(P))/binary, "-", (integer_to_binary(I))/binary>>]})
            end
         || I <- lists:seq(1, 100)
        ]
    end),
    Series = series(few),
    ?assertEqual(Max + 1, length(Series)),
    ?assertMatch(#{series := Max}, ?m:info(few)),
    ?assertEqual(8 * 200, lists:sum([Value || {_, Value} <- Series])),
    {_, Overflow} = lists:last(Series),
    ?assertEqual(Overflow, ?m:value({erlmcp_metrics_overflow, [few]})).

parallel_sums_are_exact(_) ->
    new(counted, counter, [a]),
    new(moves, up_down_counter),
    new(level, gauge),
    Count = 5_000,
    parallel(8, fun(_) ->
        Handle = ?m:with_labels(counted, [shared]),
        [
            begin
                ?m:inc(Handle),
                ?m:inc({counted, [I rem 7]}, 2),
                ?m:inc(moves, 3),
                ?m:dec(moves, 2),
                ?m:inc(level, 0.5)
            end
         || I <- lists:seq(1, Count)
        ]
    end),
    ?assertEqual(8 * Count, ?m:value({counted, [shared]})),
    ?assertEqual(8 * Count * 3, lists:sum([Value || {_, Value} <- series(counted)])),
    ?assertEqual(8 * Count, ?m:value(moves)),
    ?assertEqual(8 * Count / 2, ?m:value(level)).

%%% Crashes

crash_loses_nothing(_) ->
    ok = ?m:new(#{name => few, type => counter, help => "", labels => [a], max_series => 3}),
    new(level, gauge),
    new(took, histogram),
    new(events, rate),
    [?m:inc({few, [I]}) || I <- [1, 2]],
    ?m:set(level, 3),
    ?m:observe(took, 5, #{id => 1}),
    ?m:mark(events),
    Handle = ?m:with_labels(few, [1]),
    ?m:delete(erlmcp_errors_total),
    Names = lists:sort(?m:names()),
    kill_registry(),
    ?m:inc(Handle),
    ?m:inc({few, [2]}),
    ?assertEqual([2, 2], [Value || {_, Value} <- series(few)]),
    ?assertEqual(3.0, ?m:value(level)),
    ?assertMatch(#{count := 1}, erlmcp_native_histogram:summary(?m:histogram(took))),
    ?assertMatch(#{total := 1}, erlmcp_native_rate:read(?m:rate(events))),
    ?assertMatch([{[], _, _, [_]}], element(7, lists:keyfind(<<"took">>, 1, ?m:collect()))),
    ?assertEqual(Names, lists:sort(?m:names())),
    %% The bound is where it was, and new counters are nobody else's.
    [?m:inc({few, [I]}) || I <- [3, 4, 5]],
    ?assertEqual([2, 2, 1, 2], [Value || {_, Value} <- series(few)]).

%% Where nobody answers for a moment, who asks waits.
calls_wait_for_the_registry(_) ->
    new(counted, counter, [a]),
    Killer = spawn_link(fun() ->
        [
            begin
                kill_registry(),
                timer:sleep(20)
            end
         || _ <- lists:seq(1, 3)
        ],
        receive stop -> ok end
    end),
    [?assertEqual(ok, ?m:inc({counted, [I]})) || I <- lists:seq(1, 500)],
    unlink(Killer),
    exit(Killer, kill),
    ?assertEqual(500, length(series(counted))).

kill_registry() ->
    Pid = whereis(erlmcp_native_metrics_registry),
    Monitor = monitor(process, Pid),
    exit(Pid, kill),
    receive {'DOWN', Monitor, _, _, _} -> ok end,
    until(fun() -> not lists:member(whereis(erlmcp_native_metrics_registry), [undefined, Pid]) end).
