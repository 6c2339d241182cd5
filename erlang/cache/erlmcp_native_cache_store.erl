-module(erlmcp_native_cache_store).
-include("erlmcp_native_doc.hrl").
?MODULEDOC(false).

%% The values of a cache with `store => ets': rows of an ETS table, one for each entry, which are
%% never changed. The cache decides, and holds the number of the row. The table belongs to a
%% process of its own, which also deletes the rows of entries that ended without a call, and those
%% that were taken.

-behaviour(gen_server).

-export([start/0, started/2, stop/1, lookup/2, put/3, memory/1]).
-export([start_link/1, init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-define(INTERVAL, 500).
%% How long rows stay after their entries, in milliseconds: whoever has their numbers reads them.
-define(LINGER, 500).
%% Rows that are deleted at once, between two looks at the messages.
-define(STEP, 1000).

-record(state, {
    table :: ets:tid(),
    cache :: erlmcp_native_cache:handle() | undefined,
    %% Who creates the cache, until it is there.
    creator :: reference(),
    %% Rows to delete, and when.
    dead = queue:new() :: queue:queue({integer(), [integer()]})
}).

-spec start() -> {ok, pid(), ets:tid()} | {error, not_started}.
start() ->
    case erlmcp_native_sup:start_child(?MODULE, self()) of
        {ok, Pid, Table} -> {ok, Pid, Table};
        {error, not_started} = Error -> Error
    end.

%% The table ends with the cache from now on.
-spec started(pid(), erlmcp_native_cache:handle()) -> ok.
started(Pid, Cache) ->
    gen_server:cast(Pid, {started, Cache}).

-spec stop(pid() | ets:tid()) -> ok.
stop(Pid) when is_pid(Pid) ->
    gen_server:cast(Pid, stop);
stop(Table) ->
    case ets:info(Table, owner) of
        undefined -> ok;
        Pid -> stop(Pid)
    end.

-spec lookup(ets:tid(), integer()) -> {ok, term()} | gone.
lookup(Table, Row) ->
    case ets:lookup(Table, Row) of
        [{_, Value}] -> {ok, Value};
        [] -> gone
    end.

%% Makes a row of the value, publishes it by Put and deletes the rows that this freed.
-spec put(ets:tid(), term(), fun((integer()) -> Answer)) -> Answer when Answer :: term().
put(Table, Value, Put) ->
    Row = erlang:unique_integer([positive]),
    true = ets:insert(Table, {Row, Value}),
    try Put(Row) of
        ok -> ok;
        {ok, Dead} when is_list(Dead) -> delete(Table, Dead), ok;
        {ok, _Version} = Done -> Done;
        Refused -> delete(Table, [Row]), Refused
    catch
        Class:Reason:Stack ->
            delete(Table, [Row]),
            erlang:raise(Class, Reason, Stack)
    end.

%% The bytes of the table.
-spec memory(ets:tid()) -> non_neg_integer().
memory(Table) ->
    case ets:info(Table, memory) of
        undefined -> 0;
        Words -> Words * erlang:system_info(wordsize)
    end.

delete(Table, Rows) ->
    lists:foreach(fun(Row) -> ets:delete(Table, Row) end, Rows).

?DOC(false).
-spec start_link(pid()) -> {ok, pid(), ets:tid()}.
start_link(Creator) ->
    {ok, Pid} = gen_server:start_link(?MODULE, Creator, []),
    {ok, Pid, gen_server:call(Pid, table)}.

?DOC(false).
-spec init(pid()) -> {ok, #state{}}.
init(Creator) ->
    _ = process_flag(trap_exit, true),
    Table = ets:new(?MODULE, [public, {read_concurrency, true}, {write_concurrency, true}]),
    {ok, #state{table = Table, cache = undefined, creator = monitor(process, Creator)}}.

?DOC(false).
-spec handle_call(table, gen_server:from(), #state{}) -> {reply, ets:tid(), #state{}}.
handle_call(table, _From, State) ->
    {reply, State#state.table, State}.

?DOC(false).
-spec handle_cast(term(), #state{}) -> {noreply, #state{}} | {stop, normal, #state{}}.
handle_cast({started, Cache}, State) ->
    true = demonitor(State#state.creator, [flush]),
    tick(State#state{cache = Cache});
handle_cast(stop, State) ->
    {stop, normal, State}.

?DOC(false).
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, normal, #state{}}.
handle_info(tick, State) ->
    tick(State);
handle_info({'DOWN', Monitor, _, _, _}, #state{creator = Monitor} = State) ->
    {stop, normal, State};
handle_info(_, State) ->
    {noreply, State}.

?DOC(false).
%% Without its table the cache is of no use: it ends with the application too.
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{cache = undefined}) ->
    ok;
terminate(_Reason, #state{cache = Cache}) ->
    try
        erlmcp_native_nif:cache_drop(Cache)
    catch
        error:badarg -> ok
    end.

tick(#state{table = Table, cache = Cache} = State) ->
    Now = erlang:monotonic_time(millisecond),
    Waiting = bury(Table, State#state.dead, Now),
    try erlmcp_native_nif:cache_dead(Cache, ?STEP) of
        Dead ->
            %% Where there were that many, there are more. Taken rows may be as many again.
            After = if length(Dead) < ?STEP -> ?INTERVAL; true -> 0 end,
            _ = erlang:send_after(After, self(), tick),
            {noreply, State#state{dead = queue:in({Now + ?LINGER, Dead}, Waiting)}}
    catch
        %% The cache is gone.
        error:badarg -> {stop, normal, State}
    end.

bury(Table, Dead, Now) ->
    case queue:peek(Dead) of
        {value, {Due, Rows}} when Due =< Now ->
            delete(Table, Rows),
            bury(Table, queue:drop(Dead), Now);
        _ ->
            Dead
    end.
