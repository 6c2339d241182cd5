%% A Prometheus server that scrapes one target of ours every second, on loopback.
-module(erlmcp_native_test_prometheus).

-export([find/1, start/4, stop/1, exemplars/2, series/2]).

%% Milliseconds until it must be ready or have an answer.
-define(PATIENCE, 60_000).
-define(PAUSE, 200).

%% The program, or why there is none, as a suite gives it to be skipped.
find(Program) ->
    case os:find_executable(Program) of
        false -> {skip, "no " ++ Program ++ " (Debian: prometheus)"};
        Path -> {ok, Path}
    end.

%% In a directory of its own below the one given. The shell between us ends it when it is stopped, and
%% also when this node ends.
start(Program, Directory, Features, Target) ->
    Data = filename:join(Directory, "prometheus" ++ integer_to_list(erlang:unique_integer([positive]))),
    Config = filename:join(Data, "prometheus.yml"),
    ok = filelib:ensure_dir(Config),
    ok = file:write_file(Config, [
        "global:\n"
        "  scrape_interval: 1s\n"
        "  scrape_timeout: 1s\n"
        "scrape_configs:\n"
        "  - job_name: erlmcp\n"
        "    metrics_path: /metrics\n"
        "    static_configs:\n"
        "      - targets: ['", Target, "']\n"
    ]),
    Listen = "127.0.0.1:" ++ integer_to_list(free_port()),
    Script = "exec 3<&0; \"$@\" </dev/null >\"$0\" 2>&1 & P=$!; read _ <&3; kill $P; wait $P",
    Args = [
        "-c", Script, filename:join(Data, "log"), Program,
        "--config.file=" ++ Config,
        "--storage.tsdb.path=" ++ filename:join(Data, "data"),
        "--web.listen-address=" ++ Listen
        | ["--enable-feature=" ++ string:join(Features, ",") || Features =/= []]
    ],
    Shell = spawn(fun() -> shell(Args) end),
    Server = #{shell => Shell, url => "http://" ++ Listen, log => filename:join(Data, "log")},
    try
        %% Ready, and with something scraped.
        _ = until(Server, fun() -> get(Server, "/-/ready", []) end),
        _ = until(Server, fun() -> some(query(Server, "up == 1")) end),
        Server
    catch
        Class:Reason:Stack ->
            stop(Server),
            erlang:raise(Class, Reason, Stack)
    end.

free_port() ->
    {ok, Socket} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Socket),
    ok = gen_tcp:close(Socket),
    Port.

%% A process of its own, since a port ends with its owner, and that of an init_per_group is soon gone.
shell(Args) ->
    Port = open_port({spawn_executable, "/bin/sh"}, [{args, Args}, exit_status]),
    receive
        {stop, From} ->
            true = port_command(Port, "\n"),
            receive {Port, {exit_status, _}} -> From ! {stopped, self()} end
    end.

%% Comes back when it has ended.
stop(#{shell := Shell}) ->
    Monitor = monitor(process, Shell),
    Shell ! {stop, self()},
    receive
        {stopped, Shell} -> true = demonitor(Monitor, [flush]);
        {'DOWN', Monitor, process, Shell, _} -> true
    after ?PATIENCE ->
        exit(Shell, kill)
    end,
    ok.

%% The instant vector of an expression, once it is not empty: labels and values (texts, or the maps of
%% native histograms).
series(Server, Expression) ->
    until(Server, fun() -> some(query(Server, Expression)) end).

some({ok, [_ | _] = Found}) -> {ok, Found};
some(_) -> again.

query(Server, Expression) ->
    case get(Server, "/api/v1/query", [{"query", Expression}]) of
        {ok, #{<<"status">> := <<"success">>, <<"data">> := #{<<"result">> := Result}}} ->
            {ok, [
                {Labels, lists:last(maps:get(<<"value">>, Row, maps:get(<<"histogram">>, Row, none)))}
             || #{<<"metric">> := Labels} = Row <- Result
            ]};
        Other ->
            Other
    end.

exemplars(Server, Expression) ->
    until(Server, fun() ->
        Parameters = [{"query", Expression}, {"start", seconds(-3600)}, {"end", seconds(3600)}],
        case get(Server, "/api/v1/query_exemplars", Parameters) of
            {ok, #{<<"data">> := [_ | _] = Found}} -> {ok, Found};
            _ -> again
        end
    end).

seconds(From) -> integer_to_list(erlang:system_time(second) + From).

get(#{url := Url}, Path, Parameters) ->
    Query = [[$? || Parameters =/= []], uri_string:compose_query(Parameters)],
    case httpc:request(get, {lists:flatten([Url, Path, Query]), []}, [], [{body_format, binary}]) of
        {ok, {{_, 200, _}, _, Body}} when Path =:= "/-/ready" -> {ok, Body};
        {ok, {{_, 200, _}, _, Body}} -> {ok, erlmcp_native_json:decode(Body)};
        Other -> {error, Other}
    end.

until(Server, Get) ->
    until(Server, Get, erlang:monotonic_time(millisecond) + ?PATIENCE).

until(#{log := Log} = Server, Get, Deadline) ->
    case Get() of
        {ok, Answer} ->
            Answer;
        Other ->
            case erlang:monotonic_time(millisecond) < Deadline of
                true ->
                    timer:sleep(?PAUSE),
                    until(Server, Get, Deadline);
                false ->
                    {ok, Said} = file:read_file(Log),
                    ct:pal("prometheus said:~n~ts", [Said]),
                    error({too_late, Other})
            end
    end.
