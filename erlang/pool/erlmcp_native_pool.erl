-module(erlmcp_native_pool).
-include("erlmcp_native_doc.hrl").
?MODULEDOC("""
Pools: who may use which worker, and when. A worker is a process, a socket or any other term that is made
by a module, see `erlmcp_native_pool_worker`; one that is kept by somebody else; or a mere token.

Taking a free worker and giving it back asks no process. A lease remembers who took the worker: when that
process ends, wherever it is, the worker comes back, once, and is made fit for another or replaced before
anyone else gets it. Whoever finds no free worker waits in order, until the deadline and no longer, or is
turned away at once where waiting is of no use.

A pool belongs to the process that `start_link/1` starts, under a supervisor of yours by `child_spec/1`. It is
called by its name or by its handle.
""").

-export([start_link/1, child_spec/1, stop/1, handle/1]).
-export([checkout/1, checkout/2, checkin/2, checkin/3, with/2, with/3]).
-export([resize/2, drain/2, suspend/1, resume/1]).
-export([status/1, workers/1, leases/2, names/0]).
-export([format_error/2]).
-export_type([
    pool/0, handle/0, lease/0, worker/0, opts/0, source/0, strategy/0,
    checkout_opts/0, with_opts/0, priority/0, refusal/0, status/0
]).

-type handle() :: pos_integer().
%% Of this node. It bears a generation: the handle of a pool that has gone is never that of another one.
-type pool() :: handle() | atom().
%% A name costs a look-up at each call, some 20 ns; who calls often keeps the handle.
-type lease() :: non_neg_integer().
%% One use of a worker, of one pool, by the process that took it.
-type worker() :: erlmcp_native_pool_worker:worker().
-type source() :: {module(), Args :: term()} | {static, [worker(), ...]} | token.
%% Where workers come from: a module whose `start_link(Args)' makes them; a list of some that are there and
%% that the pool neither starts nor stops; `token': there is nothing to take but the permission.
-type strategy() :: fifo | lifo | round_robin | random | least_loaded | p2c | hash.
%% Which of the free workers is next: the one that has been free for longest, or shortest; each in turn; any; the
%% one with the fewest uses at once; the better of two, by uses at once and how long it lately took at
%% worst; the same for the same key, while it is there and free.
-type opts() :: #{
    worker := source(),
    name => atom(),
    min => non_neg_integer(),
    max => pos_integer(),
    concurrency => pos_integer(),
    strategy => strategy(),
    queue => non_neg_integer() | infinity,
    barging => non_neg_integer(),
    codel => none | #{target => pos_integer(), interval => pos_integer()},
    adaptive => none | #{min => pos_integer(), max => pos_integer(), initial => pos_integer()},
    latency_decay => pos_integer(),
    checkout_timeout => timeout(),
    start => background | first | all,
    start_timeout => pos_integer(),
    stop_timeout => non_neg_integer(),
    reset_timeout => pos_integer(),
    backoff => #{min => pos_integer(), max => pos_integer()},
    idle_timeout => pos_integer() | infinity,
    max_lifetime => pos_integer() | infinity,
    max_uses => pos_integer() | infinity,
    health => none | #{interval => pos_integer(), timeout => pos_integer()},
    leak_timeout => pos_integer() | infinity
}.
%% What a pool is made with; times are in milliseconds:
%%
%% `worker': required. `name': an atom other than `undefined'; default: none.
%% `min', `max': how many workers there are at least and at most, to 100,000; default: 10, and `min' as
%% `max'. `concurrency': how many may use one worker at once, to 1,000,000; default 1. Of tokens, how many there
%% are; required there.
%% `strategy': default `lifo'.
%% `queue': how many may wait; default `infinity', which is as many as there are processes. `barging': how long the
%% first of those who wait may be passed by newcomers; default 1; 0: never. `codel': whoever has waited for
%% longer than `target' is turned away once all have for an `interval'; default `none'; of `#{}',
%% `target' 50 and `interval' 1000. `adaptive': a limit of uses at once that follows how long they take, from `min' to
%% `max', beginning at `initial'; default `none'.
%% `latency_decay': of `p2c': how soon a slow use is forgotten; default 10,000.
%% `checkout_timeout': how long a checkout waits unless it says otherwise; default 5,000.
%% `start': whether `start_link/1' returns at once, or when the first or the first `min' workers are up, and
%% fails where one cannot be started; default `background'.
%% `start_timeout', `stop_timeout', `reset_timeout': after which a worker's start is given up, its end is no
%% longer waited for, its reset has failed; default 30,000, 5,000 and 5,000.
%% `backoff': the shortest and the longest delay before a start that failed is tried again; default `#{min =>
%% 100, max => 10_000}'.
%% `idle_timeout': after which a worker that nobody used ends, if there are more than `min'; default 60,000.
%% `max_lifetime', `max_uses': after which a worker ends when it is not in use; default `infinity'. A life is up
%% to a tenth shorter, so that those that began together do not end together.
%% `health': how often a worker that is not in use is asked whether it works, and for how long; default
%% `none'; of `#{}', `interval' 30,000 and `timeout' 5,000.
%% `leak_timeout': after which a lease that is still held is told of; default `infinity'.
-type priority() :: high | normal | low | 0..3.
%% `high' is 0, `normal' 1, `low' 2: whoever waits with a lower number is served first.
-type checkout_opts() :: #{
    timeout => timeout(), priority => priority(), key => term()
}.
%% `timeout': how long to wait at most; 0: not at all; default: the pool's `checkout_timeout'.
%% `priority': default `normal'.
%% `key': of the strategy `hash'; default: the caller's pid.
-type with_opts() :: #{
    timeout => timeout(), priority => priority(), key => term(), on_exception => reset | broken | ok
}.
%% As for a checkout, and `on_exception': how the worker is given back when the fun raises; default `reset'.
-type refusal() :: timeout | overloaded | closed | {connect, Reason :: term()}.
%% Why there is no worker: none came free in time; too many wait or have waited for too long; the pool
%% takes nobody any more, or is not there; none came in time, since none could be started for that reason.
-type status() :: #{atom() => term()}.

-define(NIF, erlmcp_native_nif).
-define(NORMAL, 1).
-define(KEYS, 1 bsl 32).
%% The longest that a process can wait for a message, in milliseconds.
-define(MAX_TIME, 16#ffff_ffff).
-define(CALL(Name, Args), {?MODULE, Name, Args}).

-define(IS_POOL(P), (is_atom(P) orelse is_integer(P))).
-define(IS_LEASE(L), is_integer(L), L >= 0, L < 1 bsl 59).

?DOC("""
Starts a pool, linked to the caller. Raises `badarg` where an option is wrong.

`{error, {already_started, Pid}}`: there is a pool of that name. `{error, {connect, Reason}}`: `start` is
`first` or `all`, and a worker could not be started. `{error, system_limit}`: there are as many pools as there can be.
""").
-spec start_link(Opts :: opts()) ->
    {ok, pid()} | {error, {already_started, pid()} | {connect, term()} | system_limit}.
start_link(Opts) ->
    Checked = erlmcp_native_pool_options:new(Opts, ?CALL(start_link, [Opts])),
    erlmcp_native_pool_manager:start_link(Checked).

?DOC("""
For a supervisor of yours. The supervisor gives it the time that its workers have to stop.
""").
-spec child_spec(Opts :: opts()) -> supervisor:child_spec().
child_spec(Opts) ->
    erlmcp_native_pool_manager:child_spec(
        erlmcp_native_pool_options:new(Opts, ?CALL(child_spec, [Opts]))
    ).

?DOC("""
Ends a pool: whoever waits is told `closed`, the workers are stopped, also those in use, and then it is gone.
See `drain/2` for waiting until nobody uses one.
""").
-spec stop(Pool :: pool() | pid()) -> ok.
stop(Pool) ->
    erlmcp_native_sup:stop_service(manager(Pool, ?CALL(stop, [Pool]))).

?DOC("""
The handle of a pool, by its name or its process.
""").
-spec handle(Pool :: pool() | pid()) -> handle().
handle(Pool) ->
    ask(Pool, handle, ?CALL(handle, [Pool])).

?DOC("""
As `checkout/2` with no options.
""").
-spec checkout(Pool :: pool()) -> {ok, worker(), lease()} | {error, refusal()}.
checkout(Pool) ->
    case ?NIF:pool_checkout(Pool, ?NORMAL, none) of
        {ok, _Worker, _Lease} = Taken -> Taken;
        wait -> wait(Pool, ?NORMAL, none, default, [Pool]);
        Refused -> refused(Refused, Pool, [Pool])
    end.

?DOC("""
Takes a worker for the calling process, which gives it back by `checkin/2`; when the process ends, the
worker comes back by itself.

Where none is free it waits, behind those who wait already with the same or a higher priority. A worker that comes
free in the first milliseconds, as the pool's `barging` says, may go to a newcomer who was running anyway.
""").
-spec checkout(Pool :: pool(), Opts :: checkout_opts()) ->
    {ok, worker(), lease()} | {error, refusal()}.
checkout(Pool, Opts) ->
    case checkout_opts(Opts) of
        {Priority, Key, Timeout, Known} when map_size(Opts) =:= Known ->
            take(Pool, Priority, Key, Timeout, [Pool, Opts]);
        _ ->
            wrong_opts(?CALL(checkout, [Pool, Opts]), 2)
    end.

take(Pool, Priority, Key, Timeout, Args) ->
    case ?NIF:pool_checkout(Pool, Priority, Key) of
        {ok, _Worker, _Lease} = Taken -> Taken;
        wait -> wait(Pool, Priority, Key, Timeout, Args);
        Refused -> refused(Refused, Pool, Args)
    end.

%% With how many of the options were given; `wrong' where one has no such value.
checkout_opts(Opts) when is_map(Opts) ->
    case {given_priority(Opts), given_timeout(Opts)} of
        {{Priority, One}, {Timeout, Two}} ->
            case Opts of
                #{key := Key} -> {Priority, erlang:phash2(Key, ?KEYS), Timeout, One + Two + 1};
                #{} -> {Priority, none, Timeout, One + Two}
            end;
        _ ->
            wrong
    end;
checkout_opts(_) ->
    wrong.

given_priority(#{priority := normal}) -> {?NORMAL, 1};
given_priority(#{priority := high}) -> {0, 1};
given_priority(#{priority := low}) -> {2, 1};
given_priority(#{priority := P}) when is_integer(P), P >= 0, P =< 3 -> {P, 1};
given_priority(#{priority := _}) -> wrong;
given_priority(_) -> {?NORMAL, 0}.

given_timeout(#{timeout := T}) when is_integer(T), T >= 0, T =< ?MAX_TIME -> {T, 1};
given_timeout(#{timeout := infinity}) -> {infinity, 1};
given_timeout(#{timeout := _}) -> wrong;
given_timeout(_) -> {default, 0}.

-spec wrong_opts(erlmcp_native_error:call(), pos_integer()) -> no_return().
wrong_opts({_, _, Args} = Call, At) ->
    case lists:nth(At, Args) of
        Opts when is_map(Opts) ->
            _ = [
                erlmcp_native_error:bad_option(Call, At, Key, Value)
             || {Key, Value} <- maps:to_list(Opts), not is_option(Key, Value)
            ],
            erlmcp_native_error:badarg(Call, At, "no options of a checkout");
        _ ->
            erlmcp_native_error:badarg(Call, At, "not a map of options")
    end.

is_option(priority, V) -> given_priority(#{priority => V}) =/= wrong;
is_option(timeout, V) -> given_timeout(#{timeout => V}) =/= wrong;
is_option(key, _) -> true;
is_option(_, _) -> false.

%%% Waiting
%%
%% What comes is the bare reference, and says only to look again: no worker is ever in a mailbox. It comes once for
%% each time that the native part says `wait', and never after it said `timeout'.

wait(Pool, Priority, Key, Timeout, Args) ->
    Ref = make_ref(),
    case ?NIF:pool_wait(Pool, Priority, Key, Ref, Timeout) of
        {ok, _Worker, _Lease} = Taken -> Taken;
        %% By its name there may be another pool when it is claimed.
        {wait, Lease, infinity, Handle} -> await(Handle, Lease, Ref, infinity, infinity);
        {wait, Lease, Left, Handle} -> await(Handle, Lease, Ref, Left, now_ms() + Left);
        Refused -> refused(Refused, Pool, Args)
    end.

await(Pool, Lease, Ref, Left, Deadline) ->
    receive
        Ref ->
            case ?NIF:pool_claim(Pool, Lease, Ref) of
                {ok, _Worker, _Lease} = Taken -> Taken;
                wait -> await(Pool, Lease, Ref, left(Deadline), Deadline);
                Refused -> refused(Refused, Pool, [Pool])
            end
    after Left ->
        case ?NIF:pool_cancel(Pool, Lease) of
            timeout ->
                refused(timeout, Pool, [Pool]);
            %% Something came at the last moment.
            woken ->
                receive
                    Ref -> last(Pool, Lease)
                end;
            Refused ->
                refused(Refused, Pool, [Pool])
        end
    end.

last(Pool, Lease) ->
    case ?NIF:pool_claim(Pool, Lease, none) of
        {ok, _Worker, _Lease} = Taken -> Taken;
        Refused -> refused(Refused, Pool, [Pool])
    end.

left(infinity) -> infinity;
left(Deadline) -> max(0, Deadline - now_ms()).

now_ms() -> erlang:monotonic_time(millisecond).

refused(timeout, Pool, _Args) ->
    case ?NIF:pool_failure(Pool) of
        {failed, Reason} -> {error, {connect, Reason}};
        _ -> {error, timeout}
    end;
refused(Refused, _Pool, _Args) when Refused =:= overloaded; Refused =:= system_limit ->
    {error, overloaded};
refused(invalid_pool, Pool, Args) when not ?IS_POOL(Pool) ->
    no_pool(?CALL(checkout, Args));
%% It has been closed, or stopped. A process that waits when the pool ends can find its lease gone.
refused(_, _Pool, _Args) ->
    {error, closed}.

?DOC("""
Gives a worker back that works. As `checkin/3` with `ok`.
""").
-spec checkin(Pool :: pool(), Lease :: lease()) -> ok | {error, stale}.
checkin(Pool, Lease) when ?IS_LEASE(Lease) ->
    case ?NIF:pool_checkin(Pool, Lease, ok) of
        ok -> ok;
        stale -> {error, stale};
        invalid_pool -> gone(Pool, ?CALL(checkin, [Pool, Lease]))
    end;
checkin(Pool, Lease) ->
    erlmcp_native_error:badarg(?CALL(checkin, [Pool, Lease]), 2, "not a lease").

?DOC("""
Gives a worker back. Any process may, not only the one that took it.

`ok`: it works. `broken`: nobody is to get it; it is stopped and replaced. `reset`: nobody is to get it as it is;
what is done when an owner ends is done.

`{error, stale}`: it has come back before, by whomever. `ok` where the worker or the pool has ended meanwhile.
""").
-spec checkin(Pool :: pool(), Lease :: lease(), State :: ok | broken | reset) -> ok | {error, stale}.
checkin(Pool, Lease, State) when
    ?IS_LEASE(Lease), (State =:= ok orelse State =:= broken orelse State =:= reset)
->
    case ?NIF:pool_checkin(Pool, Lease, State) of
        ok -> ok;
        stale -> {error, stale};
        invalid_pool -> gone(Pool, ?CALL(checkin, [Pool, Lease, State]))
    end;
checkin(Pool, Lease, State) when ?IS_LEASE(Lease) ->
    erlmcp_native_error:badarg(?CALL(checkin, [Pool, Lease, State]), 3, "not ok, broken or reset");
checkin(Pool, Lease, State) ->
    erlmcp_native_error:badarg(?CALL(checkin, [Pool, Lease, State]), 2, "not a lease").

gone(Pool, _Call) when ?IS_POOL(Pool) -> ok;
gone(_Pool, Call) -> no_pool(Call).

?DOC("""
As `with/3` with no options.
""").
-spec with(Pool :: pool(), Fun :: fun((worker()) -> T)) -> T.
with(Pool, Fun) when is_function(Fun, 1) ->
    case checkout(Pool) of
        {ok, Worker, Lease} -> use(Pool, Worker, Lease, Fun, reset);
        {error, Reason} -> refuse(?CALL(with, [Pool, Fun]), Reason)
    end;
with(Pool, Fun) ->
    erlmcp_native_error:badarg(?CALL(with, [Pool, Fun]), 2, "not a function of one argument").

?DOC("""
Calls the fun with a worker, in the calling process, and gives the worker back however that ends.

What the fun raises passes through; the worker is then given back as `on_exception` says, by default as if its
owner had ended: what state it is in nobody knows. Where there is no worker, raises `{checkout, Reason}`,
with a reason that `checkout/2` gives.
""").
-spec with(Pool :: pool(), Fun :: fun((worker()) -> T), Opts :: with_opts()) -> T.
with(Pool, Fun, Opts) when is_function(Fun, 1), is_map(Opts) ->
    Call = ?CALL(with, [Pool, Fun, Opts]),
    OnException = maps:get(on_exception, Opts, reset),
    lists:member(OnException, [reset, broken, ok]) orelse
        erlmcp_native_error:bad_option(Call, 3, on_exception, OnException),
    Given = maps:remove(on_exception, Opts),
    case checkout_opts(Given) of
        {Priority, Key, Timeout, Known} when map_size(Given) =:= Known ->
            case take(Pool, Priority, Key, Timeout, [Pool, Given]) of
                {ok, Worker, Lease} -> use(Pool, Worker, Lease, Fun, OnException);
                {error, Reason} -> refuse(Call, Reason)
            end;
        _ ->
            wrong_opts(?CALL(with, [Pool, Fun, Given]), 3)
    end;
with(Pool, Fun, Opts) when is_map(Opts) ->
    erlmcp_native_error:badarg(?CALL(with, [Pool, Fun, Opts]), 2, "not a function of one argument");
with(Pool, Fun, Opts) ->
    erlmcp_native_error:badarg(?CALL(with, [Pool, Fun, Opts]), 3, "not a map of options").

use(Pool, Worker, Lease, Fun, OnException) ->
    try Fun(Worker) of
        Result ->
            _ = ?NIF:pool_checkin(Pool, Lease, ok),
            Result
    catch
        Class:Reason:Stack ->
            _ = ?NIF:pool_checkin(Pool, Lease, OnException),
            erlang:raise(Class, Reason, Stack)
    end.

-spec refuse(erlmcp_native_error:call(), refusal()) -> no_return().
refuse(Call, Reason) ->
    erlmcp_native_error:raise(Call, {checkout, Reason}, #{general => "there is no worker"}).

?DOC("""
Changes how many workers there are: at most that many, and at least as many as before, or, in a pool of fixed
size (`min` is `max`), exactly that many; or the least and the most.

Returns at once: workers are started, and ended when nobody uses them, in the background. `{error, fixed}`: the
pool has static workers or tokens.
""").
-spec resize(Pool :: pool() | pid(), Size :: pos_integer() | {non_neg_integer(), pos_integer()}) ->
    ok | {error, fixed}.
resize(Pool, Size) ->
    Call = ?CALL(resize, [Pool, Size]),
    {Min, Max} = erlmcp_native_pool_options:resize(Size, ask(Pool, sizes, Call), Call),
    ask(Pool, {resize, Min, Max}, Call).

?DOC("""
Takes nobody any more, serves those who wait, and returns when all workers have come back; or, after so many
milliseconds, `{error, timeout}`, and goes on. Newcomers are told `closed`. Then comes `stop/1`, or `resume/1`, at
which who still waits for this is told `{error, resumed}`.
""").
-spec drain(Pool :: pool() | pid(), Timeout :: timeout()) -> ok | {error, timeout | resumed}.
drain(Pool, Timeout) ->
    Call = ?CALL(drain, [Pool, Timeout]),
    is_option(timeout, Timeout) orelse
        erlmcp_native_error:badarg(Call, 2, "not a time in milliseconds, nor infinity"),
    ask(Pool, {drain, Timeout}, Call).

?DOC("""
Serves nobody until `resume/1`: who comes waits. Workers that are in use stay so.
""").
-spec suspend(Pool :: pool() | pid()) -> ok.
suspend(Pool) ->
    ask(Pool, {mode, suspended}, ?CALL(suspend, [Pool])).

?DOC("""
Opens a pool again that was suspended or drained.
""").
-spec resume(Pool :: pool() | pid()) -> ok.
resume(Pool) ->
    ask(Pool, {mode, open}, ?CALL(resume, [Pool])).

?DOC("""
What a pool is and has done:

`name`, `handle`, `manager` (its process), `min`, `max`, `strategy`, `mode` (`open`, `suspended`, `draining` or `closed`).
`workers`, of those `idle` and `away` (being reset or checked); `in_use`: uses; `starting` and `retrying`: that are to come; `last_error`: why the last start failed, if none
worked since, or `none`.
`waiting`, `owners` (processes that have taken one or wait), `limit` of uses at
once (`infinity` without `adaptive`).
Since it was started: `checkouts`; of those `waited`, `handed_over` (to the first who waited) and `barged` (past
someone who waited); `timeouts`, `overloads` (turned away at once) and `dropped` (by CoDel); `reclaimed`
(given back by an owner's end), `broken`.
`memory` in bytes; `wait_histogram`: of the times, in nanoseconds, that those who waited did until they
had a worker: for `erlmcp_native_histogram`.
""").
-spec status(Pool :: pool() | pid()) -> status().
status(Pool) ->
    ask(Pool, status, ?CALL(status, [Pool])).

?DOC("""
The workers that there are: each with its uses so far, its uses at once now, its state (`idle`, `in_use`, `away`,
`retiring`) and, of the strategy `p2c`, how many nanoseconds a use takes at worst, lately.
""").
-spec workers(Pool :: pool()) -> [
    #{
        worker := worker(),
        uses := non_neg_integer(),
        in_use := non_neg_integer(),
        state := idle | in_use | away | retiring,
        latency := non_neg_integer()
    }
].
workers(Pool) ->
    case ?NIF:pool_workers(Pool) of
        invalid_pool ->
            no_pool(?CALL(workers, [Pool]));
        Workers ->
            [
                #{worker => Worker, uses => Uses, in_use => InUse, state => State, latency => Latency}
             || {_Cell, Worker, Uses, InUse, State, Latency, _Keeper} <- Workers
            ]
    end.

?DOC("""
Up to a thousand of the leases that have been held for longer than so many milliseconds, the longest first.
""").
-spec leases(Pool :: pool(), Held :: non_neg_integer()) -> [
    #{lease := lease(), owner := pid(), worker := worker(), held := non_neg_integer()}
].
leases(Pool, Held) when is_integer(Held), Held >= 0, Held =< ?MAX_TIME ->
    case ?NIF:pool_leases(Pool, Held, 1_000) of
        invalid_pool ->
            no_pool(?CALL(leases, [Pool, Held]));
        Leases ->
            [
                #{lease => Lease, owner => Owner, worker => Worker, held => For}
             || {Lease, Owner, Worker, For} <- Leases
            ]
    end;
leases(Pool, Held) ->
    erlmcp_native_error:badarg(?CALL(leases, [Pool, Held]), 2, "not a time in milliseconds").

?DOC("""
The names of the pools that have one.
""").
-spec names() -> [atom()].
names() ->
    lists:usort([Name || Name <- ?NIF:pool_names(), ?NIF:pool_whereis(Name) =/= undefined]).

ask(Pool, Request, Call) ->
    try
        gen_server:call(manager(Pool, Call), Request, infinity)
    catch
        exit:_ -> no_pool(Call)
    end.

manager(Pid, _Call) when is_pid(Pid) ->
    Pid;
manager(Pool, Call) ->
    case ?NIF:pool_manager(Pool) of
        invalid_pool -> no_pool(Call);
        Pid -> Pid
    end.

-spec no_pool(erlmcp_native_error:call()) -> no_return().
no_pool(Call) ->
    erlmcp_native_error:badarg(Call, 1, "not a pool of this node, or it has gone").

?DOC(false).
-spec format_error(term(), list()) -> #{pos_integer() | general => unicode:chardata()}.
format_error(Reason, Stack) ->
    erlmcp_native_error:format(Reason, Stack).
