%% The messages that JSON coders are measured on: what MCP clients and servers send, generated
%% from fixed seeds, with fixed ids and equal weight. The bytes are compact and the members stand
%% in the order in which the SDKs write them.
-module(erlmcp_bench_json_workloads).

-export([all/0, ids/0, shared_data/0]).
-export_type([workload/0]).

%% `term` is what a decoder must give for `json`: of the generated ones what they were made from,
%% of the files what the reference decoder reads.
-type workload() :: #{
    id := atom(), set := mcp | files, json := binary(), term := term()
}.

-define(FILES, [twitter, citm_catalog, canada]).

%% The generated ones; the files are there only where the data is.
-spec ids() -> [atom()].
ids() ->
    [Id || {Id, _} <- generators()].

-spec all() -> [workload()].
all() ->
    [generated(Id, Make) || {Id, Make} <- generators()] ++ lists:flatmap(fun file/1, ?FILES).

%% Where the data that is shared between checkouts lies: `ERLMCP_SHARED_DATA`, or
%% `../shared/data` beside the repository.
-spec shared_data() -> {ok, file:filename()} | none.
shared_data() ->
    Candidates =
        case os:getenv("ERLMCP_SHARED_DATA") of
            false -> beside();
            Named -> [Named]
        end,
    case [Candidate || Candidate <- Candidates, filelib:is_dir(Candidate)] of
        [Found | _] -> {ok, Found};
        [] -> none
    end.

%% Seen from the repository, and from where rebar3 puts the built application in it.
beside() ->
    Built =
        case code:lib_dir(erlmcp_native) of
            {error, bad_name} -> [];
            Dir -> [filename:join([Dir, "../../../..", "../shared/data"])]
        end,
    ["../shared/data" | Built].

file(Id) ->
    case shared_data() of
        {ok, Dir} ->
            case file:read_file(filename:join([Dir, "json", atom_to_list(Id) ++ ".json"])) of
                {ok, Json} ->
                    Decode = erlmcp_bench_json_coders:reference(),
                    [#{id => Id, set => files, json => Json, term => Decode(Json)}];
                {error, _} ->
                    []
            end;
        none ->
            []
    end.

generated(Id, Make) ->
    %% A seed of its own for each: adding one leaves the others as they are.
    _ = rand:seed(exsss, {2026, 7, erlang:crc32(atom_to_binary(Id))}),
    Document = Make(),
    %% Through the external format: no literals and no shared parts, as if just decoded.
    Term = binary_to_term(term_to_binary(erlmcp_bench_writer:to_term(Document))),
    #{id => Id, set => mcp, json => erlmcp_bench_writer:compact(Document), term => Term}.

generators() ->
    [
        {initialize, fun initialize/0},
        {tools_list_50, fun tools_list/0},
        {tools_call_174b, fun tools_call_small/0},
        {tools_call_2kb, fun tools_call_2kb/0},
        {resource_text_16kb, fun resource_text/0},
        {resource_base64_100kb, fun resource_base64/0},
        {prompt_get, fun prompt_get/0},
        {progress_notification, fun progress_notification/0},
        {batch_50, fun batch/0},
        {escaped_text_64kb, fun escaped_text/0},
        %% erlmcp's own shapes, by the ids of its JSON benchmark
        {json_1k, fun erlmcp_small/0},
        {json_10k, fun erlmcp_medium/0},
        {json_100k, fun erlmcp_large/0}
    ].

%% The envelopes.

request(Id, Method, Params) ->
    {[
        {<<"jsonrpc">>, <<"2.0">>},
        {<<"id">>, Id},
        {<<"method">>, Method},
        {<<"params">>, Params}
    ]}.

response(Id, Result) ->
    {[{<<"jsonrpc">>, <<"2.0">>}, {<<"id">>, Id}, {<<"result">>, Result}]}.

notification(Method, Params) ->
    {[{<<"jsonrpc">>, <<"2.0">>}, {<<"method">>, Method}, {<<"params">>, Params}]}.

%% The messages.

initialize() ->
    request(
        0,
        <<"initialize">>,
        {[
            {<<"protocolVersion">>, <<"2025-11-25">>},
            {<<"capabilities">>,
                {[
                    {<<"roots">>, {[{<<"listChanged">>, true}]}},
                    {<<"sampling">>, {[{<<"tools">>, {[]}}]}},
                    {<<"elicitation">>, {[{<<"form">>, {[]}}, {<<"url">>, {[]}}]}},
                    {<<"experimental">>, {[{<<"tasks">>, {[{<<"cancel">>, true}]}}]}}
                ]}},
            {<<"clientInfo">>,
                {[
                    {<<"name">>, <<"example-client">>},
                    {<<"title">>, <<"Example Client Display Name">>},
                    {<<"version">>, <<"1.14.2">>},
                    {<<"websiteUrl">>, <<"https://example.com/client">>}
                ]}}
        ]}
    ).

tools_list() ->
    response(2, {[{<<"tools">>, [tool(N) || N <- lists:seq(1, 50)]}]}).

tool(N) ->
    Verb = pick([<<"get">>, <<"list">>, <<"create">>, <<"update">>, <<"delete">>, <<"search">>]),
    Noun = pick([<<"issue">>, <<"file">>, <<"branch">>, <<"invoice">>, <<"customer">>, <<"page">>]),
    Properties = [property(I) || I <- lists:seq(1, 1 + rand:uniform(4))],
    {[
        {<<"name">>, <<Verb/binary, "_", Noun/binary, "_", (integer_to_binary(N))/binary>>},
        {<<"title">>, <<Verb/binary, " ", Noun/binary>>},
        {<<"description">>, sentence(8 + rand:uniform(14))},
        {<<"inputSchema">>,
            {[
                {<<"type">>, <<"object">>},
                {<<"properties">>, {Properties}},
                {<<"required">>, [element(1, hd(Properties))]},
                {<<"additionalProperties">>, false}
            ]}},
        {<<"annotations">>,
            {[
                {<<"readOnlyHint">>, rand:uniform(2) =:= 1},
                {<<"destructiveHint">>, false},
                {<<"openWorldHint">>, true}
            ]}}
    ]}.

property(I) ->
    Name = <<
        (pick([<<"query">>, <<"path">>, <<"limit">>, <<"owner">>, <<"state">>, <<"cursor">>]))/binary,
        (integer_to_binary(I))/binary
    >>,
    Description = {<<"description">>, sentence(4 + rand:uniform(8))},
    Members =
        case rand:uniform(4) of
            1 ->
                [{<<"type">>, <<"string">>}, Description];
            2 ->
                [
                    {<<"type">>, <<"integer">>},
                    Description,
                    {<<"minimum">>, 1},
                    {<<"maximum">>, 100},
                    {<<"default">>, 30}
                ];
            3 ->
                Enum = [<<"open">>, <<"closed">>, <<"all">>],
                [{<<"type">>, <<"string">>}, {<<"enum">>, Enum}, Description];
            4 ->
                Items = {[{<<"type">>, <<"string">>}]},
                [{<<"type">>, <<"array">>}, {<<"items">>, Items}, Description]
        end,
    {Name, {Members}}.

%% 174 bytes exactly, the size at which the figures of small messages are given.
tools_call_small() ->
    Message = request(
        7,
        <<"tools/call">>,
        {[
            {<<"name">>, <<"get_weather">>},
            {<<"arguments">>,
                {[
                    {<<"location">>, <<"San Diego, CA">>},
                    {<<"units">>, <<"celsius">>},
                    {<<"days">>, 3}
                ]}},
            {<<"_meta">>, {[{<<"progressToken">>, 7}]}}
        ]}
    ),
    174 = byte_size(erlmcp_bench_writer:compact(Message)),
    Message.

tools_call_2kb() ->
    request(
        <<"req-8f14e45f-ceea-467f-a8b5-0c2f6e1d7a31">>,
        <<"tools/call">>,
        {[
            {<<"name">>, <<"create_pull_request">>},
            {<<"arguments">>,
                {[
                    {<<"owner">>, <<"example-org">>},
                    {<<"repo">>, <<"payments-service">>},
                    {<<"title">>, sentence(9)},
                    {<<"head">>, <<"feature/retry-with-backoff">>},
                    {<<"base">>, <<"main">>},
                    {<<"draft">>, false},
                    {<<"body">>, paragraphs(4, 44)},
                    {<<"labels">>, [<<"enhancement">>, <<"backend">>, <<"needs-review">>]},
                    {<<"reviewers">>, [<<"alice">>, <<"bob">>, <<"carol">>]},
                    {<<"files">>, [changed_file(N) || N <- lists:seq(1, 6)]}
                ]}},
            {<<"_meta">>, {[{<<"progressToken">>, <<"progress-8f14e45f">>}]}}
        ]}
    ).

changed_file(N) ->
    {[
        {<<"path">>, <<"src/handlers/module_", (integer_to_binary(N))/binary, ".erl">>},
        {<<"additions">>, rand:uniform(400)},
        {<<"deletions">>, rand:uniform(90)},
        {<<"coverage">>, rand:uniform(1000) / 10}
    ]}.

resource_text() ->
    response(
        17,
        {[
            {<<"contents">>, [
                {[
                    {<<"uri">>, <<"file:///project/docs/guide.md">>},
                    {<<"mimeType">>, <<"text/markdown">>},
                    {<<"text">>, filled(16 * 1024, fun() -> paragraphs(1, 60) end)}
                ]}
            ]}
        ]}
    ).

resource_base64() ->
    response(
        18,
        {[
            {<<"contents">>, [
                {[
                    {<<"uri">>, <<"file:///project/assets/diagram.png">>},
                    {<<"mimeType">>, <<"image/png">>},
                    {<<"blob">>, base64:encode(random_bytes(75 * 1024))}
                ]}
            ]}
        ]}
    ).

prompt_get() ->
    Text = fun(Body) -> {[{<<"type">>, <<"text">>}, {<<"text">>, Body}]} end,
    Turn = fun(Role, Content) -> {[{<<"role">>, Role}, {<<"content">>, Content}]} end,
    response(
        23,
        {[
            {<<"description">>, <<"Review the given code and suggest improvements">>},
            {<<"messages">>, [
                Turn(<<"user">>, Text(paragraphs(2, 40))),
                Turn(<<"assistant">>, Text(paragraphs(3, 30))),
                Turn(
                    <<"user">>,
                    {[
                        {<<"type">>, <<"resource">>},
                        {<<"resource">>,
                            {[
                                {<<"uri">>, <<"file:///project/src/parser.erl">>},
                                {<<"mimeType">>, <<"text/x-erlang">>},
                                {<<"text">>, source_lines(20)}
                            ]}}
                    ]}
                )
            ]}
        ]}
    ).

progress_notification() ->
    notification(
        <<"notifications/progress">>,
        {[
            {<<"progressToken">>, <<"abc123">>},
            {<<"progress">>, 42.5},
            {<<"total">>, 100},
            {<<"message">>, <<"Reticulating splines...">>}
        ]}
    ).

batch() ->
    [batch_item(N) || N <- lists:seq(1, 50)].

batch_item(N) when N rem 5 =:= 0 ->
    progress_notification();
batch_item(N) when N rem 7 =:= 0 ->
    request(N, <<"resources/read">>, {[{<<"uri">>, <<"file:///project/src/main.rs">>}]});
batch_item(N) ->
    request(
        N,
        <<"tools/call">>,
        {[
            {<<"name">>, pick([<<"search">>, <<"get_weather">>, <<"run_query">>])},
            {<<"arguments">>,
                {[
                    {<<"query">>, sentence(4)},
                    {<<"limit">>, rand:uniform(100)},
                    {<<"exact">>, rand:uniform(2) =:= 1},
                    {<<"cursor">>, null}
                ]}}
        ]}
    ).

%% Source, a log and names that are not ASCII: what tools print.
escaped_text() ->
    Chunk = fun() ->
        pick([
            source_lines(3),
            <<"C:\\Users\\example\\Documents\\report \"final\".docx\r\n">>,
            <<"\e[32mINFO\e[0m\tserver started\tport=8080\n">>,
            <<"{\"level\":\"warn\",\"msg\":\"retrying\",\"attempt\":3}\n"/utf8>>,
            <<"Zürich, Kraków, 東京, São Paulo — done ✓\n"/utf8>>,
            paragraphs(1, 12)
        ])
    end,
    response(
        31,
        {[
            {<<"content">>, [
                {[{<<"type">>, <<"text">>}, {<<"text">>, filled(64 * 1024, Chunk)}]}
            ]},
            {<<"isError">>, false}
        ]}
    ).

erlmcp_small() ->
    request(
        1,
        <<"tools/call">>,
        {[
            {<<"name">>, <<"echo">>},
            {<<"arguments">>,
                {[
                    {<<"message">>, <<"Hello, World!">>},
                    {<<"timestamp">>, 1770163200000},
                    {<<"client_id">>, <<"bench_client_001">>}
                ]}}
        ]}
    ).

erlmcp_medium() ->
    Resource = fun(N) ->
        Number = integer_to_binary(N),
        {[
            {<<"uri">>, <<"file://resource_", Number/binary, ".txt">>},
            {<<"name">>, <<"Resource ", Number/binary>>},
            {<<"mimeType">>, <<"text/plain">>},
            {<<"description">>, <<"Test resource for benchmarking">>}
        ]}
    end,
    response(
        2,
        {[
            {<<"resources">>, [Resource(N) || N <- lists:seq(1, 10)]},
            {<<"metadata">>,
                {[
                    {<<"total">>, 10},
                    {<<"timestamp">>, 1770163200000},
                    {<<"server_version">>, <<"2.1.0">>}
                ]}}
        ]}
    ).

erlmcp_large() ->
    Line = fun(N) -> [<<"Line ">>, integer_to_binary(N), <<": ">>, sentence(8), $\n] end,
    Chunk = fun(N) ->
        {[
            {<<"id">>, N},
            {<<"offset">>, N * 1000},
            {<<"size">>, 1000},
            {<<"data">>, base64:encode(random_bytes(100))}
        ]}
    end,
    Text = iolist_to_binary([Line(N) || N <- lists:seq(1, 100)]),
    response(
        3,
        {[
            {<<"content">>, [{[{<<"type">>, <<"text">>}, {<<"text">>, Text}]}]},
            {<<"metadata">>,
                {[
                    {<<"chunks">>, [Chunk(N) || N <- lists:seq(1, 100)]},
                    {<<"total_size">>, 100000},
                    {<<"timestamp">>, 1770163200000}
                ]}}
        ]}
    ).

%% What they are made of.

pick(List) ->
    lists:nth(rand:uniform(length(List)), List).

random_bytes(Size) ->
    <<<<(rand:uniform(256) - 1)>> || _ <- lists:seq(1, Size)>>.

%% Pieces until there are `Size` bytes or a little more.
filled(Size, Piece) ->
    filled(Size, Piece, []).

filled(Left, _, Pieces) when Left =< 0 ->
    iolist_to_binary(lists:reverse(Pieces));
filled(Left, Piece, Pieces) ->
    Next = Piece(),
    filled(Left - byte_size(Next), Piece, [Next | Pieces]).

words() ->
    [
        <<"the">>, <<"a">>, <<"request">>, <<"returns">>, <<"list">>, <<"of">>, <<"matching">>,
        <<"records">>, <<"when">>, <<"given">>, <<"filter">>, <<"is">>, <<"optional">>, <<"and">>,
        <<"defaults">>, <<"to">>, <<"current">>, <<"project">>, <<"repository">>, <<"server">>,
        <<"cursor">>, <<"for">>, <<"next">>, <<"page">>, <<"with">>, <<"timeout">>, <<"in">>,
        <<"milliseconds">>, <<"error">>, <<"if">>, <<"not">>, <<"found">>, <<"user">>
    ].

sentence(Count) ->
    Words = [pick(words()) || _ <- lists:seq(1, Count)],
    iolist_to_binary([lists:join($\s, Words), $.]).

paragraphs(Count, WordsEach) ->
    Sentences = fun() ->
        lists:join($\s, [sentence(8 + rand:uniform(6)) || _ <- lists:seq(1, max(1, WordsEach div 11))])
    end,
    iolist_to_binary([[Sentences(), "\n\n"] || _ <- lists:seq(1, Count)]).

source_lines(Count) ->
    Line = fun(N) ->
        Number = integer_to_binary(N),
        pick([
            <<"    {ok, Value", Number/binary, "} = maps:find(<<\"key\">>, Map),\n">>,
            <<"\tcase lists:keyfind(", Number/binary, ", 1, List) of\n">>,
            <<"    io:format(\"~p: ~s\\n\", [", Number/binary, ", Name]),\n">>
        ])
    end,
    iolist_to_binary([Line(N) || N <- lists:seq(1, Count)]).
