-module(erlmcp_native_json_large_SUITE).
%% Depth, size, memory and schedulers.
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0]).
-export([
    deep_unclosed/1,
    deep_closed/1,
    deep_encode/1,
    long_digits/1,
    short_strings_pin_nothing/1,
    hundred_thousand_messages/1,
    long_strings/1,
    strings_option/1,
    streams_keep_little/1,
    large_round_trips/1,
    decode_shares_scheduler/1,
    encode_shares_scheduler/1,
    work_is_charged/1,
    native_memory_returns/1,
    many_processes/1
]).

-define(json, erlmcp_native_json).
-define(million, 1000000).

suite() ->
    [{timetrap, {minutes, 2}}].

all() ->
    [
        deep_unclosed, deep_closed, deep_encode, long_digits, short_strings_pin_nothing,
        hundred_thousand_messages, long_strings, strings_option, streams_keep_little,
        large_round_trips,
        decode_shares_scheduler, encode_shares_scheduler, work_is_charged, native_memory_returns, many_processes
    ].

%% Depth

deep_unclosed(_) ->
    [
        begin
            Text = binary:copy(Open, ?million),
            %% The call that was made stands in the trace, whoever decodes.
            try
                exit({decoded, ?json:decode(Text)})
            catch
                error:unexpected_end:Stack ->
                    ?assertMatch([{?json, decode, [_], _} | _], Stack)
            end,
            ?assertMatch(
                {error, #{reason := {max_depth, 512}}},
                ?json:try_decode(Text, #{max_depth => 512})
            ),
            ?assertMatch({error, #{reason := unexpected_end}}, ?json:get(Text, [])),
            ?assertMatch({error, #{reason := unexpected_end}}, ?json:get(Text, [<<"b">>])),
            {ok, [], Stream} = ?json:stream_feed(unlimited_stream(), Text),
            ?assertMatch({error, #{reason := unexpected_end}}, ?json:stream_end(Stream))
        end
     || Open <- [<<"[">>, <<"{\"a\":">>, <<"[{\"a\":">>]
    ].

deep_closed(_) ->
    Text = deep_text(?million),
    true = brief(fun() -> ?million =:= depth(?json:decode(Text), 0) end),
    true = brief(fun() ->
        ?million =:= depth(?json:decode(Text, #{max_depth => ?million}), 0)
    end),
    max_depth = brief(fun() ->
        {error, #{reason := {Limit, _}}} = ?json:try_decode(Text, #{max_depth => ?million - 1}),
        Limit
    end),
    true = brief(fun() ->
        {ok, [Term], _} = ?json:stream_feed(unlimited_stream(), Text),
        ?million =:= depth(Term, 0)
    end),
    {ok, 1} = brief(fun() ->
        ?json:get(<<"{\"skipped\":", Text/binary, ",\"a\":1}">>, [<<"a">>])
    end).

unlimited_stream() ->
    ?json:stream_new(#{max_depth => infinity, max_size => infinity}).

%% Arrays and objects by turns.
deep_text(Depth) ->
    Half = Depth div 2,
    iolist_to_binary([binary:copy(<<"[{\"a\":">>, Half), <<"1">>, binary:copy(<<"}]">>, Half)]).

depth([Inner], Depth) -> depth(Inner, Depth + 1);
depth(#{<<"a">> := Inner}, Depth) -> depth(Inner, Depth + 1);
depth(1, Depth) -> Depth.

deep_encode(_) ->
    Term = lists:foldl(
        fun(_, Inner) -> [#{<<"a">> => Inner}] end, 1, lists:seq(1, ?million div 2)
    ),
    Expected = deep_text(?million),
    [
        true = brief(fun() -> Expected =:= iolist_to_binary(Encode(Term)) end)
     || Encode <- [
            fun ?json:encode/1,
            fun ?json:encode_to_iodata/1,
            fun(Deep) -> ?json:encode(Deep, #{sort_keys => true}) end
        ]
    ],
    %% Indented, it would be of a size that grows with the square of the depth.
    Half = lists:foldl(fun(_, Inner) -> [Inner] end, 1, lists:seq(1, 2000)),
    Half = ?json:decode(?json:encode(Half, #{pretty => true})).

%% Common Test prints what an error carries, which for a deep term takes for ever.
brief(Call) ->
    try
        Call()
    catch
        Class:Reason:Stack ->
            Places = [{Module, Function} || {Module, Function, _, _} <- Stack],
            ct:fail("~P", [{Class, Reason, Places}, 20])
    end.

long_digits(_) ->
    Digits = binary:copy(<<"1234567890">>, 2000),
    ?assertEqual(binary_to_integer(Digits), ?json:decode(Digits)),
    Zeros = binary:copy(<<"0">>, ?million),
    ?assertEqual(1.0, ?json:decode(<<"1.", Zeros/binary>>)),
    ?assertError({unexpected_sequence, _}, ?json:decode(<<"1", Zeros/binary, ".0">>)),
    ?assertEqual(0.0, ?json:decode(<<"0.", Zeros/binary, "1">>)),
    Nines = binary:copy(<<"9">>, ?million),
    ?assertError({unexpected_sequence, _}, ?json:decode(<<"1e", Nines/binary>>)).

%% Memory

short_strings_pin_nothing(_) ->
    Names = [<<"name ", (integer_to_binary(N))/binary>> || N <- lists:seq(1, 20000)],
    Text = ?json:encode(Names),
    Kept = in_process(fun() ->
        Decoded = ?json:decode(Text),
        ?assertEqual(Names, Decoded),
        lists:nth(10000, Decoded)
    end),
    ?assertEqual(0, Kept).

%% The bytes of shared binaries that a process refers to while it keeps only what the fun gave.
in_process(Fun) ->
    Parent = self(),
    {Pid, Monitor} = spawn_monitor(fun() ->
        Kept = Fun(),
        true = erlang:garbage_collect(),
        true = erlang:garbage_collect(),
        {binary, Binaries} = process_info(self(), binary),
        Parent ! {self(), lists:sum([Size || {_, Size, _} <- Binaries])},
        receive
            {keep, _} -> Kept
        end
    end),
    receive
        {Pid, Size} ->
            exit(Pid, kill),
            receive
                {'DOWN', Monitor, process, Pid, _} -> Size
            end;
        {'DOWN', Monitor, process, Pid, Reason} ->
            ct:fail(Reason)
    end.

hundred_thousand_messages(_) ->
    Padding = binary:copy(<<"some longer text with an é, "/utf8>>, 60),
    Before = memory(),
    Kept = [
        begin
            Message = iolist_to_binary([
                <<"{\"jsonrpc\":\"2.0\",\"id\":">>, integer_to_binary(N),
                <<",\"method\":\"tools/call\",\"params\":{\"name\":\"tool ">>, integer_to_binary(N),
                <<"\",\"arguments\":{\"text\":\"">>, Padding, <<"\",\"list\":[1,2.5,\"a\"]}}}">>
            ]),
            #{<<"params">> := #{<<"name">> := Name}} = ?json:decode(Message),
            Name
        end
     || N <- lists:seq(1, 100000)
    ],
    true = erlang:garbage_collect(),
    Alive = memory() - Before,
    ?assertEqual(<<"tool 100000">>, lists:last(Kept)),
    ?assert(Alive < 10000000, Alive),
    {comment, integer_to_list(Alive div 1000) ++ " KB alive"}.

memory() ->
    true = erlang:garbage_collect(),
    erlang:memory(total) + erlmcp_native:memory().

%% By default a long string is a part of the input only when the input is not much larger.
long_strings(_) ->
    Long = binary:copy(<<"x">>, 100000),
    #{<<"text">> := Most} = ?json:decode(<<"{\"text\":\"", Long/binary, "\"}">>),
    ?assertEqual(Long, Most),
    ?assert(binary:referenced_byte_size(Most) =< 2 * byte_size(Long)),
    Padding = binary:copy(<<"y">>, 1000000),
    Text = <<"[\"", Padding/binary, "\",\"", Long/binary, "\",\"", Padding/binary, "\"]">>,
    [_, Part, _] = ?json:decode(Text),
    ?assertEqual(Long, Part),
    Referenced = binary:referenced_byte_size(Part),
    ?assert(Referenced =< 4 * byte_size(Long), Referenced).

strings_option(_) ->
    Long = binary:copy(<<"z">>, 5000),
    Text = <<"[\"", Long/binary, "\",\"a\\n", Long/binary, "\",1]">>,
    [
        begin
            [Plain, Escaped, 1] = ?json:decode(Text, #{strings => Strings}),
            ?assertEqual(Long, Plain),
            ?assertEqual(<<"a\n", Long/binary>>, Escaped),
            ?assertEqual(Strings =:= reference, shares(Text, Plain))
        end
     || Strings <- [copy, reference]
    ].

shares(Text, Part) ->
    binary:referenced_byte_size(Part) >= byte_size(Text).

%% Schedulers

%% Terms that take many slices, of every shape in which a slice can end.
%% Neither a document nor a part of one keeps the chunk that it came in, and many small parts
%% take little more than their bytes.
streams_keep_little(_) ->
    Text = binary:copy(<<"a">>, 200),
    Chunk = iolist_to_binary([binary:copy(<<" ">>, 32768), $", Text, $", $[]),
    {ok, [String], Stream} = ?json:stream_feed(?json:stream_new(#{}), Chunk),
    ?assertEqual(Text, String),
    ?assert(binary:referenced_byte_size(String) =< 1024),
    Pinned = in_process(fun() ->
        Begun = iolist_to_binary([binary:copy(<<" ">>, 32768), "[1"]),
        {ok, [], Kept} = ?json:stream_feed(?json:stream_new(#{}), Begun),
        Kept
    end),
    ?assert(Pinned < 4096),
    Small = lists:foldl(
        fun(_, Before) ->
            {ok, [], After} = ?json:stream_feed(Before, <<" ">>),
            After
        end,
        Stream,
        lists:seq(1, 20_000)
    ),
    ?assert(erts_debug:flat_size(Small) < 2_000),
    {ok, [[]], _} = ?json:stream_feed(Small, <<"]">>).

large_round_trips(_) ->
    Wide = maps:from_list([
        {<<"key ", (integer_to_binary(N))/binary>>, [N, N * 1.5, #{<<"n">> => N bsl 60}]}
     || N <- lists:seq(1, 30000)
    ]),
    Long = binary:copy(<<"a\"b\n"/utf8, "é"/utf8, "plain text of some length">>, 60000),
    Nested = lists:foldl(
        fun(N, Inner) -> #{<<"a">> => lists:seq(N, N + 20), <<"b">> => Inner, <<"c">> => N} end,
        null,
        lists:seq(1, 20000)
    ),
    [
        begin
            Text = ?json:encode(Term, Options),
            true = brief(fun() -> Term =:= ?json:decode(Text) end),
            true = brief(fun() -> Term =:= erlmcp_json_baseline:decode(Text) end),
            true = Text =:= iolist_to_binary(?json:encode_to_iodata(Term, Options))
        end
     || Term <- [Wide, Long, [Long, Wide, Long], Nested, large_term(), lists:seq(1, 500000)],
        Options <- [#{}, #{sort_keys => true}, #{escape => unicode, escape_slash => true}]
    ],
    Pretty = ?json:encode(Wide, #{pretty => true, sort_keys => true}),
    true = brief(fun() -> Wide =:= ?json:decode(Pretty) end),
    %% Holes that are filled in Erlang, thousands of them.
    Holes = [[{N, self()}, {json, <<"{}">>}, 1 bsl (2000 + N rem 7)] || N <- lists:seq(1, 5000)],
    Filled = ?json:encode(Holes, #{fragments => true, other => fun({N, _}) -> [N] end}),
    true = brief(fun() ->
        [[[N], #{}, 1 bsl (2000 + N rem 7)] || N <- lists:seq(1, 5000)] =:= ?json:decode(Filled)
    end).

%% With one scheduler, another process gets its turns while a large document is coded.
decode_shares_scheduler(_) ->
    Text = ?json:encode(large_term()),
    ?assert(byte_size(Text) > 14000000),
    others_run(fun() -> ?json:decode(Text) end),
    others_run(fun() -> ?json:get(Text, [<<"none">>]) end),
    others_run(fun() -> ?json:stream_feed(unlimited_stream(), Text) end).

encode_shares_scheduler(_) ->
    Term = large_term(),
    others_run(fun() -> ?json:encode(Term) end),
    others_run(fun() -> ?json:encode_to_iodata(Term) end),
    others_run(fun() -> ?json:encode(Term, #{sort_keys => true, pretty => true}) end).

large_term() ->
    [
        #{<<"id">> => N, <<"score">> => N / 7, <<"tags">> => [<<"one">>, <<"two\n">>, null, true],
            <<"text">> => <<"some text of a usual length, with an é"/utf8>>}
     || N <- lists:seq(1, 120000)
    ].

others_run(Call) ->
    Online = erlang:system_flag(schedulers_online, 1),
    Counter = counters:new(1, []),
    Other = spawn_link(fun() -> count(Counter) end),
    try
        receive after 20 -> ok end,
        Before = counters:get(Counter, 1),
        ?assert(Before > 0),
        _ = Call(),
        Turns = counters:get(Counter, 1) - Before,
        ?assert(Turns >= 10, Turns)
    after
        unlink(Other),
        exit(Other, kill),
        erlang:system_flag(schedulers_online, Online)
    end.

count(Counter) ->
    counters:add(Counter, 1, 1),
    erlang:yield(),
    count(Counter).

%% A process that decodes and encodes small messages uses up its turn like any other.
work_is_charged(_) ->
    Message = ?json:encode(lists:sublist(large_term(), 20)),
    Term = ?json:decode(Message),
    [
        begin
            {reductions, Before} = process_info(self(), reductions),
            repeat(Call, 1000),
            {reductions, After} = process_info(self(), reductions),
            %% Beyond what the loop itself costs: at least one per 200 bytes.
            Charged = (After - Before) / 1000 - 20,
            ?assert(Charged > byte_size(Message) / 200, {Charged, byte_size(Message)})
        end
     || Call <- [fun() -> ?json:decode(Message) end, fun() -> ?json:encode(Term) end]
    ].

repeat(_, 0) ->
    ok;
repeat(Call, Times) ->
    _ = Call(),
    repeat(Call, Times - 1).

%% What the native part holds during a call is given back, also when the call fails.
native_memory_returns(_) ->
    Text = ?json:encode(lists:sublist(large_term(), 5000)),
    Broken = binary_part(Text, 0, byte_size(Text) - 1),
    Term = ?json:decode(Text),
    Use = fun() ->
        _ = ?json:decode(Text),
        {error, _} = ?json:try_decode(Broken, #{}),
        _ = ?json:encode(Term),
        ?assertError({unsupported_type, {}}, ?json:encode([Term, {}])),
        {ok, [], Stream} = ?json:stream_feed(unlimited_stream(), Broken),
        {error, _} = ?json:stream_end(Stream),
        {error, not_found} = ?json:get(Text, [<<"none">>])
    end,
    in_process(fun() -> repeat(Use, 3) end),
    Before = erlmcp_native:memory(),
    in_process(fun() -> repeat(Use, 10) end),
    After = settled(Before + 1000000, 100),
    ?assert(After < Before + 1000000, {Before, After}).

%% Resources are freed some time after their last use.
settled(Below, Tries) ->
    case erlmcp_native:memory() of
        Memory when Memory >= Below, Tries > 0 ->
            receive after 20 -> ok end,
            settled(Below, Tries - 1);
        Memory ->
            Memory
    end.

many_processes(_) ->
    Term = lists:sublist(large_term(), 300),
    Text = ?json:encode(Term),
    Workers = [
        spawn_monitor(fun() ->
            repeat(fun() -> Term = ?json:decode(Text), Text = ?json:encode(Term) end, 30)
        end)
     || _ <- lists:seq(1, 20)
    ],
    [
        receive
            {'DOWN', Monitor, process, Pid, Reason} -> ?assertEqual(normal, Reason)
        end
     || {Pid, Monitor} <- Workers
    ].
