-module(erlmcp_native_metrics_record).
-include("erlmcp_native_doc.hrl").
-include("erlmcp_native_metrics.hrl").
?MODULEDOC(false).

%% What a handle stands for: reading it, and what is rare. Counters are those of OTP: a bare
%% `counters:add' takes 21.5 ns and a NIF no less. So are gauges: an atomic that holds the bits of a
%% double.

-export([read/1, windows/1, set_gauge/2, add_gauge/2, reset/1, remove/1, exemplar/4]).
-export_type([native/0]).

%% What a handle is. Key is the family's.
-type native() ::
    {counter | up_down_counter, counters:counters_ref(), At :: pos_integer()}
    | {gauge, atomics:atomics_ref(), 1}
    | {histogram, erlmcp_native_histogram:handle(), Key :: atom() | binary()}
    | {rate, erlmcp_native_rate:handle(), Key :: atom() | binary()}.

%% What collect/0 shows.
-spec read(native()) -> number().
read({gauge, Ref, 1}) ->
    <<Value/float>> = <<(atomics:get(Ref, 1)):64>>,
    Value;
read({Type, Ref, At}) when Type =:= counter; Type =:= up_down_counter ->
    counters:get(Ref, At);
read({histogram, Histogram, _Key}) ->
    Histogram.

%% Events a second in each window, which has its name; none of a rate that has gone.
-spec windows(non_neg_integer()) -> [{binary(), float()}].
windows(Rate) ->
    case erlmcp_native_nif:rate_read(Rate) of
        {_Total, _Decaying, Windows} -> [{window(Window), PerSecond} || {Window, PerSecond} <- Windows];
        invalid_rate -> []
    end.

window(Milliseconds) when Milliseconds rem 3_600_000 =:= 0 -> in(Milliseconds div 3_600_000, $h);
window(Milliseconds) when Milliseconds rem 60_000 =:= 0 -> in(Milliseconds div 60_000, $m);
window(Milliseconds) -> in(Milliseconds div 1_000, $s).

in(Count, Unit) -> <<(integer_to_binary(Count))/binary, Unit>>.

-spec set_gauge(atomics:atomics_ref(), number()) -> ok.
set_gauge(Ref, Value) ->
    <<Bits:64/signed>> = <<Value/float>>,
    atomics:put(Ref, 1, Bits).

-spec add_gauge(atomics:atomics_ref(), number()) -> ok.
add_gauge(Ref, Change) ->
    add_gauge(Ref, Change, atomics:get(Ref, 1)).

add_gauge(Ref, Change, Bits) ->
    <<Value/float>> = <<Bits:64>>,
    <<Next:64/signed>> = <<(Value + Change)/float>>,
    case atomics:compare_exchange(Ref, 1, Bits, Next) of
        ok -> ok;
        Other -> add_gauge(Ref, Change, Other)
    end.

-spec reset(native()) -> ok.
reset({gauge, Ref, 1}) -> atomics:put(Ref, 1, 0);
reset({histogram, Histogram, _Key}) ->
    _ = erlmcp_native_nif:histogram_reset(Histogram),
    ok;
%% It forgets by itself.
reset({rate, _Rate, _Key}) -> ok;
reset({_Type, Ref, At}) -> counters:put(Ref, At, 0).

%% Ends what is native of it. The rest goes when nobody has the handle.
-spec remove(native()) -> ok.
remove({histogram, Histogram, _Key}) ->
    %% Whoever asked for it may have deleted it.
    _ = erlmcp_native_nif:histogram_delete(Histogram),
    _ = ets:match_delete(?EXEMPLARS, {{Histogram, '_'}, '_', '_', '_'}),
    ok;
remove({rate, Rate, _Key}) ->
    _ = erlmcp_native_nif:rate_delete(Rate),
    ok;
remove(_Handle) ->
    ok.

%% Keeps it as the last one of its bucket.
-spec exemplar(non_neg_integer(), #family{}, non_neg_integer(), [{binary(), binary()}]) -> ok.
exemplar(Histogram, #family{scale = Scale, bounds = Bounds}, Value, Labels) ->
    %% Beyond any histogram's buckets, and a float can hold it.
    Exposed = float(min(Value, 1 bsl 64) * Scale),
    Now = erlang:system_time(millisecond) / 1000,
    true = ets:insert(?EXEMPLARS, {{Histogram, bucket(Bounds, Exposed, 1)}, Labels, Exposed, Now}),
    ok.

bucket([Bound | Bounds], Value, At) when Value > Bound -> bucket(Bounds, Value, At + 1);
bucket(_, _, At) -> At.
