%% What Prometheus scrapes: the formats, which of them is taken, the endpoint, and what Prometheus itself
%% makes of it.
-module(erlmcp_native_prometheus_SUITE).
-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, groups/0, init_per_suite/1, end_per_suite/1]).
-export([init_per_group/2, end_per_group/2, init_per_testcase/2, end_per_testcase/2]).
-export([
    formats/1,
    every_form_of_text/1,
    wrong_families/1,
    whatever_is_registered/1,
    sources_of_histograms/1,
    buckets_never_fall/1,
    negotiation/1,
    not_running/1,
    check_metrics/1,
    endpoint/1,
    endpoint_compresses/1,
    endpoint_options/1,
    endpoint_comes_back/1,
    endpoint_of_a_supervisor/1,
    endpoint_says_what_failed/1,
    application_restarts/1,
    scrapes_add_up/1,
    classic_quantiles/1,
    exemplars_are_kept/1,
    native_quantiles/1
]).

-import(erlmcp_native_test_metrics, [badarg/3]).

-define(prometheus, erlmcp_native_prometheus).
-define(httpd, erlmcp_native_prometheus_httpd).
-define(metrics, erlmcp_native_metrics).
-define(histogram, erlmcp_native_histogram).
-define(server, erlmcp_native_test_prometheus).

%% What the servers look for: values of a histogram, in nanoseconds, and a label.
-define(LATENCIES, [1_000_000 + N * 10_000 || N <- lists:seq(0, 9_999)]).
-define(TRICKY, <<"a\"b\\c\nd {e} #é"/utf8>>).
-define(QUANTILES, ["0.01", "0.25", "0.5", "0.9", "0.99", "1"]).

all() ->
    [
        formats,
        every_form_of_text,
        wrong_families,
        whatever_is_registered,
        sources_of_histograms,
        buckets_never_fall,
        negotiation,
        not_running,
        check_metrics,
        endpoint,
        endpoint_compresses,
        endpoint_options,
        endpoint_comes_back,
        endpoint_of_a_supervisor,
        endpoint_says_what_failed,
        application_restarts,
        {group, openmetrics},
        {group, protobuf}
    ].

groups() ->
    [
        {openmetrics, [], [scrapes_add_up, classic_quantiles, exemplars_are_kept]},
        {protobuf, [], [scrapes_add_up, native_quantiles]}
    ].

suite() -> [{timetrap, {minutes, 5}}].

init_per_suite(Config) ->
    {ok, Started} = application:ensure_all_started(inets),
    {ok, _} = application:ensure_all_started(erlmcp_native),
    %% No reading is cut short by a slow machine.
    application:set_env(erlmcp_native, collector_timeout, 60_000),
    [{started, Started} | Config].

end_per_suite(Config) ->
    application:unset_env(erlmcp_native, collector_timeout),
    lists:foreach(fun application:stop/1, lists:reverse(?config(started, Config))).

init_per_group(Group, Config) ->
    case ?server:find("prometheus") of
        {ok, Program} ->
            ok = erlmcp_native_test_metrics:restart(),
            ok = record(),
            {ok, Endpoint} = ?httpd:start(#{}),
            #{port := Port} = ?httpd:info(Endpoint),
            Features =
                case Group of
                    openmetrics -> ["exemplar-storage"];
                    protobuf -> ["exemplar-storage", "native-histograms"]
                end,
            Target = "127.0.0.1:" ++ integer_to_list(Port),
            Directory = ?config(priv_dir, Config),
            Server = ?server:start(Program, Directory, Features, Target),
            [{endpoint, Endpoint}, {server, Server} | Config];
        Skip ->
            Skip
    end.

end_per_group(_, Config) ->
    ?server:stop(?config(server, Config)),
    ok = ?httpd:stop(?config(endpoint, Config)).

init_per_testcase(_, Config) ->
    %% The groups keep what they have recorded.
    _ = [ok = erlmcp_native_test_metrics:restart() || ?config(server, Config) =:= undefined],
    Config.

end_per_testcase(_, _) -> ok.

record() ->
    ok = ?metrics:new(#{
        name => test_latency_seconds,
        type => histogram,
        help => "Of a test.",
        unit => seconds,
        labels => [tool],
        %% A tenth apart.
        bounds => [0.0005 * math:pow(1.1, N) || N <- lists:seq(0, 70)]
    }),
    Latency = ?metrics:with_labels(test_latency_seconds, [<<"a">>]),
    lists:foreach(fun(Value) -> ?metrics:observe(Latency, Value) end, ?LATENCIES),
    %% One more, so that it has an exemplar.
    ok = ?metrics:observe(Latency, 20_000_000, #{trace_id => <<"0af7651916cd43dd8448eb211c80319c">>}),
    ok = ?metrics:new(#{name => test_calls, type => counter, help => "Of a test.", labels => [text]}),
    ok = ?metrics:inc({test_calls, [?TRICKY]}, 42),
    ok = ?metrics:new(#{name => test_level, type => gauge, help => ?TRICKY}),
    ok = ?metrics:set(test_level, -1.5e-7).

%%% Formats

families() ->
    {ok, Histogram} = histogram(#{}),
    [ok = ?histogram:record(Histogram, Value) || Value <- [0, 1, 500, 2_000_000, 7_000_000_000]],
    Trace = [{<<"trace_id">>, <<"0af7">>}],
    [
        {<<"calls">>, counter, <<"Calls.">>, <<>>, 1, [], [
            {[{<<"tool">>, <<"a">>}], 5, 1_700_000_000.5, [{Trace, 1, 1_700_000_001}]},
            {[], 1 bsl 63, 0, []}
        ]},
        {<<"level_ratio">>, gauge, <<>>, <<"ratio">>, 0.01, [], [{[], -50, 0, []}]},
        {<<"wait_seconds">>, histogram, <<"Waits.">>, <<"seconds">>, 1.0e-9, [0.001, 1, 10], [
            {[{<<"tool">>, <<"a">>}], Histogram, 1_700_000_000, [{Trace, 0.002, 1_700_000_001.25}]}
        ]}
    ].

histogram(Opts) ->
    {ok, ?histogram:new(Opts)}.

formats(_) ->
    Families = families(),
    ?assertEqual(
        <<
            "# HELP calls_total Calls.\n"
            "# TYPE calls_total counter\n"
            "calls_total{tool=\"a\"} 5\n"
            "calls_total 9223372036854775808\n"
            "# TYPE level_ratio gauge\n"
            "level_ratio -0.5\n"
            "# HELP wait_seconds Waits.\n"
            "# TYPE wait_seconds histogram\n"
            "wait_seconds_bucket{tool=\"a\",le=\"0.001\"} 3\n"
            "wait_seconds_bucket{tool=\"a\",le=\"1.0\"} 4\n"
            "wait_seconds_bucket{tool=\"a\",le=\"10.0\"} 5\n"
            "wait_seconds_bucket{tool=\"a\",le=\"+Inf\"} 5\n"
            "wait_seconds_sum{tool=\"a\"} 7.002000501\n"
            "wait_seconds_count{tool=\"a\"} 5\n"
        >>,
        ?prometheus:encode(text, Families)
    ),
    ?assertEqual(
        <<
            "# TYPE calls counter\n"
            "# HELP calls Calls.\n"
            "calls_total{tool=\"a\"} 5 # {trace_id=\"0af7\"} 1 1700000001\n"
            "calls_created{tool=\"a\"} 1700000000.5\n"
            "calls_total 9223372036854775808\n"
            "# TYPE level_ratio gauge\n"
            "# UNIT level_ratio ratio\n"
            "level_ratio -0.5\n"
            "# TYPE wait_seconds histogram\n"
            "# UNIT wait_seconds seconds\n"
            "# HELP wait_seconds Waits.\n"
            "wait_seconds_bucket{tool=\"a\",le=\"0.001\"} 3\n"
            "wait_seconds_bucket{tool=\"a\",le=\"1.0\"} 4"
            " # {trace_id=\"0af7\"} 0.002 1700000001.25\n"
            "wait_seconds_bucket{tool=\"a\",le=\"10.0\"} 5\n"
            "wait_seconds_bucket{tool=\"a\",le=\"+Inf\"} 5\n"
            "wait_seconds_sum{tool=\"a\"} 7.002000501\n"
            "wait_seconds_count{tool=\"a\"} 5\n"
            "wait_seconds_created{tool=\"a\"} 1700000000\n"
            "# EOF\n"
        >>,
        ?prometheus:encode(openmetrics, Families)
    ),
    ?assertEqual(<<>>, ?prometheus:encode(text, [])),
    ?assertEqual(<<"# EOF\n">>, ?prometheus:encode(openmetrics, [])),
    ?assertEqual(<<>>, ?prometheus:encode(protobuf, [])).

every_form_of_text(_) ->
    Text = fun(Format, Help, Label) ->
        Series = [{[{<<"a">>, Label}], 1, 0, []}],
        ?prometheus:encode(Format, [{<<"m">>, gauge, Help, <<>>, 1, [], Series}])
    end,
    ?assertEqual(
        <<"# HELP m \"\\\\\\n\n# TYPE m gauge\nm{a=\"\\\"\\\\\\n\"} 1\n">>,
        Text(text, <<"\"\\\n">>, <<"\"\\\n">>)
    ),
    ?assertEqual(
        <<"# TYPE m gauge\n# HELP m \\\"\\\\\\n\nm{a=\"\\\"\\\\\\n\"} 1\n# EOF\n">>,
        Text(openmetrics, <<"\"\\\n">>, <<"\"\\\n">>)
    ),
    %% Nothing but UTF-8 comes out.
    Replaced = unicode:characters_to_binary([16#FFFD]),
    ?assertEqual(
        <<"# TYPE m gauge\nm{a=\"", Replaced/binary, "x\"} 1\n">>, Text(text, <<>>, <<255, $x>>)
    ),
    rand:seed(exsss, {1, 2, 3}),
    [
        begin
            Bytes = rand:bytes(rand:uniform(50)),
            Out = Text(Format, Bytes, Bytes),
            ?assert(is_list(unicode:characters_to_list(Out))),
            ?assertEqual(lines(Format), length(binary:matches(Out, <<"\n">>)))
        end
     || Format <- [text, openmetrics], _ <- lists:seq(1, 500)
    ].

lines(text) -> 3;
lines(openmetrics) -> 4.

wrong_families(_) ->
    Series = {[{<<"a">>, <<"b">>}], 1, 0, []},
    Family = {<<"m">>, gauge, <<>>, <<>>, 1, [], [Series]},
    ?assertMatch(<<_/binary>>, ?prometheus:encode(text, [Family])),
    With = fun(At, Term) -> [setelement(At, Family, Term)] end,
    WithSeries = fun(At, Term) -> With(7, [setelement(At, Series, Term)]) end,
    Histogram = fun(Labels, Value) ->
        [{<<"m">>, histogram, <<>>, <<>>, 1, [], [{Labels, Value, 0, []}]}]
    end,
    Long = binary:copy(<<"a">>, 256),
    Names = [<<>>, <<"1a">>, <<"a b">>, <<"a\n">>, <<"a{">>, <<"é"/utf8>>, Long, a, "a"],
    Wrong =
        [a, [a], [Family | Family], [{}], [{<<"m">>}]] ++
            [With(1, Name) || Name <- Names] ++
            [With(2, Type) || Type <- [summary, <<"gauge">>, 1]] ++
            [With(3, a), With(4, 1)] ++
            [With(5, Scale) || Scale <- [0, 0.0, -1, a]] ++
            [With(6, Bounds) || Bounds <- [a, [a], [2, 1], [1, 1], [1 | 2], lists:seq(1, 1001)]] ++
            [With(7, Of) || Of <- [a, [a], [Series | Series], [{}]]] ++
            [WithSeries(1, [{Name, <<"b">>}]) || Name <- [<<"__a">>, <<"a:b">> | Names]] ++
            [
                WithSeries(1, Labels)
             || Labels <- [
                    a,
                    [a],
                    [{<<"a">>, b}],
                    [{<<"a">>, <<"b">>}, {<<"a">>, <<"c">>}],
                    [{<<"a", (integer_to_binary(N))/binary>>, <<>>} || N <- lists:seq(1, 101)]
                ]
            ] ++
            [WithSeries(2, Value) || Value <- [a, <<"1">>, 1 bsl 64, {}]] ++
            [WithSeries(3, Created) || Created <- [a, 1 bsl 64]] ++
            [
                WithSeries(4, Exemplars)
             || Exemplars <- [a, [a], [{[], 1}], [{[], a, 1}], [{[{<<"a b">>, <<>>}], 1, 1}]]
            ] ++
            [Histogram([{<<"le">>, <<"1">>}], 1)] ++
            [Histogram([], Value) || Value <- [1.0, -1, <<"not a snapshot">>, {}, self()]],
    [
        badarg(?prometheus, 2, fun() -> ?prometheus:encode(Format, Families) end)
     || Families <- Wrong, Format <- [text, openmetrics, protobuf]
    ],
    [
        badarg(?prometheus, 1, fun() -> ?prometheus:encode(Format, [Family]) end)
     || Format <- [json, <<"text">>, 1, {otlp, [], 0}]
    ].

%% What the registry lets pass at its bounds breaks no exposition.
whatever_is_registered(_) ->
    Longest = binary:copy(<<"a">>, 255),
    Name = fun(N) -> <<"t", (integer_to_binary(N))/binary>> end,
    Labels = [<<"l", (integer_to_binary(N))/binary>> || N <- lists:seq(1, 31)] ++ [Longest],
    Scales = [1.0e-100, 1.0e100, (1 bsl 63) - 1, 1.0e-9, 3],
    Bounds = [-1.7e308, -1 | lists:seq(1, 254)],
    _ = [
        begin
            Family = #{
                name => Name(N), type => histogram, help => <<0, 10>>, labels => Labels,
                scale => Scale, bounds => Bounds, max => (1 bsl 64) - 1, precision => 10
            },
            ?assertEqual(ok, ?metrics:new(Family)),
            Series = {Name(N), maps:from_list([{Label, <<0, 10, 255>>} || Label <- Labels])},
            [
                ok = ?metrics:observe(Series, Value, #{'__x' => <<10>>})
             || Value <- [0, 1, 1 bsl 40, (1 bsl 64) - 1, 1 bsl 64]
            ]
        end
     || {N, Scale} <- lists:zip(lists:seq(1, length(Scales)), Scales)
    ],
    ok = ?metrics:new(#{name => Longest, type => counter, help => <<>>}),
    ok = ?metrics:inc(Longest, (1 bsl 62)),
    ok = ?metrics:new(#{name => t_gauge, type => gauge, help => <<>>, scale => 1.0e100}),
    ok = ?metrics:set(t_gauge, -1.7e308),
    Families = ?metrics:collect(),
    [
        ?assert(byte_size(?prometheus:encode(Format, Families)) > 1000)
     || Format <- [text, openmetrics, protobuf]
    ],
    ?assert(byte_size(erlmcp_native_nif:metrics_encode({otlp, [], 0}, Families)) > 1000),
    Text = ?prometheus:encode(text, Families),
    ?assertMatch({_, _}, binary:match(Text, <<"\nt_gauge -Inf\n">>)).

%% A handle, a name and a snapshot; one that is gone is left out. What was recorded before a reset is
%% exposed all the same.
sources_of_histograms(_) ->
    Name = ?FUNCTION_NAME,
    {ok, Histogram} = histogram(#{name => Name}),
    ok = ?histogram:record(Histogram, 5),
    Count = fun(Value) ->
        Family = {<<"m">>, histogram, <<>>, <<>>, 1, [], [{[], Value, 0, []}]},
        Lines = binary:split(?prometheus:encode(text, [Family]), <<"\n">>, [global]),
        [Number || <<"m_count ", Number/binary>> <- Lines]
    end,
    Snapshot = ?histogram:snapshot(Histogram),
    ?assertEqual([<<"1">>], Count(Histogram)),
    ?assertEqual([<<"1">>], Count(Name)),
    ?assertEqual([<<"1">>], Count(Snapshot)),
    ok = ?histogram:reset(Histogram),
    ok = ?histogram:record(Histogram, 6),
    ?assertEqual([<<"2">>], Count(Histogram)),
    ok = ?histogram:delete(Histogram),
    ?assertEqual([], Count(Histogram)),
    ?assertEqual([], Count(Name)),
    ?assertEqual([<<"1">>], Count(Snapshot)).

%% Prometheus takes a count that falls for a restart, and adds all of it once more.
buckets_never_fall(_) ->
    {ok, Histogram} = histogram(#{precision => 5, max => 1 bsl 20}),
    rand:seed(exsss, {1, 2, 3}),
    Bounds = lists:seq(10, 2_000_000, 1_999),
    Of = fun(Seen) ->
        Family = {<<"m">>, histogram, <<>>, <<>>, 1, lists:sublist(Bounds, 1000), [{[], Histogram, 0, []}]},
        Now = [
            binary_to_integer(lists:last(binary:split(Line, <<" ">>, [global])))
         || <<"m_bucket", _/binary>> = Line <- binary:split(
                ?prometheus:encode(text, [Family]), <<"\n">>, [global]
            )
        ],
        ?assertEqual(1001, length(Now)),
        ?assertEqual(lists:sort(Now), Now),
        ?assert(lists:all(fun({Before, After}) -> Before =< After end, lists:zip(Seen, Now))),
        Now
    end,
    lists:foldl(
        fun(_, Seen) ->
            ok = ?histogram:record(Histogram, rand:uniform(1 bsl (1 + rand:uniform(21)))),
            Of(Seen)
        end,
        lists:duplicate(1001, 0),
        lists:seq(1, 300)
    ).

negotiation(_) ->
    Protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;",
    Open = "application/openmetrics-text",
    Cases = [
        {text, ""},
        {text, "*/*"},
        {text, "text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8"},
        {text, "text/*"},
        {text, "image/png"},
        {text, "nonsense;;;=,,;"},
        {text, Open ++ "; version=2.0.0, text/plain; version=0.0.4; q=0.1"},
        {text, Open ++ ";q=0.3, text/plain;q=0.31"},
        {text, Open ++ ";q=0"},
        {text, "application/vnd.google.protobuf"},
        {text, Protobuf ++ "encoding=text"},
        {openmetrics, Open},
        {openmetrics, "APPLICATION/OpenMetrics-Text ; Version=\"1.0.0\" ; charset=utf-8"},
        {openmetrics, "application/*"},
        {openmetrics, Open ++ ", text/plain"},
        {openmetrics, "text/plain, " ++ Open},
        {openmetrics, "text/plain;q=0, */*"},
        {openmetrics, "text/plain;version=0.0.4;q=0.5," ++ Open ++ ";q=1.0"},
        %% Prometheus 2, without and with native histograms, and 3.
        {openmetrics,
            Open ++ ";version=1.0.0," ++ Open ++
                ";version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"},
        {protobuf,
            Protobuf ++ "encoding=delimited," ++ Open ++ ";version=1.0.0;q=0.8," ++ Open ++
                ";version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"},
        {openmetrics,
            Open ++ ";version=1.0.0;escaping=allow-utf-8;q=0.5," ++ Open ++
                ";version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
                "text/plain;version=0.0.4;q=0.2,/;q=0.1"},
        {protobuf, Protobuf ++ "encoding=delimited;q=0.2, text/plain;q=0.1"}
    ],
    [
        ?assertEqual(
            {Accept, ?prometheus:content_type(Format)},
            {Accept, element(1, ?prometheus:exposition(As))}
        )
     || {Format, Accept} <- Cases, As <- [Accept, list_to_binary(Accept)]
    ],
    Text = ?prometheus:content_type(text),
    ?assertMatch({Text, _}, ?prometheus:exposition()),
    ?assertMatch({Text, _}, ?prometheus:exposition(undefined)),
    [
        badarg(?prometheus, 1, fun() -> ?prometheus:exposition(Accept) end)
     || Accept <- [a, 1, [a], {}, [256]]
    ].

not_running(_) ->
    ok = application:stop(erlmcp_native),
    ?assertError(badarg, ?prometheus:exposition()),
    ?assertEqual({error, not_started}, ?httpd:start(#{})),
    ok = application:start(erlmcp_native).

check_metrics(Config) ->
    case ?server:find("promtool") of
        {ok, Promtool} ->
            ok = record(),
            {_, Body} = ?prometheus:exposition(),
            File = filename:join(?config(priv_dir, Config), "metrics.txt"),
            ok = file:write_file(File, Body),
            ?assertEqual("0\n", os:cmd(Promtool ++ " check metrics <" ++ File ++ "; echo $?"));
        Skip ->
            Skip
    end.

%%% The endpoint

endpoint(_) ->
    {ok, Pid} = ?httpd:start(#{}),
    #{ip := {127, 0, 0, 1}, port := Port, path := <<"/metrics">>, url := Url} = ?httpd:info(Pid),
    ?assertEqual(<<"http://127.0.0.1:", (integer_to_binary(Port))/binary, "/metrics">>, Url),
    Text = binary_to_list(?prometheus:content_type(text)),
    {200, Fields, Body} = request(get, Url, []),
    ?assertEqual(Text, proplists:get_value("content-type", Fields)),
    ?assertEqual("Accept, Accept-Encoding", proplists:get_value("vary", Fields)),
    ?assertMatch({_, _}, binary:match(Body, <<"\nerlmcp_memory_bytes{">>)),
    Open = binary_to_list(?prometheus:content_type(openmetrics)),
    {200, OpenFields, OpenBody} = request(get, Url, [{"accept", "application/openmetrics-text"}]),
    ?assertEqual(Open, proplists:get_value("content-type", OpenFields)),
    ?assertEqual(<<"# EOF\n">>, binary:part(OpenBody, byte_size(OpenBody), -6)),
    {200, HeadFields, <<>>} = request(head, Url, []),
    ?assertEqual(Text, proplists:get_value("content-type", HeadFields)),
    ?assertNotEqual("0", proplists:get_value("content-length", HeadFields)),
    ?assertMatch({404, _, <<>>}, request(head, [Url, "x"], [])),
    ?assertMatch({200, _, _}, request(get, [Url, "?a=b"], [])),
    {405, NotAllowed, _} = request(delete, Url, []),
    ?assertEqual("GET, HEAD", proplists:get_value("allow", NotAllowed)),
    [
        ?assertMatch({404, _, _}, request(get, [Url, More], []))
     || More <- ["x", "/", "/../x"]
    ],
    %% Several requests of one connection, a body not being sent for HEAD.
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {packet, line}, {active, false}]),
    Host = ["\r\nhost: localhost:", integer_to_list(Port), "\r\n\r\n"],
    [
        begin
            ok = gen_tcp:send(Socket, ["HEAD /metrics HTTP/1.1", Host]),
            ?assertEqual({ok, <<"HTTP/1.1 200 OK\r\n">>}, gen_tcp:recv(Socket, 0)),
            ok = skip_head(Socket)
        end
     || _ <- lists:seq(1, 3)
    ],
    ok = gen_tcp:close(Socket),
    ok = ?httpd:stop(Pid),
    ok = ?httpd:stop(Pid),
    until_refused(Port).

%% Connections that were made as it ended may be reset first.
until_refused(Port) ->
    case gen_tcp:connect({127, 0, 0, 1}, Port, []) of
        {error, econnrefused} ->
            ok;
        {error, econnreset} ->
            timer:sleep(10),
            until_refused(Port)
    end.

skip_head(Socket) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, <<"\r\n">>} -> ok;
        {ok, _} -> skip_head(Socket)
    end.

request(Method, Url, Fields) ->
    Request = {binary_to_list(iolist_to_binary(Url)), Fields},
    {ok, {{_, Status, _}, Answered, Body}} =
        httpc:request(Method, Request, [{autoredirect, false}], [{body_format, binary}]),
    {Status, Answered, Body}.

endpoint_compresses(_) ->
    {ok, Pid} = ?httpd:start(#{}),
    #{url := Url} = ?httpd:info(Pid),
    Encoding = fun(Accepted) ->
        {200, Fields, Body} = request(get, Url, [{"accept-encoding", Accepted}]),
        {proplists:get_value("content-encoding", Fields), Body}
    end,
    {"gzip", Compressed} = Encoding("deflate;q=0.5, gzip"),
    ?assertMatch({_, _}, binary:match(zlib:gunzip(Compressed), <<"\nerlmcp_memory_bytes{">>)),
    [?assertMatch({"gzip", _}, Encoding(Accepted)) || Accepted <- ["GZIP", "*", "gzip;q=0.001"]],
    [
        ?assertMatch({undefined, _}, Encoding(Accepted))
     || Accepted <- ["identity", "gzip;q=0", "gzip;q=0.000, *", "br", "gzip;q=x"]
    ],
    ok = ?httpd:stop(Pid).

endpoint_options(_) ->
    Wrong = [
        a, #{port => -1}, #{port => 65_536}, #{ip => "127.0.0.1"}, #{path => <<"metrics">>},
        #{path => <<"/a b">>}, #{path => <<"/a?b">>}, #{path => a}, #{nosuch => 1}
    ],
    [
        badarg(?httpd, 1, fun() -> ?httpd:Function(Opts) end)
     || Opts <- Wrong, Function <- [start, child_spec]
    ],
    {ok, Pid} = ?httpd:start(#{path => "/a/b"}),
    #{url := Url, port := Port} = ?httpd:info(Pid),
    ?assertMatch({200, _, _}, request(get, Url, [])),
    ?assertMatch({error, _}, quietly(fun() -> ?httpd:start(#{port => Port}) end)),
    %% Of no machine: 192.0.2.0/24 is for documentation.
    ?assertEqual({error, no_address}, quietly(fun() -> ?httpd:start(#{ip => {192, 0, 2, 1}}) end)),
    ok = ?httpd:stop(Pid),
    %% Its port is free again.
    {ok, Again} = ?httpd:start(#{port => Port}),
    ok = ?httpd:stop(Again).

%% Without the reports of supervisors.
quietly(Fun) ->
    #{level := Level} = logger:get_primary_config(),
    ok = logger:set_primary_config(level, none),
    try
        Fun()
    after
        logger:set_primary_config(level, Level)
    end.

endpoint_comes_back(_) ->
    {ok, Pid} = ?httpd:start(#{}),
    #{url := Url} = ?httpd:info(Pid),
    {links, Links} = process_info(Pid, links),
    [Server] = [Link || Link <- Links, is_pid(Link), Link =/= whereis(erlmcp_native_sup)],
    quietly(fun() ->
        true = exit(Server, kill),
        ok = until_answered(Url)
    end),
    ok = ?httpd:stop(Pid).

until_answered(Url) ->
    case httpc:request(get, {binary_to_list(Url), []}, [], []) of
        {ok, {{_, 200, _}, _, _}} ->
            ok;
        _ ->
            timer:sleep(50),
            until_answered(Url)
    end.

endpoint_of_a_supervisor(_) ->
    #{start := {Module, Function, Args}} = ?httpd:child_spec(#{}),
    {ok, Pid} = apply(Module, Function, Args),
    #{url := Url, port := Port} = ?httpd:info(Pid),
    ?assertMatch({200, _, _}, request(get, Url, [])),
    true = unlink(Pid),
    Monitor = monitor(process, Pid),
    true = exit(Pid, shutdown),
    receive {'DOWN', Monitor, process, Pid, _} -> ok end,
    until_refused(Port).

endpoint_says_what_failed(_) ->
    #{start := {Module, Function, Args}} = ?httpd:child_spec(#{}),
    {ok, Pid} = apply(Module, Function, Args),
    #{url := Url} = ?httpd:info(Pid),
    ok = application:stop(erlmcp_native),
    quietly(fun() -> ?assertMatch({500, _, _}, request(get, Url, [])) end),
    ok = application:start(erlmcp_native),
    ?assertMatch({200, _, _}, request(get, Url, [])),
    ok = ?httpd:stop(Pid).

%% With an endpoint and an exporter, which end with it and leave their port.
application_restarts(_) ->
    _ = lists:foldl(
        fun(_, Before) ->
            {ok, Endpoint} = ?httpd:start(#{port => Before}),
            {ok, Exporter} = erlmcp_native_otlp:start(#{
                endpoint => "http://127.0.0.1:1/v1/metrics", retries => 0
            }),
            #{url := Url, port := Port} = ?httpd:info(Endpoint),
            ?assertMatch({200, _, _}, request(get, Url, [])),
            ok = quietly(fun() -> application:stop(erlmcp_native) end),
            ?assertEqual([false, false], [is_process_alive(Pid) || Pid <- [Endpoint, Exporter]]),
            until_refused(Port),
            ok = application:start(erlmcp_native),
            Port
        end,
        0,
        [1, 2, 3]
    ).

%%% Prometheus

scrapes_add_up(Config) ->
    Server = ?config(server, Config),
    [{#{<<"text">> := ?TRICKY}, Before}] = ?server:series(Server, "test_calls_total"),
    ?assert(number(Before) >= 42),
    [{_, Level}] = ?server:series(Server, "test_level"),
    ?assertEqual(-1.5e-7, number(Level)),
    ok = ?metrics:inc({test_calls, [?TRICKY]}, 1000),
    ?assertMatch([_], ?server:series(Server, "test_calls_total >= 1000")),
    ?assertMatch([_], ?server:series(Server, "erlmcp_memory_bytes{type=\"total\"} > 0")).

classic_quantiles(Config) ->
    Server = ?config(server, Config),
    Count = integer_to_list(length(?LATENCIES) + 1),
    ?assertMatch([_], ?server:series(Server, "test_latency_seconds_count == " ++ Count)),
    [{_, Sum}] = ?server:series(Server, "test_latency_seconds_sum"),
    ?assertEqual((lists:sum(?LATENCIES) + 20_000_000) / 1.0e9, number(Sum)),
    %% The bounds are a tenth apart, and a value may be taken for one that is 2^-8 off.
    within(Server, "test_latency_seconds_bucket", 1.1 * (1 + math:pow(2, -7))).

exemplars_are_kept(Config) ->
    Server = ?config(server, Config),
    [#{<<"exemplars">> := Exemplars}] = ?server:exemplars(Server, "test_latency_seconds_bucket"),
    [#{<<"labels">> := Labels, <<"value">> := Value} | _] = Exemplars,
    ?assertEqual(#{<<"trace_id">> => <<"0af7651916cd43dd8448eb211c80319c">>}, Labels),
    ?assertEqual(0.02, number(Value)).

native_quantiles(Config) ->
    Server = ?config(server, Config),
    Count = length(?LATENCIES) + 1,
    Counted = "histogram_count(test_latency_seconds) == " ++ integer_to_list(Count),
    ?assertMatch([_], ?server:series(Server, Counted)),
    [{#{<<"tool">> := <<"a">>}, Histogram}] = ?server:series(Server, "test_latency_seconds"),
    #{<<"count">> := CountText, <<"sum">> := Sum, <<"buckets">> := Buckets} = Histogram,
    ?assertEqual(Count, number(CountText)),
    ?assertEqual((lists:sum(?LATENCIES) + 20_000_000) / 1.0e9, number(Sum)),
    ?assertEqual(Count, lists:sum([number(Of) || [_, _, _, Of] <- Buckets])),
    Growth = lists:max([number(High) / number(Low) || [_, Low, High, _] <- Buckets]),
    ?assert(Growth < 1.05, Growth),
    within(Server, "test_latency_seconds", Growth * (1 + math:pow(2, -7))).

%% Quantiles by the server are off the true ones by this factor at most.
within(Server, Name, Factor) ->
    Sorted = lists:sort([20_000_000 | ?LATENCIES]),
    [
        begin
            Expression = "histogram_quantile(" ++ Quantile ++ ", " ++ Name ++ ")",
            [{_, Text}] = ?server:series(Server, Expression),
            Rank = ceil(number(list_to_binary(Quantile)) * length(Sorted)),
            Off = number(Text) / (lists:nth(Rank, Sorted) / 1.0e9),
            ?assert(Off =< Factor andalso Off >= 1 / Factor, {Quantile, Off, Factor})
        end
     || Quantile <- ?QUANTILES
    ].

number(Text) -> erlmcp_native_json:decode(Text).
