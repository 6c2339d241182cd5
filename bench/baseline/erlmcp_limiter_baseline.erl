%% The strongest rate limit by key in pure Erlang that we know how to write: what the limiter is measured
%% against, and no part of the library.
%%
%% A token bucket as GCRA: all there is of a key is the time at which its bucket will be full again, one word
%% of `atomics` of its own, found by an ETS table with read and write concurrency. A check reads the
%% clock and the word and writes the next time by compare-and-exchange, again where another was quicker:
%% N tokens admit N. A key whose bucket is full is no other than one that was never seen; when there are too
%% many, a process goes through the table and marks such words as dead before it takes their keys away, so
%% that whoever has just found one looks the key up again. Where no key is idle a new one is refused.
%%
%% Also tried: write concurrency, with which a look-up takes half as long again where nothing is written; the
%% time in the table itself, with `ets:select_replace/2`, which takes four times as long.
-module(erlmcp_limiter_baseline).
-behaviour(gen_server).

-export([start_link/1, stop/1, check/2, check/3, keys/1]).
-export([init/1, handle_call/3, handle_cast/2]).
-export_type([limiter/0, opts/0]).

%% So many in so many milliseconds, whose nanoseconds they should divide, so many at once, and for so
%% many keys.
-type opts() :: #{limit := pos_integer(), per := pos_integer(), burst := pos_integer(), keys := pos_integer()}.
-record(limiter, {
    table :: ets:tid(),
    interval :: pos_integer(),
    tolerance :: pos_integer(),
    start :: integer(),
    keys :: pos_integer(),
    sweeper :: pid()
}).
-opaque limiter() :: #limiter{}.

-define(MILLISECOND, 1_000_000).
-define(DEAD, -1).

-spec start_link(opts()) -> {ok, limiter()}.
start_link(Opts) ->
    {ok, Sweeper} = gen_server:start_link(?MODULE, Opts, []),
    {ok, gen_server:call(Sweeper, limiter)}.

-spec stop(limiter()) -> ok.
stop(#limiter{sweeper = Sweeper}) ->
    gen_server:stop(Sweeper).

-spec check(limiter(), Key :: term()) -> {ok, non_neg_integer()} | {error, rate_limited, pos_integer()} | {error, full}.
check(Limiter, Key) ->
    check(Limiter, Key, 1).

-spec check(limiter(), Key :: term(), Cost :: pos_integer()) ->
    {ok, Remaining :: non_neg_integer()} | {error, rate_limited, RetryAfterMs :: pos_integer()} | {error, full}.
check(#limiter{table = Table, interval = Interval, start = Start} = Limiter, Key, Cost) ->
    Now = erlang:monotonic_time(nanosecond) - Start,
    try ets:lookup_element(Table, Key, 2) of
        Word -> take(Limiter, Key, Cost, Word, Now, Cost * Interval)
    catch
        error:badarg -> add(Limiter, Key, Cost)
    end.

take(#limiter{tolerance = Tolerance, interval = Interval} = Limiter, Key, Cost, Word, Now, Price) ->
    case atomics:get(Word, 1) of
        ?DEAD ->
            check(Limiter, Key, Cost);
        Full ->
            Next = max(Full, Now) + Price,
            case Tolerance - (Next - Now) of
                Left when Left >= 0 ->
                    case atomics:compare_exchange(Word, 1, Full, Next) of
                        ok -> {ok, Left div Interval};
                        _ -> take(Limiter, Key, Cost, Word, Now, Price)
                    end;
                Lacking ->
                    {error, rate_limited, (-Lacking + ?MILLISECOND - 1) div ?MILLISECOND}
            end
    end.

add(#limiter{table = Table, keys = Keys, sweeper = Sweeper} = Limiter, Key, Cost) ->
    Word = atomics:new(1, []),
    case ets:info(Table, size) < Keys orelse gen_server:call(Sweeper, sweep, infinity) of
        true ->
            _ = ets:insert_new(Table, {Key, Word}),
            check(Limiter, Key, Cost);
        false ->
            {error, full}
    end.

-spec keys(limiter()) -> non_neg_integer().
keys(#limiter{table = Table}) ->
    ets:info(Table, size).

init(#{limit := Limit, per := Per, burst := Burst, keys := Keys}) ->
    Interval = max(1, Per * ?MILLISECOND div Limit),
    {ok, #limiter{
        table = ets:new(?MODULE, [set, public, {read_concurrency, true}]),
        interval = Interval,
        tolerance = Burst * Interval,
        start = erlang:monotonic_time(nanosecond),
        keys = Keys,
        sweeper = self()
    }}.

handle_call(limiter, _From, Limiter) ->
    {reply, Limiter, Limiter};
handle_call(sweep, _From, #limiter{table = Table, keys = Keys, start = Start} = Limiter) ->
    _ = [
        begin
            Now = erlang:monotonic_time(nanosecond) - Start,
            true = ets:safe_fixtable(Table, true),
            ok = sweep(ets:first(Table), Table, Now),
            true = ets:safe_fixtable(Table, false)
        end
     || ets:info(Table, size) >= Keys
    ],
    {reply, ets:info(Table, size) < Keys, Limiter}.

handle_cast(_, Limiter) ->
    {noreply, Limiter}.

sweep('$end_of_table', _, _) ->
    ok;
sweep(Key, Table, Now) ->
    [{_, Word}] = ets:lookup(Table, Key),
    Full = atomics:get(Word, 1),
    _ = Full =< Now andalso atomics:compare_exchange(Word, 1, Full, ?DEAD) =:= ok andalso ets:delete(Table, Key),
    sweep(ets:next(Table, Key), Table, Now).
