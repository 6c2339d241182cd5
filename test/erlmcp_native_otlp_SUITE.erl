%% Pushing metrics to a collector that decodes them by OpenTelemetry's own definitions
%% (test/otlp_collector.py, with PyPI's opentelemetry-proto).
-module(erlmcp_native_otlp_SUITE).
-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, groups/0, init_per_suite/1, end_per_suite/1]).
-export([init_per_group/2, end_per_group/2, init_per_testcase/2, end_per_testcase/2]).
-export([
    options/1,
    no_collector/1,
    inets_stops/1,
    not_started/1,
    https/1,
    everything_arrives/1,
    histograms_arrive/1,
    resource_and_headers/1,
    compressed/1,
    pushed_by_itself/1,
    last_push/1,
    last_push_is_bounded/1,
    cut_by_points/1,
    cut_by_bytes/1,
    retried/1,
    retry_after/1,
    retries_end/1,
    refused/1,
    one_refused_request/1,
    partial_success/1,
    slow_collector_piles_up_nothing/1,
    collector_goes/1
]).

%% For httpd.
-export([do/1]).

-import(erlmcp_native_test_metrics, [badarg/3]).

-define(otlp, erlmcp_native_otlp).
-define(metrics, erlmcp_native_metrics).
-define(PATIENCE, 30_000).
%% What decodes; any newer one does, too.
-define(DEFINITIONS, "opentelemetry-proto>=1.27,<2").

all() -> [options, no_collector, inets_stops, not_started, https, {group, collector}].

groups() ->
    [
        {collector, [], [
            everything_arrives,
            histograms_arrive,
            resource_and_headers,
            compressed,
            pushed_by_itself,
            last_push,
            last_push_is_bounded,
            cut_by_points,
            cut_by_bytes,
            retried,
            retry_after,
            retries_end,
            refused,
            one_refused_request,
            partial_success,
            slow_collector_piles_up_nothing,
            collector_goes
        ]}
    ].

suite() -> [{timetrap, {minutes, 5}}].

init_per_suite(Config) ->
    {ok, Started} = application:ensure_all_started(inets),
    {ok, _} = application:ensure_all_started(erlmcp_native),
    [{started, Started} | Config].

end_per_suite(Config) ->
    lists:foreach(fun application:stop/1, lists:reverse(?config(started, Config))).

init_per_group(collector, Config) ->
    case python() of
        {ok, Python} -> [{python, Python} | Config];
        {skip, Why} -> {skip, Why}
    end.

end_per_group(collector, _) -> ok.

%% A Python with the definitions: the system's, or that of an environment below _build, made once.
python() ->
    case os:find_executable("python3") of
        false ->
            {skip, "no python3"};
        System ->
            Environment = filename:join([root(), "_build", "otlp_collector"]),
            Own = filename:join([Environment, "bin", "python3"]),
            Check = " -c 'import opentelemetry.proto.collector.metrics.v1.metrics_service_pb2'",
            Commands = [
                {System, System ++ Check},
                {Own, Own ++ Check},
                {Own,
                    System ++ " -m venv " ++ Environment ++ " && " ++ Own ++
                        " -m pip install --quiet --disable-pip-version-check '" ++ ?DEFINITIONS ++
                        "' && " ++ Own ++ Check}
            ],
            first(Commands, [])
    end.

first([], Said) ->
    {skip, "no opentelemetry-proto of PyPI, nor a way to it: " ++ Said};
first([{Python, Command} | Commands], _) ->
    Said = os:cmd("(" ++ Command ++ ") 2>&1; echo exit $?"),
    case lists:suffix("exit 0\n", Said) of
        true -> {ok, Python};
        false -> first(Commands, Said)
    end.

root() ->
    filename:dirname(filename:dirname(proplists:get_value(source, ?MODULE:module_info(compile)))).

init_per_testcase(_, Config) ->
    ok = erlmcp_native_test_metrics:restart(),
    %% Few families, so that what arrives can be told.
    _ = [?metrics:remove_collector(Name) || {Name, _} <- ets:tab2list(erlmcp_native_metrics_collectors)],
    _ = [?metrics:delete(Name) || Name <- ?metrics:names()],
    case ?config(python, Config) of
        undefined -> Config;
        Python -> [{collector, collector(Python)} | Config]
    end.

end_per_testcase(_, Config) ->
    case ?config(collector, Config) of
        undefined -> ok;
        #{port := Port} -> catch port_close(Port)
    end,
    ok.

collector(Python) ->
    Script = filename:join([root(), "test", "otlp_collector.py"]),
    Port = open_port({spawn_executable, Python}, [{args, [Script]}, {line, 100}, in, out]),
    receive
        {Port, {data, {eol, Line}}} -> #{port => Port, url => "http://127.0.0.1:" ++ Line}
    after ?PATIENCE ->
        ct:fail(no_collector)
    end.

%%% What the tests ask the collector

exports(#{url := Url}) ->
    {ok, {{_, 200, _}, _, Body}} =
        httpc:request(get, {Url ++ "/exports", []}, [], [{body_format, binary}]),
    erlmcp_native_json:decode(Body).

script(#{url := Url}, Answers) ->
    Body = iolist_to_binary(erlmcp_native_json:encode(Answers)),
    {ok, {{_, 200, _}, _, _}} =
        httpc:request(post, {Url ++ "/script", [], "application/json", Body}, [], []),
    ok.

%% The exports once there are so many.
exports(Collector, Count) ->
    until(fun() ->
        case exports(Collector) of
            Exports when length(Exports) >= Count -> {ok, Exports};
            _ -> again
        end
    end).

until(Get) -> until(Get, erlang:monotonic_time(millisecond) + ?PATIENCE).

until(Get, Deadline) ->
    case Get() of
        {ok, Answer} ->
            Answer;
        again ->
            ?assert(erlang:monotonic_time(millisecond) < Deadline),
            timer:sleep(20),
            until(Get, Deadline)
    end.

%% The metrics of exports by name.
metrics(Exports) ->
    [
        {Name, Metric}
     || #{<<"request">> := #{<<"resource_metrics">> := [Resource]}} <- Exports,
        #{<<"scope_metrics">> := [#{<<"metrics">> := Metrics}]} <- [Resource],
        #{<<"name">> := Name} = Metric <- Metrics
    ].

metric(Name, Exports) ->
    {_, Metric} = lists:keyfind(Name, 1, metrics(Exports)),
    Metric.

points(Exports) ->
    lists:sum([length(points_of(Metric)) || {_, Metric} <- metrics(Exports)]).

points_of(#{<<"sum">> := #{<<"data_points">> := Points}}) -> Points;
points_of(#{<<"gauge">> := #{<<"data_points">> := Points}}) -> Points;
points_of(#{<<"exponential_histogram">> := #{<<"data_points">> := Points}}) -> Points.

start(Config, Opts) ->
    #{url := Url} = ?config(collector, Config),
    Defaults = #{endpoint => Url ++ "/v1/metrics", interval => 3_600_000, backoff => 1},
    {ok, Pid} = ?otlp:start(maps:merge(Defaults, Opts)),
    Pid.

counters(Name, Count) ->
    ok = ?metrics:new(#{
        name => Name, type => counter, help => "Of a test.", labels => [n], max_series => 100_000
    }),
    [ok = ?metrics:inc({Name, [N]}, N) || N <- lists:seq(1, Count)],
    ok.

%% Without what is logged.
quietly(Fun) ->
    #{level := Level} = logger:get_primary_config(),
    ok = logger:set_primary_config(level, none),
    try
        Fun()
    after
        logger:set_primary_config(level, Level)
    end.

%%% Without a collector

options(_) ->
    Wrong = [
        a,
        #{nosuch => 1},
        #{endpoint => a},
        #{endpoint => "127.0.0.1:4318"},
        #{endpoint => <<"ftp://a/b">>},
        #{endpoint => "http://a/b\r\nc"},
        #{interval => 0},
        #{timeout => -1},
        #{headers => #{}},
        #{headers => [{"a", "b\r\nc: d"}]},
        #{headers => [{"", "b"}]},
        #{headers => [a]},
        #{compression => br},
        #{resource => []},
        #{resource => #{a => 1}},
        #{resource => #{<<"a">> => a}},
        #{resource => #{<<"a">> => <<255>>}},
        #{resource => #{<<"a">> => 1 bsl 63}},
        #{retries => -1},
        #{backoff => 0},
        #{max_points => 0},
        #{max_body => 0},
        #{ssl => a}
    ],
    [
        badarg(?otlp, 1, fun() -> ?otlp:Function(Opts) end)
     || Opts <- Wrong, Function <- [start, child_spec]
    ],
    #{start := {Module, Function, Args}} = ?otlp:child_spec(#{endpoint => <<"http://127.0.0.1:9/">>}),
    {ok, Pid} = apply(Module, Function, Args),
    ?assertMatch(#{endpoint := <<"http://127.0.0.1:9/">>, pushes := 0}, ?otlp:info(Pid)),
    quietly(fun() -> ok = ?otlp:stop(Pid) end),
    ok = ?otlp:stop(Pid).

no_collector(_) ->
    ok = counters(test_calls, 1),
    Opts = #{endpoint => "http://127.0.0.1:1/v1/metrics", retries => 2, backoff => 1},
    {ok, Pid} = ?otlp:start(Opts),
    quietly(fun() -> ?assertMatch({error, {failed_connect, _}}, ?otlp:flush(Pid)) end),
    ?assertMatch(
        #{
            pushes := 1, failures := 1, requests := 3, retries := 2, points := 0, pushing := false,
            last := {error, {failed_connect, _}}, last_error := {failed_connect, _}
        },
        ?otlp:info(Pid)
    ),
    quietly(fun() -> ok = ?otlp:stop(Pid) end).

%% It is started again, and what a push says holds nothing of its request.
inets_stops(_) ->
    ok = counters(test_calls, 1),
    Secret = "not for the log",
    {ok, Pid} = ?otlp:start(#{
        endpoint => "http://127.0.0.1:1/v1/metrics", retries => 0, headers => [{"authorization", Secret}]
    }),
    quietly(fun() ->
        ok = application:stop(inets),
        ?assertMatch({error, {failed_connect, _}}, ?otlp:flush(Pid)),
        ok = application:stop(inets),
        ok = application:start(inets),
        ?assertMatch({error, {failed_connect, _}}, ?otlp:flush(Pid)),
        %% The last push starts nothing.
        ok = application:stop(inets),
        Said = lists:flatten(io_lib:format("~p", [?otlp:info(Pid)])),
        ?assertEqual(nomatch, string:find(Said, Secret)),
        ok = ?otlp:stop(Pid),
        ok = application:start(inets)
    end).

not_started(_) ->
    ok = application:stop(erlmcp_native),
    ?assertEqual({error, not_started}, ?otlp:start(#{})),
    ok = application:start(erlmcp_native).

%% A certificate that nobody has signed but us is refused unless it is trusted.
https(Config) ->
    ok = counters(test_calls, 1),
    Signed = [{digest, sha256}, {key, {rsa, 2048, 65_537}}],
    Chain = #{root => Signed, intermediates => [], peer => Signed},
    #{server_config := Own, client_config := Trust} =
        public_key:pkix_test_data(#{server_chain => Chain, client_chain => Chain}),
    {ok, _} = application:ensure_all_started(ssl),
    Directory = ?config(priv_dir, Config),
    {ok, Server} = inets:start(httpd, [
        {port, 0}, {bind_address, {127, 0, 0, 1}}, {server_name, "localhost"},
        {server_root, Directory}, {document_root, Directory}, {modules, [?MODULE]},
        {socket_type, {ssl, Own}}
    ]),
    [{port, Port}] = httpd:info(Server, [port]),
    Opts = #{endpoint => "https://127.0.0.1:" ++ integer_to_list(Port) ++ "/", retries => 0},
    quietly(fun() ->
        {ok, Distrusting} = ?otlp:start(Opts),
        ?assertMatch(
            {error, {failed_connect, [_, {inet, _, {tls_alert, {unknown_ca, _}}}]}},
            ?otlp:flush(Distrusting)
        ),
        ok = ?otlp:stop(Distrusting)
    end),
    {cacerts, Roots} = lists:keyfind(cacerts, 1, Trust),
    %% It is made out to the host's name.
    Ssl = [
        {verify, verify_peer}, {cacerts, Roots},
        {server_name_indication, net_adm:localhost()}
    ],
    {ok, Trusting} = ?otlp:start(Opts#{ssl => Ssl}),
    ?assertEqual(ok, ?otlp:flush(Trusting)),
    ?assertMatch(#{requests := 1, points := 1}, ?otlp:info(Trusting)),
    ok = ?otlp:stop(Trusting),
    ok = inets:stop(httpd, Server).

%% Takes anything.
do(_) ->
    {proceed, [{response, {response, [{code, 200}, {content_length, "0"}], []}}]}.

%%% What arrives

everything_arrives(Config) ->
    ok = ?metrics:new(#{
        name => test_calls, type => counter, help => <<"Cälls."/utf8>>, labels => [tool]
    }),
    ok = ?metrics:inc({test_calls, [<<"a\"é"/utf8>>]}, 42),
    ok = ?metrics:new(#{name => test_open, type => up_down_counter, help => "Open."}),
    ok = ?metrics:inc(test_open, 3),
    ok = ?metrics:dec(test_open, 5),
    ok = ?metrics:new(#{name => test_size_bytes, type => gauge, help => "Size.", unit => bytes}),
    ok = ?metrics:set(test_size_bytes, 1.5),
    Before = erlang:system_time(nanosecond),
    Pid = start(Config, #{}),
    ok = ?otlp:flush(Pid),
    After = erlang:system_time(nanosecond),
    [#{<<"path">> := <<"/v1/metrics">>, <<"headers">> := Headers}] =
        Exports = exports(?config(collector, Config)),
    ?assertEqual(<<"application/x-protobuf">>, maps:get(<<"content-type">>, Headers)),
    #{<<"description">> := <<"Cälls."/utf8>>, <<"sum">> := Sum} = metric(<<"test_calls">>, Exports),
    #{
        <<"aggregation_temporality">> := <<"AGGREGATION_TEMPORALITY_CUMULATIVE">>,
        <<"is_monotonic">> := true,
        <<"data_points">> := [Point]
    } = Sum,
    #{
        <<"as_int">> := <<"42">>,
        <<"start_time_unix_nano">> := Start,
        <<"time_unix_nano">> := Time,
        <<"attributes">> := Attributes
    } = Point,
    ?assertEqual(
        [#{<<"key">> => <<"tool">>, <<"value">> => #{<<"string_value">> => <<"a\"é"/utf8>>}}],
        Attributes
    ),
    ?assert(Before =< binary_to_integer(Time) andalso binary_to_integer(Time) =< After),
    ?assert(binary_to_integer(Start) =< binary_to_integer(Time)),
    ?assert(binary_to_integer(Start) > Before - 60_000_000_000),
    ?assertMatch([#{<<"as_int">> := <<"-2">>}], points_of(metric(<<"test_open">>, Exports))),
    #{<<"unit">> := <<"By">>, <<"gauge">> := #{<<"data_points">> := [Gauge]}} =
        metric(<<"test_size_bytes">>, Exports),
    ?assertEqual(1.5, maps:get(<<"as_double">>, Gauge)),
    ?assertMatch(
        #{pushes := 1, failures := 0, requests := 1, retries := 0, points := 3, last := ok, last_error := none},
        ?otlp:info(Pid)
    ),
    ok = ?otlp:stop(Pid).

histograms_arrive(Config) ->
    ok = ?metrics:new(#{
        name => test_wait_seconds, type => histogram, help => "Waits.", unit => seconds
    }),
    Values = [0 | [N * 1_000_000 || N <- lists:seq(1, 900)]],
    [ok = ?metrics:observe(test_wait_seconds, Value) || Value <- Values],
    Trace = <<"0af7651916cd43dd8448eb211c80319c">>,
    Exemplar = #{trace_id => Trace, span_id => <<"b7ad6b7169203331">>, user => <<"x">>},
    ok = ?metrics:observe(test_wait_seconds, 2_000_000, Exemplar),
    Pid = start(Config, #{}),
    ok = ?otlp:flush(Pid),
    #{<<"unit">> := <<"s">>, <<"exponential_histogram">> := Histogram} =
        metric(<<"test_wait_seconds">>, exports(?config(collector, Config))),
    #{
        <<"aggregation_temporality">> := <<"AGGREGATION_TEMPORALITY_CUMULATIVE">>,
        <<"data_points">> := [Point]
    } = Histogram,
    All = [2_000_000 | Values],
    ?assertEqual(integer_to_binary(length(All)), maps:get(<<"count">>, Point)),
    ?assertEqual(<<"1">>, maps:get(<<"zero_count">>, Point)),
    ?assertEqual(lists:sum(All) / 1.0e9, maps:get(<<"sum">>, Point)),
    ?assertEqual(0.9, maps:get(<<"max">>, Point)),
    #{<<"scale">> := Scale, <<"positive">> := Positive, <<"exemplars">> := Exemplars} = Point,
    #{<<"offset">> := Offset, <<"bucket_counts">> := Texts} = Positive,
    Counts = [binary_to_integer(Text) || Text <- Texts],
    ?assertEqual(length(All) - 1, lists:sum(Counts)),
    ?assert(length(Counts) =< 160),
    %% Ten powers of two in 160 buckets: 16 to each.
    ?assertEqual(4, Scale),
    Base = math:pow(2, math:pow(2, -Scale)),
    %% No value is off its bucket by more than the middle of one of ours may be.
    lists:foldl(
        fun({Index, Count}, Sorted) ->
            {Own, Rest} = lists:split(Count, Sorted),
            [
                ?assert(
                    Value / 1.0e9 >= math:pow(Base, Index) * (1 - 1 / 256) andalso
                        Value / 1.0e9 =< math:pow(Base, Index + 1) * (1 + 1 / 256),
                    {Value, Index, Scale}
                )
             || Value <- Own
            ],
            Rest
        end,
        tl(lists:sort(All)),
        lists:zip(lists:seq(Offset, Offset + length(Counts) - 1), Counts)
    ),
    [#{<<"as_double">> := 0.002, <<"filtered_attributes">> := [Attribute]} = Kept] = Exemplars,
    ?assertEqual(Trace, hexadecimal(maps:get(<<"trace_id">>, Kept))),
    ?assertEqual(<<"b7ad6b7169203331">>, hexadecimal(maps:get(<<"span_id">>, Kept))),
    ?assertEqual(<<"user">>, maps:get(<<"key">>, Attribute)),
    ok = ?otlp:stop(Pid).

hexadecimal(Base64) ->
    string:lowercase(binary:encode_hex(base64:decode(Base64))).

resource_and_headers(Config) ->
    ok = counters(test_calls, 1),
    Pid = start(Config, #{
        headers => [{<<"Authorization">>, <<"Bearer abc">>}, {"x-tenant", "one"}],
        resource => #{
            <<"service.name">> => <<"mcp">>,
            <<"replicas">> => 3,
            <<"share">> => 0.5,
            <<"is_canary">> => true
        }
    }),
    ok = ?otlp:flush(Pid),
    [#{<<"headers">> := Headers, <<"request">> := Request}] = exports(?config(collector, Config)),
    ?assertMatch(#{<<"authorization">> := <<"Bearer abc">>, <<"x-tenant">> := <<"one">>}, Headers),
    ?assertMatch(#{<<"user-agent">> := <<"OTel-OTLP-Exporter-Erlang", _/binary>>}, Headers),
    #{<<"resource_metrics">> := [#{<<"resource">> := Resource, <<"scope_metrics">> := [Scope]}]} = Request,
    Attributes = maps:from_list([
        {Key, hd(maps:values(Value))}
     || #{<<"key">> := Key, <<"value">> := Value} <- maps:get(<<"attributes">>, Resource)
    ]),
    Node = atom_to_binary(node()),
    ?assertMatch(
        #{
            <<"service.name">> := <<"mcp">>,
            <<"service.instance.id">> := Node,
            <<"telemetry.sdk.language">> := <<"erlang">>,
            <<"replicas">> := <<"3">>,
            <<"share">> := 0.5,
            <<"is_canary">> := true
        },
        Attributes
    ),
    ?assertMatch(#{<<"scope">> := #{<<"name">> := <<"erlmcp_native">>}}, Scope),
    ok = ?otlp:stop(Pid).

compressed(Config) ->
    ok = counters(test_calls, 500),
    Pid = start(Config, #{compression => gzip}),
    ok = ?otlp:flush(Pid),
    [#{<<"headers">> := Headers, <<"size">> := Size}] = Exports = exports(?config(collector, Config)),
    ?assertEqual(<<"gzip">>, maps:get(<<"content-encoding">>, Headers)),
    ?assertEqual(500, points(Exports)),
    ?assertMatch(#{bytes := Size}, ?otlp:info(Pid)),
    ?assert(Size < 500 * 40 div 2),
    ok = ?otlp:stop(Pid).

%%% When

pushed_by_itself(Config) ->
    ok = counters(test_calls, 1),
    Pid = start(Config, #{interval => 20}),
    Exports = exports(?config(collector, Config), 3),
    ?assertMatch([<<"test_calls">>, <<"test_calls">>, <<"test_calls">> | _], [Name || {Name, _} <- metrics(Exports)]),
    ok = ?otlp:stop(Pid).

last_push(Config) ->
    ok = counters(test_calls, 1),
    Pid = start(Config, #{}),
    ok = ?otlp:stop(Pid),
    ?assertMatch([_], exports(?config(collector, Config))),
    %% Of a supervisor, too.
    Again = start(Config, #{}),
    ok = supervisor:terminate_child(
        erlmcp_native_sup,
        hd([Id || {Id, Child, _, _} <- supervisor:which_children(erlmcp_native_sup), Child =:= Again])
    ),
    ?assertMatch([_, _], exports(?config(collector, Config))),
    %% Not of one that is killed.
    Killed = start(Config, #{}),
    Monitor = monitor(process, Killed),
    true = exit(Killed, kill),
    receive {'DOWN', Monitor, process, Killed, _} -> ok end,
    ?assertMatch([_, _], exports(?config(collector, Config))).

%% It ends although the collector does not answer.
last_push_is_bounded(Config) ->
    ok = counters(test_calls, 1),
    ok = script(?config(collector, Config), [#{delay => 20}]),
    Pid = start(Config, #{timeout => 60_000}),
    {Time, ok} = timer:tc(fun() -> ?otlp:stop(Pid) end),
    ?assert(Time < 15_000_000, Time).

%%% How much

cut_by_points(Config) ->
    ok = counters(test_a, 25),
    ok = counters(test_b, 10),
    Pid = start(Config, #{max_points => 10}),
    ok = ?otlp:flush(Pid),
    Exports = exports(?config(collector, Config)),
    ?assertEqual([10, 10, 10, 5], [points([Export]) || Export <- Exports]),
    Values = [
        binary_to_integer(maps:get(<<"as_int">>, Point))
     || {_, Metric} <- metrics(Exports), Point <- points_of(Metric)
    ],
    ?assertEqual(lists:sort(lists:seq(1, 25) ++ lists:seq(1, 10)), lists:sort(Values)),
    ?assertMatch(#{pushes := 1, requests := 4, points := 35}, ?otlp:info(Pid)),
    ok = ?otlp:stop(Pid).

cut_by_bytes(Config) ->
    ok = ?metrics:new(#{name => test_calls, type => counter, help => "Of a test.", labels => [text]}),
    [ok = ?metrics:inc({test_calls, [binary:copy(<<Letter>>, 400)]}) || Letter <- "abcdefgh"],
    Pid = start(Config, #{max_body => 1400, resource => #{}}),
    ok = ?otlp:flush(Pid),
    Exports = exports(?config(collector, Config)),
    ?assert(length(Exports) >= 4),
    ?assertEqual(8, points(Exports)),
    ?assert(lists:all(fun(#{<<"size">> := Size}) -> Size =< 1400 end, Exports)),
    ?assertMatch(#{too_large := 0, points := 8}, ?otlp:info(Pid)),
    ok = ?otlp:stop(Pid),
    %% The last push is another.
    Seen = length(exports(?config(collector, Config))),
    Tight = start(Config, #{max_body => 300}),
    ok = ?otlp:flush(Tight),
    ?assertMatch(#{too_large := 8, points := 0, requests := 0}, ?otlp:info(Tight)),
    ok = ?otlp:stop(Tight),
    ?assertEqual(Seen, length(exports(?config(collector, Config)))).

%%% What a collector answers

retried(Config) ->
    ok = counters(test_calls, 1),
    Statuses = [429, 502, 503, 504],
    ok = script(?config(collector, Config), [#{status => Status} || Status <- Statuses]),
    Pid = start(Config, #{retries => 4}),
    ok = ?otlp:flush(Pid),
    Exports = exports(?config(collector, Config)),
    ?assertEqual(Statuses ++ [200], [Status || #{<<"answered">> := Status} <- Exports]),
    %% The very same.
    ?assertMatch([_], lists:usort([Request || #{<<"request">> := Request} <- Exports])),
    ?assertMatch(#{requests := 5, retries := 4, points := 1, failures := 0}, ?otlp:info(Pid)),
    ok = ?otlp:stop(Pid).

retry_after(Config) ->
    ok = counters(test_calls, 1),
    Past = list_to_binary(httpd_util:rfc1123_date({{2020, 1, 1}, {0, 0, 0}})),
    Future = calendar:gregorian_seconds_to_datetime(
        calendar:datetime_to_gregorian_seconds(calendar:local_time()) + 3
    ),
    Soon = list_to_binary(httpd_util:rfc1123_date(Future)),
    ok = script(?config(collector, Config), [
        #{status => 429, headers => #{<<"retry-after">> => <<"1">>}},
        #{status => 503, headers => #{<<"retry-after">> => Past}},
        #{status => 503, headers => #{<<"retry-after">> => Soon}},
        %% httpc does this one by itself.
        #{status => 503, headers => #{<<"retry-after">> => <<"1">>}}
    ]),
    %% A backoff of its own would outlast the test.
    Pid = start(Config, #{retries => 3, backoff => 3_600_000}),
    {Time, ok} = timer:tc(fun() -> ?otlp:flush(Pid) end),
    ?assert(Time >= 1_000_000, Time),
    ?assertMatch(#{requests := 4, retries := 3}, ?otlp:info(Pid)),
    ?assertMatch([_, _, _, _, _], exports(?config(collector, Config))),
    ok = ?otlp:stop(Pid).

retries_end(Config) ->
    ok = counters(test_calls, 1),
    ok = script(?config(collector, Config), lists:duplicate(3, #{status => 503})),
    Pid = start(Config, #{retries => 2}),
    quietly(fun() -> ?assertMatch({error, {status, 503, _}}, ?otlp:flush(Pid)) end),
    ?assertMatch(#{requests := 3, retries := 2, points := 0, failures := 1}, ?otlp:info(Pid)),
    %% The next one brings all.
    quietly(fun() -> ok = ?otlp:flush(Pid) end),
    ?assertMatch(
        #{requests := 4, points := 1, failures := 1, last := ok, last_error := {status, 503, _}},
        ?otlp:info(Pid)
    ),
    ok = ?otlp:stop(Pid).

refused(Config) ->
    ok = counters(test_calls, 30),
    ok = script(?config(collector, Config), [#{status => 401}]),
    Pid = start(Config, #{max_points => 10}),
    quietly(fun() -> ?assertMatch({error, {status, 401, _}}, ?otlp:flush(Pid)) end),
    %% The others would be, too.
    ?assertMatch(#{requests := 1, retries := 0, points := 0}, ?otlp:info(Pid)),
    quietly(fun() -> ok = ?otlp:stop(Pid) end).

one_refused_request(Config) ->
    ok = counters(test_calls, 30),
    ok = script(?config(collector, Config), [#{}, #{status => 400}, #{}]),
    Pid = start(Config, #{max_points => 10}),
    quietly(fun() -> ?assertMatch({error, {status, 400, _}}, ?otlp:flush(Pid)) end),
    ?assertMatch(#{requests := 3, retries := 0, points := 20, failures := 1}, ?otlp:info(Pid)),
    quietly(fun() -> ok = ?otlp:stop(Pid) end).

partial_success(Config) ->
    ok = counters(test_calls, 5),
    ok = script(?config(collector, Config), [
        #{rejected => 2, message => <<"too old">>}, #{message => <<"beware">>}, #{rejected => 300}
    ]),
    Pid = start(Config, #{}),
    ok = ?otlp:flush(Pid),
    ?assertMatch(
        #{rejected := 2, failures := 0, last := ok, last_error := {partial_success, <<"too old">>}},
        ?otlp:info(Pid)
    ),
    ok = ?otlp:flush(Pid),
    ?assertMatch(#{rejected := 2, last_error := {partial_success, <<"beware">>}}, ?otlp:info(Pid)),
    ok = ?otlp:flush(Pid),
    ?assertMatch(#{rejected := 302}, ?otlp:info(Pid)),
    ok = ?otlp:stop(Pid).

slow_collector_piles_up_nothing(Config) ->
    ok = counters(test_calls, 1),
    Collector = ?config(collector, Config),
    ok = script(Collector, [#{delay => 4}]),
    Pid = start(Config, #{interval => 10, timeout => 60_000}),
    %% Meanwhile one push is under way, and no other begins.
    until(fun() ->
        case ?otlp:info(Pid) of
            #{skipped := Skipped, pushing := true, pushes := 0} when Skipped >= 20 -> {ok, ok};
            _ -> again
        end
    end),
    ?assertMatch([_], exports(Collector)),
    %% What was asked for meanwhile is one more push, for all who did.
    Self = self(),
    [spawn_link(fun() -> Self ! {flushed, ?otlp:flush(Pid)} end) || _ <- lists:seq(1, 5)],
    [receive {flushed, Result} -> ?assertEqual(ok, Result) end || _ <- lists:seq(1, 5)],
    ok = ?otlp:stop(Pid).

collector_goes(Config) ->
    ok = counters(test_calls, 1),
    Pid = start(Config, #{retries => 0}),
    ok = ?otlp:flush(Pid),
    #{port := Port} = ?config(collector, Config),
    true = port_close(Port),
    quietly(fun() ->
        until(fun() ->
            case ?otlp:flush(Pid) of
                {error, _} -> {ok, ok};
                ok -> again
            end
        end)
    end),
    ?assertMatch(#{last := {error, _}}, ?otlp:info(Pid)),
    quietly(fun() -> ok = ?otlp:stop(Pid) end).
