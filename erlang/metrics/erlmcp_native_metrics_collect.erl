-module(erlmcp_native_metrics_collect).
-include("erlmcp_native_doc.hrl").
-include("erlmcp_native_metrics.hrl").
?MODULEDOC(false).

%% Reading all metrics for exposition. Nothing is kept between two readings.
%%
%% Each collector runs in a process of its own, which ends with the reading whatever it does: the
%% processes are watched by one that ends at the deadline, or with the caller.

-include_lib("kernel/include/logger.hrl").

-export([collect/0, add/2, remove/1]).
%% Processes
-export([watch/3, run/1]).

-define(TIMEOUT, 1_000).

-spec collect() -> [erlmcp_native_metrics:family()].
collect() ->
    %% The failures of collectors show at once.
    Collected = collectors(),
    lists:keysort(1, own() ++ Collected).

-spec add(atom(), fun(() -> [erlmcp_native_metrics:family()])) -> ok.
add(Name, Fun) ->
    true = ets:insert(?COLLECTORS, {Name, Fun}),
    ok.

-spec remove(atom()) -> boolean().
remove(Name) ->
    ets:take(?COLLECTORS, Name) =/= [].

%%% The registry's own

own() ->
    %% Before the series: an exemplar of none of them is of one that was removed.
    Exemplars = exemplars(),
    Rows = erlmcp_native_metrics_registry:all_series(),
    Grouped = maps:groups_from_list(fun({{Key, _}, _, _}) -> Key end, Rows),
    _ = [sweep(Exemplars, Rows) || map_size(Exemplars) > 0],
    [
        exposed(Family, maps:get(Key, Grouped, []), Exemplars)
     || #family{key = Key} = Family <- erlmcp_native_metrics_registry:families()
    ].

exposed(#family{labels = Names} = Family, Rows, Exemplars) ->
    {
        Family#family.name,
        exposed_type(Family#family.type),
        Family#family.help,
        Family#family.unit,
        Family#family.scale,
        Family#family.bounds,
        lists:foldl(fun(Row, Acc) -> series(Row, Names, Exemplars, Acc) end, [], Rows)
    }.

exposed_type(up_down_counter) -> gauge;
exposed_type(rate) -> gauge;
exposed_type(Type) -> Type.

series({{_, overflow}, Handle, Created}, _Names, Exemplars, Acc) ->
    series_of([{?OVERFLOW_LABEL, <<"true">>}], Handle, Created, Exemplars, Acc);
series({{_, Values}, Handle, Created}, Names, Exemplars, Acc) ->
    series_of(lists:zip(Names, Values), Handle, Created, Exemplars, Acc).

series_of(Labels, {histogram, Histogram, _}, Created, Exemplars, Acc) ->
    [{Labels, Histogram, Created, maps:get(Histogram, Exemplars, [])} | Acc];
series_of(Labels, {rate, Rate, _}, Created, _Exemplars, Acc) ->
    [
        {Labels ++ [{<<"window">>, Window}], PerSecond, Created, []}
     || {Window, PerSecond} <- erlmcp_native_metrics_record:windows(Rate)
    ] ++ Acc;
series_of(Labels, Handle, Created, _Exemplars, Acc) ->
    [{Labels, erlmcp_native_metrics_record:read(Handle), Created, []} | Acc].

%% By histogram.
exemplars() ->
    lists:foldl(
        fun({{Histogram, _}, Labels, Value, Time}, Acc) ->
            Acc#{Histogram => [{Labels, Value, Time} | maps:get(Histogram, Acc, [])]}
        end,
        #{},
        ets:tab2list(?EXEMPLARS)
    ).

%% One that came while its series was being removed.
sweep(Exemplars, Rows) ->
    Live = maps:from_list([{Histogram, true} || {_, {histogram, Histogram, _}, _} <- Rows]),
    _ = [
        ets:match_delete(?EXEMPLARS, {{Histogram, '_'}, '_', '_', '_'})
     || Histogram <- maps:keys(maps:without(maps:keys(Live), Exemplars))
    ],
    ok.

%%% Collectors

collectors() ->
    Results = results(ets:tab2list(?COLLECTORS)),
    {Families, _Names} = lists:foldl(fun take/2, {[], #{}}, lists:keysort(1, Results)),
    Families.

%% What a collector gave, unless it is wrong or clashes with what is there.
take({Name, {ok, Families}}, {Taken, Names}) ->
    case are_families(Families) andalso claim(Families, Names) of
        false ->
            failed(Name, invalid, "it gives what is no list of families"),
            {Taken, Names};
        clash ->
            failed(Name, clash, "another family exposes one of its names"),
            {Taken, Names};
        Claimed ->
            {Families ++ Taken, Claimed}
    end;
take({Name, timeout}, Acc) ->
    failed(Name, timeout, "it takes too long"),
    Acc;
take({Name, {raised, Reason}}, Acc) ->
    failed(Name, raised, Reason),
    Acc.

claim([{Family, Type, _, _, _, _, _} | Families], Names) ->
    Exposed = erlmcp_native_metrics_options:names_exposed(Type, Family),
    IsTaken = fun(Text) ->
        is_map_key(Text, Names) orelse erlmcp_native_metrics_registry:is_claimed(Text)
    end,
    case lists:any(IsTaken, Exposed) of
        true -> clash;
        false -> claim(Families, maps:merge(Names, maps:from_list([{Text, true} || Text <- Exposed])))
    end;
claim([], Names) ->
    Names.

failed(Name, Kind, Reason) ->
    ?LOG_WARNING("erlmcp_native_metrics: collector ~ts is left out (~ts): ~0tP", [
        Name, Kind, Reason, 20
    ]),
    try
        erlmcp_native_metrics:inc({erlmcp_metrics_collector_failures, [Name, Kind]})
    catch
        %% The family was deleted.
        error:badarg -> ok
    end.

%% The outcome of each: {ok, Term}, {raised, Reason} or timeout.
results([]) ->
    [];
results(Collectors) ->
    Timeout = application:get_env(erlmcp_native, collector_timeout, ?TIMEOUT),
    {_, Monitor} = spawn_monitor(?MODULE, watch, [Collectors, self(), Timeout]),
    receive
        {'DOWN', Monitor, _, _, {outcomes, Outcomes}} -> Outcomes;
        {'DOWN', Monitor, _, _, Reason} -> [{Name, {raised, Reason}} || {Name, _} <- Collectors]
    end.

?DOC(false).
-spec watch([{atom(), fun(() -> term())}], pid(), non_neg_integer()) -> no_return().
watch(Collectors, Caller, Timeout) ->
    CallerMonitor = monitor(process, Caller),
    Running = maps:from_list([start(Name, Fun) || {Name, Fun} <- Collectors]),
    Deadline = erlang:monotonic_time(millisecond) + Timeout,
    exit({outcomes, outcomes(Running, CallerMonitor, Deadline, [])}).

start(Name, Fun) ->
    {Pid, Monitor} = spawn_monitor(?MODULE, run, [Fun]),
    {Monitor, {Name, Pid}}.

?DOC(false).
-spec run(fun(() -> term())) -> no_return().
run(Fun) ->
    exit(
        try
            {collected, Fun()}
        catch
            _:Reason -> {raised, Reason}
        end
    ).

outcomes(Running, _Caller, _Deadline, Outcomes) when map_size(Running) =:= 0 ->
    Outcomes;
outcomes(Running, Caller, Deadline, Outcomes) ->
    Left = max(0, Deadline - erlang:monotonic_time(millisecond)),
    receive
        {'DOWN', Caller, _, _, _} ->
            stop(Running);
        {'DOWN', Monitor, _, _, Reason} when is_map_key(Monitor, Running) ->
            {{Name, _}, Rest} = maps:take(Monitor, Running),
            outcomes(Rest, Caller, Deadline, [{Name, outcome(Reason)} | Outcomes])
    after Left ->
        stop(Running),
        [{Name, timeout} || {Name, _} <- maps:values(Running)] ++ Outcomes
    end.

stop(Running) ->
    _ = [exit(Pid, kill) || {_, Pid} <- maps:values(Running)],
    [].

outcome({collected, Families}) -> {ok, Families};
outcome({raised, Reason}) -> {raised, Reason};
outcome(Reason) -> {raised, Reason}.

%% Whether they can be written: one that cannot would take all others with it.
are_families(Families) ->
    try
        is_binary(erlmcp_native_nif:metrics_encode(text, Families))
    catch
        error:badarg -> false
    end.
