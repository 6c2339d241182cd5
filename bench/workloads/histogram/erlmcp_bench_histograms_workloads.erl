%% Latencies, generated from a fixed seed.
-module(erlmcp_bench_histograms_workloads).

-export([latencies/1, binary/1, sorted/1, exact/2]).

%% Log-normal nanoseconds around 1 ms: a million of them lie in some 1,200 buckets of 4,608.
-define(MEDIAN, 1_000_000).
-define(SIGMA, 0.8).

-spec latencies(pos_integer()) -> [pos_integer()].
latencies(Count) ->
    [Value || <<Value:64/native>> <= binary(Count)].

%% The same as 64-bit words. Made once.
-spec binary(pos_integer()) -> binary().
binary(Count) ->
    kept({binary, Count}, fun() ->
        draw(Count, math:log(?MEDIAN), rand:seed_s(exsss, 1), <<>>)
    end).

draw(0, _, _, Values) ->
    Values;
draw(Left, Middle, State, Values) ->
    {Normal, Next} = rand:normal_s(State),
    Value = round(math:exp(Middle + ?SIGMA * Normal)),
    draw(Left - 1, Middle, Next, <<Values/binary, Value:64/native>>).

%% The same in their order, as 64-bit words.
-spec sorted(pos_integer()) -> binary().
sorted(Count) ->
    kept({sorted, Count}, fun() -> <<<<Value:64/native>> || Value <- lists:sort(latencies(Count))>> end).

%% The latencies of rank ceil(q * Count).
-spec exact(pos_integer(), [float()]) -> [pos_integer()].
exact(Count, Quantiles) ->
    Sorted = sorted(Count),
    [
        begin
            <<Value:64/native>> = binary:part(Sorted, 8 * (max(1, ceil(Quantile * Count)) - 1), 8),
            Value
        end
     || Quantile <- Quantiles
    ].

kept(Key, Make) ->
    case persistent_term:get({?MODULE, Key}, none) of
        none ->
            Made = Make(),
            ok = persistent_term:put({?MODULE, Key}, Made),
            Made;
        Made ->
            Made
    end.
