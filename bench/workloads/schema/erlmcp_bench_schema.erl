%% JSON Schema: the arguments of a typical tool call against the tool's schema, as a term and as
%% text, right and wrong.
-module(erlmcp_bench_schema).
-behaviour(erlmcp_bench_suite).

-export([cases/0, targets/0]).

-spec cases() -> [erlmcp_bench_measure:bench_case()].
cases() ->
    Valid = arguments(),
    Invalid = Valid#{<<"priority">> := 11, <<"state">> := <<"unknown">>},
    [
        validate_case(arguments_term, Valid, valid),
        validate_case(arguments_text, erlmcp_bench_writer:compact(document(Valid)), valid),
        validate_case(arguments_term_invalid, Invalid, invalid)
    ].

validate_case(Id, Instance, Expected) ->
    Baseline = baseline(Instance),
    #{
        group => schema_validate,
        id => Id,
        set => mcp,
        bytes => byte_size(erlmcp_bench_writer:compact(document(arguments()))),
        expected => Expected,
        subjects => [Subject#{normal => fun verdict/1} || Subject <- [ours(Instance) | Baseline]],
        missing =>
            [{pure_erlang, <<"erlmcp_schema_baseline is not there">>} || Baseline =:= []]
    }.

verdict(ok) -> valid;
verdict({error, [_ | _]}) -> invalid.

ours(Instance) ->
    {ok, Schema} = erlmcp_native_schema:compile(schema()),
    Call = fun() -> erlmcp_native_schema:validate(Schema, Instance) end,
    #{name => native, role => measured, call => Call}.

baseline(Instance) ->
    case erlmcp_bench_suite:present(erlmcp_schema_baseline, [{compile, 1}, {validate, 2}]) of
        true ->
            {ok, Schema} = erlmcp_schema_baseline:compile(schema()),
            Call =
                case Instance of
                    Text when is_binary(Text) ->
                        Decode = erlmcp_bench_json_coders:reference(),
                        fun() -> erlmcp_schema_baseline:validate(Schema, Decode(Text)) end;
                    Term ->
                        fun() -> erlmcp_schema_baseline:validate(Schema, Term) end
                end,
            [#{name => pure_erlang, role => baseline, call => Call}];
        false ->
            []
    end.

%% The schema of a tool that makes an issue.
schema() ->
    Text = fun(Max) -> #{<<"type">> => <<"string">>, <<"minLength">> => 1, <<"maxLength">> => Max} end,
    #{
        <<"$schema">> => <<"https://json-schema.org/draft/2020-12/schema">>,
        <<"type">> => <<"object">>,
        <<"properties">> => #{
            <<"owner">> => (Text(39))#{<<"pattern">> => <<"^[A-Za-z0-9-]+$">>},
            <<"repo">> => Text(100),
            <<"title">> => Text(256),
            <<"body">> => #{<<"type">> => <<"string">>},
            <<"state">> => #{<<"enum">> => [<<"open">>, <<"closed">>]},
            <<"priority">> => #{<<"type">> => <<"integer">>, <<"minimum">> => 1, <<"maximum">> => 5},
            <<"labels">> => #{
                <<"type">> => <<"array">>,
                <<"items">> => Text(50),
                <<"maxItems">> => 20,
                <<"uniqueItems">> => true
            },
            <<"assignee">> => #{
                <<"type">> => <<"object">>,
                <<"properties">> => #{
                    <<"login">> => Text(39),
                    <<"notify">> => #{<<"type">> => <<"boolean">>}
                },
                <<"required">> => [<<"login">>]
            }
        },
        <<"required">> => [<<"owner">>, <<"repo">>, <<"title">>],
        <<"additionalProperties">> => false
    }.

%% Through the external format: no literals, as if just decoded.
arguments() ->
    binary_to_term(
        term_to_binary(#{
            <<"owner">> => <<"example-org">>,
            <<"repo">> => <<"payments-service">>,
            <<"title">> => <<"Retries are not bounded when the gateway is down">>,
            <<"body">> => <<"Steps: stop the gateway, send one payment, watch the log.">>,
            <<"state">> => <<"open">>,
            <<"priority">> => 2,
            <<"labels">> => [<<"bug">>, <<"backend">>, <<"needs-triage">>],
            <<"assignee">> => #{<<"login">> => <<"alice">>, <<"notify">> => true}
        })
    ).

document(Map) when is_map(Map) -> {[{Key, document(Value)} || {Key, Value} <- maps:to_list(Map)]};
document(List) when is_list(List) -> [document(Item) || Item <- List];
document(Scalar) -> Scalar.

-spec targets() -> [erlmcp_bench_suite:target()].
targets() ->
    Base = #{group => schema_validate, subject => native, ids => [arguments_term]},
    [
        Base#{text => <<"validation of a tool call's arguments">>, figure => {at_most, 3000}},
        Base#{text => <<"the same over pure Erlang">>, figure => {least, pure_erlang, 20.0}}
    ].
