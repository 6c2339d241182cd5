%% Inputs up to 64 MB, and such as are deep or in a million pieces, through every door: no call
%% keeps a normal scheduler for more than a millisecond, and what it does is charged.
-module(erlmcp_native_large_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0]).
-export([
    json_decode/1,
    json_encode/1,
    json_get/1,
    json_stream/1,
    rpc_decode/1,
    rpc_peek/1,
    rpc_encode/1,
    schema_compile/1,
    schema_validate/1,
    cache_values/1,
    cache_keys/1,
    cache_tags/1,
    cache_of_a_million/1,
    histogram_values/1,
    histogram_reads/1,
    histogram_bytes/1,
    work_is_charged/1
]).

-define(MB, 1_048_576).
-define(JSON, erlmcp_native_json).
-define(RPC, erlmcp_native_rpc).
-define(SCHEMA, erlmcp_native_schema).
-define(CACHE, erlmcp_native_cache).
-define(HISTOGRAM, erlmcp_native_histogram).
-define(LOG, erlmcp_native_histogram_log).

all() ->
    [
        json_decode,
        json_encode,
        json_get,
        json_stream,
        rpc_decode,
        rpc_peek,
        rpc_encode,
        schema_compile,
        schema_validate,
        cache_values,
        cache_keys,
        cache_tags,
        cache_of_a_million,
        histogram_values,
        histogram_reads,
        histogram_bytes,
        work_is_charged
    ].

suite() -> [{timetrap, {minutes, 15}}].

json_decode(_) ->
    each({?JSON, decode, 1}, [{Name, fun() -> [Make()] end} || {Name, Make} <- documents()]).

json_encode(_) ->
    each({?JSON, encode, 1}, [{Name, fun() -> [Make()] end} || {Name, Make} <- terms()]).

json_get(_) ->
    each({?JSON, get, 2}, [
        {Name, fun() -> [Make(), Path] end}
     || {Name, Make} <- documents(),
        Path <- [[1_000_000], [<<"k999999">>], [0, <<"tags">>]]
    ]).

json_stream(_) ->
    Streams = [
        {small_documents, fun() -> [binary:copy(<<"{\"id\":1,\"a\":[true]}\n">>, 1_000_000)] end},
        {one_document_in_pieces, fun() ->
            Piece = binary:copy(<<"{\"id\":1,\"a\":[true]},">>, 50),
            [<<"[">> | lists:duplicate(20_000, Piece)]
        end},
        {string_in_pieces, fun() ->
            [$" | lists:duplicate(16_000, binary:copy(<<"a\\n">>, 1000))]
        end},
        {unclosed, fun() -> lists:duplicate(1000, binary:copy(<<"[">>, 1000)) end}
    ],
    each(fun feed/1, Streams).

feed(Chunks) ->
    lists:foldl(
        fun(Chunk, Stream) ->
            case ?JSON:stream_feed(Stream, Chunk) of
                {ok, _, Next} -> Next;
                {error, _, _, Next} -> Next
            end
        end,
        ?JSON:stream_new(#{}),
        Chunks
    ).

rpc_decode(_) ->
    each({?RPC, decode, 2}, [{Name, fun() -> [Make(), #{}] end} || {Name, Make} <- messages()]).

rpc_peek(_) ->
    each({?RPC, peek, 1}, [{Name, fun() -> [Make()] end} || {Name, Make} <- messages()]).

rpc_encode(_) ->
    each({?RPC, encode_response, 2}, [{Name, fun() -> [1, Make()] end} || {Name, Make} <- terms()]).

schema_compile(_) ->
    each({?SCHEMA, compile, 2}, [
        {many_properties, fun() ->
            Properties = [{integer_to_binary(I), #{<<"type">> => <<"string">>}} || I <- lists:seq(1, 50_000)],
            [#{<<"properties">> => maps:from_list(Properties)}, #{}]
        end},
        {deep, fun() -> [nested(fun(S) -> #{<<"items">> => S} end, #{}, 100_000), #{}] end},
        {bytes, fun() -> [document(<<"{\"enum\":[">>, <<"123456789,">>, <<"0]}">>, 16), #{}] end},
        {pattern, fun() -> [#{<<"pattern">> => binary:copy(<<"(a|b)*">>, 100_000)}, #{}] end}
    ]).

schema_validate(_) ->
    Integers = #{<<"items">> => #{<<"type">> => <<"integer">>}},
    Pattern = #{<<"pattern">> => <<"^(a|b)*c$">>},
    Unique = #{<<"uniqueItems">> => true},
    Validate = fun([Schema, Instance]) ->
        {ok, Compiled} = ?SCHEMA:compile(Schema, #{}),
        ?SCHEMA:validate(Compiled, Instance)
    end,
    each(Validate, [
        {Name, fun() -> [Schema, Instance()] end}
     || {Name, Schema, Instance} <- [
            {integers, Integers, fun() -> lists:seq(1, 1_000_000) end},
            {wrong_integers, Integers, fun() -> lists:duplicate(100_000, <<"a">>) end},
            {bytes, Integers, fun() -> document(<<"[">>, <<"123456789,">>, <<"0]">>, 64) end},
            {string, Pattern, fun() -> binary:copy(<<"a">>, 16 * ?MB) end},
            {unique, Unique, fun() -> lists:seq(1, 100_000) end},
            {deep, #{}, fun() -> nested(fun(T) -> [T] end, [], 1_000_000) end}
        ]
    ]).

cache_values(_) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    [
        begin
            {ok, Cache} = ?CACHE:new(large, #{capacity => 10, store => Store}),
            Keep = fun([Value]) ->
                ok = ?CACHE:put(Cache, k, Value),
                {ok, Value} = ?CACHE:get(Cache, k),
                {ok, #{value := Value}} = ?CACHE:get_entry(Cache, k),
                Value = ?CACHE:fold(fun(_, V, _) -> V end, none, Cache),
                {ok, Value} = ?CACHE:take(Cache, k)
            end,
            each(Keep, [{{Store, Name}, fun() -> [Make()] end} || {Name, Make} <- terms()]),
            ok = ?CACHE:drop(Cache)
        end
     || Store <- [native, ets]
    ].

cache_keys(_) ->
    {ok, Cache} = ?CACHE:new(large, #{capacity => 10}),
    Refused = fun([Key]) ->
        {error, too_large} = ?CACHE:put(Cache, Key, v),
        {error, too_large} = ?CACHE:update_counter(Cache, Key, 1),
        {error, too_large} = ?CACHE:fetch(Cache, Key, fun() -> {ok, v} end),
        {error, not_found} = ?CACHE:get(Cache, Key),
        false = ?CACHE:is_key(Cache, Key),
        ok = ?CACHE:delete(Cache, Key)
    end,
    Kept = fun([Key]) ->
        ok = ?CACHE:put(Cache, Key, v),
        {ok, v} = ?CACHE:get(Cache, Key),
        [Key] = ?CACHE:keys(Cache),
        ok = ?CACHE:delete(Cache, Key)
    end,
    Small = [
        {bytes, fun() -> binary:copy(<<"k">>, 65_535) end},
        {numbers, fun() -> lists:seq(1, 10_000) end},
        {map, fun() -> maps:from_list([{I, I} || I <- lists:seq(1, 5000)]) end},
        {deep, fun() -> nested(fun(T) -> [T] end, [], 10_000) end},
        {integer, fun() -> 1 bsl 500_000 end}
    ],
    each(Refused, [{Name, fun() -> [Make()] end} || {Name, Make} <- terms(), Name =/= big_integer]),
    each(Kept, [{Name, fun() -> [Make()] end} || {Name, Make} <- Small]),
    ok = ?CACHE:drop(Cache).

cache_tags(_) ->
    {ok, Cache} = ?CACHE:new(large, #{capacity => 100}),
    Tagged = fun([Tags]) ->
        ok = ?CACHE:put(Cache, k, v, #{tags => Tags, depends_on => Tags}),
        {ok, 1} = ?CACHE:update_counter(Cache, c, 1, #{tags => Tags}),
        {ok, _} = ?CACHE:invalidate_tag(Cache, hd(Tags)),
        {error, not_found} = ?CACHE:get(Cache, k)
    end,
    each(Tagged, [
        {many, fun() -> [lists:seq(1, 500)] end},
        {long, fun() -> [[<<I, 0:(59 * 8)>> || I <- lists:seq(1, 255), _ <- [1, 2]] -- [a]] end},
        {large, fun() -> [[lists:seq(1, 7000)]] end}
    ]),
    ok = ?CACHE:drop(Cache).

%% What was put before is not looked at: of millions of calls one always meets a jump of the clock.
cache_of_a_million(_) ->
    Million = 1_000_000,
    Operations = [
        {keys, fun(Cache) -> Million = length(?CACHE:keys(Cache)) end},
        {fold, fun(Cache) -> Million = ?CACHE:fold(fun(_, _, Sum) -> Sum + 1 end, 0, Cache) end},
        {resize, fun(Cache) -> ok = ?CACHE:resize(Cache, 10) end},
        {clear, fun(Cache) -> ok = ?CACHE:clear(Cache) end},
        {invalidate, fun(Cache) -> {ok, 0} = ?CACHE:invalidate_matching(Cache, <<"*">>) end},
        {drop, fun(Cache) -> ok = ?CACHE:drop(Cache) end},
        {owner_ends, fun(_) -> ok end}
    ],
    Run = fun([Policy, Operation]) ->
        gone(million),
        {ok, Cache} = ?CACHE:new(million, #{capacity => Million, policy => Policy}),
        fill(Cache, Million),
        ok = erlmcp_native_nif:call_time_reset(),
        Operation(Cache)
    end,
    [
        each(Run, [{{Policy, Name}, fun() -> [Policy, Operation] end}])
     || Policy <- [s3_fifo, lru], {Name, Operation} <- Operations
    ].

gone(Name) ->
    case ?CACHE:whereis(Name) of
        undefined -> ok;
        _ -> timer:sleep(10), gone(Name)
    end.

fill(_, 0) ->
    ok;
fill(Cache, Key) ->
    ok = ?CACHE:put(Cache, Key, Key),
    fill(Cache, Key - 1).

histogram_values(_) ->
    H = ?HISTOGRAM:new(#{precision => 10, max => 1 bsl 64 - 1}),
    each(fun([Values]) -> ok = ?HISTOGRAM:record_many(H, Values) end, [
        {Name, fun() -> [Make()] end}
     || {Name, Make} <- [
            {integers, fun() -> lists:seq(1, 4_000_000) end},
            {every_bucket, fun() -> lists:append(lists:duplicate(20, every_bucket())) end},
            {large_integers, fun() -> lists:duplicate(1_000_000, 1 bsl 100) end},
            {packed, fun() -> binary:copy(<<1_000_000:64/native>>, 8 * ?MB) end},
            {packed_apart, fun() -> binary:part(binary:copy(<<1:32, 2:32>>, 8 * ?MB), 3, 8 * 1_000_000) end},
            {late_error, fun() -> lists:seq(1, 4_000_000) ++ [a] end},
            {improper, fun() -> lists:seq(1, 4_000_000) ++ 1 end},
            {odd_bytes, fun() -> binary:copy(<<0>>, 64 * ?MB - 1) end}
        ]
    ]),
    each(fun([Value, Interval]) -> ok = ?HISTOGRAM:record_corrected(H, Value, Interval) end, [
        {corrected, fun() -> [1 bsl 64 - 1, 1] end},
        {corrected_in_each, fun() -> [1 bsl 64 - 1, 1 bsl 40] end},
        {corrected_huge, fun() -> [1 bsl 100_000, 1 bsl 100_000] end}
    ]),
    each(fun([Value]) -> ok = ?HISTOGRAM:record(H, Value) end, [
        {value, fun() -> [1 bsl 1_000_000] end}, {negative, fun() -> [-(1 bsl 1_000_000)] end}
    ]),
    ok = ?HISTOGRAM:delete(H).

%% As full as one can be, recorded by several threads.
histogram_reads(_) ->
    Opts = #{precision => 10, max => 1 bsl 64 - 1, windows => true, half_life => 1000},
    H = ?HISTOGRAM:new(Opts),
    Fill = fun(_) -> ok = ?HISTOGRAM:record_many(H, every_bucket()) end,
    _ = erlmcp_native_test_cache:parallel(4, Fill),
    {_, Cursor} = ?HISTOGRAM:interval(H, first),
    Fill(again),
    Snapshot = ?HISTOGRAM:snapshot(H),
    Read = fun([Name | Arguments]) -> apply(?HISTOGRAM, Name, Arguments) end,
    each(Read, [
        {{hd(Arguments), Kind}, fun() -> Arguments end}
     || {Kind, From} <- [{histogram, H}, {snapshot, Snapshot}],
        Arguments <- [
            [quantile, From, 0.5],
            [quantiles, From, [I / 200_000 || I <- lists:seq(1, 200_000)]],
            [quantiles, From, [I / 200_000 || I <- lists:seq(1, 200_000)], linear],
            [quantiles, From, lists:duplicate(1_000_000, 0.5) ++ [a]],
            [buckets, From, lists:seq(1, 200_000)],
            [buckets, From, lists:seq(1, 1_000_000) ++ b],
            [summary, From],
            [fraction_below, From, 1 bsl 40],
            [to_binary, From],
            [subtract, From, Snapshot],
            [merge, lists:duplicate(100, From)],
            [to_prometheus, From],
            [to_prometheus, From, #{format => protobuf}],
            [to_otlp, From],
            [to_hdr, From],
            [to_hdr, From, #{compress => false}],
            [plot, From]
        ]
    ]),
    each(Read, [
        {hd(Arguments), fun() -> Arguments end}
     || Arguments <- [
            [snapshot, H],
            [info, H],
            [interval, H, first],
            [interval, H, Cursor],
            [windows, H],
            [decaying, H],
            [decaying, H, lists:duplicate(500_000, 0.5)],
            [reset, H]
        ]
    ]),
    each(Read, [{delete, fun() -> [delete, refilled(Opts)] end}]).

refilled(Opts) ->
    H = ?HISTOGRAM:new(Opts),
    ok = ?HISTOGRAM:record_many(H, every_bucket()),
    H.

histogram_bytes(_) ->
    Whole = ?HISTOGRAM:to_binary(refilled(#{precision => 10, max => 1 bsl 64 - 1})),
    Bytes = [
        {whole, fun() -> Whole end},
        {cut, fun() -> binary:part(Whole, 0, byte_size(Whole) - 1) end},
        {long, fun() -> <<Whole/binary, (binary:copy(<<0>>, 64 * ?MB))/binary>> end},
        {ones, fun() -> <<(binary:part(Whole, 0, 16))/binary, (binary:copy(<<1>>, 16 * ?MB))/binary>> end},
        {all_ones, fun() -> <<(binary:part(Whole, 0, 16))/binary, (binary:copy(<<255>>, 16 * ?MB))/binary>> end},
        {text, fun() -> binary:copy(<<"a">>, 64 * ?MB) end}
    ],
    each(
        fun([Name, Given]) -> ?HISTOGRAM:Name(Given) end,
        [
            {{Name, Kind}, fun() -> [Name, Make()] end}
         || Name <- [from_binary, summary, to_binary, plot], {Kind, Make} <- Bytes
        ]
    ),
    Hdr = ?HISTOGRAM:to_hdr(Whole),
    Plain = ?HISTOGRAM:to_hdr(Whole, #{compress => false}),
    each(fun([Given]) -> ?HISTOGRAM:from_hdr(Given) end, [
        {{from_hdr, Kind}, fun() -> [Make()] end}
     || {Kind, Make} <- [
            {deflated, fun() -> Hdr end},
            {plain, fun() -> Plain end},
            {long, fun() -> <<Plain/binary, (binary:copy(<<0>>, 64 * ?MB))/binary>> end},
            {zeros, fun() -> <<(binary:part(Plain, 0, 40))/binary, (binary:copy(<<1>>, 16 * ?MB))/binary>> end},
            {text, fun() -> binary:copy(<<"a">>, 64 * ?MB) end}
        ]
    ]),
    Line = ?LOG:line(Whole, #{}),
    each(fun([Given]) -> ?LOG:read(Given) end, [
        {{log, Kind}, fun() -> [Make()] end}
     || {Kind, Make} <- [
            {lines, fun() -> lists:duplicate(20, Line) end},
            {long_line, fun() -> [binary:part(Line, 0, byte_size(Line) - 1), binary:copy(<<"A">>, 64 * ?MB)] end},
            {comments, fun() -> binary:copy(<<"#\n">>, 1_000_000) end},
            {fields, fun() -> binary:copy(<<"1,">>, 16 * ?MB) end},
            {base_time, fun() -> [<<"#[BaseTime: ">>, binary:copy(<<"1">>, 16 * ?MB)] end}
        ]
    ]),
    each(fun([Many]) -> ?HISTOGRAM:merge(Many) end, [
        {merge, fun() -> [lists:duplicate(1000, Whole)] end},
        {merge_small, fun() -> [lists:duplicate(100_000, ?HISTOGRAM:to_binary(?HISTOGRAM:new()))] end},
        {merge_late_error, fun() -> [lists:duplicate(1000, Whole) ++ [<<"text">>]] end}
    ]).

%% A value of each bucket of the finest histogram.
every_bucket() ->
    lists:seq(0, 2047) ++
        [(1024 + Nth) bsl Shift || Shift <- lists:seq(1, 53), Nth <- lists:seq(0, 1023)].

%% A millisecond is about 4,000 reductions; these inputs take some hundred microseconds. Without a
%% charge a loop over them would keep its scheduler for seconds.
work_is_charged(_) ->
    Document = document(<<"[">>, <<"{\"id\":1,\"tags\":[\"a\",\"b\"]},">>, <<"0]">>, 0.25),
    Finest = refilled(#{precision => 10, max => 1 bsl 64 - 1}),
    Quantiles = [I / 1000 || I <- lists:seq(1, 1000)],
    lists:foreach(fun charged/1, [
        {{?JSON, decode, 1}, [Document]},
        {{?JSON, encode, 1}, [lists:duplicate(20_000, #{<<"id">> => 1})]},
        {{?JSON, get, 2}, [Document, [1_000_000]]},
        {{?HISTOGRAM, record_many, 2}, [?HISTOGRAM:new(), lists:seq(1, 100_000)]},
        {{?HISTOGRAM, record_many, 2}, [?HISTOGRAM:new(), binary:copy(<<1:64/native>>, 500_000)]},
        {{?HISTOGRAM, record_corrected, 3}, [?HISTOGRAM:new(#{max => 1 bsl 60 - 1}), 1 bsl 59, 1]},
        {{?HISTOGRAM, summary, 1}, [Finest]},
        {{?HISTOGRAM, snapshot, 1}, [Finest]},
        {{?HISTOGRAM, quantiles, 2}, [Finest, Quantiles]},
        {{?HISTOGRAM, buckets, 2}, [?HISTOGRAM:snapshot(?HISTOGRAM:new()), lists:seq(1, 1000)]},
        {{?RPC, decode, 2}, [[<<"{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"params\":">>, Document, $}], #{}]}
    ]).

charged({{Module, Function, _} = Door, Arguments}) ->
    {reductions, Before} = process_info(self(), reductions),
    [_ = apply(Module, Function, Arguments) || _ <- lists:seq(1, 10)],
    {reductions, After} = process_info(self(), reductions),
    ct:log("~p: ~p reductions a call", [Door, (After - Before) div 10]),
    ?assert((After - Before) div 10 > 400, Door).

each({Module, Function, _}, Inputs) ->
    each(fun(Arguments) -> apply(Module, Function, Arguments) end, Inputs);
each(Call, Inputs) ->
    %% Every input is tried, also after one that fails.
    Failed = [Reason || {Name, Make} <- Inputs, {failed, Reason} <- [short(Name, Call, Make)]],
    ?assertEqual([], Failed).

short(Name, Call, Make) ->
    ct:log("~p", [Name]),
    try
        erlmcp_native_call_time:assert_short(Name, fun() ->
            Arguments = Make(),
            try
                _ = Call(Arguments),
                ok
            catch
                error:Reason ->
                    erlmcp_native_wrong_terms:is_documented(Reason) orelse exit({Name, Reason})
            end
        end)
    catch
        exit:Reason -> {failed, Reason}
    end.

documents() ->
    [
        {string, fun() -> document(<<"\"">>, <<"a">>, <<"\"">>, 64) end},
        {escaped_string, fun() -> document(<<"\"">>, <<"\\u00e9\\n">>, <<"\"">>, 64) end},
        {text, fun() -> document(<<"\"">>, <<"é€😀"/utf8>>, <<"\"">>, 64) end},
        {integers, fun() -> document(<<"[">>, <<"123456789,">>, <<"0]">>, 64) end},
        {floats, fun() -> document(<<"[">>, <<"-1.2345678901e-7,">>, <<"0]">>, 64) end},
        {objects, fun() ->
            document(<<"[">>, <<"{\"id\":1,\"name\":\"abcdef\",\"tags\":[\"a\",\"b\"]},">>, <<"0]">>, 64)
        end},
        {one_object, fun() ->
            Pairs = [[$", $k, integer_to_binary(I), "\":1,"] || I <- lists:seq(1, 1_000_000)],
            iolist_to_binary([${, Pairs, "\"k\":1}"])
        end},
        {one_key, fun() -> document(<<"{\"">>, <<"k">>, <<"\":1}">>, 64) end},
        {closed_levels, fun() ->
            [binary:copy(<<"[">>, 1_000_000), binary:copy(<<"]">>, 1_000_000)]
        end},
        {unclosed_levels, fun() -> binary:copy(<<"[">>, 4_000_000) end},
        {unclosed_objects, fun() -> binary:copy(<<"{\"a\":">>, 1_000_000) end},
        {blanks, fun() -> document(<<>>, <<" \n">>, <<"1">>, 64) end},
        {digits, fun() -> document(<<"1">>, <<"1">>, <<"1">>, 1) end},
        {fraction, fun() -> document(<<"0.1">>, <<"1">>, <<"1">>, 64) end},
        {small_pieces, fun() ->
            [$[, lists:duplicate(1_000_000, [<<"12345678">>, $,]), <<"0]">>]
        end},
        {bytes, fun() -> binary_to_list(document(<<"[">>, <<"12345678,">>, <<"0]">>, 4)) end},
        {deep_pieces, fun() -> [$[, nested(fun(T) -> [<<"1,">> | T] end, [<<"1]">>], 1_000_000)] end},
        {deep_lists, fun() -> nested(fun(T) -> [T] end, <<"1">>, 1_000_000) end},
        {late_error, fun() -> document(<<"[">>, <<"123456789,">>, <<"x">>, 64) end},
        {late_bad_text, fun() -> document(<<"\"">>, <<"a">>, <<255, $">>, 64) end}
    ].

terms() ->
    [
        {string, fun() -> binary:copy(<<"a">>, 64 * ?MB) end},
        {quotes, fun() -> binary:copy(<<"\"">>, 64 * ?MB) end},
        {controls, fun() -> binary:copy(<<1>>, 16 * ?MB) end},
        {text, fun() -> binary:copy(<<"é€😀"/utf8>>, 7 * ?MB) end},
        {late_bad_text, fun() -> document(<<>>, <<"a">>, <<255>>, 64) end},
        {integers, fun() -> lists:seq(1, 4_000_000) end},
        {floats, fun() -> [I / 7 || I <- lists:seq(1, 1_000_000)] end},
        {atoms, fun() -> lists:duplicate(1_000_000, true) end},
        {strings, fun() -> lists:duplicate(1_000_000, <<"some text">>) end},
        {small_maps, fun() -> lists:duplicate(500_000, #{<<"id">> => 1, <<"name">> => <<"a">>}) end},
        {large_map, fun() -> maps:from_list([{integer_to_binary(I), I} || I <- lists:seq(1, 1_000_000)]) end},
        {deep_lists, fun() -> nested(fun(T) -> [T] end, [], 1_000_000) end},
        {deep_maps, fun() -> nested(fun(T) -> #{<<"a">> => T} end, 1, 1_000_000) end},
        {big_integer, fun() -> 1 bsl 200_000 end},
        {ready, fun() -> {json, binary:copy(<<"1">>, 64 * ?MB)} end},
        {ready_pieces, fun() -> {json, lists:duplicate(1_000_000, <<"1">>)} end},
        {late_error, fun() -> lists:seq(1, 1_000_000) ++ [{a}] end},
        {improper, fun() -> lists:seq(1, 1_000_000) ++ b end}
    ].

messages() ->
    Call = <<"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"a\",\"arguments\":">>,
    [
        {string, fun() -> [Call, document(<<"\"">>, <<"a">>, <<"\"">>, 15), <<"}}">>] end},
        {integers, fun() -> [Call, document(<<"[">>, <<"123456789,">>, <<"0]">>, 15), <<"}}">>] end},
        {too_large, fun() -> [Call, document(<<"[">>, <<"123456789,">>, <<"0]">>, 64), <<"}}">>] end},
        {unclosed, fun() -> [Call, binary:copy(<<"[">>, 1_000_000)] end},
        {many_members, fun() ->
            [${, [[$", integer_to_binary(I), "\":1,"] || I <- lists:seq(1, 500_000)], "\"id\":1}"]
        end},
        {batch, fun() ->
            [$[, lists:duplicate(200_000, <<"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"},">>), <<"1]">>]
        end},
        {bad_batch, fun() -> document(<<"[">>, <<"1,">>, <<"1]">>, 8) end},
        {method, fun() -> document(<<"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"">>, <<"m">>, <<"\"}">>, 15) end}
    ].

%% Middle repeated until the whole has so many megabytes.
document(First, Middle, Last, Megabytes) ->
    Times = trunc(Megabytes * ?MB) div byte_size(Middle),
    <<First/binary, (binary:copy(Middle, Times))/binary, Last/binary>>.

nested(_, Term, 0) -> Term;
nested(Wrap, Term, Depth) -> nested(Wrap, Wrap(Term), Depth - 1).
