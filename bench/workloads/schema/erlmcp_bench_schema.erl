%% JSON Schema: the arguments of tool calls against the tools' schemas, as terms and as text,
%% right and wrong.
-module(erlmcp_bench_schema).
-behaviour(erlmcp_bench_suite).

-export([cases/0, targets/0]).

-spec cases() -> [erlmcp_bench_measure:bench_case()].
cases() ->
    lists:flatmap(fun cases/1, erlmcp_bench_schema_workloads:workloads()).

cases(#{id := Id, schema := Schema, json := Json} = Workload) ->
    #{arguments := Right, wrong_arguments := Wrong} = Workload,
    {ok, Native} = erlmcp_native_schema:compile(Schema),
    Erlang = erlmcp_schema_baseline:compile(Schema),
    Decode = erlmcp_bench_json_coders:reference(),
    [
        measured(
            Id,
            Suffix,
            byte_size(Json),
            Expected,
            fun() -> erlmcp_native_schema:validate(Native, Instance) end,
            fun() -> erlmcp_schema_baseline:is_valid(Erlang, Read(Instance)) end
        )
     || {Suffix, Instance, Read, Expected} <- [
            {"_term", Right, fun(Term) -> Term end, true},
            {"_text", Json, Decode, true},
            {"_term_wrong", Wrong, fun(Term) -> Term end, false}
        ]
    ].

measured(Id, Suffix, Bytes, Expected, Native, Erlang) ->
    #{
        group => schema_validate,
        id => list_to_atom(atom_to_list(Id) ++ Suffix),
        set => mcp,
        bytes => Bytes,
        expected => Expected,
        subjects => [
            #{name => native, role => measured, call => Native, normal => fun is_right/1},
            #{name => pure_erlang, role => baseline, call => Erlang, normal => fun is_right/1}
        ],
        missing => []
    }.

%% The baseline stops at the first mistake; ours says which there are.
is_right(Answer) when is_boolean(Answer) -> Answer;
is_right(ok) -> true;
is_right({error, [_ | _]}) -> false.

-spec targets() -> [erlmcp_bench_suite:target()].
targets() ->
    Base = #{group => schema_validate, subject => native, ids => [schema_search_issues_term]},
    [
        Base#{text => <<"validation of a tool call's arguments">>, figure => {at_most, 3000}},
        Base#{text => <<"the same over pure Erlang">>, figure => {least, pure_erlang, 20.0}}
    ].
