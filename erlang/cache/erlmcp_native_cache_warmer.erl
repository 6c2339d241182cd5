-module(erlmcp_native_cache_warmer).
-include("erlmcp_native_doc.hrl").
?MODULEDOC("""
Processes that keep a cache warm: at their start, every so often, or when they are told to.

`erlmcp_native_cache:start_warmer/3` starts one under the library's own supervisor; `child_spec/3`
is for a supervisor of yours, where a blocking warmer makes the start wait until the cache is
warm. Each run is a process of its own, one at a time. A warmer ends within a second of its cache.
""").

-behaviour(gen_server).

-export([child_spec/3, start_link/1, run/1, info/1]).
-export([init/1, handle_continue/2, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).
%% For erlmcp_native_cache, and for spawn.
-export([start/4, stop/1, work/3]).
-export_type([opts/0, info/0]).

-type opts() :: #{
    interval => pos_integer() | infinity,
    at_start => boolean(),
    blocking => boolean(),
    timeout => timeout(),
    overwrite => boolean(),
    atoms => existing | any
}.
%% How it warms:
%%
%% `interval': milliseconds from the end of a run to the start of the next; default `infinity'.
%% `at_start': whether it runs when it starts; default `true'.
%% `blocking': whether its start waits for that run, and fails if that fails; default `false'.
%% `timeout': milliseconds after which a run is ended; default 60,000.
%% `overwrite', `atoms': as for `erlmcp_native_cache:warm/3'.
-type info() :: #{
    runs := non_neg_integer(),
    failures := non_neg_integer(),
    running := boolean(),
    last := none | {ok, erlmcp_native_cache_warm:warmed()} | {error, term()},
    last_duration := non_neg_integer()
}.

-define(TIMEOUT, 60_000).
%% Milliseconds between two looks at whether the cache is there.
-define(LOOK, 1000).
%% The longest timer: 34 years. The VM has a limit near it.
-define(MAX_TIME, 1 bsl 40).

-record(state, {
    cache :: erlmcp_native_cache:cache(),
    source :: erlmcp_native_cache_warm:source(),
    opts :: opts(),
    worker = none :: none | {pid(), reference(), Started :: integer(), Timer :: reference()},
    timer = none :: none | reference(),
    waiting = [] :: [gen_server:from()],
    runs = 0 :: non_neg_integer(),
    failures = 0 :: non_neg_integer(),
    last = none :: none | {ok, erlmcp_native_cache_warm:warmed()} | {error, term()},
    duration = 0 :: non_neg_integer()
}).

?DOC("""
For a supervisor of yours. The child is `transient`: it ends normally when its cache does.
Raises `badarg` as `erlmcp_native_cache:start_warmer/3` does.
""").
-spec child_spec(erlmcp_native_cache:cache(), erlmcp_native_cache_warm:source(), opts()) ->
    supervisor:child_spec().
child_spec(Cache, Source, Opts) ->
    ok = check(Source, Opts, {?MODULE, child_spec, [Cache, Source, Opts]}),
    #{
        id => {?MODULE, Cache, Source},
        start => {?MODULE, start_link, [{Cache, Source, Opts}]},
        restart => transient
    }.

?DOC(false).
-spec start(
    erlmcp_native_cache:cache(),
    erlmcp_native_cache_warm:source(),
    opts(),
    erlmcp_native_error:call()
) -> {ok, pid()} | {error, term()}.
start(Cache, Source, Opts, Call) ->
    ok = check(Source, Opts, Call),
    erlmcp_native_cache_warm:is_there(Cache) orelse
        erlmcp_native_error:badarg(Call, 1, "no such cache"),
    %% The supervisor must not wait; the caller does.
    Blocking = maps:get(blocking, Opts, false),
    First = maps:get(at_start, Opts, true) andalso not Blocking,
    Given = Opts#{at_start => First, blocking => false},
    case erlmcp_native_sup:start_child(?MODULE, {Cache, Source, Given}) of
        {ok, Pid} when Blocking -> first(Pid);
        {ok, Pid} -> {ok, Pid};
        {error, {Reason, _Child}} -> {error, Reason};
        {error, Reason} -> {error, Reason}
    end.

first(Pid) ->
    case run(Pid) of
        {ok, _} ->
            {ok, Pid};
        {error, _} = Error ->
            ok = stop(Pid),
            Error
    end.

?DOC(false).
-spec start_link({erlmcp_native_cache:cache(), erlmcp_native_cache_warm:source(), opts()}) ->
    {ok, pid()} | {error, term()}.
start_link(Args) ->
    gen_server:start_link(?MODULE, Args, []).

?DOC("""
Runs it now, or waits for the run that is under way, and says what came of it.
""").
-spec run(pid()) -> {ok, erlmcp_native_cache_warm:warmed()} | {error, term()}.
run(Pid) ->
    gen_server:call(Pid, run, infinity).

?DOC("""
How many runs there were, how many of them failed, and what came of the last and after how many
milliseconds.
""").
-spec info(pid()) -> info().
info(Pid) ->
    gen_server:call(Pid, info).

?DOC(false).
-spec stop(pid()) -> ok.
stop(Pid) ->
    try
        gen_server:stop(Pid)
    catch
        exit:noproc -> ok;
        exit:{normal, _} -> ok
    end.

check(Source, Opts, Call) ->
    erlmcp_native_cache_warm:is_source(Source) orelse
        erlmcp_native_error:badarg(Call, 2, "not a file, a function or a node"),
    is_map(Opts) orelse erlmcp_native_error:badarg(Call, 3, "not a map of options"),
    _ = [
        erlmcp_native_error:bad_option(Call, 3, Key, Value)
     || {Key, Value} <- maps:to_list(Opts), not is_option(Key, Value)
    ],
    not (maps:get(blocking, Opts, false) andalso not maps:get(at_start, Opts, true)) orelse
        erlmcp_native_error:badarg(Call, 3, "blocking needs at_start"),
    ok.

is_option(interval, V) -> V =:= infinity orelse is_integer(V) andalso V > 0;
is_option(at_start, V) -> is_boolean(V);
is_option(blocking, V) -> is_boolean(V);
is_option(Key, V) -> erlmcp_native_cache_warm:is_option(Key, V).

?DOC(false).
-spec init({erlmcp_native_cache:cache(), erlmcp_native_cache_warm:source(), opts()}) ->
    {ok, #state{}} | {ok, #state{}, {continue, start}} | {stop, term()}.
init({Cache, Source, Opts}) ->
    %% The runs end with the warmer, but not it with them.
    _ = process_flag(trap_exit, true),
    _ = look(),
    Defaults = #{interval => infinity, at_start => true, blocking => false, timeout => ?TIMEOUT},
    State = #state{cache = Cache, source = Source, opts = maps:merge(Defaults, Opts)},
    case {erlmcp_native_cache_warm:is_there(Cache), State#state.opts} of
        {false, _} -> {stop, no_cache};
        {true, #{blocking := true}} -> blocking(begin_run(State));
        {true, #{at_start := true}} -> {ok, State, {continue, start}};
        {true, _} -> {ok, schedule(State)}
    end.

%% The first run, within init.
blocking(#state{worker = {Pid, Monitor, _, _}} = State) ->
    receive
        {'DOWN', Monitor, process, Pid, Result} -> first_ended(end_run(Result, State));
        {timeout, _, {overdue, Pid}} -> first_ended(overdue(State))
    end.

first_ended(#state{last = {ok, _}} = State) -> {ok, schedule(State)};
first_ended(#state{last = {error, Reason}}) -> {stop, Reason}.

?DOC(false).
-spec handle_continue(start, #state{}) -> {noreply, #state{}}.
handle_continue(start, State) ->
    {noreply, begin_run(State)}.

?DOC(false).
-spec handle_call(run | info, gen_server:from(), #state{}) ->
    {noreply, #state{}} | {reply, info(), #state{}}.
handle_call(run, From, State) ->
    {noreply, begin_run(State#state{waiting = [From | State#state.waiting]})};
handle_call(info, _From, State) ->
    Info = #{
        runs => State#state.runs,
        failures => State#state.failures,
        running => State#state.worker =/= none,
        last => State#state.last,
        last_duration => State#state.duration
    },
    {reply, Info, State}.

?DOC(false).
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_, State) ->
    {noreply, State}.

?DOC(false).
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, normal, #state{}}.
handle_info({timeout, Timer, run}, #state{timer = Timer} = State) ->
    {noreply, begin_run(State#state{timer = none})};
handle_info({'DOWN', Monitor, process, _, Result}, #state{worker = {_, Monitor, _, _}} = State) ->
    ended(end_run(Result, State));
handle_info({timeout, Timer, {overdue, _}}, #state{worker = {_, _, _, Timer}} = State) ->
    ended(overdue(State));
handle_info(look, #state{worker = none} = State) ->
    _ = look(),
    case erlmcp_native_cache_warm:is_there(State#state.cache) of
        true -> {noreply, State};
        false -> {stop, normal, State}
    end;
%% A run notices by itself, and those who wait for it are told.
handle_info(look, State) ->
    _ = look(),
    {noreply, State};
handle_info(_, State) ->
    {noreply, State}.

?DOC(false).
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{worker = {Pid, _, _, _}}) ->
    true = exit(Pid, kill),
    ok;
terminate(_Reason, _State) ->
    ok.

ended(State) ->
    case erlmcp_native_cache_warm:is_there(State#state.cache) of
        true -> {noreply, schedule(State)};
        false -> {stop, normal, State}
    end.

begin_run(#state{worker = none} = State) ->
    #state{cache = Cache, source = Source, opts = Opts} = State,
    WarmOpts = maps:without([interval, at_start, blocking], Opts),
    {Pid, Monitor} = spawn_opt(?MODULE, work, [Cache, Source, WarmOpts], [link, monitor]),
    Timer = start_timer(maps:get(timeout, Opts), {overdue, Pid}),
    Worker = {Pid, Monitor, erlang:monotonic_time(millisecond), Timer},
    State#state{worker = Worker, timer = cancel(State#state.timer)};
begin_run(State) ->
    State.

?DOC(false).
%% A run, in a process of its own. Source and options have been checked.
-spec work(erlmcp_native_cache:cache(), erlmcp_native_cache_warm:source(), map()) -> no_return().
work(Cache, Source, Opts) ->
    try erlmcp_native_cache:warm(Cache, Source, Opts) of
        Result -> exit({warmed, Result})
    catch
        error:badarg -> exit({warmed, {error, no_cache}})
    end.

overdue(#state{worker = {Pid, Monitor, _, _}} = State) ->
    true = exit(Pid, kill),
    true = demonitor(Monitor, [flush]),
    end_run({warmed, {error, timeout}}, State).

end_run(Exit, #state{worker = {Pid, _, Started, Timer}} = State) ->
    _ = cancel(Timer),
    receive
        {'EXIT', Pid, _} -> ok
    after 0 -> ok
    end,
    Result =
        case Exit of
            {warmed, Warmed} -> Warmed;
            Reason -> {error, {exit, Reason}}
        end,
    Failed =
        case Result of
            {ok, _} -> 0;
            {error, Why} -> complain(Why, State#state.cache)
        end,
    lists:foreach(fun(From) -> gen_server:reply(From, Result) end, State#state.waiting),
    State#state{
        worker = none,
        waiting = [],
        runs = State#state.runs + 1,
        failures = State#state.failures + Failed,
        last = Result,
        duration = erlang:monotonic_time(millisecond) - Started
    }.

%% That its cache has gone is no news.
complain(no_cache, _Cache) ->
    1;
complain(Why, Cache) ->
    Domain = #{domain => [erlmcp_native]},
    logger:warning("warming the cache ~0tp failed: ~0tp", [Cache, Why], Domain),
    1.

schedule(#state{opts = #{interval := Interval}} = State) ->
    State#state{timer = start_timer(Interval, run)}.

start_timer(infinity, _Message) -> none;
start_timer(Time, Message) -> erlang:start_timer(min(Time, ?MAX_TIME), self(), Message).

look() -> erlang:send_after(?LOOK, self(), look).

cancel(none) ->
    none;
cancel(Timer) ->
    _ = erlang:cancel_timer(Timer),
    none.
