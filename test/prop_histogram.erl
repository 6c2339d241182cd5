%% Properties of erlmcp_native_histogram, against sorted lists. Run by erlmcp_native_histogram_SUITE;
%% the environment variable ERLMCP_NUMTESTS says how many cases.
-module(prop_histogram).

-export([
    prop_quantiles_are_within_the_error/0,
    prop_linear_is_within_the_error/0,
    prop_summary/0,
    prop_counts_below/0,
    prop_all_ways_to_record_are_one/0,
    prop_corrected_records_what_is_missing/0,
    prop_merge_is_recording_together/0,
    prop_merge_has_no_order/0,
    prop_every_reader_sees_all/0,
    prop_binary_comes_back/0,
    prop_damaged_binary/0,
    prop_hdr_comes_back/0
]).

-import(erlmcp_native_test_histogram, [rank/2, within/3]).

-define(HISTOGRAM, erlmcp_native_histogram).

prop_quantiles_are_within_the_error() ->
    for_all({values(), precision(), quantiles()}, fun({Values, Precision, Quantiles}) ->
        with(Values, #{precision => Precision, max => 1 bsl 64 - 1}, fun(Histogram) ->
            Told = ?HISTOGRAM:quantiles(Histogram, Quantiles),
            lists:all(
                fun({Quantile, Value}) -> within(Value, rank(Values, Quantile), Precision) end,
                lists:zip(Quantiles, Told)
            )
        end)
    end).

%% By the width of a bucket, where the nearest rank is told by half of it.
prop_linear_is_within_the_error() ->
    for_all({values(), precision(), quantiles()}, fun({Values, Precision, Quantiles}) ->
        with(Values, #{precision => Precision, max => 1 bsl 64 - 1}, fun(Histogram) ->
            Told = ?HISTOGRAM:quantiles(Histogram, Quantiles, linear),
            lists:all(
                fun({Quantile, Value}) ->
                    Nearest = rank(Values, Quantile),
                    is_float(Value) andalso
                        abs(Value - Nearest) * (1 bsl Precision) =< Nearest * (1 + 1.0e-9)
                end,
                lists:zip(Quantiles, Told)
            )
        end)
    end).

prop_summary() ->
    for_all({values(), precision()}, fun({Values, Precision}) ->
        with(Values, #{precision => Precision, max => 1 bsl 64 - 1}, fun(Histogram) ->
            Summary = ?HISTOGRAM:summary(Histogram),
            Count = length(Values),
            Sum = lists:sum(Values),
            Mean = Sum / Count,
            %% Each value is off by so much of itself at most, so their deviation by this.
            Root = math:sqrt(lists:sum([float(V) * V || V <- Values]) / Count),
            Deviation = math:sqrt(lists:sum([(V - Mean) * (V - Mean) || V <- Values]) / Count),
            Error = Root * (math:pow(2, -(Precision + 1)) + 1.0e-6),
            #{count := Count, sum := Sum, mean := ToldMean, stddev := ToldDeviation} = Summary,
            maps:get(min, Summary) =:= lists:min(Values) andalso
                maps:get(max, Summary) =:= lists:max(Values) andalso
                abs(ToldMean - Mean) =< Mean * 1.0e-9 andalso
                abs(ToldDeviation - Deviation) =< Error andalso
                maps:get(p99, Summary) =:= ?HISTOGRAM:quantile(Histogram, 0.99)
        end)
    end).

%% A value counts as below a bound if it is so by more than the width of a bucket, and not if it is
%% above by more than that.
prop_counts_below() ->
    for_all({values(), precision(), values()}, fun({Values, Precision, Bounds}) ->
        with(Values, #{precision => Precision, max => 1 bsl 64 - 1}, fun(Histogram) ->
            Counts = ?HISTOGRAM:buckets(Histogram, lists:usort(Bounds)),
            Width = 1 / (1 bsl Precision),
            lists:all(
                fun({Bound, Count}) ->
                    Least = length([V || V <- Values, V =< Bound * (1 - Width)]),
                    Most = length([V || V <- Values, V * (1 - Width) =< Bound]),
                    Part = ?HISTOGRAM:fraction_below(Histogram, Bound) * length(Values),
                    Least =< Count andalso Count =< Most andalso
                        Least =< Part * (1 + 1.0e-9) andalso Part * (1 - 1.0e-9) =< Most
                end,
                Counts
            ) andalso [B || {B, _} <- Counts] =:= lists:usort(Bounds)
        end)
    end).

prop_all_ways_to_record_are_one() ->
    for_all({proper_types:list(value()), layout()}, fun({Values, Opts}) ->
        Packed = << <<V:64/native>> || V <- Values >>,
        One = with([], Opts, fun(H) -> [ok = ?HISTOGRAM:record(H, V) || V <- Values], read(H) end),
        List = with(Values, Opts, fun read/1),
        Binary = with(Packed, Opts, fun read/1),
        One =:= List andalso List =:= Binary
    end).

prop_corrected_records_what_is_missing() ->
    Cases = {proper_types:integer(0, 1 bsl 24), proper_types:integer(1, 1 bsl 20), layout()},
    for_all(Cases, fun
        ({Value, Interval, Opts}) when Value < Interval; Value div Interval > 20_000 ->
            with([], Opts, fun(H) ->
                ok = ?HISTOGRAM:record_corrected(H, Value, Interval),
                maps:get(count, ?HISTOGRAM:summary(H)) =:= max(1, Value div Interval)
            end);
        ({Value, Interval, Opts}) ->
            Missing = [Value - Times * Interval || Times <- lists:seq(1, Value div Interval - 1)],
            Counted = with([Value | Missing], Opts, fun(H) -> buckets(H, Opts) end),
            Counted =:= with([], Opts, fun(H) ->
                ok = ?HISTOGRAM:record_corrected(H, Value, Interval),
                buckets(H, Opts)
            end)
    end).

prop_merge_is_recording_together() ->
    for_all({proper_types:list(proper_types:list(value())), layout()}, fun({Lists, Opts}) ->
        Snapshots = [with(Values, Opts, fun read/1) || Values <- [[] | Lists]],
        Together = with(lists:append(Lists), Opts, fun(H) -> buckets(H, Opts) end),
        buckets(?HISTOGRAM:merge(Snapshots), Opts) =:= Together
    end).

prop_merge_has_no_order() ->
    Filled = {proper_types:list(value()), layout()},
    for_all({Filled, Filled, Filled}, fun(Parts) ->
        [A, B, C] = [with(Values, Opts, fun read/1) || {Values, Opts} <- tuple_to_list(Parts)],
        Merged = ?HISTOGRAM:merge([A, B, C]),
        Same = [
            ?HISTOGRAM:merge([?HISTOGRAM:merge([A, B]), C]),
            ?HISTOGRAM:merge([A, ?HISTOGRAM:merge([B, C])]),
            ?HISTOGRAM:merge([C, B, A]),
            ?HISTOGRAM:merge([B, A, C])
        ],
        Count = lists:sum([length(Values) || {Values, _} <- tuple_to_list(Parts)]),
        lists:usort([Merged | Same]) =:= [Merged] andalso
            maps:get(count, ?HISTOGRAM:summary(Merged)) =:= Count
    end).

%% Several readers, whatever they do between and whoever resets: the intervals of each are, in all,
%% what was recorded, and what is read after a reset is what was recorded since.
prop_every_reader_sees_all() ->
    Step = proper_types:frequency([
        {4, {record, proper_types:list(value())}},
        {3, {read, proper_types:integer(1, 3)}},
        {1, reset}
    ]),
    for_all({proper_types:list(Step), layout()}, fun({Steps, Opts}) ->
        with([], Opts, fun(Histogram) ->
            None = ?HISTOGRAM:snapshot(Histogram),
            Readers = maps:from_list([{Nth, {first, [None]}} || Nth <- [1, 2, 3]]),
            End = [{read, 1}, {read, 2}, {read, 3}],
            Walk = fun(What, State) -> step(What, Histogram, State) end,
            {Read, All, Since} = lists:foldl(Walk, {Readers, [], []}, Steps ++ End),
            Model = fun(Values) -> with(Values, Opts, fun(H) -> buckets(H, Opts) end) end,
            Expected = Model(All),
            Seen = [buckets(?HISTOGRAM:merge(Deltas), Opts) || {_, Deltas} <- maps:values(Read)],
            lists:usort([Expected | Seen]) =:= [Expected] andalso
                buckets(Histogram, Opts) =:= Model(Since)
        end)
    end).

step({record, Values}, Histogram, {Readers, All, Since}) ->
    ok = ?HISTOGRAM:record_many(Histogram, Values),
    {Readers, Values ++ All, Values ++ Since};
step({read, Nth}, Histogram, {Readers, All, Since}) ->
    {Cursor, Before} = map_get(Nth, Readers),
    {Delta, Next} = ?HISTOGRAM:interval(Histogram, Cursor),
    {Readers#{Nth := {Next, [Delta | Before]}}, All, Since};
step(reset, Histogram, {Readers, All, _}) ->
    ok = ?HISTOGRAM:reset(Histogram),
    {Readers, All, []}.

prop_binary_comes_back() ->
    for_all({proper_types:list(value()), layout()}, fun({Values, Opts}) ->
        with(Values, Opts, fun(Histogram) ->
            Bytes = ?HISTOGRAM:to_binary(Histogram),
            {ok, Snapshot} = ?HISTOGRAM:from_binary(binary:copy(Bytes)),
            Summary = maps:remove(span, ?HISTOGRAM:summary(Histogram)),
            Summary =:= maps:remove(span, ?HISTOGRAM:summary(Snapshot)) andalso
                ?HISTOGRAM:to_binary(Snapshot) =:= Bytes
        end)
    end).

%% With bytes changed, cut off or added it is another snapshot or none, and reading it never fails
%% otherwise.
prop_damaged_binary() ->
    Damage = proper_types:frequency([
        {1, {cut, proper_types:non_neg_integer()}},
        {1, {add, proper_types:non_empty(proper_types:binary())}},
        {3, {change, proper_types:non_neg_integer(), proper_types:byte()}}
    ]),
    for_all({proper_types:list(value()), layout(), Damage}, fun({Values, Opts, How}) ->
        Bytes = damaged(How, with(Values, Opts, fun read/1)),
        case ?HISTOGRAM:from_binary(Bytes) of
            {ok, Snapshot} ->
                is_tuple(How) andalso element(1, How) =:= change andalso
                    is_map(?HISTOGRAM:summary(Snapshot)) andalso
                    length(?HISTOGRAM:quantiles(Snapshot, [0, 0.5, 1], linear)) =:= 3 andalso
                    is_binary(?HISTOGRAM:to_binary(?HISTOGRAM:merge([Snapshot, Snapshot])));
            {error, Reason} ->
                is_atom(Reason)
        end
    end).

damaged({cut, Bytes}, Whole) -> binary:part(Whole, 0, Bytes rem byte_size(Whole));
damaged({add, Bytes}, Whole) -> <<Whole/binary, Bytes/binary>>;
damaged({change, Nth, Byte}, Whole) ->
    {Before, <<_, After/binary>>} = split_binary(Whole, Nth rem byte_size(Whole)),
    <<Before/binary, Byte, After/binary>>.

%% As exactly as three decimal digits, which are 1,024 parts of a power of two, tell what was told
%% to ours.
prop_hdr_comes_back() ->
    for_all({values(), precision(), proper_types:boolean()}, fun({Values, Precision, Compress}) ->
        with(Values, #{precision => Precision, max => 1 bsl 64 - 1}, fun(Histogram) ->
            Bytes = ?HISTOGRAM:to_hdr(Histogram, #{compress => Compress}),
            {ok, Back} = ?HISTOGRAM:from_hdr(Bytes),
            Error = 1.5 / (1 bsl Precision),
            Quantiles = [0, 0.25, 0.5, 0.9, 1],
            maps:get(count, ?HISTOGRAM:summary(Back)) =:= length(Values) andalso
                lists:all(
                    fun({Quantile, Value}) ->
                        Right = rank(Values, Quantile),
                        abs(Value - Right) =< Right * Error
                    end,
                    lists:zip(Quantiles, ?HISTOGRAM:quantiles(Back, Quantiles))
                )
        end)
    end).

%%% Generators

%% Of every magnitude alike, and the edges of powers of two.
value() ->
    proper_types:oneof([
        proper_types:bind(
            proper_types:integer(0, 64),
            fun(Bits) -> proper_types:integer(0, 1 bsl Bits - 1) end,
            false
        ),
        proper_types:bind(
            {proper_types:integer(0, 63), proper_types:integer(-1, 1)},
            fun({Bits, By}) -> max(0, 1 bsl Bits + By) end,
            false
        )
    ]).

values() -> proper_types:non_empty(proper_types:list(value())).

precision() -> proper_types:integer(5, 10).

layout() ->
    proper_types:bind(
        {precision(), proper_types:elements([1, 8, 20, 42, 63, 64])},
        fun({Precision, Bits}) -> #{precision => Precision, max => 1 bsl Bits - 1} end,
        false
    ).

quantiles() ->
    proper_types:non_empty(
        proper_types:list(
            proper_types:oneof([
                proper_types:float(0.0, 1.0), proper_types:elements([0, 0.0, 0.5, 0.99, 0.9999, 1, 1.0])
            ])
        )
    ).

%%% Running

%% What Fun makes of a histogram of these values.
with(Values, Opts, Fun) ->
    Histogram = erlmcp_native_test_histogram:filled(Values, Opts),
    try
        Fun(Histogram)
    after
        ok = ?HISTOGRAM:delete(Histogram)
    end.

read(From) -> ?HISTOGRAM:snapshot(From).

%% All that does not depend on what an interval knows only to the width of a bucket: counts at the
%% upper ends of buckets, as far as floats tell them apart.
buckets(From, #{max := Max}) ->
    Ends = [B - 1 || Bits <- lists:seq(0, 52), B <- [1 bsl Bits, 3 bsl Bits div 2], B =< Max],
    Summary = ?HISTOGRAM:summary(From),
    {
        maps:with([count, sum, overflow], Summary),
        ?HISTOGRAM:buckets(From, lists:usort(Ends))
    }.

for_all(Type, Property) ->
    proper:forall(Type, fun(Instance) ->
        try
            Property(Instance)
        catch
            Class:Reason:Stack ->
                io:format("~p:~p~n~p~n", [Class, Reason, Stack]),
                false
        end
    end).
