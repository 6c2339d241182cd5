-module(erlmcp_native_limiter).
-include("erlmcp_native_doc.hrl").
?MODULEDOC("""
Rate limits: how much each key may use in a time, or at once.

A check is one call into native code, some 100 ns, from any process: no process is asked. It is exact
under concurrency: of a limit of N, N are let pass and no more, however many processes ask at once.
Millions of keys take bounded memory: a key that is idle, so that a new one would fare no differently, is
forgotten first.

```
Limiter = erlmcp_native_limiter:new(#{limit => 100, per => 1000, burst => 200}),
case erlmcp_native_limiter:check(Limiter, ClientId) of
    {ok, _Remaining} -> serve();
    {error, rate_limited, RetryAfter} -> refuse(RetryAfter)
end
```

A key is any term: keys are told apart as by `=:=`, by a keyed hash of 128 bits (see
`docs/rate_limits.md`, also for the algorithms and their precision).

A limiter belongs to the process that made it, as an ETS table does, and every call takes its handle or
its name; a call on one that is not there raises `badarg`.

Events, by `erlmcp_native_events`: `[limiter, blocked]` where a key is shut out, with the measurement
`retry_after` in milliseconds, and `[limiter, unblocked]` where it is let in again: at its first request
after that (not where it has been forgotten meanwhile), or by `unblock/2` or `reset/2`. Their metadata has
the `limiter`, as the caller gave it, and the `key`.
""").

-export([new/1, delete/1, whereis/1, names/0, info/1]).
-export([check/2, check/3, check_all/1, check_all/2, peek/2, peek/3, reserve/2, reserve/3]).
-export([acquire/2, acquire/3, release/2, with/3, with/4]).
-export([reset/2, is_blocked/2, unblock/2]).
-export([format_error/2]).
-export_type([
    limiter/0, handle/0, opts/0, algorithm/0, block/0, priority/0, ask/0, key/0, permit/0, refused/0, info/0
]).

-type handle() :: pos_integer().
%% Of this node. It bears a generation: the handle of a limiter that has gone is never that of another
%% one.
-type limiter() :: handle() | atom().
%% A name costs a look-up at each call, some 20 ns; what checks often keeps the handle.
-type key() :: term().
%% Of at most 64 KB, as bytes or in the external term format.
-type algorithm() :: token_bucket | sliding_window | leaky_bucket | concurrency.
%% `token_bucket': a bucket of `burst' tokens, filled at the rate of `limit' in `per' milliseconds; a request
%% takes as many as it costs.
%% `sliding_window': never more than `limit' in any `per' milliseconds.
%% `leaky_bucket': a bucket that leaks at the rate of `limit' in `per' milliseconds, and that requests
%% fill; what would overflow `burst' is refused. With `reserve/2' it spaces requests evenly.
%% `concurrency': never more than `limit' at once, see `acquire/2'.
-type priority() :: high | normal | low.
-type block() :: none | #{violations := pos_integer(), within := pos_integer(), duration := pos_integer()}.
%% A key that is refused `violations' times within `within' milliseconds of the first of them is refused
%% whatever it has left for `duration' milliseconds.
-type opts() :: #{
    limit := pos_integer(),
    per => pos_integer(),
    burst => pos_integer(),
    algorithm => algorithm(),
    max_keys => pos_integer(),
    block => block(),
    reserve => #{high | normal => float() | non_neg_integer()},
    bypass => none | high,
    name => atom(),
    owner => pid() | none
}.
%% What a limiter is made with:
%%
%% `limit': how much, from 1 to 10^9.
%% `per': in how many milliseconds; default: 1000. Not for `concurrency'.
%% `burst': how much at once, from 1 to 10^9; default: `limit'. For buckets only.
%% `algorithm': default: `token_bucket'.
%% `max_keys': so many keys are remembered at most, up to 10^8; default: 10^6. Where more are active than
%% that, the one that would be idle soonest is forgotten, and may then use what a new key may. (Of
%% `concurrency' none is forgotten: a new key is refused.) A key takes some 64 bytes, and 192 of a
%% `sliding_window'; what is not used is not taken.
%% `block': default: `none'.
%% `reserve': what only requests of that priority or a higher one may use, as a share of `burst' (of
%% `limit' where there is no burst), rounded up, or as a number; default: nothing.
%% `bypass': requests of priority `high' always pass, unless their key is shut out, but are counted;
%% default: `none'.
%% `name': an atom other than `undefined' that stands for the handle; default: none.
%% `owner': the process with which it ends, or `none'; default: the caller.
-type ask() :: #{cost => pos_integer(), priority => priority()}.
%% `cost': how much a request takes, from 1 to 10^9; default: 1.
%% `priority': default: `normal'.
-type refused() :: {error, rate_limited, RetryAfter :: non_neg_integer() | infinity}.
%% After that many milliseconds it is let pass if nobody else comes. It is `infinity' where it costs more
%% than there can be, and of `concurrency' 0, since nobody knows.
-type permit() :: non_neg_integer().
-type info() :: #{
    name := atom(),
    owner := pid() | none,
    algorithm := algorithm(),
    limit := pos_integer(),
    per => pos_integer(),
    burst => pos_integer(),
    max_keys := pos_integer(),
    keys := non_neg_integer(),
    memory := non_neg_integer(),
    allowed := non_neg_integer(),
    refused := non_neg_integer(),
    forgiven := non_neg_integer(),
    blocked := non_neg_integer()
}.
%% Beside what it was made with:
%%
%% `keys': that are remembered now.
%% `memory': in bytes.
%% `allowed', `refused': requests.
%% `forgiven': keys that were forgotten though they were not idle.
%% `blocked': how often a key was shut out.

-define(CALL(Name, Args), {?MODULE, Name, Args}).

?DOC("""
Makes a limiter, which ends with the process that calls this unless `owner` says otherwise.

Raises `badarg` where one of that name is there, and `system_limit` where there are as many as there
can be.
""").
-spec new(Opts :: opts()) -> handle().
new(Opts) ->
    Call = ?CALL(new, [Opts]),
    {Name, Owner, Config} = erlmcp_native_limiter_options:new(Opts, Call),
    case erlmcp_native_nif:limiter_new(Name, Owner, Config) of
        Handle when is_integer(Handle) ->
            Handle;
        exists ->
            erlmcp_native_error:badarg(Call, 1, "there is a limiter of this name");
        system_limit ->
            erlmcp_native_error:raise(Call, system_limit, #{general => "too many limiters"})
    end.

?DOC("""
Ends a limiter: its memory is free again, and so is its name. Any process may.
""").
-spec delete(Limiter :: limiter()) -> ok.
delete(Limiter) ->
    case erlmcp_native_nif:limiter_delete(Limiter) of
        true -> ok;
        false -> wrong(invalid_limiter, ?CALL(delete, [Limiter]))
    end.

?DOC("""
The handle of the limiter of that name.
""").
-spec whereis(Name :: atom()) -> handle() | undefined.
whereis(Name) when is_atom(Name) ->
    erlmcp_native_nif:limiter_whereis(Name);
whereis(Name) ->
    erlmcp_native_error:badarg(?CALL(whereis, [Name]), 1, "not an atom").

?DOC("""
The names of those that have one.
""").
-spec names() -> [atom()].
names() ->
    erlmcp_native_nif:limiter_names().

?DOC("""
What a limiter was made with, and what became of requests. It takes some microseconds for each thousand of
`max_keys`.
""").
-spec info(Limiter :: limiter()) -> info().
info(Limiter) ->
    case erlmcp_native_nif:limiter_info(Limiter) of
        #{algorithm := concurrency} = Info -> maps:without([per, burst], Info);
        #{algorithm := sliding_window} = Info -> maps:remove(burst, Info);
        #{} = Info -> Info;
        Wrong -> wrong(Wrong, ?CALL(info, [Limiter]))
    end.

?DOC("""
As `check/3` of a cost of 1 and the priority `normal`.
""").
-spec check(Limiter :: limiter(), Key :: key()) -> {ok, Remaining :: non_neg_integer()} | refused().
check(Limiter, Key) ->
    case erlmcp_native_nif:limiter_check(Limiter, Key) of
        {ok, _} = Ok ->
            Ok;
        {error, rate_limited, _} = Refused ->
            Refused;
        Other ->
            Check = fun(External) -> erlmcp_native_nif:limiter_check(Limiter, Key, 1, 1, External) end,
            answered(Other, Check, [{Limiter, Key}], ?CALL(check, [Limiter, Key]))
    end.

?DOC("""
Takes what the request costs from what its key has, or says why not. `Remaining` is how much one of the same
priority could take at the same moment.
""").
-spec check(Limiter :: limiter(), Key :: key(), Opts :: ask()) ->
    {ok, Remaining :: non_neg_integer()} | refused().
check(Limiter, Key, Opts) ->
    Call = ?CALL(check, [Limiter, Key, Opts]),
    {Cost, Priority} = erlmcp_native_limiter_options:ask(Opts, 3, Call),
    Check = fun(External) ->
        erlmcp_native_nif:limiter_check(Limiter, Key, Cost, Priority, External)
    end,
    answered(Check([]), Check, [{Limiter, Key}], Call).

?DOC("""
As `check_all/2` of a cost of 1 and the priority `normal`.
""").
-spec check_all(Limits :: [{limiter(), key()}, ...]) ->
    {ok, Remaining :: non_neg_integer()} | refused().
check_all(Limits) ->
    check_all(Limits, #{}, ?CALL(check_all, [Limits])).

?DOC("""
Checks several limits at once, such as those of a client, of a tool and of all: each of them takes what the
request costs, or, if one refuses, none does. At most 16, none of them of `concurrency`; one that is there
twice takes it twice.

`Remaining` is the least of theirs, and the time after which to retry the longest of those that refuse. Only
these count the refusal.
""").
-spec check_all(Limits :: [{limiter(), key()}, ...], Opts :: ask()) ->
    {ok, Remaining :: non_neg_integer()} | refused().
check_all(Limits, Opts) ->
    check_all(Limits, Opts, ?CALL(check_all, [Limits, Opts])).

check_all(Limits, Opts, Call) ->
    {Cost, Priority} = erlmcp_native_limiter_options:ask(Opts, 2, Call),
    Again = fun(_) ->
        Externals = [external(Key) || {_, Key} <- Limits],
        erlmcp_native_nif:limiter_check_all(Limits, Cost, Priority, Externals)
    end,
    case erlmcp_native_nif:limiter_check_all(Limits, Cost, Priority, []) of
        invalid_value ->
            erlmcp_native_error:badarg(Call, 1, "not a list of 1 to 16 pairs of limiter and key");
        Answer ->
            answered(Answer, Again, Limits, Call)
    end.

?DOC("""
As `peek/3` of a cost of 1 and the priority `normal`.
""").
-spec peek(Limiter :: limiter(), Key :: key()) -> {ok, Available :: non_neg_integer()} | refused().
peek(Limiter, Key) ->
    peek(Limiter, Key, #{}, ?CALL(peek, [Limiter, Key])).

?DOC("""
Whether a request would pass now, without taking anything: `Available` is how much it could take, itself
included.
""").
-spec peek(Limiter :: limiter(), Key :: key(), Opts :: ask()) ->
    {ok, Available :: non_neg_integer()} | refused().
peek(Limiter, Key, Opts) ->
    peek(Limiter, Key, Opts, ?CALL(peek, [Limiter, Key, Opts])).

peek(Limiter, Key, Opts, Call) ->
    {Cost, Priority} = erlmcp_native_limiter_options:ask(Opts, 3, Call),
    Peek = fun(External) ->
        erlmcp_native_nif:limiter_peek(Limiter, Key, Cost, Priority, External)
    end,
    case answered(Peek([]), Peek, [{Limiter, Key}], Call) of
        {ok, Left} -> {ok, Left + Cost};
        Refused -> Refused
    end.

?DOC("""
As `reserve/3` of a cost of 1 and the priority `normal`.
""").
-spec reserve(Limiter :: limiter(), Key :: key()) -> {ok, Delay :: non_neg_integer()} | refused().
reserve(Limiter, Key) ->
    reserve(Limiter, Key, #{}, ?CALL(reserve, [Limiter, Key])).

?DOC("""
Takes a turn in a leaky bucket: the caller is to wait for `Delay` milliseconds before it goes on, so that those
of a key follow one another at the rate of the limit. It is refused where the bucket is full, so that it would
have to wait for longer than emptying one takes.
""").
-spec reserve(Limiter :: limiter(), Key :: key(), Opts :: ask()) ->
    {ok, Delay :: non_neg_integer()} | refused().
reserve(Limiter, Key, Opts) ->
    reserve(Limiter, Key, Opts, ?CALL(reserve, [Limiter, Key, Opts])).

reserve(Limiter, Key, Opts, Call) ->
    {Cost, Priority} = erlmcp_native_limiter_options:ask(Opts, 3, Call),
    Reserve = fun(External) ->
        erlmcp_native_nif:limiter_reserve(Limiter, Key, Cost, Priority, External)
    end,
    answered(Reserve([]), Reserve, [{Limiter, Key}], Call).

?DOC("""
As `acquire/3` of a cost of 1 and the priority `normal`.
""").
-spec acquire(Limiter :: limiter(), Key :: key()) -> {ok, permit()} | refused().
acquire(Limiter, Key) ->
    acquire(Limiter, Key, {1, 1}, ?CALL(acquire, [Limiter, Key])).

?DOC("""
Takes what the request costs of a limit of `concurrency`, until `release/2` of the permit or the end of the
calling process, whichever comes first.

Raises `system_limit` where there are 2 ^ 24 permits.
""").
-spec acquire(Limiter :: limiter(), Key :: key(), Opts :: ask()) -> {ok, permit()} | refused().
acquire(Limiter, Key, Opts) ->
    Call = ?CALL(acquire, [Limiter, Key, Opts]),
    acquire(Limiter, Key, erlmcp_native_limiter_options:ask(Opts, 3, Call), Call).

acquire(Limiter, Key, {Cost, Priority}, Call) ->
    Acquire = fun(External) ->
        erlmcp_native_nif:limiter_acquire(Limiter, Key, Cost, Priority, External)
    end,
    answered(Acquire([]), Acquire, [{Limiter, Key}], Call).

?DOC("""
Gives back what a permit is for. Any process may, once; one that was given back has no effect.
""").
-spec release(Limiter :: limiter(), Permit :: permit()) -> ok.
release(Limiter, Permit) ->
    case erlmcp_native_nif:limiter_release(Limiter, Permit) of
        ok -> ok;
        stale -> ok;
        invalid_value -> erlmcp_native_error:badarg(?CALL(release, [Limiter, Permit]), 2, "not a permit");
        Wrong -> wrong(Wrong, ?CALL(release, [Limiter, Permit]))
    end.

?DOC("""
As `with/4` of a cost of 1 and the priority `normal`.
""").
-spec with(Limiter :: limiter(), Key :: key(), Fun :: fun(() -> T)) -> {ok, T} | refused().
with(Limiter, Key, Fun) ->
    with(Limiter, Key, Fun, {1, 1}, ?CALL(with, [Limiter, Key, Fun])).

?DOC("""
Calls the fun with a permit of the key, which is given back when it returns or raises.
""").
-spec with(Limiter :: limiter(), Key :: key(), Fun :: fun(() -> T), Opts :: ask()) ->
    {ok, T} | refused().
with(Limiter, Key, Fun, Opts) ->
    Call = ?CALL(with, [Limiter, Key, Fun, Opts]),
    with(Limiter, Key, Fun, erlmcp_native_limiter_options:ask(Opts, 4, Call), Call).

with(Limiter, Key, Fun, Ask, Call) when is_function(Fun, 0) ->
    case acquire(Limiter, Key, Ask, Call) of
        {ok, Permit} ->
            try
                {ok, Fun()}
            after
                %% The limiter may have been deleted.
                erlmcp_native_nif:limiter_release(Limiter, Permit)
            end;
        Refused ->
            Refused
    end;
with(_Limiter, _Key, _Fun, _Ask, Call) ->
    erlmcp_native_error:badarg(Call, 3, "not a fun without arguments").

?DOC("""
Forgets a key: it has what a new one has. Not for `concurrency`, where permits are given back instead.
""").
-spec reset(Limiter :: limiter(), Key :: key()) -> ok.
reset(Limiter, Key) ->
    Reset = fun(External) -> erlmcp_native_nif:limiter_reset(Limiter, Key, External) end,
    let_in(Reset, Limiter, Key, ?CALL(reset, [Limiter, Key])).

?DOC("""
Whether a key is shut out, see `block` of `t:opts/0`.
""").
-spec is_blocked(Limiter :: limiter(), Key :: key()) -> boolean().
is_blocked(Limiter, Key) ->
    Blocked = fun(External) -> erlmcp_native_nif:limiter_blocked_for(Limiter, Key, External) end,
    answered(Blocked([]), Blocked, [{Limiter, Key}], ?CALL(is_blocked, [Limiter, Key])) =/= 0.

?DOC("""
Lets a key in again and counts its refusals anew. It has left what it had.
""").
-spec unblock(Limiter :: limiter(), Key :: key()) -> ok.
unblock(Limiter, Key) ->
    Unblock = fun(External) -> erlmcp_native_nif:limiter_unblock(Limiter, Key, External) end,
    let_in(Unblock, Limiter, Key, ?CALL(unblock, [Limiter, Key])).

let_in(Nif, Limiter, Key, Call) ->
    case answered(Nif([]), Nif, [{Limiter, Key}], Call) of
        true -> emit(unblocked, #{}, {Limiter, Key});
        false -> ok
    end.

%% What an answer means: it may ask for the external form of a key, or tell of changes.
answered({events, Answer, Events}, _Nif, Limits, _Call) ->
    Measured =
        case Answer of
            {error, rate_limited, RetryAfter} -> #{retry_after => RetryAfter};
            _ -> #{}
        end,
    _ = [
        emit(Event, case Event of blocked -> Measured; unblocked -> #{} end, lists:nth(Nth, Limits))
     || {Event, Nth} <- Events
    ],
    Answer;
answered(complex, Nif, [{_, Key} | _] = Limits, Call) ->
    answered(Nif(external(Key)), Nif, Limits, Call);
answered(Wrong, _Nif, _Limits, Call) when is_atom(Wrong), not is_boolean(Wrong) ->
    wrong(Wrong, Call);
answered(Answer, _Nif, _Limits, _Call) ->
    Answer.

external(Key) -> term_to_binary(Key, [deterministic]).

emit(Event, Measurements, {Limiter, Key}) ->
    erlmcp_native_events:emit([limiter, Event], Measurements, #{limiter => Limiter, key => Key}).

-spec wrong(atom(), erlmcp_native_error:call()) -> no_return().
wrong(invalid_limiter, {_, check_all, _} = Call) ->
    erlmcp_native_error:badarg(Call, 1, "one is not a limiter of this node, or it has gone");
wrong(invalid_limiter, Call) ->
    erlmcp_native_error:badarg(Call, 1, "not a limiter of this node, or it has gone");
wrong(unsupported, Call) ->
    erlmcp_native_error:badarg(Call, 1, "the limiter's algorithm cannot do that");
wrong(too_large, {_, check_all, _} = Call) ->
    erlmcp_native_error:badarg(Call, 1, "a key is too large");
wrong(too_large, Call) ->
    erlmcp_native_error:badarg(Call, 2, "the key is too large");
wrong(system_limit, Call) ->
    erlmcp_native_error:raise(Call, system_limit, #{general => "too many permits"}).

?DOC(false).
-spec format_error(term(), list()) -> #{pos_integer() | general => unicode:chardata()}.
format_error(Reason, Stack) ->
    erlmcp_native_error:format(Reason, Stack).
