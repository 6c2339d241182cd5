-module(erlmcp_native_otlp).
-include("erlmcp_native_doc.hrl").
?MODULEDOC("""
Pushes all metrics to a collector of OpenTelemetry, by OTLP over HTTP in protobuf, histograms as
exponential ones. It is there when it is started, and needs the application inets (and ssl where the
endpoint is https), which it starts.

One push is under way at a time: where it takes longer than the interval the next is skipped, and
nothing is lost by that, since what is pushed is what there has been since the start. What is pushed,
and what a collector may answer, is explained in docs/exposition.md.
""").

-behaviour(gen_server).

-export([start/1, stop/1, flush/1, info/1, child_spec/1, start_link/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).
-export([format_error/2]).
-export_type([opts/0, info/0]).

-type opts() :: #{
    endpoint => binary() | string(),
    interval => pos_integer(),
    timeout => pos_integer(),
    headers => [{binary() | string(), binary() | string()}],
    compression => none | gzip,
    resource => #{binary() => binary() | boolean() | integer() | float()},
    retries => non_neg_integer(),
    backoff => pos_integer(),
    max_points => pos_integer(),
    max_body => pos_integer(),
    ssl => list()
}.
%% Where, when and how it pushes:
%%
%% `endpoint': the whole URL; default `http://127.0.0.1:4318/v1/metrics'.
%% `interval': milliseconds from one push to the next; default 60,000.
%% `timeout': milliseconds that a request may take; default 10,000.
%% `headers': more fields for each request, as for authorisation.
%% `compression': `gzip' or `none', the default.
%% `resource': attributes of what the metrics are of, beside or instead of the default ones:
%% `service.name' (`unknown_service:erlang'), `service.instance.id' (the node), `telemetry.sdk.name',
%% `telemetry.sdk.language' and `telemetry.sdk.version'.
%% `retries': how often a request is sent again where the collector is busy or not there; default 4.
%% `backoff': milliseconds until it is sent again first, where the collector does not say; they double
%% each time, up to 30 s, and a random half of them is left out; default 1,000.
%% `max_points': the most series that a request has; default 2,000.
%% `max_body': the most bytes that a request has before compression; default 4 MiB. A series that has
%% more by itself is left out and counted.
%% `ssl': options of ssl for https; default: the certificate is verified against the system's roots.
-type info() :: #{
    endpoint := binary(),
    pushes := non_neg_integer(),
    failures := non_neg_integer(),
    skipped := non_neg_integer(),
    requests := non_neg_integer(),
    retries := non_neg_integer(),
    points := non_neg_integer(),
    bytes := non_neg_integer(),
    rejected := non_neg_integer(),
    too_large := non_neg_integer(),
    pushing := boolean(),
    last := none | ok | {error, term()},
    last_error := none | term(),
    last_duration := non_neg_integer()
}.
%% `pushes' that ended, `failures' of them; `skipped': those for which there was no time; `requests' that
%% were sent, `retries' of them; `points' in those that were taken; `bytes' that were sent; `rejected':
%% points that the collector did not take although it took the request; `too_large': series left out;
%% `pushing': whether one is under way; `last': what came of the last; `last_error': the last
%% that there was, or what a collector warned of; `last_duration': milliseconds.

%% The longest timer: 34 years.
-define(MAX_TIME, 1 bsl 40).
%% Milliseconds for the last push, when the exporter stops: fewer than a supervisor waits.
-define(LAST, 4000).

-record(state, {
    opts :: map(),
    worker = none :: none | {pid(), reference(), Started :: integer()},
    %% Those who wait for the push that is under way, and those who asked after it had begun.
    waiting = [] :: [gen_server:from()],
    next = [] :: [gen_server:from()],
    info :: map()
}).

?DOC("""
Starts one under the library's own supervisor, which does not start it again where it crashes: for that, see
`child_spec/1`.

`{error, not_started}`: the application is not running. `{error, no_inets}`: inets, or ssl for https,
cannot be started.
""").
-spec start(Opts :: opts()) -> {ok, pid()} | {error, term()}.
start(Opts) ->
    Given = erlmcp_native_otlp_options:new(Opts, {?MODULE, start, [Opts]}),
    erlmcp_native_sup:start_service(?MODULE, Given).

?DOC("""
Stops one after a last push, for which there are 4 s.
""").
-spec stop(pid()) -> ok.
stop(Pid) ->
    erlmcp_native_sup:stop_service(Pid).

?DOC("""
Pushes what there is now, and says whether all of it was taken.
""").
-spec flush(pid()) -> ok | {error, term()}.
flush(Pid) ->
    gen_server:call(Pid, flush, infinity).

?DOC("""
What it has done since it was started.
""").
-spec info(pid()) -> info().
info(Pid) ->
    gen_server:call(Pid, info).

?DOC("""
For a supervisor of yours, which starts it again.
""").
-spec child_spec(Opts :: opts()) -> supervisor:child_spec().
child_spec(Opts) ->
    Given = #{endpoint := Endpoint} =
        erlmcp_native_otlp_options:new(Opts, {?MODULE, child_spec, [Opts]}),
    #{id => {?MODULE, Endpoint}, start => {?MODULE, start_link, [Given]}}.

?DOC(false).
-spec start_link(map()) -> {ok, pid()} | {error, term()}.
start_link(Opts) ->
    gen_server:start_link(?MODULE, Opts, []).

?DOC(false).
-spec init(map()) -> {ok, #state{}} | {stop, no_inets}.
init(Opts) ->
    _ = process_flag(trap_exit, true),
    case erlmcp_native_otlp_push:prepare(Opts) of
        ok ->
            _ = tick(Opts),
            {ok, #state{opts = Opts, info = start_of_info(Opts)}};
        {error, no_inets} ->
            {stop, no_inets}
    end.

start_of_info(#{endpoint := Endpoint}) ->
    Counted = [
        pushes, failures, skipped, requests, retries, points, bytes, rejected, too_large, last_duration
    ],
    Counters = maps:from_list([{Key, 0} || Key <- Counted]),
    Counters#{endpoint => list_to_binary(Endpoint), last => none, last_error => none}.

tick(#{interval := Interval}) ->
    erlang:send_after(min(Interval, ?MAX_TIME), self(), push).

?DOC(false).
-spec handle_call(flush | info, gen_server:from(), #state{}) ->
    {noreply, #state{}} | {reply, info(), #state{}}.
handle_call(flush, From, #state{worker = none} = State) ->
    {noreply, begin_push(State#state{waiting = [From]})};
handle_call(flush, From, State) ->
    {noreply, State#state{next = [From | State#state.next]}};
handle_call(info, _From, #state{info = Info, worker = Worker} = State) ->
    {reply, Info#{pushing => Worker =/= none}, State}.

?DOC(false).
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_, State) ->
    {noreply, State}.

?DOC(false).
-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info(push, #state{opts = Opts, worker = none} = State) ->
    _ = tick(Opts),
    {noreply, begin_push(State)};
handle_info(push, #state{opts = Opts, info = Info} = State) ->
    _ = tick(Opts),
    {noreply, State#state{info = add(skipped, 1, Info)}};
handle_info({'DOWN', Monitor, process, _, Exit}, #state{worker = {_, Monitor, _}} = State) ->
    {noreply, end_push(Exit, State)};
handle_info(_, State) ->
    {noreply, State}.

?DOC(false).
-spec terminate(term(), #state{}) -> ok.
terminate(Reason, State) ->
    ok = abandon(State#state.worker),
    case Reason of
        normal -> last_push(State#state.opts);
        shutdown -> last_push(State#state.opts);
        {shutdown, _} -> last_push(State#state.opts);
        _ -> ok
    end.

abandon(none) ->
    ok;
abandon({Pid, Monitor, _}) ->
    true = exit(Pid, kill),
    true = demonitor(Monitor, [flush]),
    ok.

last_push(Opts) ->
    {Pid, Monitor, _} = Worker = spawn_push(run_last, Opts),
    receive
        {'DOWN', Monitor, process, Pid, _} -> ok
    after ?LAST ->
        abandon(Worker)
    end.

begin_push(#state{opts = Opts} = State) ->
    State#state{worker = spawn_push(run, Opts)}.

spawn_push(Run, Opts) ->
    {Pid, Monitor} = spawn_opt(erlmcp_native_otlp_push, Run, [Opts], [link, monitor]),
    {Pid, Monitor, erlang:monotonic_time(millisecond)}.

end_push(Exit, #state{worker = {Pid, _, Started}, info = Info} = State) ->
    receive
        {'EXIT', Pid, _} -> ok
    after 0 -> ok
    end,
    {Result, Counts} =
        case Exit of
            {pushed, Of, Counted} -> {Of, Counted};
            Reason -> {{error, {exit, Reason}}, #{}}
        end,
    {Warning, Numbers} =
        case maps:take(warning, Counts) of
            error -> {maps:get(last_error, Info), Counts};
            Taken -> Taken
        end,
    Counted1 = maps:fold(fun add/3, add(pushes, 1, Info), Numbers),
    Ended =
        case Result of
            ok -> Counted1#{last_error := Warning};
            {error, Why} -> add(failures, 1, Counted1#{last_error := Why})
        end,
    ok = complain(maps:get(last, Info), Result, maps:get(endpoint, Info)),
    lists:foreach(fun(From) -> gen_server:reply(From, Result) end, State#state.waiting),
    Duration = erlang:monotonic_time(millisecond) - Started,
    Idle = State#state{
        worker = none,
        waiting = State#state.next,
        next = [],
        info = Ended#{last := Result, last_duration := Duration}
    },
    case Idle#state.waiting of
        [] -> Idle;
        _ -> begin_push(Idle)
    end.

%% Once, not with each push.
complain({error, _}, {error, _}, _Endpoint) ->
    ok;
complain(_, {error, Reason}, Endpoint) ->
    Domain = #{domain => [erlmcp_native]},
    logger:warning("pushing metrics to ~ts fails: ~0tp", [Endpoint, Reason], Domain);
complain({error, _}, ok, Endpoint) ->
    logger:notice("metrics are pushed to ~ts again", [Endpoint], #{domain => [erlmcp_native]});
complain(_, ok, _Endpoint) ->
    ok.

add(Key, Number, Info) ->
    maps:update_with(Key, fun(Before) -> Before + Number end, Info).

?DOC(false).
-spec format_error(term(), list()) -> #{pos_integer() | general => unicode:chardata()}.
format_error(Reason, Stack) ->
    erlmcp_native_error:format(Reason, Stack).
