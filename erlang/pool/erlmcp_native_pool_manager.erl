-module(erlmcp_native_pool_manager).
-include("erlmcp_native_doc.hrl").
?MODULEDOC(false).

%% One pool's process: it owns the native part, and decides how many workers there are. Whoever checks out does
%% not come by it, and it calls nothing that could hold it up: what workers do, their keepers wait for.
%%
%% A worker is wanted where there are fewer than `min', and, up to `max', while more processes wait than are
%% being started: first one worker at a time, then twice as many each time round, so that a wait that ends by
%% itself costs no worker; a round ends when its workers are up, or take long. What fails is tried again after
%% a delay that doubles.

-behaviour(gen_server).

-include_lib("kernel/include/logger.hrl").

-export([start_link/1, child_spec/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-define(NIF, erlmcp_native_nif).
%% Milliseconds between two looks at whether the pool of this name whose process has died is gone.
-define(LOOK, 1).
%% What a supervisor gives it beyond what its workers take to stop.
-define(MARGIN, 5_000).
%% The longest time between two looks at leases and idle workers, and the share of their time.
-define(MAX_SWEEP, 60_000).
-define(SWEEPS, 4).
%% For how many milliseconds those who wait make do with the workers that are being started.
-define(ROUND, 1_000).

-type purpose() :: min | growth.

-record(keeper, {
    %% One that is retiring ends when nobody uses it any more, and counts no longer.
    state = starting :: starting | up | retiring | stopping,
    purpose :: purpose(),
    %% Starts in a row that failed, or whose worker ended soon.
    failures :: non_neg_integer(),
    cell = none :: non_neg_integer() | none,
    worker = none :: term(),
    since = none :: integer() | none,
    overdue = false :: boolean()
}).

-record(state, {
    pool :: erlmcp_native_pool:handle(),
    opts :: erlmcp_native_pool_options:checked(),
    mode = open :: open | suspended | draining,
    keepers = #{} :: #{pid() => #keeper{}},
    %% How many of them there are of each state and purpose: they may be many thousands.
    tally = #{} :: #{{atom(), purpose()} => non_neg_integer()},
    cells = #{} :: #{non_neg_integer() => pid()},
    %% Starts that wait for their time.
    retries = #{} :: #{reference() => {purpose(), non_neg_integer()}},
    %% How many workers the next growth starts.
    batch = 1 :: pos_integer(),
    %% Of the last growth, until that takes long.
    growing = none :: reference() | none,
    %% Whether the native part said that somebody waits, and has not been asked since how many.
    asked = false :: boolean(),
    %% Why the last start failed, unless another worker came up since.
    failure = none :: {failed, term()} | none,
    %% Static workers that are processes.
    watched = #{} :: #{reference() => non_neg_integer()},
    draining = [] :: [{gen_server:from(), reference() | none}],
    leaks = erlmcp_native_pool_leaks:new() :: erlmcp_native_pool_leaks:told()
}).

-spec start_link(erlmcp_native_pool_options:checked()) -> {ok, pid()} | {error, term()}.
start_link(#{name := Name} = Opts) ->
    %% Looked for here too: a linked process that ends over it would take the caller with it.
    Others = ?NIF:pool_manager(Name),
    case is_pid(Others) andalso is_process_alive(Others) of
        true ->
            {error, {already_started, Others}};
        false ->
            case gen_server:start_link(?MODULE, Opts, []) of
                {ok, Pid} -> {ok, Pid};
                {error, Reason} -> {error, Reason}
            end
    end.

-spec child_spec(erlmcp_native_pool_options:checked()) -> supervisor:child_spec().
child_spec(#{name := Name, stop_timeout := Timeout} = Opts) ->
    #{
        id => {erlmcp_native_pool, id(Name)},
        start => {?MODULE, start_link, [Opts]},
        shutdown => 2 * Timeout + ?MARGIN,
        modules => [?MODULE]
    }.

%% A supervisor may have several that have no name.
id(undefined) -> make_ref();
id(Name) -> Name.

?DOC(false).
-spec init(erlmcp_native_pool_options:checked()) -> {ok, #state{}} | {stop, term()}.
init(Opts) ->
    _ = process_flag(trap_exit, true),
    case make(Opts) of
        {ok, Pool} ->
            State = #state{pool = Pool, opts = Opts},
            _ = sweep_timer(leaks, maps:get(leak_timeout, Opts)),
            _ = sweep_timer(idle, maps:get(idle_timeout, Opts)),
            await(maps:get(start, Opts), first_workers(State));
        {error, Reason} ->
            {stop, Reason}
    end.

make(#{name := Name} = Opts) ->
    Waits = erlmcp_native_histogram:new(),
    case ?NIF:pool_new(Name, self(), erlmcp_native_pool_options:native(Opts, Waits)) of
        Pool when is_integer(Pool) ->
            {ok, Pool};
        system_limit ->
            {error, system_limit};
        exists ->
            ok = erlmcp_native_histogram:delete(Waits),
            others(Opts)
    end.

%% A supervisor may restart what its pool has not ended with yet.
others(#{name := Name} = Opts) ->
    case ?NIF:pool_manager(Name) of
        invalid_pool ->
            make(Opts);
        Pid ->
            case is_process_alive(Pid) of
                true ->
                    {error, {already_started, Pid}};
                false ->
                    receive
                    after ?LOOK -> make(Opts)
                    end
            end
    end.

first_workers(#state{opts = #{worker := token}} = State) ->
    _ = ?NIF:pool_add(State#state.pool, token, self(), infinity),
    State;
first_workers(#state{opts = #{worker := {static, Terms}}} = State) ->
    lists:foldl(fun add_static/2, State, Terms);
first_workers(State) ->
    fill(State).

add_static(Worker, #state{pool = Pool, watched = Watched} = State) ->
    Cell = ?NIF:pool_add(Pool, Worker, self(), infinity),
    true = is_integer(Cell),
    case is_pid(Worker) of
        true -> State#state{watched = Watched#{monitor(process, Worker) => Cell}};
        false -> State
    end.

%% Waits for so many workers, or for a start that fails.
await(background, State) ->
    {ok, State};
%% Those that nobody starts are there.
await(_Start, #state{opts = #{worker := Worker}} = State) when Worker =:= token; element(1, Worker) =:= static ->
    {ok, State};
await(Start, #state{opts = #{min := Min}} = State) ->
    Wanted =
        case Start of
            first -> min(1, Min);
            all -> Min
        end,
    case count(up, State) >= Wanted of
        true -> {ok, State};
        false -> awaited(next(), Start, State)
    end.

%% Calls are for later.
next() ->
    receive
        {keeper, _, _} = Event -> Event;
        {timeout, _, _} = Event -> Event;
        {'EXIT', _, _} = Event -> Event
    end.

%% Its parent, most likely.
awaited({'EXIT', Pid, Reason}, _Start, #state{keepers = Keepers} = State) when
    not is_map_key(Pid, Keepers)
->
    give_up(Reason, State);
awaited(Event, Start, State) ->
    {noreply, After} = handle_info(Event, State),
    case After#state.failure of
        none -> await(Start, After);
        {failed, Reason} -> give_up({connect, Reason}, After)
    end.

give_up(Reason, State) ->
    ok = terminate(Reason, State),
    {stop, Reason}.

?DOC(false).
-spec handle_call(term(), gen_server:from(), #state{}) ->
    {reply, term(), #state{}} | {noreply, #state{}}.
handle_call(handle, _From, #state{pool = Pool} = State) ->
    {reply, Pool, State};
handle_call(sizes, _From, #state{opts = #{min := Min, max := Max}} = State) ->
    {reply, {Min, Max}, State};
handle_call(status, _From, State) ->
    {reply, status(State), State};
handle_call({resize, Min, Max}, _From, #state{opts = #{worker := {Module, _}}} = State) when Module =/= static ->
    {reply, ok, resize(Min, Max, State)};
handle_call({resize, _, _}, _From, State) ->
    {reply, {error, fixed}, State};
handle_call({mode, Mode}, _From, State) ->
    {reply, ok, enter(Mode, State)};
handle_call({drain, Timeout}, From, State) ->
    Timer =
        case Timeout of
            infinity -> none;
            _ -> erlang:start_timer(Timeout, self(), drain)
        end,
    Waiting = [{From, Timer} | State#state.draining],
    %% The native part says when it is done, also where it is done already.
    {noreply, enter(draining, State#state{draining = Waiting})};
handle_call(_, _From, State) ->
    {reply, {error, unknown}, State}.

?DOC(false).
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_, State) ->
    {noreply, State}.

?DOC(false).
-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({erlmcp_native_pool, grow}, State) ->
    {noreply, grow(State#state{asked = true})};
handle_info({erlmcp_native_pool, drained}, State) ->
    {noreply, drained(State)};
handle_info({erlmcp_native_pool, Cell, What}, State) ->
    {noreply, static_told(Cell, What, State)};
handle_info({keeper, Pid, Event}, #state{keepers = Keepers} = State) ->
    case Keepers of
        #{Pid := Keeper} -> {noreply, grow(keeper_event(Event, Pid, Keeper, State))};
        #{} -> {noreply, State}
    end;
handle_info({'EXIT', Pid, Reason}, #state{keepers = Keepers} = State) ->
    case Keepers of
        #{Pid := Keeper} -> {noreply, grow(keeper_ended(Reason, Pid, Keeper, State))};
        #{} -> {noreply, State}
    end;
handle_info({timeout, Timer, retry}, #state{retries = Retries} = State) ->
    case maps:take(Timer, Retries) of
        {{Purpose, Failures}, Rest} ->
            {noreply, grow(retry(Purpose, Failures, State#state{retries = Rest}))};
        error ->
            {noreply, State}
    end;
handle_info({timeout, Timer, growth}, #state{growing = Timer} = State) ->
    {noreply, grow(State#state{growing = none})};
handle_info({timeout, Timer, drain}, #state{draining = Draining} = State) ->
    {Late, Rest} = lists:partition(fun({_, T}) -> T =:= Timer end, Draining),
    _ = [gen_server:reply(From, {error, timeout}) || {From, _} <- Late],
    {noreply, State#state{draining = Rest}};
handle_info({sweep, leaks}, #state{pool = Pool, opts = #{leak_timeout := Timeout}} = State) ->
    _ = sweep_timer(leaks, Timeout),
    Told = erlmcp_native_pool_leaks:sweep(Pool, identity(State), Timeout, State#state.leaks),
    {noreply, State#state{leaks = Told}};
handle_info({sweep, idle}, #state{opts = #{idle_timeout := Timeout}} = State) ->
    _ = sweep_timer(idle, Timeout),
    {noreply, shrink(Timeout, State)};
handle_info({'DOWN', Monitor, process, _, Reason}, #state{watched = Watched} = State) ->
    case maps:take(Monitor, Watched) of
        {Cell, Rest} -> {noreply, static_gone(Cell, {exit, Reason}, State#state{watched = Rest})};
        error -> {noreply, State}
    end;
handle_info(_, State) ->
    {noreply, State}.

?DOC(false).
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{pool = Pool, keepers = Keepers, opts = #{stop_timeout := Timeout}}) ->
    Working = [Of || {_, _, _, _, _, _, Of} <- ?NIF:pool_workers(Pool)],
    %% Nobody waits for what does not come any more.
    _ = ?NIF:pool_mode(Pool, closed),
    _ = [exit(Pid, shutdown) || Pid <- maps:keys(Keepers)],
    %% A keeper whose worker is being started does not hear of that.
    Starting = maps:filter(fun(_, Keeper) -> Keeper#keeper.state =:= starting end, Keepers),
    ok = lists:foreach(fun erlmcp_native_pool_worker:kill/1, maps:keys(maps:without(Working, Starting))),
    Deadline = erlang:monotonic_time(millisecond) + 2 * Timeout + ?MARGIN div 2,
    ok = ended(Keepers, Deadline),
    _ = ?NIF:pool_delete(Pool),
    ok.

ended(Keepers, _Deadline) when map_size(Keepers) =:= 0 ->
    ok;
ended(Keepers, Deadline) ->
    receive
        {'EXIT', Pid, _} -> ended(maps:remove(Pid, Keepers), Deadline)
    after max(0, Deadline - erlang:monotonic_time(millisecond)) ->
        lists:foreach(fun erlmcp_native_pool_worker:kill/1, maps:keys(Keepers))
    end.

%%% What keepers say

keeper_event({up, Cell, Worker, Took}, Pid, Keeper, State) ->
    Now = erlang:monotonic_time(millisecond),
    Up = Keeper#keeper{state = up, cell = Cell, worker = Worker, since = Now},
    emit([worker, up], #{duration => Took}, #{worker => Worker}, State),
    surplus(
        works_again(keep(Pid, Up, State#state{cells = (State#state.cells)#{Cell => Pid}}))
    );
keeper_event(overdue, Pid, Keeper, State) ->
    %% It is about to be killed, unless it was done at the last moment.
    keep(Pid, Keeper#keeper{overdue = true}, State);
keeper_event({failed, Reason}, Pid, Keeper, State) ->
    failed(Reason, Keeper, stopping(Pid, Keeper, State));
keeper_event({gone, Cause}, Pid, Keeper, State) ->
    gone(Cause, Keeper, stopping(Pid, Keeper, State)).

%% What it still does does not matter to the pool.
stopping(Pid, #keeper{cell = Cell} = Keeper, #state{cells = Cells} = State) ->
    keep(Pid, Keeper#keeper{state = stopping}, State#state{cells = maps:remove(Cell, Cells)}).

keeper_ended(_Reason, Pid, #keeper{state = stopping}, State) ->
    forget(Pid, State);
keeper_ended(Reason, Pid, Keeper, State) ->
    %% Somebody killed it, or it has a fault: what it had goes with it.
    ok = bury(Pid, State),
    Without = forget(Pid, stopping(Pid, Keeper, State)),
    case Keeper of
        #keeper{state = starting, overdue = true} -> failed(timeout, Keeper, Without);
        #keeper{state = starting} -> failed({exit, Reason}, Keeper, Without);
        #keeper{} -> gone({exit, Reason}, Keeper, Without)
    end.

bury(Pid, #state{pool = Pool}) ->
    _ = [
        begin
            _ = ?NIF:pool_remove(Pool, Cell),
            is_pid(Worker) andalso exit(Worker, kill)
        end
     || {Cell, Worker, _Uses, _InUse, _State, _Latency, Of} <- ?NIF:pool_workers(Pool), Of =:= Pid
    ],
    ok.

failed(Reason, #keeper{purpose = Purpose, failures = Failures}, State) ->
    Delay = delay(Failures + 1, State),
    Measured = #{failures => Failures + 1, retry_in => Delay},
    emit([worker, failed], Measured, #{reason => Reason}, State),
    _ = [
        ?LOG_WARNING("erlmcp_native_pool ~0tp: a worker could not be started: ~0tP", [identity(State), Reason, 20], #{
            domain => [erlmcp_native]
        })
     || State#state.failure =:= none
    ],
    later(Delay, Purpose, Failures + 1, none_works(State#state{failure = {failed, Reason}})).

%% Whoever waits in vain is told why there is no worker.
none_works(#state{pool = Pool, failure = {failed, Reason}} = State) ->
    _ = [?NIF:pool_failure(Pool, Reason) || count(up, State) =:= 0],
    State;
none_works(State) ->
    State.

works_again(#state{failure = none} = State) ->
    State;
works_again(#state{pool = Pool} = State) ->
    ?LOG_NOTICE("erlmcp_native_pool ~0tp: workers can be started again", [identity(State)], #{
        domain => [erlmcp_native]
    }),
    _ = ?NIF:pool_failure(Pool, none),
    State#state{failure = none}.

gone(Cause, #keeper{state = WasState, since = Since, failures = Failures, worker = Worker}, State) ->
    Lived =
        case WasState of
            starting -> 0;
            _ -> erlang:monotonic_time(millisecond) - Since
        end,
    _ = [
        emit([worker, down], #{age => Lived}, #{worker => Worker, reason => Cause}, State)
     || WasState =/= starting
    ],
    #{backoff := #{max := Longest}} = State#state.opts,
    After = none_works(State),
    case is_fault(Cause) of
        false -> replace(0, 0, After);
        true when Lived >= Longest -> replace(0, 0, After);
        true -> replace(delay(Failures + 1, After), Failures + 1, After)
    end.

%% Whether the next one may well go the same way.
is_fault(broken) -> true;
%% Until those that retire have come back.
is_fault(full) -> true;
is_fault({_, _}) -> true;
is_fault(_) -> false.

%% Between half of it and all of it, so that those that failed together do not try together.
delay(Failures, #state{opts = #{backoff := #{min := Least, max := Most}}}) ->
    Full = min(Most, Least bsl min(Failures - 1, 32)),
    Full - rand:uniform(Full div 2 + 1) + 1.

%%% How many there are

%% Workers that there are or will be.
total(#state{retries = Retries} = State) ->
    count(starting, State) + count(up, State) + map_size(Retries).

count(Which, State) ->
    count(Which, min, State) + count(Which, growth, State).

count(Which, Purpose, #state{tally = Tally}) ->
    maps:get({Which, Purpose}, Tally, 0).

keep(Pid, Keeper, #state{keepers = Keepers, tally = Tally} = State) ->
    Others =
        case Keepers of
            #{Pid := Before} -> tally(Before, -1, Tally);
            #{} -> Tally
        end,
    State#state{keepers = Keepers#{Pid => Keeper}, tally = tally(Keeper, 1, Others)}.

forget(Pid, #state{keepers = Keepers, tally = Tally} = State) ->
    {Keeper, Others} = maps:take(Pid, Keepers),
    State#state{keepers = Others, tally = tally(Keeper, -1, Tally)}.

tally(#keeper{state = Of, purpose = Purpose}, N, Tally) ->
    maps:update_with({Of, Purpose}, fun(Count) -> Count + N end, N, Tally).

fill(#state{opts = #{min := Min}} = State) ->
    start(max(0, Min - total(State)), min, 0, State).

start(0, _Purpose, _Failures, State) ->
    State;
start(N, Purpose, Failures, #state{pool = Pool, opts = Opts} = State) ->
    Config = #{manager => self(), pool => Pool, opts => Opts},
    {ok, Pid} = erlmcp_native_pool_keeper:start_link(Config),
    Keeper = #keeper{purpose = Purpose, failures = Failures},
    start(N - 1, Purpose, Failures, keep(Pid, Keeper, State)).

%% In the place of one that has gone.
replace(Delay, Failures, #state{opts = #{min := Min}} = State) ->
    case total(State) < Min of
        true when Delay =:= 0 -> start(1, min, Failures, State);
        true -> later(Delay, min, Failures, State);
        false when Delay =:= 0 -> State#state{asked = true};
        false -> later(Delay, growth, Failures, State)
    end.

later(Delay, Purpose, Failures, #state{retries = Retries, opts = #{max := Max}} = State) ->
    case total(State) < Max of
        true ->
            Timer = erlang:start_timer(Delay, self(), retry),
            State#state{retries = Retries#{Timer => {Purpose, Failures}}};
        false ->
            State
    end.

retry(Purpose, Failures, #state{opts = #{min := Min, max := Max}, pool = Pool} = State) ->
    Size = total(State),
    IsWanted = Size < Min orelse Size < Max andalso ?NIF:pool_demand(Pool) > 0,
    case IsWanted of
        true when Purpose =:= growth -> start_growth(1, Failures, State);
        true -> start(1, Purpose, Failures, State);
        false -> State#state{batch = 1}
    end.

%% Where somebody waits for whom no worker is on its way.
grow(#state{asked = false} = State) ->
    State;
grow(#state{mode = suspended} = State) ->
    State;
%% Nobody starts those.
grow(#state{opts = #{worker := Worker}} = State) when Worker =:= token; element(1, Worker) =:= static ->
    State;
grow(#state{opts = Opts, pool = Pool, batch = Batch} = State) ->
    case is_growing(State) of
        true ->
            State;
        false ->
            #{max := Max, concurrency := Concurrency} = Opts,
            Starting = count(starting, State),
            Room = Max - total(State),
            Waiting = ?NIF:pool_demand(Pool),
            Wanted = (Waiting + Concurrency - 1) div Concurrency - Starting,
            grow(min(Wanted, min(Batch, Room)), Waiting, State)
    end.

grow(N, _Waiting, #state{batch = Batch} = State) when N > 0 ->
    start_growth(N, 0, State#state{batch = 2 * Batch});
%% Those that are being started may not be enough, or may fail.
grow(_N, Waiting, State) ->
    IsStarting = count(starting, State) > 0,
    State#state{batch = 1, asked = Waiting > 0 andalso IsStarting}.

start_growth(N, Failures, State) ->
    start(N, growth, Failures, State#state{growing = erlang:start_timer(?ROUND, self(), growth)}).

is_growing(#state{growing = Growing, retries = Retries} = State) ->
    Growing =/= none andalso count(starting, growth, State) > 0 orelse lists:any(fun({P, _}) -> P =:= growth end, maps:values(Retries)).

resize(Min, Max, #state{pool = Pool, opts = Opts} = State) ->
    _ = ?NIF:pool_resize(Pool, Max),
    grow(surplus(fill(State#state{opts = Opts#{min := Min, max := Max}, asked = true}))).

%% Those beyond max: first what is not there yet, for which the native part has no room then; then the idle
%% ones.
surplus(#state{opts = #{max := Max}} = State) ->
    case total(State) - Max of
        Surplus when Surplus > 0 -> retire(Surplus, State);
        _ -> State
    end.

retire(Surplus, #state{retries = Retries, pool = Pool} = State) ->
    {Dropped, Kept} = split(Surplus, maps:to_list(Retries)),
    _ = [erlang:cancel_timer(Timer) || {Timer, _} <- Dropped],
    Left = max(0, Surplus - length(Dropped) - count(starting, State)),
    Ranked = lists:sort([
        {rank(Of), Cell}
     || {Cell, _Worker, _Uses, _InUse, Of, _Latency, _Keeper} <- ?NIF:pool_workers(Pool),
        is_up(Cell, State)
    ]),
    {Chosen, _} = split(Left, Ranked),
    lists:foldl(fun retire_one/2, State#state{retries = maps:from_list(Kept)}, Chosen).

retire_one({_Rank, Cell}, #state{cells = Cells, keepers = Keepers} = State) ->
    #{Cell := Pid} = Cells,
    #{Pid := Keeper} = Keepers,
    ok = erlmcp_native_pool_keeper:retire(Pid, resize),
    keep(Pid, Keeper#keeper{state = retiring}, State).

rank(idle) -> 0;
rank(away) -> 1;
rank(_) -> 2.

is_up(Cell, #state{cells = Cells, keepers = Keepers}) ->
    case Cells of
        #{Cell := Pid} -> (maps:get(Pid, Keepers))#keeper.state =:= up;
        #{} -> false
    end.

split(N, List) -> lists:split(min(N, length(List)), List).

shrink(Timeout, #state{pool = Pool, cells = Cells, opts = #{min := Min, worker := Worker}} = State) ->
    Surplus = total(State) - Min,
    _ = [
        case Cells of
            #{Cell := Keeper} -> erlmcp_native_pool_keeper:stop(Keeper, idle);
            %% Its keeper has not said that it is up yet, or that it is no more.
            #{} -> ?NIF:pool_ready(Pool, Cell)
        end
     || Surplus > 0, Worker =/= token, Cell <- ?NIF:pool_idle(Pool, Timeout, Surplus)
    ],
    State.

%%% Workers that others keep

static_told(Cell, broken, State) ->
    static_gone(Cell, broken, State);
static_told(_Cell, _What, State) ->
    State.

static_gone(Cell, Cause, #state{pool = Pool, opts = #{worker := {static, _}}} = State) ->
    _ = [
        emit([worker, down], #{}, #{worker => Worker, reason => Cause}, State)
     || {C, Worker, _, _, _, _, _} <- ?NIF:pool_workers(Pool), C =:= Cell
    ],
    _ = ?NIF:pool_remove(Pool, Cell),
    State;
%% A token cannot break.
static_gone(Cell, _Cause, #state{pool = Pool} = State) ->
    _ = ?NIF:pool_ready(Pool, Cell),
    State.

%%% Modes

enter(Mode, #state{pool = Pool} = State) ->
    _ = ?NIF:pool_mode(Pool, Mode),
    Now = State#state{mode = Mode},
    case Mode of
        draining -> grow(Now);
        _ -> grow(told_of_drain({error, resumed}, Now))
    end.

drained(#state{mode = draining} = State) ->
    emit([drained], #{}, #{}, State),
    told_of_drain(ok, State);
%% It was resumed meanwhile.
drained(State) ->
    State.

told_of_drain(Answer, #state{draining = Draining} = State) ->
    _ = [
        begin
            _ = [erlang:cancel_timer(Timer) || Timer =/= none],
            gen_server:reply(From, Answer)
        end
     || {From, Timer} <- Draining
    ],
    State#state{draining = []}.

%%% What there is to see

status(#state{pool = Pool, opts = Opts, retries = Retries, failure = Failure} = State) ->
    Error =
        case Failure of
            none -> none;
            {failed, Reason} -> Reason
        end,
    maps:merge(?NIF:pool_status(Pool), #{
        name => maps:get(name, Opts),
        handle => Pool,
        manager => self(),
        min => maps:get(min, Opts),
        max => maps:get(max, Opts),
        strategy => maps:get(strategy, Opts),
        starting => count(starting, State),
        retrying => map_size(Retries),
        last_error => Error
    }).

emit(Event, Measured, Metadata, State) ->
    erlmcp_native_events:emit([pool | Event], Measured, Metadata#{pool => identity(State)}).

%% As events and logs call the pool.
identity(#state{opts = #{name := undefined}, pool = Pool}) -> Pool;
identity(#state{opts = #{name := Name}}) -> Name.

sweep_timer(_What, infinity) ->
    none;
sweep_timer(What, Timeout) ->
    erlang:send_after(min(?MAX_SWEEP, max(1, Timeout div ?SWEEPS)), self(), {sweep, What}).
