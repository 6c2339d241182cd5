%% The strongest circuit breaker in pure Erlang that we know how to write: what the breaker is measured
%% against, and no part of the library.
%%
%% Three words of an `atomics` array: until when it is open (0: closed), how many failures there were in a
%% row, and since when somebody probes. The guarded fun runs in the caller; a call through a closed breaker
%% reads two words and writes none. It is opened by failures in a row and closed by one probe, whose
%% place is given to another where the first is not heard of for as long as the breaker was open.
%%
%% Not here: rates over a window, slow calls, several probes, outcomes told apart from those of an
%% earlier period.
-module(erlmcp_breaker_baseline).

-export([new/1, call/2, state/1]).
-export_type([breaker/0, opts/0]).

-type opts() :: #{failures := pos_integer(), open := pos_integer()}.
-record(breaker, {
    words :: atomics:atomics_ref(),
    failures :: pos_integer(),
    %% Milliseconds.
    open :: pos_integer(),
    start :: integer()
}).
-opaque breaker() :: #breaker{}.

-define(UNTIL, 1).
-define(FAILURES, 2).
-define(PROBE, 3).

-spec new(opts()) -> breaker().
new(#{failures := Failures, open := Open}) ->
    #breaker{
        words = atomics:new(3, []),
        failures = Failures,
        open = Open,
        start = erlang:monotonic_time(millisecond) - 1
    }.

%% An exception, `error` and a tuple that begins with `error` are failures.
-spec call(breaker(), fun(() -> Result)) -> Result | {error, {circuit_open, RetryAfter :: non_neg_integer()}}.
call(#breaker{words = Words} = Breaker, Fun) ->
    case atomics:get(Words, ?UNTIL) of
        0 -> guarded(Breaker, Fun);
        Until -> opened(Breaker, Until, now(Breaker), Fun)
    end.

guarded(#breaker{words = Words} = Breaker, Fun) ->
    try Fun() of
        error ->
            failed(Breaker),
            error;
        Result when element(1, Result) =:= error ->
            failed(Breaker),
            Result;
        Result ->
            case atomics:get(Words, ?FAILURES) of
                0 -> Result;
                _ -> succeeded(Breaker, Result)
            end
    catch
        Class:Reason:Stack ->
            failed(Breaker),
            erlang:raise(Class, Reason, Stack)
    end.

succeeded(#breaker{words = Words}, Result) ->
    ok = atomics:put(Words, ?FAILURES, 0),
    Result.

failed(#breaker{words = Words, failures = Most, open = Open} = Breaker) ->
    case atomics:add_get(Words, ?FAILURES, 1) of
        Count when Count >= Most -> atomics:put(Words, ?UNTIL, now(Breaker) + Open);
        _ -> ok
    end.

opened(_, Until, Now, _) when Now < Until ->
    {error, {circuit_open, Until - Now}};
opened(#breaker{words = Words, open = Open} = Breaker, _, Now, Fun) ->
    Since = atomics:get(Words, ?PROBE),
    case (Since =:= 0 orelse Now - Since > Open) andalso atomics:compare_exchange(Words, ?PROBE, Since, Now) of
        ok -> probe(Breaker, Fun);
        _ -> {error, {circuit_open, Open}}
    end.

%% A failure counts beyond the limit and opens it again.
probe(#breaker{words = Words} = Breaker, Fun) ->
    try guarded(Breaker, Fun) of
        Result ->
            case atomics:get(Words, ?FAILURES) of
                0 -> atomics:put(Words, ?UNTIL, 0);
                _ -> ok
            end,
            Result
    after
        atomics:put(Words, ?PROBE, 0)
    end.

-spec state(breaker()) -> closed | open | half_open.
state(#breaker{words = Words} = Breaker) ->
    Now = now(Breaker),
    case atomics:get(Words, ?UNTIL) of
        0 -> closed;
        Until when Until > Now -> open;
        _ -> half_open
    end.

now(#breaker{start = Start}) ->
    erlang:monotonic_time(millisecond) - Start.
