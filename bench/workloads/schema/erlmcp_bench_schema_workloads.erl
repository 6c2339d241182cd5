-module(erlmcp_bench_schema_workloads).
%% Tool schemas as MCP servers publish them, with arguments as their clients send them.

-export([workloads/0]).

-export_type([workload/0]).

-type workload() :: #{
    id := atom(),
    schema := map(),
    %% The arguments as a decoded term and as JSON text: the same value, which fits the schema.
    arguments := map(),
    json := binary(),
    %% The same with one mistake.
    wrong_arguments := map(),
    wrong_json := binary()
}.

-spec workloads() -> [workload()].
workloads() ->
    [search_issues(), read_file(), create_order()].

%% Eight properties and a nested array of enums.
search_issues() ->
    #{
        id => schema_search_issues,
        schema => object(
            #{
                <<"owner">> => #{
                    <<"type">> => <<"string">>, <<"minLength">> => 1, <<"maxLength">> => 39
                },
                <<"repo">> => #{
                    <<"type">> => <<"string">>, <<"pattern">> => <<"^[A-Za-z0-9._-]+$">>
                },
                <<"query">> => #{
                    <<"type">> => <<"string">>, <<"minLength">> => 1, <<"maxLength">> => 256
                },
                <<"state">> => #{<<"enum">> => [<<"open">>, <<"closed">>, <<"all">>]},
                <<"labels">> => #{
                    <<"type">> => <<"array">>,
                    <<"items">> => #{
                        <<"enum">> => [
                            <<"bug">>, <<"documentation">>, <<"duplicate">>, <<"enhancement">>,
                            <<"help wanted">>, <<"invalid">>, <<"question">>
                        ]
                    },
                    <<"maxItems">> => 10,
                    <<"uniqueItems">> => true
                },
                <<"per_page">> => #{
                    <<"type">> => <<"integer">>, <<"minimum">> => 1, <<"maximum">> => 100
                },
                <<"page">> => #{<<"type">> => <<"integer">>, <<"minimum">> => 1},
                <<"include_body">> => #{<<"type">> => <<"boolean">>}
            },
            [<<"owner">>, <<"repo">>, <<"query">>]
        ),
        arguments => #{
            <<"owner">> => <<"erlang">>,
            <<"repo">> => <<"otp">>,
            <<"query">> => <<"scheduler hangs after dirty NIF">>,
            <<"state">> => <<"open">>,
            <<"labels">> => [<<"bug">>, <<"help wanted">>, <<"question">>],
            <<"per_page">> => 50,
            <<"page">> => 1,
            <<"include_body">> => false
        },
        json =>
            <<"{\"owner\":\"erlang\",\"repo\":\"otp\",\"query\":\"scheduler hangs after dirty NIF\","
              "\"state\":\"open\",\"labels\":[\"bug\",\"help wanted\",\"question\"],"
              "\"per_page\":50,\"page\":1,\"include_body\":false}">>,
        wrong_arguments => #{
            <<"owner">> => <<"erlang">>,
            <<"repo">> => <<"otp">>,
            <<"query">> => <<"scheduler">>,
            <<"labels">> => [<<"bug">>, <<"feature">>],
            <<"per_page">> => 50
        },
        wrong_json =>
            <<"{\"owner\":\"erlang\",\"repo\":\"otp\",\"query\":\"scheduler\","
              "\"labels\":[\"bug\",\"feature\"],\"per_page\":50}">>
    }.

%% As small as tools get.
read_file() ->
    #{
        id => schema_read_file,
        schema => object(
            #{
                <<"path">> => #{<<"type">> => <<"string">>, <<"minLength">> => 1},
                <<"head">> => #{<<"type">> => <<"integer">>, <<"exclusiveMinimum">> => 0}
            },
            [<<"path">>]
        ),
        arguments => #{<<"path">> => <<"/srv/data/report.txt">>, <<"head">> => 20},
        json => <<"{\"path\":\"/srv/data/report.txt\",\"head\":20}">>,
        wrong_arguments => #{<<"path">> => <<"/srv/data/report.txt">>, <<"head">> => 0},
        wrong_json => <<"{\"path\":\"/srv/data/report.txt\",\"head\":0}">>
    }.

%% Nested objects, alternatives, numbers: some 2 KB of arguments.
create_order() ->
    Item = object(
        #{
            <<"sku">> => #{
                <<"type">> => <<"string">>, <<"pattern">> => <<"^[A-Z]{3}-[0-9]{6}$">>
            },
            <<"quantity">> => #{
                <<"type">> => <<"integer">>, <<"minimum">> => 1, <<"maximum">> => 1000
            },
            <<"price">> => #{<<"type">> => <<"number">>, <<"minimum">> => 0},
            <<"note">> => #{<<"type">> => [<<"string">>, <<"null">>], <<"maxLength">> => 80}
        },
        [<<"sku">>, <<"quantity">>, <<"price">>]
    ),
    Payment = #{
        <<"oneOf">> => [
            object(
                #{
                    <<"kind">> => #{<<"const">> => <<"invoice">>},
                    <<"days">> => #{<<"enum">> => [14, 30, 60]}
                },
                [<<"kind">>, <<"days">>]
            ),
            object(
                #{
                    <<"kind">> => #{<<"const">> => <<"card">>},
                    <<"token">> => #{<<"type">> => <<"string">>, <<"minLength">> => 16}
                },
                [<<"kind">>, <<"token">>]
            )
        ]
    },
    Schema = object(
        #{
            <<"customer">> => #{<<"type">> => <<"string">>, <<"minLength">> => 1},
            <<"items">> => #{
                <<"type">> => <<"array">>,
                <<"items">> => Item,
                <<"minItems">> => 1,
                <<"maxItems">> => 100
            },
            <<"payment">> => Payment
        },
        [<<"customer">>, <<"items">>, <<"payment">>]
    ),
    Arguments = order(<<"ABC-">>),
    Wrong = order(<<"abc-">>),
    #{
        id => schema_create_order,
        schema => Schema,
        arguments => Arguments,
        json => json(Arguments),
        wrong_arguments => Wrong,
        wrong_json => json(Wrong)
    }.

order(Prefix) ->
    #{
        <<"customer">> => <<"Zoë Müller GmbH"/utf8>>,
        <<"items">> => [
            #{
                <<"sku">> => <<Prefix/binary, (integer_to_binary(100000 + N * 37))/binary>>,
                <<"quantity">> => N rem 7 + 1,
                <<"price">> => N * 1.25,
                <<"note">> => lists:nth(N rem 2 + 1, [null, <<"leave at the gate">>])
            }
         || N <- lists:seq(1, 25)
        ],
        <<"payment">> => #{<<"kind">> => <<"card">>, <<"token">> => <<"tok_0123456789abcdef">>}
    }.

object(Properties, Required) ->
    #{
        <<"type">> => <<"object">>,
        <<"properties">> => Properties,
        <<"required">> => Required,
        <<"additionalProperties">> => false
    }.

%% Enough of an encoder for the above.
json(Map) when is_map(Map) ->
    Members = [[json(Key), $:, json(Value)] || {Key, Value} <- maps:to_list(Map)],
    iolist_to_binary([${, lists:join($,, Members), $}]);
json(List) when is_list(List) ->
    iolist_to_binary([$[, lists:join($,, [json(Item) || Item <- List]), $]]);
json(Binary) when is_binary(Binary) -> <<$", Binary/binary, $">>;
json(Integer) when is_integer(Integer) -> integer_to_binary(Integer);
json(Float) when is_float(Float) -> float_to_binary(Float, [short]);
json(Atom) when is_atom(Atom) -> atom_to_binary(Atom).
