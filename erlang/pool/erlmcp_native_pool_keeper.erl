-module(erlmcp_native_pool_keeper).
-include("erlmcp_native_doc.hrl").
?MODULEDOC(false).

%% One worker's parent, from its start to its end: it starts it, has the pool give it out, resets it after an
%% owner that ended, checks it, and stops it. What takes long here holds up this worker only.
%%
%% Its manager is told {keeper, Pid, Event}: {up, Cell, Worker, Nanoseconds}; {failed, Reason}, where the start
%% did; {gone, Cause}, when the pool no longer has the worker, before that is stopped.

-behaviour(gen_server).

-include_lib("kernel/include/logger.hrl").

-export([start_link/1, retire/2, stop/2]).
-export([init/1, handle_continue/2, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).
-export_type([config/0, cause/0]).

-type config() :: #{
    manager := pid(),
    pool := erlmcp_native_pool:handle(),
    opts := erlmcp_native_pool_options:checked()
}.
-type cause() ::
    idle | lifetime | uses | resize | full | broken | reset
    | {exit, term()} | {reset, term()} | {check, term()}.
%% Why a worker has gone: the first four when its time was over, `full' where there was no room for it, `broken' when somebody gave it back as
%% that, `reset' when its owner ended and it has no such callback, and otherwise what it ended with, or what was
%% wrong with its reset or its check.

-define(SERVER, erlmcp_native_pool_worker).
-define(NIF, erlmcp_native_nif).

-record(state, {
    manager :: pid(),
    pool :: erlmcp_native_pool:handle(),
    opts :: erlmcp_native_pool_options:checked(),
    module :: module(),
    cell = none :: non_neg_integer() | none,
    %% `gone': it has ended, or never was.
    worker = gone :: {worker, erlmcp_native_pool_worker:worker()} | gone,
    monitor = none :: reference() | none,
    %% A callback that is being called. The pool gives the worker to nobody meanwhile.
    question = none :: erlmcp_native_pool_worker:question() | none,
    %% Why it ends when it comes back from whoever uses it.
    retiring = none :: cause() | none
}).

-spec start_link(config()) -> {ok, pid()} | {error, term()} | ignore.
start_link(Config) ->
    gen_server:start_link(?MODULE, Config, []).

%% Ends it when nobody uses it.
-spec retire(pid(), cause()) -> ok.
retire(Keeper, Cause) ->
    gen_server:cast(Keeper, {retire, Cause}).

%% Ends it now: the pool has taken it away from its users already.
-spec stop(pid(), cause()) -> ok.
stop(Keeper, Cause) ->
    gen_server:cast(Keeper, {stop, Cause}).

?DOC(false).
-spec init(config()) -> {ok, #state{}, {continue, start}}.
init(#{manager := Manager, pool := Pool, opts := Opts}) ->
    _ = process_flag(trap_exit, true),
    #{worker := {Module, _Args}} = Opts,
    {ok, #state{manager = Manager, pool = Pool, opts = Opts, module = Module}, {continue, start}}.

?DOC(false).
-spec handle_continue(start, #state{}) -> {noreply, #state{}, hibernate} | {stop, normal, #state{}}.
handle_continue(start, #state{manager = Manager, opts = Opts, module = Module} = State) ->
    #{worker := {_, Args}, start_timeout := Timeout} = Opts,
    Begun = erlang:monotonic_time(),
    Watchdog = ?SERVER:start_watchdog(Manager, Timeout),
    Started = ?SERVER:start(Module, Args),
    Watchdog ! done,
    case Started of
        {ok, Worker} ->
            Took = erlang:convert_time_unit(erlang:monotonic_time() - Begun, native, nanosecond),
            up(Worker, Took, State);
        {error, Reason} ->
            tell({failed, Reason}, State),
            {stop, normal, State}
    end.

up(Worker, Took, #state{pool = Pool, opts = Opts} = State) ->
    Monitor = watch(Worker),
    case ?NIF:pool_add(Pool, Worker, self(), maps:get(max_uses, Opts)) of
        Cell when is_integer(Cell) ->
            tell({up, Cell, Worker, Took}, State),
            _ = life_timer(maps:get(max_lifetime, Opts)),
            _ = check_timer(maps:get(health, Opts)),
            {noreply, State#state{cell = Cell, worker = {worker, Worker}, monitor = Monitor}, hibernate};
        %% Resized meanwhile, or closed.
        _ ->
            tell({gone, full}, State),
            {stop, normal, State#state{worker = {worker, Worker}, monitor = Monitor}}
    end.

watch(Pid) when is_pid(Pid) -> monitor(process, Pid);
watch(Port) when is_port(Port) -> monitor(port, Port);
watch(_) -> none.

%% So that those that were started together do not end together.
life_timer(infinity) -> none;
life_timer(Life) -> start_timer(Life - rand:uniform(Life div 10 + 1) + 1, lifetime).

check_timer(none) -> none;
check_timer(#{interval := Interval}) -> start_timer(Interval div 2 + rand:uniform(Interval), check).

start_timer(Time, What) ->
    erlang:send_after(Time, self(), {?MODULE, What}).

?DOC(false).
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, {error, unknown}, #state{}, hibernate}.
handle_call(_, _From, State) ->
    {reply, {error, unknown}, State, hibernate}.

?DOC(false).
-spec handle_cast(term(), #state{}) -> {noreply, #state{}, hibernate} | {stop, normal, #state{}}.
handle_cast({retire, Cause}, State) ->
    begin_retiring(Cause, State);
handle_cast({stop, Cause}, State) ->
    gone(Cause, State);
handle_cast(_, State) ->
    {noreply, State, hibernate}.

?DOC(false).
-spec handle_info(term(), #state{}) -> {noreply, #state{}, hibernate} | {stop, normal, #state{}}.
handle_info({'DOWN', Monitor, _, _, Reason}, #state{monitor = Monitor} = State) ->
    gone({exit, Reason}, State#state{worker = gone});
handle_info({erlmcp_native_pool, Cell, What}, #state{cell = Cell} = State) ->
    told(What, State);
handle_info({?MODULE, lifetime}, State) ->
    begin_retiring(lifetime, State);
handle_info({?MODULE, check}, State) ->
    begin_check(State);
handle_info({'EXIT', Pid, Reason}, #state{worker = {worker, Worker}} = State) when Pid =/= Worker ->
    linked_ended(Reason, State);
handle_info(Message, #state{question = Question} = State) when Question =/= none ->
    case ?SERVER:answer({Message, Question}) of
        none -> {noreply, State, hibernate};
        {About, Result} -> answered(About, Result, State#state{question = none})
    end;
handle_info(_, State) ->
    {noreply, State, hibernate}.

%% A process or a port that the worker is made of. Where the worker is one itself, it knows what to do.
linked_ended(Reason, #state{monitor = none} = State) when Reason =/= normal ->
    gone({exit, Reason}, State);
linked_ended(_Reason, State) ->
    {noreply, State, hibernate}.

%% The pool has taken the worker away from its users.
told(broken, State) ->
    gone(broken, State);
told(retire, #state{retiring = none} = State) ->
    gone(uses, State);
told(retire, #state{retiring = Cause} = State) ->
    gone(Cause, State);
told(reset, #state{retiring = Cause} = State) when Cause =/= none ->
    gone(Cause, State);
told(reset, #state{module = Module} = State) ->
    case ?SERVER:can(Module, reset) of
        true -> {noreply, ask(reset, maps:get(reset_timeout, State#state.opts), State), hibernate};
        false -> gone(reset, State)
    end.

begin_retiring(Cause, #state{question = none, pool = Pool, cell = Cell} = State) ->
    case ?NIF:pool_retire(Pool, Cell) of
        retiring -> {noreply, State#state{retiring = Cause}, hibernate};
        %% Nobody used it, or the pool has gone.
        _ -> gone(Cause, State)
    end;
begin_retiring(Cause, State) ->
    {noreply, State#state{retiring = Cause}, hibernate}.

%% One that several may use at once is checked while they do; any other only while nobody does.
begin_check(#state{opts = #{health := Health, concurrency := Concurrency}} = State) ->
    #{timeout := Timeout} = Health,
    _ = check_timer(Health),
    #state{question = Question, pool = Pool, cell = Cell} = State,
    IsFree =
        Question =:= none andalso
            (Concurrency > 1 orelse ?NIF:pool_take(Pool, Cell) =:= ok),
    case IsFree of
        true -> {noreply, ask(check, Timeout, State), hibernate};
        false -> {noreply, State, hibernate}
    end.

ask(Callback, Timeout, #state{module = Module, worker = {worker, Worker}} = State) ->
    State#state{question = ?SERVER:ask(Callback, {Module, Worker}, Timeout)}.

answered(check, ok, #state{retiring = Cause, opts = #{concurrency := Many}} = State) when Many > 1 ->
    case Cause of
        none -> {noreply, State, hibernate};
        _ -> begin_retiring(Cause, State)
    end;
answered(_About, ok, #state{retiring = none, pool = Pool, cell = Cell} = State) ->
    _ = ?NIF:pool_ready(Pool, Cell),
    {noreply, State, hibernate};
answered(_About, ok, #state{retiring = Cause} = State) ->
    gone(Cause, State);
answered(About, {error, Reason}, State) ->
    gone({About, Reason}, State).

%% Whoever uses it now finds out by itself; nobody else gets it.
gone(Cause, #state{pool = Pool, cell = Cell} = State) ->
    _ = ?NIF:pool_remove(Pool, Cell),
    tell({gone, Cause}, State),
    {stop, normal, State}.

tell(Event, #state{manager = Manager}) ->
    Manager ! {keeper, self(), Event},
    ok.

?DOC(false).
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{question = Question} = State) ->
    Question =:= none orelse ?SERVER:cancel(Question),
    stop_worker(State).

stop_worker(#state{worker = gone}) ->
    ok;
stop_worker(#state{worker = {worker, Worker}, module = Module, opts = Opts}) ->
    #{stop_timeout := Timeout} = Opts,
    _ = [
        stopped(?SERVER:ask(stop, {Module, Worker}, Timeout))
     || ?SERVER:can(Module, stop)
    ],
    end_worker(Worker, Timeout).

%% What it answers is nothing to anybody.
stopped(Question) ->
    receive
        Message ->
            case ?SERVER:answer({Message, Question}) of
                none -> stopped(Question);
                _ -> ok
            end
    end.

end_worker(Pid, Timeout) when is_pid(Pid) ->
    Monitor = monitor(process, Pid),
    true = exit(Pid, shutdown),
    receive
        {'DOWN', Monitor, process, Pid, _} -> ok
    after Timeout ->
        ?LOG_WARNING("erlmcp_native_pool: worker ~p did not end in ~b ms and is killed", [Pid, Timeout], #{
            domain => [erlmcp_native]
        }),
        true = exit(Pid, kill),
        ok
    end;
end_worker(Port, _Timeout) when is_port(Port) ->
    try
        true = port_close(Port),
        ok
    catch
        error:badarg -> ok
    end;
end_worker(_Term, _Timeout) ->
    ok.
