-module(erlmcp_native_breaker).
-include("erlmcp_native_doc.hrl").
?MODULEDOC("""
Circuit breakers: what has failed of late is not called for a while, so that its callers are answered at
once and it can recover.

A breaker is closed, and calls pass, until too many fail in a row, or too large a share of the last calls
fails or is slow. Then it is open: calls are refused. After a wait it is half-open and admits a few, its
probes: if enough of them succeed it closes, otherwise it opens again.

The guarded fun runs in the caller; a breaker is no process, and a call through a closed one costs two
short native calls more than the bare one. A breaker belongs to the process that made it, as an ETS table
does, and every call takes its handle or its name; a call on one that is not there raises `badarg`.

Each change of state is an event `[breaker, state]` of `erlmcp_native_events`.
""").

-export([new/0, new/1, delete/1, whereis/1, names/0]).
-export([call/2, call/3, call_with_fallback/3]).
-export([allow/1, allow/2, success/2, failure/2, ignore/2]).
-export([state/1, info/1]).
-export([reset/1, force_open/1, force_open/2, force_close/1, disable/1]).
-export([format_error/2]).
-export_type([
    breaker/0, handle/0, token/0, opts/0, open_opts/0, call_opts/0, allow_opts/0,
    outcome/0, outcome_fun/0, fallback/0, refusal/0, state/0, info/0, milliseconds/0
]).

-type handle() :: pos_integer().
%% Of this node. It bears a generation: the handle of a breaker that has gone is never that of another
%% one.
-type breaker() :: handle() | atom().
%% A name costs two look-ups at each call, some 30 ns; what calls often keeps the handle.
-type token() :: integer().
%% Of one call through one breaker.
-type milliseconds() :: non_neg_integer().
%% Below 2 ^ 40.
-type state() :: closed | open | half_open | disabled.
-type outcome() :: ok | failure | ignored.
%% What has become of a call; `ignored': as if it had not been made.
-type outcome_fun() :: fun((returned | error | exit | throw, term()) -> outcome()).
%% What to make of the result of a call, or of the class and reason of an exception.
-type fallback() :: fun(() -> term()) | fun((refusal()) -> term()).
-type refusal() :: {circuit_open, RetryAfter :: milliseconds() | infinity}.
%% After what time a call may be admitted: an estimate where that depends on calls under way.
-type open_opts() :: #{
    wait := milliseconds(), factor => number(), max => milliseconds(), jitter => number()
}.
%% How long a breaker is open:
%%
%% `wait': the first time after it was closed.
%% `factor': by what each wait is longer than the last, from 1.0, the default, to 1.0e6, as long as it
%% does not close.
%% `max': what no wait, but for jitter, is longer than; default: none.
%% `jitter': by what part, from 0.0, the default, to 1.0, each wait is shorter or longer at random, so
%% that many breakers do not probe at the same time.
-type opts() :: #{
    name => atom(),
    owner => pid() | none,
    failures => pos_integer() | infinity,
    failure_rate => number(),
    slow_call => milliseconds(),
    slow_rate => number(),
    window => {count, pos_integer()} | {time, milliseconds()},
    minimum_calls => pos_integer(),
    open => milliseconds() | open_opts(),
    probes => pos_integer(),
    successes => pos_integer(),
    probe_timeout => milliseconds() | infinity,
    outcome => outcome_fun()
}.
%% What a breaker is made with:
%%
%% `name': an atom other than `undefined' that stands for the handle; default: none.
%% `owner': the process with which it ends, or `none'; default: the caller.
%% `failures': so many in a row open it, up to 100000; default: 5, or `infinity' where it is to open by
%% a rate.
%% `failure_rate': a failure opens it where such a share of the calls in the window has failed, more than 0
%% and up to 1.
%% `slow_call': a call that takes longer is slow, whether it fails or not; `slow_rate': a slow call opens it
%% where such a share of those in the window is slow; default: 1.0.
%% `window': the calls that rates are of: the last ones, up to 100000, or those that have ended in that
%% time, up to a 20th shorter; default: `{count, 100}'.
%% `minimum_calls': rates of fewer do not count; default: 10, or what the window holds if that is less.
%% `open': how long it is open; default: 60000.
%% `probes': how many calls it admits when it is half-open, up to 1000; default: 1.
%% `successes': how many of them must succeed for it to close, without being slow; it opens again as soon
%% as too many have not. Default: all.
%% `probe_timeout': a probe that has not ended by then has failed, and so has one whose process has
%% ended; default: 60000.
%% `outcome': what to make of results and exceptions; by default an exception, `error' and a tuple that
%% begins with `error' are failures.
-type call_opts() :: #{fallback => fallback(), outcome => outcome_fun()}.
%% `fallback': what is called, and answers, in the place of a call that is refused.
%% `outcome': in the place of the breaker's.
-type allow_opts() :: #{caller => pid()}.
%% `caller': the process that tells the outcome; default: the calling one.
-type info() :: #{
    name := atom(),
    owner := pid() | none,
    state := state(),
    age := milliseconds(),
    failures_in_a_row := non_neg_integer(),
    window := none | #{
        calls := non_neg_integer(),
        failures := non_neg_integer(),
        slow := non_neg_integer(),
        failure_rate := float(),
        slow_rate := float()
    },
    retry_after := milliseconds() | infinity,
    probes := #{
        running := non_neg_integer(), succeeded := non_neg_integer(), failed := non_neg_integer()
    },
    calls := non_neg_integer(),
    failures := non_neg_integer(),
    slow := non_neg_integer(),
    ignored := non_neg_integer(),
    refused := non_neg_integer(),
    stale := non_neg_integer(),
    lost := non_neg_integer(),
    transitions := #{state() := non_neg_integer()},
    memory := non_neg_integer()
}.
%% Of this period: `age', for how long it has been in its state, and what opens and closes it. Since it
%% was made: `calls' that ended, of which `failures' and `slow' ones; `ignored' and `refused' calls;
%% `stale' outcomes, which were told after the period of their call, or of a probe twice; `lost' probes, which nobody
%% told the end of; `transitions' into each state. `memory' is its own in bytes, about, without the
%% counters of schedulers.

-define(CALL(Name, Args), {?MODULE, Name, Args}).

?DOC("""
As `new/1` with no options: 5 failures in a row open it for a minute, then one success closes it.
""").
-spec new() -> handle().
new() ->
    new(#{}).

?DOC("""
Makes a breaker, closed, which ends with the process that calls this unless `owner` says otherwise.

Raises `badarg` where one of that name is there, and `system_limit` where there are as many as there
can be.
""").
-spec new(Opts :: opts()) -> handle().
new(Opts) ->
    Call = ?CALL(new, [Opts]),
    {Name, Owner, Settings, Outcome} = erlmcp_native_breaker_options:new(Opts, Call),
    case erlmcp_native_nif:breaker_new(Name, Owner, Settings, Outcome) of
        Handle when is_integer(Handle) ->
            Handle;
        exists ->
            erlmcp_native_error:badarg(Call, 1, "there is a breaker of this name");
        system_limit ->
            erlmcp_native_error:raise(Call, system_limit, #{general => "too many breakers"})
    end.

?DOC("""
Ends a breaker. Any process may. Calls that are under way through it end as they would.
""").
-spec delete(Breaker :: breaker()) -> ok.
delete(Breaker) ->
    case erlmcp_native_nif:breaker_delete(Breaker) of
        true -> ok;
        false -> no_breaker(?CALL(delete, [Breaker]))
    end.

?DOC("""
The handle of the breaker of that name.
""").
-spec whereis(Name :: atom()) -> handle() | undefined.
whereis(Name) when is_atom(Name) ->
    erlmcp_native_nif:breaker_whereis(Name);
whereis(Name) ->
    erlmcp_native_error:badarg(?CALL(whereis, [Name]), 1, "not an atom").

?DOC("""
The names of the breakers that have one.
""").
-spec names() -> [atom()].
names() ->
    erlmcp_native_nif:breaker_names().

?DOC("""
The result of the fun, which is called here and now, or why it is not called: the breaker refuses.

An exception passes through with its class, reason and stack trace. What `error`, a tuple that begins with
`error` or an exception is to the breaker, the option `outcome` of `new/1` says: by default a failure.
""").
-spec call(Breaker :: breaker(), Fun :: fun(() -> Result)) -> Result | {error, refusal()}.
call(Breaker, Fun) when is_function(Fun, 0) ->
    case erlmcp_native_nif:breaker_enter(Breaker) of
        Token when is_integer(Token) -> guarded(Breaker, Token, Fun);
        Entry -> call(told(Breaker, Entry), Breaker, Fun, {none, default}, [Breaker, Fun])
    end;
call(Breaker, Fun) ->
    no_fun(?CALL(call, [Breaker, Fun])).

?DOC("""
As `call/2`; with the option `fallback` that fun is called where the breaker refuses, and its result is the
answer. One of arity 1 is told the refusal.
""").
-spec call(Breaker :: breaker(), Fun :: fun(() -> Result), Opts :: call_opts()) ->
    Result | {error, refusal()} | term().
call(Breaker, Fun, Opts) when is_function(Fun, 0) ->
    Args = [Breaker, Fun, Opts],
    Choices = erlmcp_native_breaker_options:call(Opts, ?CALL(call, Args)),
    Entry = told(Breaker, erlmcp_native_nif:breaker_enter(Breaker)),
    call(Entry, Breaker, Fun, Choices, Args);
call(Breaker, Fun, Opts) ->
    no_fun(?CALL(call, [Breaker, Fun, Opts])).

?DOC("""
As `call/3` with that fallback.
""").
-spec call_with_fallback(Breaker :: breaker(), Fun :: fun(() -> Result), Fallback :: fallback()) ->
    Result | term().
call_with_fallback(Breaker, Fun, Fallback) ->
    call(Breaker, Fun, #{fallback => Fallback}).

call(Token, Breaker, Fun, {_, default}, _) when is_integer(Token) ->
    guarded(Breaker, Token, Fun);
call(Token, Breaker, Fun, {_, Outcome}, _) when is_integer(Token) ->
    guarded(Breaker, Token, Fun, Outcome);
call({Token, Outcome}, Breaker, Fun, {_, default}, _) when is_integer(Token) ->
    guarded(Breaker, Token, Fun, Outcome);
call({Token, _}, Breaker, Fun, {_, Outcome}, _) when is_integer(Token) ->
    guarded(Breaker, Token, Fun, Outcome);
call({open, RetryAfter}, _, _, {Fallback, _}, _) ->
    Refusal = {circuit_open, RetryAfter},
    if
        Fallback =:= none -> {error, Refusal};
        is_function(Fallback, 0) -> Fallback();
        true -> Fallback(Refusal)
    end;
call(invalid_breaker, _, _, _, Args) ->
    no_breaker(?CALL(call, Args)).

%% With what counts as a failure by default. That the breaker has gone meanwhile, or opened, is nothing
%% to the caller.
guarded(Breaker, Token, Fun) ->
    try Fun() of
        error = Result ->
            _ = left(Breaker, Token, failure),
            Result;
        Result when element(1, Result) =:= error ->
            _ = left(Breaker, Token, failure),
            Result;
        Result ->
            _ = left(Breaker, Token, ok),
            Result
    catch
        Class:Reason:Stack ->
            _ = left(Breaker, Token, failure),
            erlang:raise(Class, Reason, Stack)
    end.

guarded(Breaker, Token, Fun, Outcome) ->
    try Fun() of
        Result ->
            _ = left(Breaker, Token, outcome(Breaker, Token, Outcome, returned, Result)),
            Result
    catch
        Class:Reason:Stack ->
            _ = left(Breaker, Token, outcome(Breaker, Token, Outcome, Class, Reason)),
            erlang:raise(Class, Reason, Stack)
    end.

%% Whatever it does, the call has ended.
outcome(Breaker, Token, Outcome, Class, Value) ->
    try
        known(Outcome(Class, Value))
    catch
        ItsClass:Reason:Stack ->
            _ = left(Breaker, Token, failure),
            erlang:raise(ItsClass, Reason, Stack)
    end.

known(Outcome) when Outcome =:= ok; Outcome =:= failure; Outcome =:= ignored -> Outcome;
known(Other) -> erlang:error({bad_outcome, Other}).

left(Breaker, Token, Outcome) ->
    case erlmcp_native_nif:breaker_leave(Breaker, Token, Outcome) of
        ok -> ok;
        Other -> told(Breaker, Other)
    end.

?DOC("""
As `allow/2` for the calling process.
""").
-spec allow(Breaker :: breaker()) -> {ok, token()} | {error, refusal()}.
allow(Breaker) ->
    Entry = told(Breaker, erlmcp_native_nif:breaker_enter(Breaker)),
    allowed(Entry, ?CALL(allow, [Breaker])).

?DOC("""
Asks to make a call whose outcome is told later, by `success/2`, `failure/2` or `ignore/2`, once.

Where the breaker is half-open this is a probe: it has failed if the process that the option `caller` names
ends first, or if nobody tells by the `probe_timeout`. Of other calls nothing is known until somebody tells.
""").
-spec allow(Breaker :: breaker(), Opts :: allow_opts()) -> {ok, token()} | {error, refusal()}.
allow(Breaker, Opts) ->
    Call = ?CALL(allow, [Breaker, Opts]),
    Caller = erlmcp_native_breaker_options:allow(Opts, Call),
    allowed(told(Breaker, erlmcp_native_nif:breaker_enter(Breaker, Caller)), Call).

allowed(Token, _) when is_integer(Token) -> {ok, Token};
allowed({Token, _}, _) when is_integer(Token) -> {ok, Token};
allowed({open, RetryAfter}, _) -> {error, {circuit_open, RetryAfter}};
allowed(invalid_breaker, Call) -> no_breaker(Call).

?DOC("""
The call with that token has succeeded. `stale`: it does not count, since the breaker has changed its state
after it began, or since it is a probe whose outcome has been told. Of other calls nobody knows whether it
has: told twice, they count twice.
""").
-spec success(Breaker :: breaker(), Token :: token()) -> ok | stale.
success(Breaker, Token) ->
    tell(Breaker, Token, ok, success).

?DOC("""
The call with that token has failed; the answer as of `success/2`.
""").
-spec failure(Breaker :: breaker(), Token :: token()) -> ok | stale.
failure(Breaker, Token) ->
    tell(Breaker, Token, failure, failure).

?DOC("""
The call with that token is to count as if it had not been made; the answer as of `success/2`.
""").
-spec ignore(Breaker :: breaker(), Token :: token()) -> ok | stale.
ignore(Breaker, Token) ->
    tell(Breaker, Token, ignored, ignore).

tell(Breaker, Token, Outcome, Name) ->
    case left(Breaker, Token, Outcome) of
        invalid_breaker -> no_breaker(?CALL(Name, [Breaker, Token]));
        invalid_token -> erlmcp_native_error:badarg(?CALL(Name, [Breaker, Token]), 2, "not a token");
        Left -> Left
    end.

?DOC("""
The state. An open breaker whose wait is over stays open until somebody calls.
""").
-spec state(Breaker :: breaker()) -> state().
state(Breaker) ->
    case told(Breaker, erlmcp_native_nif:breaker_state(Breaker)) of
        invalid_breaker -> no_breaker(?CALL(state, [Breaker]));
        State -> State
    end.

?DOC("""
What there is to know of a breaker.
""").
-spec info(Breaker :: breaker()) -> info().
info(Breaker) ->
    case told(Breaker, erlmcp_native_nif:breaker_info(Breaker)) of
        invalid_breaker ->
            no_breaker(?CALL(info, [Breaker]));
        #{window := Window, probes := {Running, Succeeded, Failed}, transitions := Into} = Info ->
            {Closed, Open, HalfOpen, Disabled} = Into,
            Info#{
                window := window(Window),
                probes := #{running => Running, succeeded => Succeeded, failed => Failed},
                transitions := #{
                    closed => Closed, open => Open, half_open => HalfOpen, disabled => Disabled
                }
            }
    end.

window(none) ->
    none;
window({Calls, Failures, Slow}) ->
    #{
        calls => Calls,
        failures => Failures,
        slow => Slow,
        failure_rate => Failures / max(1, Calls),
        slow_rate => Slow / max(1, Calls)
    }.

?DOC("""
Closes a breaker, whatever its state, and begins anew: outcomes of earlier calls, and failures seen so far, do
not count. What `info/1` counts since it was made stays.
""").
-spec reset(Breaker :: breaker()) -> ok.
reset(Breaker) ->
    force(Breaker, reset, ?CALL(reset, [Breaker])).

?DOC("""
Opens a breaker until it is told otherwise.
""").
-spec force_open(Breaker :: breaker()) -> ok.
force_open(Breaker) ->
    force(Breaker, infinity, ?CALL(force_open, [Breaker])).

?DOC("""
Opens a breaker for so many milliseconds, after which calls are probes as ever; or, by `infinity`, until it is
told otherwise.
""").
-spec force_open(Breaker :: breaker(), Time :: milliseconds() | infinity) -> ok.
force_open(Breaker, Time) when Time =:= infinity; is_integer(Time) ->
    force(Breaker, Time, ?CALL(force_open, [Breaker, Time]));
force_open(Breaker, Time) ->
    no_time(?CALL(force_open, [Breaker, Time])).

?DOC("""
As `reset/1` of a breaker that is not closed. One that is stays as it is.
""").
-spec force_close(Breaker :: breaker()) -> ok.
force_close(Breaker) ->
    force(Breaker, closed, ?CALL(force_close, [Breaker])).

?DOC("""
Lets all calls pass, whatever becomes of them, until `reset/1`, `force_close/1` or `force_open/1`. They are
counted.
""").
-spec disable(Breaker :: breaker()) -> ok.
disable(Breaker) ->
    force(Breaker, disabled, ?CALL(disable, [Breaker])).

force(Breaker, To, Call) ->
    case told(Breaker, erlmcp_native_nif:breaker_force(Breaker, To)) of
        ok -> ok;
        invalid_value -> no_time(Call);
        invalid_breaker -> no_breaker(Call)
    end.

%% The answer. What has changed is told by the one call that was answered so.
told(Breaker, {[_ | _] = Changes, Answer}) ->
    lists:foreach(
        fun({Name, From, To, Cause}) ->
            Who =
                case Name of
                    undefined -> Breaker;
                    _ -> Name
                end,
            erlmcp_native_events:emit(
                [breaker, state],
                #{system_time => erlang:system_time()},
                #{breaker => Who, from => From, to => To, cause => Cause}
            )
        end,
        Changes
    ),
    Answer;
told(_Breaker, Answer) ->
    Answer.

-spec no_breaker(erlmcp_native_error:call()) -> no_return().
no_breaker(Call) ->
    erlmcp_native_error:badarg(Call, 1, "not a breaker of this node, or it has gone").

-spec no_fun(erlmcp_native_error:call()) -> no_return().
no_fun(Call) ->
    erlmcp_native_error:badarg(Call, 2, "not a fun of arity 0").

-spec no_time(erlmcp_native_error:call()) -> no_return().
no_time(Call) ->
    erlmcp_native_error:badarg(Call, 2, "not infinity nor milliseconds below 2 ^ 40").

?DOC(false).
-spec format_error(term(), list()) -> #{pos_integer() | general => unicode:chardata()}.
format_error(Reason, Stack) ->
    erlmcp_native_error:format(Reason, Stack).
