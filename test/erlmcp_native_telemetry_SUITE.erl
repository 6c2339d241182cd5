%% Metrics fed by telemetry: against the real application where it is on the code path, and otherwise
%% against a stand-in with the same functions, compiled here.
-module(erlmcp_native_telemetry_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2]).
-export([
    without_telemetry/1,
    telemetry_does_not_run/1,
    wrong_specs/1,
    counters_gauges_histograms/1,
    labels/1,
    units/1,
    keep_and_drop/1,
    attached_once/1,
    handlers_never_raise/1,
    without_the_application/1
]).

-import(erlmcp_native_test_metrics, [new/2, new/3, series/1, summary/1]).

-define(t, erlmcp_native_telemetry).
-define(m, erlmcp_native_metrics).

all() ->
    [
        without_telemetry,
        telemetry_does_not_run,
        wrong_specs,
        counters_gauges_histograms,
        labels,
        units,
        keep_and_drop,
        attached_once,
        handlers_never_raise,
        without_the_application
    ].

suite() -> [{timetrap, {minutes, 2}}].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    case code:which(telemetry) of
        non_existing ->
            {ok, telemetry, Code} = compile:forms(stand_in(), [return_errors]),
            [{stand_in, Code} | Config];
        _ ->
            {ok, _} = application:ensure_all_started(telemetry),
            Config
    end.

end_per_suite(Config) -> unload(Config).

init_per_testcase(without_telemetry, Config) ->
    unload(Config),
    Config;
init_per_testcase(_, Config) ->
    ok = erlmcp_native_test_metrics:restart(),
    load(Config),
    _ = telemetry:detach(handler),
    Config.

load(Config) ->
    case proplists:get_value(stand_in, Config) of
        undefined ->
            ok;
        Code ->
            {module, telemetry} = code:load_binary(telemetry, "telemetry.erl", Code),
            ok
    end.

unload(Config) ->
    case proplists:get_value(stand_in, Config) of
        undefined ->
            ok;
        _ ->
            _ = code:purge(telemetry),
            _ = code:delete(telemetry),
            ok
    end.

%% Handlers in the process dictionary. One that raises is detached, as telemetry does it.
stand_in() ->
    Lines = [
        "-module(telemetry).",
        "-export([attach_many/4, detach/1, execute/3, list_handlers/1]).",
        "is_running() -> get(telemetry_stopped) =/= true orelse exit({noproc, {gen_server, call, [telemetry]}}).",
        "attach_many(Id, Events, Fun, Config) when is_function(Fun, 4) ->"
        "    true = is_running(),"
        "    case get({telemetry, Id}) of"
        "        undefined -> put({telemetry, Id}, {Events, Fun, Config}), ok;"
        "        _ -> {error, already_exists}"
        "    end.",
        "detach(Id) ->"
        "    true = is_running(),"
        "    case erase({telemetry, Id}) of"
        "        undefined -> {error, not_found};"
        "        _ -> ok"
        "    end.",
        "handlers(Event) ->"
        "    [{Id, Fun, Config} || {{telemetry, Id}, {Events, Fun, Config}} <- get(), lists:member(Event, Events)].",
        "list_handlers(Event) -> [#{id => Id} || {Id, _, _} <- handlers(Event)].",
        "execute(Event, Measurements, Metadata) ->"
        "    [try Fun(Event, Measurements, Metadata, Config) catch _:_ -> detach(Id) end"
        "        || {Id, Fun, Config} <- handlers(Event)],"
        "    ok."
    ],
    [
        begin
            {ok, Tokens, _} = erl_scan:string(Line),
            {ok, Form} = erl_parse:parse_form(Tokens),
            Form
        end
     || Line <- Lines
    ].

badarg(At, Fun) -> erlmcp_native_test_metrics:badarg(?t, At, Fun).

attach(Specs) -> ?assertEqual(ok, ?t:attach(handler, Specs)).

execute(Event, Measurements) -> execute(Event, Measurements, #{}).

execute(Event, Measurements, Metadata) -> ok = telemetry:execute(Event, Measurements, Metadata).

failures() -> ?m:value({erlmcp_metrics_telemetry_failures, [handler]}).

%%% Cases

without_telemetry(Config) ->
    case proplists:get_value(stand_in, Config) of
        undefined ->
            {skip, "telemetry is here"};
        _ ->
            new(counted, counter),
            Spec = #{event => [a], metric => counted},
            ?assertEqual({error, no_telemetry}, ?t:attach(handler, [Spec])),
            ?assertEqual({error, no_telemetry}, ?t:detach(handler)),
            badarg(2, fun() -> ?t:attach(handler, []) end)
    end.

telemetry_does_not_run(Config) ->
    new(counted, counter),
    case proplists:get_value(stand_in, Config) of
        undefined -> ok = application:stop(telemetry);
        _ -> put(telemetry_stopped, true)
    end,
    ?assertEqual({error, no_telemetry}, ?t:attach(handler, [#{event => [a], metric => counted}])),
    ?assertEqual({error, no_telemetry}, ?t:detach(handler)),
    case proplists:get_value(stand_in, Config) of
        undefined -> ok = application:start(telemetry);
        _ -> erase(telemetry_stopped)
    end.

wrong_specs(_) ->
    new(counted, counter, [a]),
    Good = #{event => [a, b], metric => counted},
    Wrong = [
        #{event => []}, #{event => a}, #{event => ["a"]}, #{event => [a | b]}, #{metric => nosuch}, #{metric => 1},
        #{labels => [a]}, #{labels => #{b => x}}, #{labels => #{'a-' => x}}, #{labels => #{a => fun() -> a end}},
        #{measurement => fun(_) -> 1 end}, #{unit => native}, #{unit => {native, hour}}, #{unit => {a, native}},
        #{keep => true}, #{drop => fun() -> true end}, #{nosuch => 1}
    ],
    [
        badarg(2, fun() -> ?t:attach(handler, Specs) end)
     || Specs <- [
            [], a, [a], [Good | a], [#{event => [a]}], [#{metric => counted}]
            | [[Good, maps:merge(Good, Other)] || Other <- Wrong]
        ]
    ],
    ?assertEqual({error, not_found}, ?t:detach(handler)),
    attach([Good#{unit => {1000, native}}, Good#{labels => #{<<"a">> => b}}]),
    ?assertEqual(ok, ?t:detach(handler)).

counters_gauges_histograms(_) ->
    [new(Type, Type) || Type <- [counter, up_down_counter, gauge, histogram, rate]],
    new(bytes, counter),
    attach([
        #{event => [request, stop], metric => counter},
        #{event => [request, stop], metric => bytes, measurement => bytes},
        #{event => [request, stop], metric => histogram, measurement => <<"duration">>},
        #{event => [request, stop], metric => rate},
        #{event => [request, start], metric => up_down_counter},
        #{event => [request, stop], metric => up_down_counter, measurement => fun(_, _) -> -1 end},
        #{event => [level], metric => gauge, measurement => fun(#{value := V}, #{add := Add}) -> V + Add end}
    ]),
    execute([request, start], #{}),
    execute([request, start], #{}),
    [execute([request, stop], #{bytes => Bytes, <<"duration">> => 1000 + Bytes}) || Bytes <- [0, 10, 4.6]],
    execute([level], #{value => 1.25}, #{add => 1}),
    execute([other], #{value => 1.25}),
    ?assertEqual(0, failures()),
    ?assertEqual(3, ?m:value(counter)),
    ?assertEqual(15, ?m:value(bytes)),
    ?assertEqual(-1, ?m:value(up_down_counter)),
    ?assertEqual(2.25, ?m:value(gauge)),
    ?assertMatch(#{count := 3, min := Min} when Min =< 1000, summary(?m:histogram(histogram))),
    ?assertMatch(#{total := 3}, erlmcp_native_rate:read(?m:rate(rate))).

labels(_) ->
    new(counted, counter, [a, b, c]),
    attach([#{event => [e], metric => counted, labels => #{
        a => method, <<"b">> => [conn, status], c => fun(#{n := N}) -> N rem 2 =:= 0 end
    }}]),
    execute([e], #{}, #{method => get, conn => #{status => 200}, n => 2}),
    execute([e], #{}, #{method => "get", conn => #{status => <<"200">>}, n => 4}),
    execute([e], #{}, #{n => 1}),
    execute([e], #{}, #{method => [16#E9], n => 1}),
    ?assertEqual(0, failures()),
    Labels = fun(A, B, C) -> [{<<"a">>, A}, {<<"b">>, B}, {<<"c">>, C}] end,
    ?assertEqual(
        [
            {Labels(<<>>, <<>>, <<"false">>), 1},
            {Labels(<<"get">>, <<"200">>, <<"true">>), 2},
            {Labels(<<"é"/utf8>>, <<>>, <<"false">>), 1}
        ],
        series(counted)
    ).

units(_) ->
    new(nanoseconds, counter),
    new(milliseconds, counter),
    attach([
        #{event => [e], metric => nanoseconds, measurement => duration, unit => {native, nanosecond}},
        #{event => [e], metric => milliseconds, measurement => duration, unit => {native, millisecond}}
    ]),
    execute([e], #{duration => erlang:convert_time_unit(5, second, native)}),
    execute([e], #{duration => float(erlang:convert_time_unit(1, second, native))}),
    ?assertEqual(6_000_000_000, ?m:value(nanoseconds)),
    ?assertEqual(6_000, ?m:value(milliseconds)).

keep_and_drop(_) ->
    [new(Name, counter) || Name <- [kept, left, both]],
    Is = fun(Key) -> fun(Metadata) -> maps:get(Key, Metadata, false) end end,
    attach([
        #{event => [e], metric => kept, keep => Is(k)},
        #{event => [e], metric => left, drop => Is(d)},
        #{event => [e], metric => both, keep => Is(k), drop => Is(d)}
    ]),
    [execute([e], #{}, Metadata) || Metadata <- [#{}, #{k => true}, #{d => true}, #{k => true, d => true}]],
    ?assertEqual([2, 2, 1], [?m:value(Name) || Name <- [kept, left, both]]).

attached_once(_) ->
    new(counted, counter),
    Spec = #{event => [e], metric => counted},
    attach([Spec]),
    ?assertEqual({error, already_exists}, ?t:attach(handler, [Spec])),
    execute([e], #{}),
    ?assertEqual(1, ?m:value(counted)),
    ?assertEqual(ok, ?t:detach(handler)),
    ?assertEqual({error, not_found}, ?t:detach(handler)),
    execute([e], #{}),
    ?assertEqual(1, ?m:value(counted)).

handlers_never_raise(_) ->
    [new(Name, counter, [a]) || Name <- [counted, gone]],
    new(took, histogram),
    Raise = fun(_) -> error(why) end,
    Specs = [
        #{metric => counted, measurement => missing},
        #{metric => counted, measurement => text},
        #{metric => counted, measurement => negative},
        #{metric => counted, measurement => fun(_, _) -> throw(why) end},
        #{metric => counted, measurement => text, unit => {native, second}},
        #{metric => counted, labels => #{a => pid}},
        #{metric => counted, labels => #{a => improper}},
        #{metric => counted, labels => #{a => [pid, nested]}},
        #{metric => counted, labels => #{a => Raise}},
        #{metric => counted, keep => Raise},
        #{metric => counted, drop => fun(_) -> maybe_not end},
        #{metric => took, measurement => negative},
        #{metric => gone}
    ],
    attach([Spec#{event => [e]} || Spec <- Specs] ++ [#{event => [e], metric => counted, labels => #{a => good}}]),
    ?m:delete(gone),
    [
        execute([e], #{text => "1", negative => -1}, #{pid => self(), improper => [$a | $b], good => yes})
     || _ <- [1, 2]
    ],
    ?assertMatch([#{id := handler}], telemetry:list_handlers([e])),
    ?assertEqual(2 * length(Specs), failures()),
    ?assertEqual(2, ?m:value({counted, [yes]})),
    ?assertEqual(2, lists:sum([Value || {_, Value} <- series(counted)])),
    ?assertMatch(#{count := 0}, summary(?m:histogram(took))).

without_the_application(_) ->
    new(counted, counter),
    attach([#{event => [e], metric => counted}]),
    ok = application:stop(erlmcp_native),
    execute([e], #{}),
    ok = application:start(erlmcp_native),
    ?assertMatch([#{id := handler}], telemetry:list_handlers([e])),
    %% The families have to be made again; then it goes on.
    execute([e], #{}),
    new(counted, counter),
    execute([e], #{}),
    ?assertEqual(1, ?m:value(counted)),
    ?assertEqual(1, failures()).
