-module(erlmcp_native_breaker_compat).
-behaviour(gen_server).
-include("erlmcp_native_doc.hrl").
?MODULEDOC("""
The API of erlmcp's `erlmcp_circuit_breaker` on `erlmcp_native_breaker`. A breaker belongs to a process that
is started and stopped as erlmcp's, and that no call by name goes through: the fun is called in the caller,
or, where a call has a timeout, in a process of its own.

What differs: half-open calls are run at the same time, up to as many as must succeed; the window begins anew
with each change of state; `priority_level` is taken and not used, and what is counted of priority messages is 0.
""").

-export([start_link/0, start_link/1, start_link/2, stop/1]).
-export([call/2, call/3, call_with_fallback/3]).
-export([get_state/1, get_stats/1, reset/1, force_open/1, force_close/1]).
-export([register_breaker/2, register_breaker/3, unregister_breaker/1]).
-export([get_all_states/0, get_all_stats/0, reset_all/0]).
-export([init/1, handle_call/3, handle_cast/2]).
-export_type([breaker/0, config/0]).

-type breaker() :: atom() | pid().
-type config() :: #{
    failure_threshold => pos_integer(),
    success_threshold => pos_integer(),
    timeout => non_neg_integer(),
    window_size => pos_integer(),
    failure_rate_threshold => float(),
    term() => term()
}.
%% Other keys of erlmcp's configuration are taken and not used.

-define(DEFAULTS, #{
    failure_threshold => 5,
    success_threshold => 2,
    timeout => 60_000,
    window_size => 10,
    failure_rate_threshold => 0.5,
    priority_level => normal
}).

?DOC("""
As `start_link/1` with no options.
""").
-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    start_link(#{}).

?DOC("""
Starts a breaker that is known by its process alone.
""").
-spec start_link(Config :: config()) -> {ok, pid()} | {error, term()}.
start_link(Config) ->
    gen_server:start_link(?MODULE, {undefined, Config}, []).

?DOC("""
Starts a breaker of this name, which is that of its process, too.
""").
-spec start_link(Name :: atom(), Config :: config()) -> {ok, pid()} | {error, term()}.
start_link(Name, Config) when is_atom(Name) ->
    gen_server:start_link({local, Name}, ?MODULE, {Name, Config}, []).

?DOC("""
Ends a breaker.
""").
-spec stop(breaker()) -> ok.
stop(Breaker) ->
    gen_server:stop(Breaker).

?DOC("""
The result of the fun, `{error, {exception, Class, Reason}}`, or `{error, circuit_breaker_open}`.
""").
-spec call(breaker(), fun(() -> Result)) -> Result | {error, term()}.
call(Breaker, Fun) ->
    run(known(Breaker, call, [Breaker, Fun]), Fun).

?DOC("""
As `call/2` within so many milliseconds: if they do not suffice, the caller exits with `{timeout, _}`, and the
call goes on.
""").
-spec call(breaker(), fun(() -> Result), timeout()) -> Result | {error, term()}.
call(Breaker, Fun, infinity) ->
    call(Breaker, Fun);
call(Breaker, Fun, Timeout) ->
    Args = [Breaker, Fun, Timeout],
    Known = known(Breaker, call, Args),
    Answer = alias([reply]),
    Runner = spawn(fun() -> Answer ! {Answer, run(Known, Fun)} end),
    Monitor = monitor(process, Runner),
    receive
        {Answer, Result} ->
            demonitor(Monitor, [flush]),
            Result;
        {'DOWN', Monitor, process, Runner, Reason} ->
            _ = unalias(Answer),
            exit({Reason, {?MODULE, call, Args}})
    after Timeout ->
        _ = unalias(Answer),
        demonitor(Monitor, [flush]),
        receive
            {Answer, Result} -> Result
        after 0 -> exit({timeout, {?MODULE, call, Args}})
        end
    end.

?DOC("""
As `call/2`, but the result of the other fun where the breaker is open.
""").
-spec call_with_fallback(breaker(), fun(() -> Result), fun(() -> Result)) -> Result | {error, term()}.
call_with_fallback(Breaker, Fun, Fallback) ->
    Known = known(Breaker, call_with_fallback, [Breaker, Fun, Fallback]),
    erlmcp_native_breaker:call(Known, caught(Fun), #{fallback => Fallback}).

run(Known, Fun) ->
    case erlmcp_native_breaker:call(Known, caught(Fun)) of
        {error, {circuit_open, _}} -> {error, circuit_breaker_open};
        Result -> Result
    end.

caught(Fun) ->
    fun() ->
        try
            Fun()
        catch
            Class:Reason -> {error, {exception, Class, Reason}}
        end
    end.

?DOC("""
The state: also `half_open` as soon as the wait is over.
""").
-spec get_state(breaker()) -> closed | open | half_open.
get_state(Breaker) ->
    state(erlmcp_native_breaker:info(known(Breaker, get_state, [Breaker]))).

state(#{state := open, retry_after := 0}) -> half_open;
state(#{state := State}) -> State.

?DOC("""
What has been counted. There is no `last_failure_time`: it is `undefined`.
""").
-spec get_stats(breaker()) -> {ok, map()}.
get_stats(Breaker) ->
    Known = known(Breaker, get_stats, [Breaker]),
    #{
        name := Name,
        age := Age,
        calls := Calls,
        failures := Failures,
        refused := Refused,
        failures_in_a_row := InARow,
        probes := #{succeeded := Succeeded},
        window := #{failure_rate := FailureRate},
        owner := Owner
    } = Info = erlmcp_native_breaker:info(Known),
    {ok, #{
        name => Name,
        state => state(Info),
        consecutive_failures => InARow,
        consecutive_successes => Succeeded,
        total_calls => Calls + Refused,
        total_successes => Calls - Failures,
        total_failures => Failures,
        total_rejected => Refused,
        failure_rate => FailureRate,
        success_rate => (Calls - Failures) / max(1, Calls + Refused),
        last_failure_time => undefined,
        last_state_change => erlang:monotonic_time(millisecond) - Age,
        config => gen_server:call(Owner, config),
        priority_messages_delivered => 0,
        priority_latency_us => 0
    }}.

?DOC("""
Closes a breaker and forgets its failures.
""").
-spec reset(breaker()) -> ok.
reset(Breaker) ->
    erlmcp_native_breaker:reset(known(Breaker, reset, [Breaker])).

?DOC("""
Opens a breaker for its `timeout`.
""").
-spec force_open(breaker()) -> ok.
force_open(Breaker) ->
    Known = known(Breaker, force_open, [Breaker]),
    case get_state(Breaker) of
        open ->
            ok;
        _ ->
            #{owner := Owner} = erlmcp_native_breaker:info(Known),
            #{timeout := Timeout} = gen_server:call(Owner, config),
            erlmcp_native_breaker:force_open(Known, Timeout)
    end.

?DOC("""
Closes a breaker.
""").
-spec force_close(breaker()) -> ok.
force_close(Breaker) ->
    erlmcp_native_breaker:force_close(known(Breaker, force_close, [Breaker])).

?DOC("""
Starts a breaker, linked to the calling process as erlmcp's.
""").
-spec register_breaker(Name :: atom(), Config :: config()) -> ok | {error, term()}.
register_breaker(Name, Config) ->
    case start_link(Name, Config) of
        {ok, _} -> ok;
        {error, {already_started, _}} -> {error, already_registered};
        {error, _} = Error -> Error
    end.

?DOC("""
As `register_breaker/2`.
""").
-spec register_breaker(Name :: atom(), Config :: config(), term()) -> ok | {error, term()}.
register_breaker(Name, Config, _) ->
    register_breaker(Name, Config).

?DOC("""
Ends a breaker if there is one of this name.
""").
-spec unregister_breaker(Name :: atom()) -> ok.
unregister_breaker(Name) ->
    try
        stop(Name)
    catch
        exit:_ -> ok
    end.

?DOC("""
The states of all breakers that have a name.
""").
-spec get_all_states() -> #{atom() => closed | open | half_open}.
get_all_states() ->
    maps:from_list(each(fun(Name) -> {Name, get_state(Name)} end)).

?DOC("""
What has been counted for each.
""").
-spec get_all_stats() -> #{atom() => map()}.
get_all_stats() ->
    maps:from_list(
        each(fun(Name) ->
            {ok, Stats} = get_stats(Name),
            {Name, Stats}
        end)
    ).

?DOC("""
Resets all.
""").
-spec reset_all() -> ok.
reset_all() ->
    _ = each(fun reset/1),
    ok.

%% Those that are of this module: the others' owners have another name, or none.
each(Ask) ->
    lists:append([
        try
            #{owner := Owner} = erlmcp_native_breaker:info(Name),
            Owner =:= whereis(Name) orelse exit({noproc, Name}),
            [Ask(Name)]
        catch
            exit:{noproc, _} -> [];
            error:badarg -> []
        end
     || Name <- erlmcp_native_breaker:names()
    ]).

%% What the native calls know it by.
known(Name, Function, Args) when is_atom(Name) ->
    case erlmcp_native_breaker:whereis(Name) of
        undefined -> exit({noproc, {?MODULE, Function, Args}});
        Handle -> Handle
    end;
known(Pid, _, _) when is_pid(Pid) ->
    gen_server:call(Pid, handle).

?DOC(false).
-spec init({atom(), config()}) -> {ok, {erlmcp_native_breaker:handle(), map()}}.
init({Name, Given}) ->
    Config = maps:merge(?DEFAULTS, Given),
    #{
        failure_threshold := Failures,
        success_threshold := Successes,
        timeout := Timeout,
        window_size := Window,
        failure_rate_threshold := Rate
    } = Config,
    Named = maps:from_list([{name, Name} || Name =/= undefined]),
    Handle = erlmcp_native_breaker:new(Named#{
        failures => Failures,
        failure_rate => Rate,
        window => {count, Window},
        minimum_calls => Window,
        open => Timeout,
        probes => Successes
    }),
    {ok, {Handle, Config}}.

?DOC(false).
-spec handle_call(handle | config, gen_server:from(), State) -> {reply, term(), State}.
handle_call(handle, _From, {Handle, _} = State) ->
    {reply, Handle, State};
handle_call(config, _From, {_, Config} = State) ->
    {reply, Config, State}.

?DOC(false).
-spec handle_cast(term(), State) -> {noreply, State}.
handle_cast(_, State) ->
    {noreply, State}.
