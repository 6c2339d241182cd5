%% The histograms that are on the code path, each brought to one shape.
%%
%% A call records a whole list, in a loop that each subject has for itself: the loop costs 2 ns by
%% value, where a fun for each value would cost a third of what is measured.
-module(erlmcp_bench_histograms_subjects).

-export([all/0, missing/0, native/0, native_named/0, pure_erlang/0, bare/0, hdr_histogram/0, ddskerl/0]).
-export([vm_clock/0, folsom/0, in_step/3, unique/0]).
-export_type([subject/0, histogram/0]).

-type histogram() :: term().
-type subject() :: #{
    name := atom(),
    role := measured | baseline | peer | variant,
    version := binary(),
    new := fun(() -> histogram()),
    record_all => fun((histogram(), [non_neg_integer()]) -> ok),
    %% Times nothing that often.
    time_all => fun((histogram(), pos_integer()) -> ok),
    %% How many were recorded, and their sum.
    totals := fun((histogram()) -> {non_neg_integer() | unknown, number() | unknown}),
    quantiles => fun((histogram(), [float()]) -> [number()]),
    summary => fun((histogram()) -> #{atom() => number()}),
    %% How far off a quantile is at most, as a part of its value.
    error => float(),
    %% Only one process may record at a time.
    one_at_a_time => true,
    drop := fun((histogram()) -> term())
}.

%% Those that record one value at a time.
-spec all() -> [subject()].
all() ->
    [native(), native_named(), pure_erlang(), bare() | lists:append([Peer() || {_, Peer} <- peers()])].

-spec missing() -> [{atom(), binary()}].
missing() ->
    [{Name, <<"not on the code path">>} || {Name, Peer} <- peers(), Peer() =:= []].

peers() ->
    [
        {hdr_histogram, fun hdr_histogram/0},
        {ddskerl, fun ddskerl/0},
        {prometheus, fun prometheus/0},
        {folsom, fun folsom/0}
    ].

%% Whether all that was recorded are so many times this list.
-spec in_step(subject(), histogram(), [number(), ...]) -> ok | {wrong, binary()}.
in_step(#{totals := Totals}, Histogram, Values) ->
    {Count, Sum} = Totals(Histogram),
    case {whole(Count, length(Values)), whole(Sum, lists:sum(Values))} of
        {unknown, _} -> ok;
        {{ok, _}, unknown} -> ok;
        {{ok, Times}, {ok, Times}} -> ok;
        _ -> {wrong, iolist_to_binary(io_lib:format("lost samples: ~w with the sum ~w", [Count, Sum]))}
    end.

whole(unknown, _) -> unknown;
whole(Total, By) when is_float(Total) -> whole(round(Total), By);
whole(Total, By) when Total > 0, Total rem By =:= 0 -> {ok, Total div By};
whole(_, _) -> no.

-spec unique() -> atom().
unique() ->
    list_to_atom("erlmcp_bench_" ++ integer_to_list(erlang:unique_integer([positive]))).

-spec native() -> subject().
native() ->
    #{
        name => native,
        role => measured,
        version => erlmcp_bench_suite:version(erlmcp_native),
        new => fun() -> erlmcp_native_histogram:new(#{}) end,
        record_all => fun native_all/2,
        time_all => fun native_timed/2,
        totals => fun native_totals/1,
        quantiles => fun erlmcp_native_histogram:quantiles/2,
        summary => fun erlmcp_native_histogram:summary/1,
        error => 1 / 256,
        drop => fun erlmcp_native_histogram:delete/1
    }.

%% By its name instead of its handle.
-spec native_named() -> subject().
native_named() ->
    (native())#{
        name := native_named,
        role := variant,
        new := fun() ->
            Name = unique(),
            _ = erlmcp_native_histogram:new(#{name => Name}),
            Name
        end
    }.

native_all(Histogram, [Value | Values]) ->
    ok = erlmcp_native_histogram:record(Histogram, Value),
    native_all(Histogram, Values);
native_all(_, []) ->
    ok.

native_timed(_, 0) ->
    ok;
native_timed(Histogram, Left) ->
    Start = erlmcp_native_histogram:start(),
    ok = erlmcp_native_histogram:stop(Histogram, Start),
    native_timed(Histogram, Left - 1).

native_totals(Histogram) ->
    #{count := Count, sum := Sum} = erlmcp_native_histogram:summary(Histogram),
    {Count, Sum}.

%% The clock of the VM around ours.
-spec vm_clock() -> subject().
vm_clock() ->
    (native())#{name := native_vm_clock, role := peer, time_all := fun vm_clock/2}.

vm_clock(_, 0) ->
    ok;
vm_clock(Histogram, Left) ->
    Start = erlang:monotonic_time(),
    ok = erlmcp_native_histogram:record(Histogram, erlang:monotonic_time() - Start),
    vm_clock(Histogram, Left - 1).

-spec pure_erlang() -> subject().
pure_erlang() ->
    #{
        name => pure_erlang,
        role => baseline,
        version => <<"erlmcp_histogram_baseline">>,
        new => fun erlmcp_histogram_baseline:new/0,
        record_all => fun pure_all/2,
        time_all => fun pure_timed/2,
        totals => fun(Histogram) ->
            Snapshot = erlmcp_histogram_baseline:snapshot(Histogram),
            {erlmcp_histogram_baseline:count(Snapshot), erlmcp_histogram_baseline:sum(Snapshot)}
        end,
        quantiles => fun erlmcp_histogram_baseline:quantiles/2,
        summary => fun erlmcp_histogram_baseline:summary/1,
        error => 1 / 256,
        drop => fun(_) -> ok end
    }.

pure_all(Histogram, [Value | Values]) ->
    ok = erlmcp_histogram_baseline:record(Histogram, Value),
    pure_all(Histogram, Values);
pure_all(_, []) ->
    ok.

pure_timed(_, 0) ->
    ok;
pure_timed(Histogram, Left) ->
    Start = erlang:monotonic_time(),
    ok = erlmcp_histogram_baseline:record(Histogram, erlang:monotonic_time() - Start),
    pure_timed(Histogram, Left - 1).

%% No histogram: what a counter of OTP costs.
-spec bare() -> subject().
bare() ->
    #{
        name => counters_add,
        role => peer,
        version => <<"erts ", (list_to_binary(erlang:system_info(version)))/binary>>,
        new => fun() -> counters:new(1, [write_concurrency]) end,
        record_all => fun bare_all/2,
        totals => fun(Counter) -> {unknown, counters:get(Counter, 1)} end,
        drop => fun(_) -> ok end
    }.

bare_all(Counter, [Value | Values]) ->
    ok = counters:add(Counter, 1, Value),
    bare_all(Counter, Values);
bare_all(_, []) ->
    ok.

%% hdr_histogram_erl, a NIF; one process may record at a time, so it says.
-spec hdr_histogram() -> [subject()].
hdr_histogram() ->
    Functions = [{open, 2}, {record, 2}, {percentile, 2}, {get_total_count, 1}, {to_binary, 1}, {close, 1}],
    case erlmcp_bench_suite:present(hdr_histogram, Functions) of
        true ->
            [
                #{
                    name => hdr_histogram,
                    role => peer,
                    version => erlmcp_bench_suite:version(hdr_histogram),
                    new => fun() ->
                        {ok, Histogram} = hdr_histogram:open((1 bsl 42) - 1, 3),
                        Histogram
                    end,
                    record_all => fun hdr_all/2,
                    time_all => fun hdr_timed/2,
                    totals => fun(Histogram) -> {hdr_histogram:get_total_count(Histogram), unknown} end,
                    quantiles => fun(Histogram, Quantiles) ->
                        [hdr_histogram:percentile(Histogram, 100 * Quantile) || Quantile <- Quantiles]
                    end,
                    %% Three digits are told.
                    error => 0.005,
                    one_at_a_time => true,
                    drop => fun hdr_histogram:close/1
                }
            ];
        false ->
            []
    end.

hdr_all(Histogram, [Value | Values]) ->
    ok = hdr_histogram:record(Histogram, Value),
    hdr_all(Histogram, Values);
hdr_all(_, []) ->
    ok.

hdr_timed(_, 0) ->
    ok;
hdr_timed(Histogram, Left) ->
    Start = erlang:monotonic_time(),
    ok = hdr_histogram:record(Histogram, erlang:monotonic_time() - Start),
    hdr_timed(Histogram, Left - 1).

%% DDSketch on `counters`, with the 1 % of its documentation.
-spec ddskerl() -> [subject()].
ddskerl() ->
    case erlmcp_bench_suite:present(ddskerl_counters, [{new, 1}, {insert, 2}, {quantile, 2}, {total, 1}, {sum, 1}]) of
        true ->
            [
                #{
                    name => ddskerl,
                    role => peer,
                    version => erlmcp_bench_suite:version(ddskerl),
                    new => fun() -> ddskerl_counters:new(#{error => 0.01, bound => 2184}) end,
                    record_all => fun ddskerl_all/2,
                    totals => fun(Sketch) -> {ddskerl_counters:total(Sketch), ddskerl_counters:sum(Sketch)} end,
                    quantiles => fun(Sketch, Quantiles) ->
                        [ddskerl_counters:quantile(Sketch, Quantile) || Quantile <- Quantiles]
                    end,
                    error => 0.01,
                    drop => fun(_) -> ok end
                }
            ];
        false ->
            []
    end.

ddskerl_all(Sketch, [Value | Values]) ->
    _ = ddskerl_counters:insert(Sketch, Value),
    ddskerl_all(Sketch, Values);
ddskerl_all(_, []) ->
    ok.

%% prometheus.erl: ten bounds and one label.
prometheus() ->
    Functions = [{new, 1}, {observe, 3}, {value, 2}, {deregister, 1}],
    case erlmcp_bench_suite:present(prometheus_histogram, Functions) andalso application:ensure_all_started(prometheus) of
        {ok, _} ->
            Milliseconds = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100],
            [
                #{
                    name => prometheus,
                    role => peer,
                    version => erlmcp_bench_suite:version(prometheus),
                    new => fun() ->
                        Name = unique(),
                        ok = prometheus_histogram:new([
                            {name, Name},
                            {help, "latencies"},
                            {labels, [tool]},
                            {buckets, [round(1_000_000 * Bound) || Bound <- Milliseconds]}
                        ]),
                        Name
                    end,
                    record_all => fun prometheus_all/2,
                    totals => fun(Name) ->
                        {Buckets, Sum} = prometheus_histogram:value(Name, [<<"search">>]),
                        {lists:sum(Buckets), Sum}
                    end,
                    drop => fun prometheus_histogram:deregister/1
                }
            ];
        _ ->
            []
    end.

prometheus_all(Name, [Value | Values]) ->
    ok = prometheus_histogram:observe(Name, [<<"search">>], Value),
    prometheus_all(Name, Values);
prometheus_all(_, []) ->
    ok.

%% Debian's erlang-folsom, with its default: a random sample of 1,028, which erlang-bear describes.
-spec folsom() -> [subject()].
folsom() ->
    Functions = [{new_histogram, 3}, {notify, 1}, {histogram_timed_begin, 1}, {delete_metric, 1}],
    case erlmcp_bench_suite:present(folsom_metrics, Functions) andalso application:ensure_all_started(folsom) of
        {ok, _} ->
            [
                #{
                    name => folsom,
                    role => peer,
                    version => erlmcp_bench_suite:version(folsom),
                    new => fun() ->
                        Name = unique(),
                        ok = folsom_metrics:new_histogram(Name, uniform, 1028),
                        Name
                    end,
                    record_all => fun folsom_all/2,
                    time_all => fun folsom_timed/2,
                    totals => fun(_) -> {unknown, unknown} end,
                    drop => fun folsom_metrics:delete_metric/1
                }
            ];
        _ ->
            []
    end.

folsom_all(Name, [Value | Values]) ->
    ok = folsom_metrics:notify({Name, Value}),
    folsom_all(Name, Values);
folsom_all(_, []) ->
    ok.

folsom_timed(_, 0) ->
    ok;
folsom_timed(Name, Left) ->
    ok = folsom_metrics:histogram_timed_notify(folsom_metrics:histogram_timed_begin(Name)),
    folsom_timed(Name, Left - 1).
