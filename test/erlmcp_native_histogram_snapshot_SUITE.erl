%% What was counted at a moment or between two, as a value: intervals, merging, bytes, other nodes.
-module(erlmcp_native_histogram_snapshot_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, groups/0, suite/0, init_per_group/2, end_per_group/2]).
-export([
    a_snapshot_stays/1,
    intervals/1,
    readers_do_not_meet/1,
    intervals_go_on_after_a_reset/1,
    wrong_cursors/1,
    intervals_of_a_name/1,
    resets/1,
    merge_over_precisions/1,
    merge_with_overflow/1,
    wrong_merges/1,
    subtract/1,
    subtract_what_is_not_there/1,
    corrected_is_kept/1,
    size_of_a_million/1,
    bytes/1,
    bytes_that_are_none/1,
    hdr/1,
    hdr_of_others/1,
    hdr_that_is_none/1,
    log/1,
    log_of_others/1,
    wrong_logs/1,
    prometheus/1,
    otlp/1,
    wrong_exposition/1,
    snapshots_of_other_nodes/1,
    handles_of_other_nodes/1
]).
%% On peers.
-export([snapshot_of/2]).

-import(erlmcp_native_test_histogram, [filled/1, filled/2, badarg/2, count/1, sum/1]).

-define(HISTOGRAM, erlmcp_native_histogram).
-define(LOG, erlmcp_native_histogram_log).

all() ->
    [
        a_snapshot_stays,
        intervals,
        readers_do_not_meet,
        intervals_go_on_after_a_reset,
        wrong_cursors,
        intervals_of_a_name,
        resets,
        merge_over_precisions,
        merge_with_overflow,
        wrong_merges,
        subtract,
        subtract_what_is_not_there,
        corrected_is_kept,
        size_of_a_million,
        bytes,
        bytes_that_are_none,
        hdr,
        hdr_of_others,
        hdr_that_is_none,
        log,
        log_of_others,
        wrong_logs,
        prometheus,
        otlp,
        wrong_exposition,
        {group, peers}
    ].

groups() -> [{peers, [snapshots_of_other_nodes, handles_of_other_nodes]}].

suite() -> [{timetrap, {minutes, 2}}].

init_per_group(peers, Config) -> erlmcp_native_test_peer:init(histogram, Config).

end_per_group(peers, Config) -> erlmcp_native_test_peer:finish(Config).

%%% Moments

a_snapshot_stays(_) ->
    H = filled([1, 2, 3]),
    Snapshot = ?HISTOGRAM:snapshot(H),
    ok = ?HISTOGRAM:record_many(H, [4, 5]),
    ?assertEqual({3, 6}, {count(Snapshot), sum(Snapshot)}),
    ?assertEqual({5, 15}, {count(H), sum(H)}),
    ok = ?HISTOGRAM:delete(H),
    ?assertMatch(#{count := 3, min := 1, max := 3, p50 := 2}, ?HISTOGRAM:summary(Snapshot)).

intervals(_) ->
    H = filled([1, 2]),
    {First, C1} = ?HISTOGRAM:interval(H, first),
    ?assertEqual({2, 3}, {count(First), sum(First)}),
    {None, C2} = ?HISTOGRAM:interval(H, C1),
    ?assertMatch(#{count := 0, sum := 0, min := undefined, max := undefined}, ?HISTOGRAM:summary(None)),
    ok = ?HISTOGRAM:record_many(H, [1000, 1 bsl 50]),
    {Second, C3} = ?HISTOGRAM:interval(H, C2),
    ?assertMatch(#{count := 2, overflow := 1, sum := 1125899906843624}, ?HISTOGRAM:summary(Second)),
    %% The least is known to the width of its bucket.
    ?assert(abs(maps:get(min, ?HISTOGRAM:summary(Second)) - 1000) =< 8),
    {Third, _} = ?HISTOGRAM:interval(H, C3),
    ?assertEqual(0, count(Third)),
    %% A cursor can be used again: then the interval is longer.
    ok = ?HISTOGRAM:record(H, 7),
    {Longer, _} = ?HISTOGRAM:interval(H, C1),
    ?assertEqual(3, count(Longer)).

readers_do_not_meet(_) ->
    H = ?HISTOGRAM:new(),
    Read = fun(Cursor) ->
        {Snapshot, Next} = ?HISTOGRAM:interval(H, Cursor),
        {sum(Snapshot), Next}
    end,
    {0, A0} = Read(first),
    ok = ?HISTOGRAM:record(H, 1),
    {1, B0} = Read(first),
    ok = ?HISTOGRAM:record(H, 10),
    {11, A1} = Read(A0),
    ok = ?HISTOGRAM:record(H, 100),
    {110, B1} = Read(B0),
    {100, _} = Read(A1),
    {0, _} = Read(B1).

intervals_go_on_after_a_reset(_) ->
    H = filled([1, 2]),
    {_, Cursor} = ?HISTOGRAM:interval(H, first),
    ok = ?HISTOGRAM:record(H, 3),
    ok = ?HISTOGRAM:reset(H),
    ok = ?HISTOGRAM:record(H, 4),
    {Delta, _} = ?HISTOGRAM:interval(H, Cursor),
    ?assertEqual({2, 7}, {count(Delta), sum(Delta)}),
    {All, _} = ?HISTOGRAM:interval(H, first),
    ?assertEqual({4, 10}, {count(All), sum(All)}),
    ?assertEqual({1, 4}, {count(H), sum(H)}).

wrong_cursors(_) ->
    H = filled([1]),
    Other = filled([1]),
    {Snapshot, Cursor} = ?HISTOGRAM:interval(H, first),
    {_, OfOther} = ?HISTOGRAM:interval(Other, first),
    Larger = ?HISTOGRAM:snapshot(filled([1, 2, 3])),
    [
        badarg(2, fun() -> ?HISTOGRAM:interval(H, C) end)
     || C <- [
            last, OfOther, Snapshot, H, setelement(3, Cursor, <<"text">>), setelement(3, Cursor, a),
            setelement(3, Cursor, <<>>), {cursor, H}, [], setelement(3, Cursor, Larger)
        ]
    ],
    {Delta, _} = ?HISTOGRAM:interval(H, Cursor),
    ?assertEqual(0, count(Delta)).

%% A cursor is of a histogram, not of its name.
intervals_of_a_name(_) ->
    H = ?HISTOGRAM:new(#{name => read_by_name}),
    {_, Cursor} = ?HISTOGRAM:interval(read_by_name, first),
    ok = ?HISTOGRAM:record(H, 5),
    {ByName, _} = ?HISTOGRAM:interval(read_by_name, Cursor),
    {ByHandle, _} = ?HISTOGRAM:interval(H, Cursor),
    ?assertEqual([5, 5], [sum(ByName), sum(ByHandle)]),
    ok = ?HISTOGRAM:delete(H),
    badarg(1, fun() -> ?HISTOGRAM:interval(read_by_name, Cursor) end),
    _ = ?HISTOGRAM:new(#{name => read_by_name}),
    badarg(2, fun() -> ?HISTOGRAM:interval(read_by_name, Cursor) end),
    ok = ?HISTOGRAM:delete(read_by_name).

resets(_) ->
    H = filled([1, 2, 1 bsl 60]),
    ok = ?HISTOGRAM:reset(H),
    ?assertMatch(
        #{count := 0, sum := 0, overflow := 0, min := undefined, max := undefined, mean := undefined},
        ?HISTOGRAM:summary(H)
    ),
    ok = ?HISTOGRAM:record(H, 2),
    ?assertMatch(#{count := 1, sum := 2, min := 2, max := 2, p50 := 2}, ?HISTOGRAM:summary(H)),
    ok = ?HISTOGRAM:reset(H),
    ok = ?HISTOGRAM:reset(H),
    ?assertEqual(0, count(?HISTOGRAM:snapshot(H))).

%%% Together

merge_over_precisions(_) ->
    Values = [erlang:phash2(I) || I <- lists:seq(1, 10_000)],
    Fine = filled(Values, #{precision => 10}),
    Coarse = filled(Values, #{precision => 5, max => 1 bsl 60}),
    Merged = ?HISTOGRAM:merge([Fine, ?HISTOGRAM:snapshot(Coarse)]),
    %% As if all had been recorded at the lower precision.
    Expected = filled(Values ++ Values, #{precision => 5, max => 1 bsl 60}),
    Quantiles = [0.01, 0.1, 0.5, 0.9, 0.999, 1],
    ?assertEqual(?HISTOGRAM:quantiles(Expected, Quantiles), ?HISTOGRAM:quantiles(Merged, Quantiles)),
    ?assertEqual(
        maps:with([count, sum, min, max], ?HISTOGRAM:summary(Expected)),
        maps:with([count, sum, min, max], ?HISTOGRAM:summary(Merged))
    ),
    ?assertEqual(count(Fine), count(?HISTOGRAM:merge([Fine]))).

%% What is above the lower largest value counts as overflow in the whole too: which of it one has in
%% buckets depends on nothing but the parts.
merge_with_overflow(_) ->
    Small = filled([1, 100, 5000], #{max => 1000}),
    Large = filled([2, 2000], #{max => 1 bsl 40}),
    [
        ?assertMatch(
            #{count := 5, overflow := 2, sum := 7103, min := 1, max := 5000}, ?HISTOGRAM:summary(Merged)
        )
     || Merged <- [?HISTOGRAM:merge([Small, Large]), ?HISTOGRAM:merge([Large, Small])]
    ],
    Within = filled([1, 100], #{max => 1000}),
    ?assertMatch(#{count := 4, overflow := 0}, ?HISTOGRAM:summary(?HISTOGRAM:merge([Within, Large]))).

wrong_merges(_) ->
    H = filled([1]),
    [
        badarg(1, fun() -> ?HISTOGRAM:merge(Wrong) end)
     || Wrong <- [[], a, H, [H | H], [a_name_of_none], [H, <<>>], [<<"text">>], [H, 1.0], #{}]
    ].

subtract(_) ->
    H = filled([1, 1000]),
    Before = ?HISTOGRAM:snapshot(H),
    ok = ?HISTOGRAM:record_many(H, [1, 2000, 1 bsl 60]),
    {ok, Delta} = ?HISTOGRAM:subtract(?HISTOGRAM:snapshot(H), Before),
    ?assertMatch(
        #{count := 3, overflow := 1, sum := Sum} when Sum =:= 2001 + (1 bsl 60),
        ?HISTOGRAM:summary(Delta)
    ),
    ?assertEqual([{1, 1}, {1500, 1}, {4000, 2}], ?HISTOGRAM:buckets(Delta, [1, 1500, 4000])),
    %% And together again they are the whole.
    ?assertEqual(
        ?HISTOGRAM:buckets(H, [1, 1500, 4000]),
        ?HISTOGRAM:buckets(?HISTOGRAM:merge([Before, Delta]), [1, 1500, 4000])
    ),
    {ok, Nothing} = ?HISTOGRAM:subtract(H, H),
    ?assertEqual(0, count(Nothing)).

subtract_what_is_not_there(_) ->
    H = filled([1, 1000]),
    [
        ?assertEqual({error, not_earlier}, ?HISTOGRAM:subtract(H, filled(Values, Opts)))
     || {Values, Opts} <- [
            {[1, 1], #{}}, {[2], #{}}, {[1, 1000, 1 bsl 60], #{}}, {[1, 2000], #{precision => 8}},
            {[1, 1, 1000], #{max => 1 bsl 50}}
        ]
    ].

corrected_is_kept(_) ->
    H = ?HISTOGRAM:new(),
    ok = ?HISTOGRAM:record_corrected(H, 100, 10),
    Corrected = ?HISTOGRAM:snapshot(H),
    Is = fun(From) -> maps:get(corrected, ?HISTOGRAM:summary(From)) end,
    {ok, Back} = ?HISTOGRAM:from_binary(?HISTOGRAM:to_binary(Corrected)),
    ?assertEqual([true, true], [Is(Back), Is(?HISTOGRAM:merge([filled([1]), Corrected]))]),
    ?assertNot(Is(filled([1]))).

%%% Bytes

%% Log-normal latencies with a median of a millisecond.
size_of_a_million(_) ->
    {Values, _} = lists:mapfoldl(
        fun(_, Seed0) ->
            {Normal, Seed} = rand:normal_s(Seed0),
            {trunc(1.0e6 * math:exp(Normal * 0.5)), Seed}
        end,
        rand:seed_s(exsss, {1, 2, 3}),
        lists:seq(1, 1_000_000)
    ),
    Bytes = ?HISTOGRAM:to_binary(filled(Values)),
    ct:log("~b bytes", [byte_size(Bytes)]),
    ?assert(byte_size(Bytes) =< 4096, byte_size(Bytes)).

bytes(_) ->
    [
        begin
            H = filled(Values, Opts),
            Bytes = ?HISTOGRAM:to_binary(H),
            {ok, Snapshot} = ?HISTOGRAM:from_binary(binary:copy(Bytes)),
            Facts = [count, sum, min, max, overflow, p50, p99, stddev],
            ?assertEqual(
                maps:with(Facts, ?HISTOGRAM:summary(H)), maps:with(Facts, ?HISTOGRAM:summary(Snapshot))
            ),
            ?assertEqual(Bytes, ?HISTOGRAM:to_binary(Snapshot))
        end
     || Opts <- [#{}, #{precision => 5, max => 1}, #{precision => 10, max => 1 bsl 64 - 1}],
        Values <- [[], [0], [1], [0, 1 bsl 63], [1 bsl 64], lists:seq(1, 3000), lists:duplicate(1000, 1)]
    ].

bytes_that_are_none(_) ->
    Bytes = ?HISTOGRAM:to_binary(filled(lists:seq(1, 1000))),
    None =
        [binary:part(Bytes, 0, Length) || Length <- lists:seq(0, byte_size(Bytes) - 1)] ++
            [<<Bytes/binary, 0>>, <<"text">>, term_to_binary(a), binary:copy(<<255>>, 1000)],
    [?assertMatch({error, Reason} when is_atom(Reason), ?HISTOGRAM:from_binary(B)) || B <- None],
    %% Nor do they pass for one.
    [badarg(1, fun() -> ?HISTOGRAM:summary(B) end) || B <- None],
    [badarg(1, fun() -> ?HISTOGRAM:from_binary(B) end) || B <- [a, "text", <<1:1>>, 5]],
    %% No claim of a length is believed: this takes neither memory nor time.
    [
        begin
            {Before, After} = split_binary(Bytes, At),
            _ = ?HISTOGRAM:from_binary(<<Before/binary, (binary:copy(<<255>>, 9))/binary, After/binary>>)
        end
     || At <- lists:seq(0, min(64, byte_size(Bytes)))
    ].

%%% HdrHistogram

hdr(_) ->
    Values = [erlang:phash2(I) bsl (I rem 8) || I <- lists:seq(1, 20_000)],
    H = filled(Values),
    [
        begin
            {ok, Back} = ?HISTOGRAM:from_hdr(?HISTOGRAM:to_hdr(From, Opts)),
            ?assertEqual(20_000, count(Back)),
            [
                ?assert(abs(Ours - Theirs) =< Ours * 0.01, {Ours, Theirs})
             || {Ours, Theirs} <- lists:zip(
                    ?HISTOGRAM:quantiles(H, [0, 0.1, 0.5, 0.99, 1]),
                    ?HISTOGRAM:quantiles(Back, [0, 0.1, 0.5, 0.99, 1])
                )
            ]
        end
     || From <- [H, ?HISTOGRAM:snapshot(H)], Opts <- [#{}, #{compress => true}, #{compress => false}]
    ],
    {ok, None} = ?HISTOGRAM:from_hdr(?HISTOGRAM:to_hdr(filled([]))),
    ?assertEqual(0, count(None)),
    [badarg(2, fun() -> ?HISTOGRAM:to_hdr(H, Opts) end) || Opts <- [a, #{compress => 1}, #{digits => 3}]].

%% Written by hand after the format's description: of three digits from 1 to 3,600,000, ten values of 0,
%% then one of 3, then after 996 empty ones two of 1,000.
hdr_of_others(_) ->
    Counts = <<20, 3, 2, (zigzag(-996))/binary, 4>>,
    Bytes = <<
        16#1c849313:32, (byte_size(Counts)):32, 0:32, 3:32, 1:64, 3_600_000:64, 1.0:64/float, Counts/binary
    >>,
    Expected = fun(Snapshot) ->
        ?assertMatch(#{count := 13, p50 := 0, max := Max} when abs(Max - 1000) =< 1, ?HISTOGRAM:summary(Snapshot)),
        ?assertEqual([{2, 10}, {3, 11}, {900, 11}, {1001, 13}], ?HISTOGRAM:buckets(Snapshot, [2, 3, 900, 1001]))
    end,
    {ok, Plain} = ?HISTOGRAM:from_hdr(Bytes),
    Expected(Plain),
    Deflated = zlib:compress(Bytes),
    {ok, Inflated} = ?HISTOGRAM:from_hdr(<<16#1c849314:32, (byte_size(Deflated)):32, Deflated/binary>>),
    Expected(Inflated).

%% ZigZag, and 7 bits in each byte, the lowest first.
zigzag(Number) when Number < 0 -> leb128(-2 * Number - 1);
zigzag(Number) -> leb128(2 * Number).

leb128(Number) when Number < 128 -> <<Number>>;
leb128(Number) -> <<1:1, Number:7, (leb128(Number bsr 7))/binary>>.

hdr_that_is_none(_) ->
    Whole = ?HISTOGRAM:to_hdr(filled(lists:seq(1, 100))),
    Plain = ?HISTOGRAM:to_hdr(filled(lists:seq(1, 100)), #{compress => false}),
    [
        ?assertMatch({error, Reason} when is_atom(Reason), ?HISTOGRAM:from_hdr(Bytes))
     || Bytes <-
            [<<>>, <<"text">>, <<0:320>>, binary:copy(<<255>>, 100), ?HISTOGRAM:to_binary(filled([1]))] ++
            [binary:part(Whole, 0, N) || N <- lists:seq(0, byte_size(Whole) - 1)] ++
            [binary:part(Plain, 0, N) || N <- lists:seq(0, byte_size(Plain) - 1)] ++
            [<<Whole/binary, 0>>]
    ],
    [badarg(1, fun() -> ?HISTOGRAM:from_hdr(B) end) || B <- [a, "text", <<1:1>>, 5]].

log(_) ->
    H = filled([1_000_000, 2_000_000]),
    {First, Cursor} = ?HISTOGRAM:interval(H, first),
    ok = ?HISTOGRAM:record(H, 30_000_000),
    {Second, _} = ?HISTOGRAM:interval(H, Cursor),
    Log = [
        ?LOG:header(1_441_812_279_474),
        ?LOG:line(First, #{start => 0, length => 1500}),
        ?LOG:line(Second, #{start => 1500, length => 10_000, tag => <<"A">>, unit => 1000}),
        ?LOG:line(H, #{})
    ],
    Text = iolist_to_binary(Log),
    ?assertNotEqual(nomatch, binary:match(Text, <<"#[StartTime: 1441812279.474 ">>)),
    ?assertNotEqual(nomatch, re:run(Text, "^0\\.000,1\\.500,2\\.0[0-9]*,HISTFAAA", [multiline])),
    ?assertNotEqual(nomatch, re:run(Text, "^Tag=A,1\\.500,10\\.000,(29|30)[0-9]{3}\\.[0-9]{3},HISTFAAA", [multiline])),
    {ok, Intervals} = ?LOG:read(Log),
    ?assertMatch(
        [
            #{start := 0.0, length := 1500.0, tag := undefined},
            #{start := 1500.0, length := 10_000.0, tag := <<"A">>},
            #{tag := undefined}
        ],
        Intervals
    ),
    ?assertEqual([2, 1, 3], [count(S) || #{snapshot := S} <- Intervals]),
    %% With the ends of lines of another system.
    ?assertEqual({ok, Intervals}, ?LOG:read(binary:replace(Text, <<"\n">>, <<"\r\n">>, [global]))).

%% A line of HdrHistogram's own test logs, which its documentation shows.
log_of_others(_) ->
    Compressed = zlib:compress(<<16#1c849313:32, 1:32, 0:32, 3:32, 1:64, 3_600_000:64, 1.0:64/float, 6>>),
    Encoded = base64:encode(<<16#1c849314:32, (byte_size(Compressed)):32, Compressed/binary>>),
    Log = [
        <<"#[Logged with jHiccup version 2.0.6-SNAPSHOT]\n#[Histogram log format version 1.2]\n">>,
        <<"#[StartTime: 1438867590.285 (seconds since epoch), Thu Aug 06 06:26:30 PDT 2015]\n">>,
        <<"#[BaseTime: 1438867590.000 (seconds since epoch)]\n">>,
        <<"\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n\n">>,
        <<"0.127,1.007,2.769,">>, Encoded, $\n, <<"Tag=B,1.134,0.999,0.442,">>, Encoded
    ],
    {ok, [One, Two]} = ?LOG:read(Log),
    ?assertMatch(#{tag := undefined, length := Length} when abs(Length - 1007) < 0.001, One),
    ?assertMatch(#{tag := <<"B">>, start := Start} when abs(Start - 1438867591134) < 1, Two),
    ?assertEqual([3, 3], [count(S) || #{snapshot := S} <- [One, Two]]).

wrong_logs(_) ->
    H = filled([1]),
    Line = ?LOG:line(H, #{}),
    [_, _ | Rest] = binary:split(Line, <<",">>, [global]),
    %% No float can hold them, or none their milliseconds.
    Digits = binary:copy(<<"9">>, 400),
    [
        ?assertEqual({error, {1, invalid_line}}, ?LOG:read(Log))
     || Log <- [
            [<<"#[BaseTime: ">>, Digits, <<".0]">>],
            lists:join($,, [Digits, <<"1">> | Rest]),
            lists:join($,, [<<"1e307">>, <<"1">> | Rest]),
            lists:join($,, [<<"1">>, <<"9e306">> | Rest])
        ]
    ],
    [
        ?assertMatch({error, {Nth, Reason}} when is_atom(Reason), ?LOG:read(Log))
     || {Nth, Log} <- [
            {1, <<"text">>}, {2, [Line, <<"1,2,3">>]}, {3, [Line, <<"\n1,2,3,4\n">>]},
            {1, <<"a,1,1,HISTFAAA">>}, {1, binary:part(Line, 0, byte_size(Line) - 5)}, {1, <<255>>},
            {2, <<"#\n#[BaseTime: soon]\n">>}
        ]
    ],
    ?assertEqual({ok, []}, ?LOG:read([])),
    badarg(1, fun() -> ?LOG:read([a]) end),
    [badarg(1, fun() -> ?LOG:header(T) end) || T <- [-1, 1.0, a, 1 bsl 48]],
    [
        badarg(2, fun() -> ?LOG:line(H, Opts) end)
     || Opts <- [
            [], #{nosuch => 1}, #{start => -1}, #{start => 1.5}, #{length => -1}, #{unit => 0}, #{tag => "A"},
            #{tag => <<>>}, #{tag => <<"a b">>}, #{tag => <<"a,b">>}, #{tag => <<"a\n">>}, #{tag => <<255>>}
        ]
    ],
    [badarg(1, fun() -> ?LOG:line(From, Opts) end) || From <- [a, <<"text">>, 5, []], Opts <- [#{}, #{length => 1}]].

%%% Exposition: what is in it is the matter of the suites of metrics

prometheus(_) ->
    %% 1 ms to 1 s.
    H = filled([N * 1_000_000 || N <- lists:seq(1, 1000)]),
    Text = ?HISTOGRAM:to_prometheus(H),
    [
        ?assertNotEqual(nomatch, binary:match(Text, Line), {Line, Text})
     || Line <- [
            <<"# TYPE duration_seconds histogram\n">>,
            <<"duration_seconds_bucket{le=\"10.0\"} 1000\n">>,
            <<"duration_seconds_bucket{le=\"+Inf\"} 1000\n">>,
            <<"duration_seconds_sum 500.5\n">>,
            <<"duration_seconds_count 1000\n">>
        ]
    ],
    Bytes = #{
        name => <<"reply_bytes">>, help => <<"How large.">>, unit => <<"bytes">>, scale => 1,
        labels => #{<<"tool">> => <<"e\"cho">>}, bounds => [100, 200.5]
    },
    ?assertEqual(
        <<
            "# HELP reply_bytes How large.\n"
            "# TYPE reply_bytes histogram\n"
            "reply_bytes_bucket{tool=\"e\\\"cho\",le=\"100.0\"} 1\n"
            "reply_bytes_bucket{tool=\"e\\\"cho\",le=\"200.5\"} 2\n"
            "reply_bytes_bucket{tool=\"e\\\"cho\",le=\"+Inf\"} 3\n"
            "reply_bytes_sum{tool=\"e\\\"cho\"} 601\n"
            "reply_bytes_count{tool=\"e\\\"cho\"} 3\n"
        >>,
        ?HISTOGRAM:to_prometheus(filled([100, 200, 301]), Bytes)
    ),
    Open = ?HISTOGRAM:to_prometheus(?HISTOGRAM:snapshot(H), #{format => openmetrics}),
    ?assertMatch([_, <<>>], binary:split(Open, <<"# EOF\n">>)),
    ?assertNotEqual(nomatch, binary:match(Open, <<"# UNIT duration_seconds seconds\n">>)),
    Protobuf = ?HISTOGRAM:to_prometheus(H, #{format => protobuf}),
    ?assertNotEqual(nomatch, binary:match(Protobuf, <<"duration_seconds">>)).

otlp(_) ->
    H = filled([1_000_000, 2_000_000]),
    Plain = ?HISTOGRAM:to_otlp(H),
    ?assertNotEqual(nomatch, binary:match(Plain, <<"duration_seconds">>)),
    Opts = #{name => <<"calls">>, resource => #{<<"service.name">> => <<"shop">>}, labels => #{<<"l">> => <<"v">>}},
    Named = ?HISTOGRAM:to_otlp(H, Opts),
    [
        ?assertNotEqual(nomatch, binary:match(Named, Text), Text)
     || Text <- [<<"calls">>, <<"service.name">>, <<"shop">>]
    ].

wrong_exposition(_) ->
    H = filled([1]),
    Wrong = [
        a, [], #{nosuch => 1}, #{name => a}, #{name => <<"a b">>}, #{name => <<>>}, #{help => "a"}, #{unit => 1},
        #{scale => 0}, #{scale => -1.0}, #{scale => a}, #{bounds => [2, 1]}, #{bounds => [a]}, #{bounds => 1},
        #{labels => [{<<"a">>, <<"b">>}]}, #{labels => #{a => <<"b">>}}, #{labels => #{<<"a">> => 1}},
        #{labels => #{<<"le">> => <<"1">>}}
    ],
    [
        begin
            badarg(2, fun() -> ?HISTOGRAM:to_prometheus(H, Opts) end),
            badarg(2, fun() -> ?HISTOGRAM:to_otlp(H, Opts) end)
        end
     || Opts <- Wrong
    ],
    badarg(2, fun() -> ?HISTOGRAM:to_prometheus(H, #{format => xml}) end),
    badarg(2, fun() -> ?HISTOGRAM:to_prometheus(H, #{resource => #{}}) end),
    badarg(2, fun() -> ?HISTOGRAM:to_otlp(H, #{format => text}) end),
    badarg(2, fun() -> ?HISTOGRAM:to_otlp(H, #{resource => #{a => 1}}) end).

%%% Other nodes

snapshot_of(Values, Opts) ->
    H = filled(Values, Opts),
    {H, ?HISTOGRAM:snapshot(H)}.

snapshots_of_other_nodes(_) ->
    {Peer, Node} = erlmcp_native_test_peer:start(),
    Here = lists:seq(1, 20_000, 2),
    There = lists:seq(2, 20_000, 2),
    {_, Coarse} = erpc:call(Node, ?MODULE, snapshot_of, [There, #{precision => 6}]),
    {_, Same} = erpc:call(Node, ?MODULE, snapshot_of, [There, #{}]),
    ok = peer:stop(Peer),
    Ours = filled(Here),
    Facts = [count, sum, min, max, p50, p90, p99, p999, stddev],
    Expected = maps:with(Facts, ?HISTOGRAM:summary(filled(Here ++ There))),
    ?assertEqual(Expected, maps:with(Facts, ?HISTOGRAM:summary(?HISTOGRAM:merge([Ours, Same])))),
    ?assertEqual(
        maps:with(Facts, ?HISTOGRAM:summary(filled(Here ++ There, #{precision => 6}))),
        maps:with(Facts, ?HISTOGRAM:summary(?HISTOGRAM:merge([Ours, Coarse])))
    ).

%% An integer is a handle on the node that made it; elsewhere it is what any other integer is.
handles_of_other_nodes(_) ->
    {Peer, Node} = erlmcp_native_test_peer:start(),
    {Theirs, _} = erpc:call(Node, ?MODULE, snapshot_of, [[1], #{owner => none}]),
    Ours = filled([1]),
    ok = erpc:call(Node, ?HISTOGRAM, record, [Theirs, 2]),
    ?assertEqual(2, erpc:call(Node, erlmcp_native_test_histogram, count, [Theirs])),
    ok = peer:stop(Peer),
    ?assertEqual(1, count(Ours)).
