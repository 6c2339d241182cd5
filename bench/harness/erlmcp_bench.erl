%% The performance suite's command: choose cases, measure, print, write.
-module(erlmcp_bench).

-export([main/0, run/1, chosen/1]).
-export_type([options/0]).

-type options() :: #{
    mode => quick | standard | full,
    only => [atom()],
    directions => [atom()],
    progress => bar | lines | none,
    %% Where `performance.json` and `performance.html` go.
    output => file:filename(),
    %% Where a dated copy of the first goes, if anywhere.
    record => file:filename(),
    %% The repository; the page's maker is built from its `bench` folder.
    root => file:filename(),
    settings => erlmcp_bench_measure:settings()
}.

-define(SUITES, [
    erlmcp_bench_json,
    erlmcp_bench_rpc,
    erlmcp_bench_schema,
    erlmcp_bench_cache,
    erlmcp_bench_histograms,
    erlmcp_bench_metrics,
    erlmcp_bench_pools,
    erlmcp_bench_limiters,
    erlmcp_bench_breakers
]).

%% For `erl -run erlmcp_bench main -extra Arguments`; ends the node. Status 1: a result of ours or
%% of the baseline was wrong; 2: wrong arguments.
-spec main() -> no_return().
main() ->
    case arguments(init:get_plain_arguments(), #{}) of
        {ok, #{list := true} = Options} ->
            List = fun(#{group := Group, id := Id}) -> io:format("~ts ~ts~n", [Group, Id]) end,
            lists:foreach(List, chosen(Options)),
            halt(0);
        {ok, Options} ->
            case run(Options) of
                {ok, _} ->
                    halt(0);
                {wrong, _} ->
                    io:format(standard_error, "performance suite: a result was wrong~n", []),
                    halt(1);
                {error, no_case} ->
                    io:format(standard_error, "performance suite: no such case; --list shows them~n", []),
                    halt(2)
            end;
        {error, Argument} ->
            io:format(standard_error, "performance suite: what is ~ts?~n", [Argument]),
            halt(2)
    end.

arguments([], Options) -> {ok, Options};
arguments(["--quick" | Rest], Options) -> arguments(Rest, Options#{mode => quick});
arguments(["--full" | Rest], Options) -> arguments(Rest, Options#{mode => full});
arguments(["--list" | Rest], Options) -> arguments(Rest, Options#{list => true});
arguments(["--progress=" ++ Kind | Rest], Options) when Kind =:= "bar"; Kind =:= "lines"; Kind =:= "none" ->
    arguments(Rest, Options#{progress => list_to_atom(Kind)});
arguments(["--only=" ++ Ids | Rest], Options) -> arguments(Rest, Options#{only => atoms(Ids)});
arguments(["--direction=" ++ Names | Rest], Options) -> arguments(Rest, Options#{directions => atoms(Names)});
arguments(["--output=" ++ Dir | Rest], Options) -> arguments(Rest, Options#{output => Dir});
arguments(["--record=" ++ Dir | Rest], Options) -> arguments(Rest, Options#{record => Dir});
arguments([Other | _], _) -> {error, Other}.

atoms(Text) ->
    [list_to_atom(Name) || Name <- string:lexemes(Text, ",")].

%% Measures, prints and writes. `wrong`: ours or the baseline gave a wrong result; the files are
%% written all the same.
-spec run(options()) -> {ok | wrong, [erlmcp_bench_measure:result()]} | {error, no_case}.
run(Options) ->
    Cases = chosen(Options),
    Unknown = maps:get(only, Options, []) -- [Id || #{id := Id} <- Cases],
    case Cases =:= [] orelse Unknown =/= [] of
        true -> {error, no_case};
        false -> run(Cases, Options)
    end.

run(Cases, Options) ->
    Mode = maps:get(mode, Options, standard),
    Settings = maps:get(settings, Options, erlmcp_bench_measure:settings(Mode)),
    Load0 = erlmcp_bench_environment:load_start(),
    Progress = erlmcp_bench_table:progress(maps:get(progress, Options, lines)),
    Results = erlmcp_bench_measure:run(Cases, Settings, Progress),
    Load = erlmcp_bench_environment:load_since(Load0),
    Summary = erlmcp_bench_report:summary(Results),
    Targets = erlmcp_bench_report:targets(targets(Results, Options), Results),
    ok = erlmcp_bench_table:print(Results),
    ok = erlmcp_bench_table:summary(Summary),
    ok = erlmcp_bench_table:targets(Targets),
    ok = missing(Results),
    ok = busy(Load),
    Run = #{
        mode => Mode,
        settings => Settings,
        load => Load,
        results => Results,
        subjects => lists:append([Suite:subjects() || Suite <- ?SUITES, has_subjects(Suite)]),
        summary => Summary,
        targets => Targets
    },
    ok = erlmcp_bench_report:write(Run, Options),
    Own = [Name || #{wrong := Wrong} <- Results, {Name, Role, _} <- Wrong, Role =/= peer],
    case Own of
        [] -> {ok, Results};
        _ -> {wrong, Results}
    end.

%% Those of the groups that were measured; where only some cases were, those that name theirs.
targets(Results, Options) ->
    [
        Target
     || Suite <- ?SUITES,
        #{group := Group} = Target <- Suite:targets(),
        lists:any(fun(#{group := G}) -> G =:= Group end, Results),
        not is_map_key(only, Options) orelse is_map_key(ids, Target)
    ].

%% The cases that the options choose.
-spec chosen(options()) -> [erlmcp_bench_measure:bench_case()].
chosen(Options) ->
    Only = maps:get(only, Options, all),
    Directions = maps:get(directions, Options, all),
    Mode = maps:get(mode, Options, standard),
    [
        Case
     || Suite <- ?SUITES,
        #{id := Id, group := Group} = Case <- Suite:cases(),
        case Only of
            all -> lists:member(Mode, maps:get(modes, Case, [Mode]));
            _ -> lists:member(Id, Only)
        end,
        Directions =:= all orelse lists:any(fun(Direction) -> of_direction(Group, Direction) end, Directions)
    ].

has_subjects(Suite) ->
    erlmcp_bench_suite:present(Suite, [{subjects, 0}]).

%% `decode` chooses json_decode and rpc_decode_built, `rpc` all of its own, `json_decode` itself.
of_direction(Group, Direction) ->
    Parts = string:lexemes(atom_to_list(Group), "_"),
    Group =:= Direction orelse lists:member(atom_to_list(Direction), Parts).

missing(Results) ->
    case lists:usort(lists:append([Missing || #{missing := Missing} <- Results])) of
        [] ->
            ok;
        Missing ->
            io:format("~nnot measured: ~ts~n", [
                lists:join(", ", [io_lib:format("~ts (~ts)", [Name, Why]) || {Name, Why} <- Missing])
            ])
    end.

busy({[{<<"other_cores">>, null} | _]}) ->
    io:format("~nWhat else the machine did meanwhile is not known here.~n", []);
busy({[{<<"other_cores">>, Cores}, {<<"idle">>, true}]}) ->
    io:format("~nThe machine was idle otherwise (~.2f cores of other work).~n", [float(Cores)]);
busy({[{<<"other_cores">>, Cores}, {<<"idle">>, false}]}) ->
    io:format("~nTHE MACHINE WAS NOT IDLE: other processes used ~.2f cores meanwhile.~n", [float(Cores)]).
