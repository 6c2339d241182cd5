-module(erlmcp_native_schema_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-compile([export_all, nowarn_export_all]).

all() ->
    [
        {group, use},
        {group, limits},
        {group, life},
        {group, official}
    ].

groups() ->
    [
        {use, [parallel], [
            text_and_term,
            drafts,
            auto_draft,
            violations,
            paths_are_pointers,
            max_errors,
            formats,
            documents,
            nothing_is_fetched,
            numbers,
            terms_as_encode_writes_them,
            wrong_terms,
            wrong_text,
            duplicate_keys,
            bad_schemas,
            bad_options,
            not_a_schema
        ]},
        {limits, [], [
            depth,
            schema_size,
            hostile_schemas,
            hostile_instances,
            large_instances,
            call_time
        ]},
        {life, [], [many_processes, garbage_is_freed]},
        {official, [], [
            {drafts, [parallel], [draft4, draft6, draft7, draft2019_09, draft2020_12]},
            same_as_pure_erlang
        ]}
    ].

init_per_group(drafts, Config) ->
    case fetch_suite() of
        {ok, Folder} -> [{suite, Folder} | Config];
        {error, Reason} -> {skip, Reason}
    end;
init_per_group(_, Config) ->
    Config.

end_per_group(_, _) ->
    ok.

%% Use

text_and_term(_) ->
    Schemas = [
        <<"{\"type\":\"object\",\"required\":[\"a\"]}">>,
        #{<<"type">> => <<"object">>, <<"required">> => [<<"a">>]},
        #{type => object, required => [a]},
        {term, #{type => object, required => [a]}}
    ],
    [
        begin
            {ok, Schema} = erlmcp_native_schema:compile(Source),
            ok = erlmcp_native_schema:validate(Schema, <<"{\"a\":1}">>),
            ok = erlmcp_native_schema:validate(Schema, #{<<"a">> => 1}),
            ok = erlmcp_native_schema:validate(Schema, #{a => 1}),
            ok = erlmcp_native_schema:validate(Schema, {term, #{a => 1}}),
            {error, [#{keyword := <<"required">>}]} =
                erlmcp_native_schema:validate(Schema, <<"{}">>),
            {error, [#{keyword := <<"required">>}]} = erlmcp_native_schema:validate(Schema, #{}),
            true = erlmcp_native_schema:is_valid(Schema, #{a => 1}),
            false = erlmcp_native_schema:is_valid(Schema, #{})
        end
     || Source <- Schemas
    ],
    {ok, String} = erlmcp_native_schema:compile(#{type => string}),
    ok = erlmcp_native_schema:validate(String, {term, <<"1">>}),
    ok = erlmcp_native_schema:validate(String, <<"\"1\"">>),
    {error, [_]} = erlmcp_native_schema:validate(String, <<"1">>),
    {ok, Anything} = erlmcp_native_schema:compile(true),
    true = erlmcp_native_schema:is_valid(Anything, 1),
    {ok, Nothing} = erlmcp_native_schema:compile(<<"false">>),
    false = erlmcp_native_schema:is_valid(Nothing, 1).

drafts(_) ->
    %% Each schema says something else in the draft before.
    Cases = [
        {draft4, #{minimum => 1, exclusiveMinimum => true}, 1, 2},
        {draft6, #{const => 1}, 2, 1},
        {draft7, #{'if' => #{type => integer}, then => #{minimum => 5}}, 1, 5},
        {draft2019_09, #{dependentRequired => #{a => [b]}}, #{a => 1}, #{a => 1, b => 1}},
        {draft2020_12, #{prefixItems => [#{type => integer}]}, [a], [1]}
    ],
    [
        begin
            {ok, Schema} = erlmcp_native_schema:compile(Source, #{draft => Draft}),
            {Draft, false} = {Draft, erlmcp_native_schema:is_valid(Schema, Wrong)},
            {Draft, true} = {Draft, erlmcp_native_schema:is_valid(Schema, Right)}
        end
     || {Draft, Source, Wrong, Right} <- Cases
    ],
    %% 1.0 is an integer, but was not in draft 4.
    [
        begin
            {ok, Schema} = erlmcp_native_schema:compile(#{type => integer}, #{draft => Draft}),
            {Draft, Valid} = {Draft, erlmcp_native_schema:is_valid(Schema, 1.0)},
            {Draft, Valid} = {Draft, erlmcp_native_schema:is_valid(Schema, <<"1.0">>)}
        end
     || {Draft, Valid} <- [
            {draft4, false},
            {draft6, true},
            {draft7, true},
            {draft2019_09, true},
            {draft2020_12, true}
        ]
    ].

auto_draft(_) ->
    Draft4 = #{
        '$schema' => <<"http://json-schema.org/draft-04/schema#">>,
        minimum => 1,
        exclusiveMinimum => true
    },
    {ok, Schema} = erlmcp_native_schema:compile(Draft4),
    false = erlmcp_native_schema:is_valid(Schema, 1),
    {error, {invalid_schema, #{instance_path := <<"/exclusiveMinimum">>}}} =
        erlmcp_native_schema:compile(Draft4, #{draft => draft2020_12}),
    {error, {unresolved_reference, _}} =
        erlmcp_native_schema:compile(#{'$schema' => <<"http://example.com/unknown">>}).

violations(_) ->
    {ok, Schema} = erlmcp_native_schema:compile(#{
        properties => #{
            name => #{type => string, minLength => 3},
            tags => #{items => #{enum => [a, b]}}
        }
    }),
    {error, Violations} = erlmcp_native_schema:validate(Schema, #{
        name => <<"é"/utf8>>, tags => [a, c]
    }),
    ?assertEqual(
        [
            #{
                instance_path => <<"/name">>,
                schema_path => <<"/properties/name/minLength">>,
                keyword => <<"minLength">>,
                message => <<"\"é\" is shorter than 3 characters"/utf8>>
            },
            #{
                instance_path => <<"/tags/1">>,
                schema_path => <<"/properties/tags/items/enum">>,
                keyword => <<"enum">>,
                message => <<"\"c\" is not one of \"a\" or \"b\"">>
            }
        ],
        lists:sort(Violations)
    ),
    %% Large values are named, not shown.
    {error, [#{message := <<"object is not of type \"string\"">>}]} =
        erlmcp_native_schema:validate(Schema, #{name => #{a => 1}}).

paths_are_pointers(_) ->
    {ok, Schema} = erlmcp_native_schema:compile(#{
        '$ref' => <<"#/$defs/outer">>,
        '$defs' => #{outer => #{additionalProperties => #{type => integer}}}
    }),
    {error, [
        #{
            instance_path := <<"/a~1b~0c">>,
            schema_path := <<"/$defs/outer/additionalProperties/type">>
        }
    ]} = erlmcp_native_schema:validate(Schema, #{<<"a/b~c">> => x}).

max_errors(_) ->
    Source = #{items => #{type => string}},
    Numbers = lists:seq(1, 100),
    [
        begin
            {ok, Schema} = erlmcp_native_schema:compile(Source, Options),
            {error, Violations} = erlmcp_native_schema:validate(Schema, Numbers),
            ?assertEqual(Count, length(Violations))
        end
     || {Options, Count} <- [
            {#{}, 32},
            {#{max_errors => 1}, 1},
            {#{max_errors => 99}, 99},
            {#{max_errors => 100}, 100},
            {#{max_errors => 101}, 100}
        ]
    ].

formats(_) ->
    Source = #{format => ipv4},
    [
        begin
            {ok, Schema} = erlmcp_native_schema:compile(Source, Options),
            ?assertEqual({Options, Valid}, {
                Options, erlmcp_native_schema:is_valid(Schema, {term, <<"1.2.3">>})
            }),
            true = erlmcp_native_schema:is_valid(Schema, {term, <<"1.2.3.4">>})
        end
     || {Options, Valid} <- [
            {#{}, true},
            {#{formats => true}, false},
            {#{draft => draft7}, false},
            {#{draft => draft7, formats => false}, true},
            {#{draft => draft2019_09, formats => auto}, true}
        ]
    ].

documents(_) ->
    Source = #{'$ref' => <<"http://example.com/positive.json">>},
    Documents = #{
        <<"http://example.com/positive.json">> => #{minimum => 1},
        "http://example.com/unused.json" => <<"{\"$ref\":\"http://example.com/nowhere\"}">>
    },
    {ok, Schema} = erlmcp_native_schema:compile(Source, #{documents => Documents}),
    true = erlmcp_native_schema:is_valid(Schema, 1),
    false = erlmcp_native_schema:is_valid(Schema, 0),
    %% A meta-schema of one's own.
    Meta = <<"http://example.com/meta">>,
    {ok, _} = erlmcp_native_schema:compile(
        #{'$schema' => Meta, type => integer},
        #{
            documents => #{
                Meta => #{
                    '$schema' => <<"https://json-schema.org/draft/2020-12/schema">>,
                    '$id' => Meta
                }
            }
        }
    ).

nothing_is_fetched(_) ->
    {ok, Listen} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Listen),
    Uri = iolist_to_binary(io_lib:format("http://127.0.0.1:~b/x.json", [Port])),
    File = filename:absname("erlmcp_schema_document.json"),
    ok = file:write_file(File, <<"{}">>),
    [
        {error, {unresolved_reference, _}} =
            erlmcp_native_schema:compile(#{'$ref' => Reference})
     || Reference <- [Uri, iolist_to_binary(["file://", File]), <<"#/$defs/none">>]
    ],
    {error, timeout} = gen_tcp:accept(Listen, 50).

numbers(_) ->
    Big = 1 bsl 200,
    {ok, Schema} = erlmcp_native_schema:compile(#{maximum => Big}),
    true = erlmcp_native_schema:is_valid(Schema, Big),
    false = erlmcp_native_schema:is_valid(Schema, Big + 1),
    true = erlmcp_native_schema:is_valid(Schema, integer_to_binary(Big)),
    false = erlmcp_native_schema:is_valid(Schema, integer_to_binary(Big + 1)),
    {ok, Negative} = erlmcp_native_schema:compile(#{const => -Big}),
    true = erlmcp_native_schema:is_valid(Negative, -Big),
    false = erlmcp_native_schema:is_valid(Negative, Big),
    {ok, Cents} = erlmcp_native_schema:compile(#{multipleOf => 0.01}),
    [true = erlmcp_native_schema:is_valid(Cents, Value) || Value <- [19.99, 0.07, 4.35, <<"19.99">>]],
    false = erlmcp_native_schema:is_valid(Cents, 19.999),
    {ok, Enum} = erlmcp_native_schema:compile(#{enum => [1, 2.5]}),
    [true = erlmcp_native_schema:is_valid(Enum, Value) || Value <- [1, 1.0, <<"1e0">>, 2.5]],
    [
        begin
            {ok, Const} = erlmcp_native_schema:compile(#{const => Integer}),
            true = erlmcp_native_schema:is_valid(Const, Integer),
            true = erlmcp_native_schema:is_valid(Const, integer_to_binary(Integer)),
            false = erlmcp_native_schema:is_valid(Const, Integer + 1)
        end
     || Shift <- [31, 32, 53, 59, 60, 63, 64, 65],
        Integer <- [1 bsl Shift, (1 bsl Shift) - 1, -(1 bsl Shift), -(1 bsl Shift) - 1]
    ].

terms_as_encode_writes_them(_) ->
    {ok, String} = erlmcp_native_schema:compile(#{type => string}),
    [
        true = erlmcp_native_schema:is_valid(String, Term)
     || Term <- [undefined, hello, {term, <<>>}, 'h\x{e9}']
    ],
    [false = erlmcp_native_schema:is_valid(String, Term) || Term <- [true, false, null, [], "text"]],
    {ok, Keys} = erlmcp_native_schema:compile(#{required => [<<"a">>, <<"1">>, <<"b">>]}),
    true = erlmcp_native_schema:is_valid(Keys, #{a => 0, 1 => 0, <<"b">> => 0}).

wrong_terms(_) ->
    {ok, Schema} = erlmcp_native_schema:compile(true),
    Deep = lists:foldl(fun(_, Term) -> [Term] end, self(), lists:seq(1, 50)),
    Wrong = [
        self(),
        make_ref(),
        fun() -> ok end,
        {a, b},
        {term, {a, b}},
        {},
        <<1:3>>,
        [1 | 2],
        #{<<"a">> => self()},
        #{{a} => 1},
        #{<<1:3>> => 1},
        [[#{a => {1}}]],
        1 bsl 40000,
        -(1 bsl 32768),
        Deep
    ],
    [
        begin
            {error, {unsupported_type, _}} = erlmcp_native_schema:validate(Schema, Term),
            false = erlmcp_native_schema:is_valid(Schema, Term),
            {error, {unsupported_type, _}} = erlmcp_native_schema:compile(#{const => Term})
        end
     || Term <- Wrong, Term =/= {term, {a, b}}
    ],
    {error, {invalid_utf8, <<255>>}} = erlmcp_native_schema:validate(Schema, [<<255>>]),
    {error, {invalid_utf8, <<255>>}} = erlmcp_native_schema:validate(Schema, #{<<255>> => 1}).

wrong_text(_) ->
    {ok, Schema} = erlmcp_native_schema:compile(true),
    [
        {Text, {error, {invalid_json, Offset}}} =
            {Text, erlmcp_native_schema:validate(Schema, Text)}
     || {Text, Offset} <- [
            {<<>>, 0},
            {<<" ">>, 1},
            {<<"{">>, 1},
            {<<"[1,]">>, 3},
            {<<"{\"a\":1,}">>, 7},
            {<<"tru">>, 3},
            {<<"01">>, 1},
            {<<"1.">>, 2},
            {<<"[1] x">>, 4},
            {<<"\"", 255, "\"">>, 1},
            {<<"\"", 10, "\"">>, 1}
        ]
    ],
    Sub = binary:part(<<"xx[1,2]yy">>, 2, 5),
    ok = erlmcp_native_schema:validate(Schema, Sub).

%% As erlmcp_native_json decodes: the first wins.
duplicate_keys(_) ->
    {ok, Schema} = erlmcp_native_schema:compile(#{
        properties => #{a => #{type => integer}}, maxProperties => 1
    }),
    true = erlmcp_native_schema:is_valid(Schema, <<"{\"a\":1,\"a\":\"x\"}">>),
    false = erlmcp_native_schema:is_valid(Schema, <<"{\"a\":\"x\",\"a\":1}">>),
    %% More members than are searched one by one.
    {ok, Large} = erlmcp_native_schema:compile(#{
        properties => #{k1 => #{type => integer}}, maxProperties => 40
    }),
    Members = [
        io_lib:format("\"k~b\":~s", [N rem 40, Value])
     || {N, Value} <- [{N, "1"} || N <- lists:seq(0, 39)] ++ [{N, "\"x\""} || N <- lists:seq(0, 39)]
    ],
    true = erlmcp_native_schema:is_valid(
        Large, iolist_to_binary(["{", lists:join(",", Members), "}"])
    ),
    false = erlmcp_native_schema:is_valid(
        Large, iolist_to_binary(["{", lists:join(",", lists:reverse(Members)), "}"])
    ).

bad_schemas(_) ->
    [
        {error, {invalid_schema, #{instance_path := Path}}} =
            erlmcp_native_schema:compile(Source)
     || {Source, Path} <- [
            {#{type => 5}, <<"/type">>},
            {#{type => sometimes}, <<"/type">>},
            {#{minLength => -1}, <<"/minLength">>},
            {#{properties => #{a => #{pattern => <<"(">>}}}, <<"/properties/a/pattern">>}
        ]
    ],
    {error, {invalid_schema, _}} = erlmcp_native_schema:compile(5),
    {error, {invalid_json, 1}} = erlmcp_native_schema:compile(<<"{">>).

bad_options(_) ->
    [
        begin
            {'EXIT', {badarg, [{erlmcp_native_schema, compile, [true, Options], Info} | _] = Stack}} =
                (catch erlmcp_native_schema:compile(true, Options)),
            #{cause := #{2 := _}} = proplists:get_value(error_info, Info),
            #{2 := Why} = erlmcp_native_schema:format_error(badarg, Stack),
            true = is_list(unicode:characters_to_list(Why))
        end
     || Options <- [
            #{unknown => 1},
            #{draft => draft3},
            #{formats => yes},
            #{max_errors => 0},
            #{max_depth => 0},
            #{max_depth => 1025},
            #{max_schema_size => -1},
            #{documents => []},
            #{documents => #{[self()] => true}},
            []
        ]
    ].

not_a_schema(_) ->
    [
        erlmcp_native_test_json:refused(fun() -> erlmcp_native_schema:Function(NotSchema, 1) end)
     || NotSchema <- [1, make_ref(), true, <<>>, self()],
        Function <- [validate, is_valid]
    ].

%% Limits

depth(_) ->
    Nested = fun(N) -> lists:foldl(fun(_, Term) -> [Term] end, [], lists:seq(2, N)) end,
    Text = fun(N) -> iolist_to_binary([lists:duplicate(N, $[), lists:duplicate(N, $])]) end,
    [
        begin
            {ok, Schema} = erlmcp_native_schema:compile(true, Options),
            [ok = erlmcp_native_schema:validate(Schema, Make(Max)) || Make <- [Nested, Text]],
            [
                {error, {too_deep, Max}} = erlmcp_native_schema:validate(Schema, Make(Max + 1))
             || Make <- [Nested, Text]
            ]
        end
     || {Options, Max} <- [
            {#{}, 128}, {#{max_depth => 1}, 1}, {#{max_depth => 1024}, 1024}
        ]
    ],
    {ok, Schema} = erlmcp_native_schema:compile(true),
    {error, {too_deep, 128}} = erlmcp_native_schema:validate(
        Schema, binary:copy(<<"[">>, 1000000)
    ),
    Schemas = fun(N) -> lists:foldl(fun(_, S) -> #{'not' => S} end, #{}, lists:seq(2, N)) end,
    {ok, _} = erlmcp_native_schema:compile(Schemas(128)),
    {error, {too_deep, 128}} = erlmcp_native_schema:compile(Schemas(129)),
    {ok, _} = erlmcp_native_schema:compile(Schemas(1024), #{max_depth => 1024}).

schema_size(_) ->
    Source = <<"{\"enum\":[\"0123456789\"]}">>,
    Size = byte_size(Source),
    {ok, _} = erlmcp_native_schema:compile(Source, #{max_schema_size => Size}),
    {error, too_large} = erlmcp_native_schema:compile(Source, #{max_schema_size => Size - 1}),
    %% Of a term the bytes of its strings: enum and 0123456789.
    Term = #{enum => [<<"0123456789">>]},
    {ok, _} = erlmcp_native_schema:compile(Term, #{max_schema_size => 14}),
    {error, too_large} = erlmcp_native_schema:compile(Term, #{max_schema_size => 13}),
    {error, too_large} = erlmcp_native_schema:compile(#{enum => lists:seq(1, 1 bsl 20)}).

hostile_schemas(_) ->
    Doubling = fun(Count, Keyword) ->
        maps:from_list(
            [
                {integer_to_binary(N), #{
                    Keyword => lists:duplicate(2, #{
                        '$ref' => <<"#/$defs/", (integer_to_binary(N + 1))/binary>>
                    })
                }}
             || N <- lists:seq(1, Count)
            ] ++ [{integer_to_binary(Count + 1), true}]
        )
    end,
    [
        {error, {too_complex, schema}} = erlmcp_native_schema:compile(#{
            '$ref' => <<"#/$defs/1">>, '$defs' => Doubling(40, Keyword)
        })
     || Keyword <- [allOf, anyOf, oneOf]
    ],
    {ok, Endless} = erlmcp_native_schema:compile(#{'$ref' => <<"#">>}),
    ok = erlmcp_native_schema:validate(Endless, 1).

hostile_instances(_) ->
    %% 10^5 times 10^5 comparisons.
    Numbers = [N + 0.5 || N <- lists:seq(1, 100000)],
    {ok, Enum} = erlmcp_native_schema:compile(
        #{items => #{enum => Numbers}}, #{max_schema_size => 10000000}
    ),
    {error, {too_complex, steps}} = erlmcp_native_schema:validate(Enum, lists:reverse(Numbers)),
    false = erlmcp_native_schema:is_valid(Enum, lists:reverse(Numbers)),
    {ok, Backtracking} = erlmcp_native_schema:compile(#{pattern => <<"(?=(a+)+b)a">>}),
    {error, [#{keyword := <<"pattern">>}]} =
        erlmcp_native_schema:validate(Backtracking, {term, binary:copy(<<"a">>, 100)}),
    {error, {too_complex, steps}} =
        erlmcp_native_schema:validate(Backtracking, {term, binary:copy(<<"a">>, 1000000)}).

large_instances(_) ->
    {ok, Schema} = erlmcp_native_schema:compile(#{items => #{type => integer}}),
    Numbers = lists:seq(1, 200000),
    ok = erlmcp_native_schema:validate(Schema, Numbers),
    true = erlmcp_native_schema:is_valid(Schema, Numbers),
    {error, [#{instance_path := <<"/200000">>}]} =
        erlmcp_native_schema:validate(Schema, Numbers ++ [x]),
    Text = iolist_to_binary(["[", lists:join(",", lists:duplicate(200000, "1")), "]"]),
    ok = erlmcp_native_schema:validate(Schema, Text),
    ok = erlmcp_native_schema:validate(Schema, [[]] -- [[]]),
    {ok, Length} = erlmcp_native_schema:compile(#{maxLength => 1000000}),
    ok = erlmcp_native_schema:validate(Length, {term, binary:copy(<<"x">>, 1000000)}),
    {error, [#{keyword := <<"maxLength">>}]} =
        erlmcp_native_schema:validate(Length, {term, binary:copy(<<"x">>, 1000001)}).

call_time(_) ->
    Wide = maps:from_list([{integer_to_binary(N), [N]} || N <- lists:seq(1, 1500)]),
    Schemas = [
        #{additionalProperties => #{items => #{type => string}}},
        #{additionalProperties => #{uniqueItems => true, items => #{enum => lists:seq(1, 50)}}},
        #{anyOf => [#{required => [integer_to_binary(N)]} || N <- lists:seq(5000, 5100)]}
    ],
    Compiled = [element(2, erlmcp_native_schema:compile(Source)) || Source <- Schemas],
    Instances = [Wide, lists:seq(1, 3900), {term, binary:copy(<<"é"/utf8>>, 60000)}, 1],
    erlmcp_native_call_time:assert_short(fun() ->
        [
            erlmcp_native_schema:validate(Schema, Instance)
         || Schema <- Compiled, Instance <- Instances, _ <- lists:seq(1, 5)
        ],
        ok
    end).

%% Life

many_processes(_) ->
    {ok, Schema} = erlmcp_native_schema:compile(#{
        properties => #{n => #{type => integer}, s => #{pattern => <<"^[a-z]+$">>}}
    }),
    Workers = [
        spawn_monitor(fun() ->
            [
                begin
                    ok = erlmcp_native_schema:validate(Schema, #{n => N, s => <<"abc">>}),
                    {error, [_, _]} = erlmcp_native_schema:validate(Schema, #{n => x, s => <<"A">>}),
                    true = erlmcp_native_schema:is_valid(Schema, <<"{\"n\":1,\"s\":\"z\"}">>)
                end
             || N <- lists:seq(1, 500)
            ]
        end)
     || _ <- lists:seq(1, 50)
    ],
    [
        receive
            {'DOWN', Monitor, process, Pid, Reason} -> ?assertEqual(normal, Reason)
        end
     || {Pid, Monitor} <- Workers
    ].

garbage_is_freed(_) ->
    Compile = fun(Count) ->
        in_process(fun() ->
            [
                {ok, _} = erlmcp_native_schema:compile(#{
                    properties => maps:from_list([
                        {integer_to_binary(N), #{type => string, pattern => <<"^x{1,9}$">>}}
                     || N <- lists:seq(1, Values)
                    ])
                })
             || _ <- lists:seq(1, Count), Values <- [1, 100]
            ]
        end)
    end,
    Validate = fun() ->
        in_process(fun() ->
            {ok, Schema} = erlmcp_native_schema:compile(#{items => #{type => string}}),
            [
                erlmcp_native_schema:validate(Schema, Instance)
             || _ <- lists:seq(1, 20),
                Instance <- [lists:seq(1, 1000), lists:seq(1, 20000), {term, x}, [self()], <<"[">>]
            ]
        end)
    end,
    %% What is made once and kept.
    Compile(2),
    Validate(),
    Before = settled(),
    Compile(50),
    Validate(),
    After = settled(),
    ?assert(After - Before < 200000, {Before, After}).

in_process(Body) ->
    {Pid, Monitor} = spawn_monitor(Body),
    receive
        {'DOWN', Monitor, process, Pid, Reason} -> normal = Reason
    end.

%% Large schemas are freed by a thread: wait until the count stands still.
settled() ->
    settled(erlmcp_native:memory(), 50).

settled(Last, Tries) ->
    timer:sleep(20),
    case erlmcp_native:memory() of
        Last when Tries < 40 -> Last;
        Now when Tries > 0 -> settled(Now, Tries - 1);
        Now -> Now
    end.

%% The official suite

draft4(Config) -> official("draft4", draft4, Config).
draft6(Config) -> official("draft6", draft6, Config).
draft7(Config) -> official("draft7", draft7, Config).
draft2019_09(Config) -> official("draft2019-09", draft2019_09, Config).
draft2020_12(Config) -> official("draft2020-12", draft2020_12, Config).

project() ->
    Beam = filename:absname(code:which(?MODULE)),
    find_up(filename:dirname(Beam)).

find_up(Folder) ->
    case filelib:is_regular(filename:join([Folder, "scripts", "fetch_schema_suite.sh"])) of
        true -> {ok, Folder};
        false when Folder =:= "/" -> {error, "the project's scripts are not there"};
        false -> find_up(filename:dirname(Folder))
    end.

fetch_suite() ->
    case project() of
        {ok, Project} ->
            Log = os:cmd(filename:join([Project, "scripts", "fetch_schema_suite.sh"]) ++ " 2>&1"),
            Folder = filename:join([Project, "_build", "schema_suite"]),
            case filelib:is_dir(filename:join(Folder, "tests")) of
                true -> {ok, Folder};
                false -> {error, "no JSON-Schema-Test-Suite: " ++ Log}
            end;
        Error ->
            Error
    end.

official(Name, Draft, Config) ->
    Suite = ?config(suite, Config),
    Remotes = remotes(filename:join(Suite, "remotes"), Name),
    Folder = filename:join([Suite, "tests", Name]),
    Counts = [
        official_file(filename:join(Folder, File), Draft, Remotes)
     || File <- filelib:wildcard("**/*.json", Folder),
        %% These refer to the remotes of other drafts; the Rust test has them.
        filename:basename(File) =/= "cross-draft.json",
        filename:basename(File) =/= "float-overflow.json"
    ],
    ct:comment("~b tests", [lists:sum(Counts)]).

remotes(Folder, Draft) ->
    maps:from_list([
        {["http://localhost:1234/", File], element(2, file:read_file(filename:join(Folder, File)))}
     || File <- filelib:wildcard("**/*.json", Folder),
        lists:prefix(Draft ++ "/", File) orelse not lists:prefix("draft", File),
        not lists:prefix("v1/", File)
    ]).

official_file(File, Draft, Remotes) ->
    Formats =
        case string:find(File, "optional/format") of
            nomatch -> auto;
            _ -> true
        end,
    {ok, Text} = file:read_file(File),
    Groups = erlmcp_native_json:decode(Text),
    lists:sum([
        begin
            {ok, Schema} = erlmcp_native_schema:compile({term, Source}, #{
                draft => Draft, formats => Formats, documents => Remotes
            }),
            [
                begin
                    ?assertEqual(
                        Valid,
                        erlmcp_native_schema:is_valid(Schema, {term, Data}),
                        {File, Source, Data}
                    ),
                    ?assertEqual(
                        Valid,
                        erlmcp_native_schema:validate(Schema, {term, Data}) =:= ok,
                        {File, Source, Data}
                    )
                end
             || #{<<"data">> := Data, <<"valid">> := Valid} <- Tests
            ],
            length(Tests)
        end
     || #{<<"schema">> := Source, <<"tests">> := Tests} <- Groups
    ]).

%% The measure that the benchmarks compare with gives the same answers.
same_as_pure_erlang(_) ->
    [
        begin
            {ok, Schema} = erlmcp_native_schema:compile(Source),
            Baseline = erlmcp_schema_baseline:compile(Source),
            [
                begin
                    Valid = erlmcp_schema_baseline:is_valid(Baseline, Term),
                    Valid = erlmcp_native_schema:is_valid(Schema, Term),
                    Valid = erlmcp_native_schema:is_valid(Schema, Text)
                end
             || {Term, Text, Valid} <- [{Right, RightText, true}, {Wrong, WrongText, false}]
            ],
            [
                ?assertEqual(
                    erlmcp_schema_baseline:is_valid(Baseline, Term),
                    erlmcp_native_schema:is_valid(Schema, {term, Term}),
                    Term
                )
             || Term <- variations(Right)
            ]
        end
     || #{
            schema := Source,
            arguments := Right,
            json := RightText,
            wrong_arguments := Wrong,
            wrong_json := WrongText
        } <- erlmcp_bench_schema_workloads:workloads()
    ].

%% Each member replaced by each of these, or left out.
variations(Map) ->
    Values = [
        null, true, 0, 1, 1.0, 1.5, -1, 101, <<>>, <<"open">>, <<"a b">>, <<"é"/utf8>>, [],
        [<<"bug">>], [<<"bug">>, <<"bug">>], [1, 1.0], #{}, #{<<"kind">> => <<"card">>},
        #{<<"kind">> => <<"invoice">>, <<"days">> => 14}, binary:copy(<<"é"/utf8>>, 30),
        binary:copy(<<"é"/utf8>>, 40)
    ],
    [maps:remove(Key, Map) || Key <- maps:keys(Map)] ++
        [Map#{Key => Value} || Key <- [<<"other">> | maps:keys(Map)], Value <- Values] ++ Values.
