-module(erlmcp_native_cache_fetch).
-include("erlmcp_native_doc.hrl").
?MODULEDOC(false).

%% Compute once. Of the processes that miss a key one, the runner, calls its fun; the NIF keeps
%% who that is and who waits, as a flight. Waiters watch the runner and get its outcome as a
%% message to an alias, which ends with the wait: nothing arrives late. Where the runner dies, each
%% waiter asks again with the number of the flight that it waited for, and the first is the next
%% runner. The runner holds a token; should it be killed, the token's destructor ends the flight.

-export([other/2]).

%% Marks a remembered error. It is put as an entry that has ended and may be served stale, so that
%% only fetch sees it.
-define(NEGATIVE, '$erlmcp_native_cache_negative').

-record(fetch, {
    call :: erlmcp_native_error:call(),
    cache :: erlmcp_native_cache:cache(),
    key :: term(),
    %% The key's external format, where the NIF asked for it.
    bytes = [] :: binary() | [],
    %% A loader, as far as one can trust it.
    function :: fun(() -> term()),
    timeout :: timeout(),
    deadline :: integer() | infinity | undefined
}).

%% Goes on with what cache_fetch answered where that is not the value.
-spec other(Answer :: term(), Call :: erlmcp_native_error:call()) ->
    {ok, term()} | {error, erlmcp_native_cache:fetch_error()}.
other(Answer, {_, fetch, [Cache, Key, Fun, Timeout]} = Call) ->
    Fetch = #fetch{call = Call, cache = Cache, key = Key, function = Fun, timeout = Timeout},
    answered(Answer, Fetch).

ask(#fetch{cache = Cache, key = Key, bytes = Bytes} = Fetch, After) ->
    answered(erlmcp_native_nif:cache_fetch(Cache, Key, Bytes, After, default), Fetch).

answered({run, Token}, Fetch) ->
    run(Token, foreground, Fetch);
answered({wait, Runner, Flight}, #fetch{deadline = undefined} = Fetch) ->
    wait(Runner, Flight, Fetch#fetch{deadline = deadline(Fetch#fetch.timeout)});
answered({wait, Runner, Flight}, Fetch) ->
    wait(Runner, Flight, Fetch);
answered({error, too_large} = Error, _Fetch) ->
    Error;
answered(recursive, _Fetch) ->
    error(recursive_fetch);
answered(complex, #fetch{key = Key} = Fetch) ->
    ask(Fetch#fetch{bytes = term_to_binary(Key)}, 0);
answered({refresh, Answer, Token}, Fetch) ->
    case erlmcp_native_cache_terms:value(Answer) of
        {ok, {?NEGATIVE, Reason}} ->
            tell(Token, unused, {error, Reason}),
            {error, Reason};
        {ok, _} = Hit ->
            _ = spawn(fun() -> refresh(Token, Fetch) end),
            Hit;
        gone ->
            run(Token, foreground, Fetch)
    end;
answered(Answer, Fetch) ->
    case erlmcp_native_cache_terms:value(Answer) of
        {ok, {?NEGATIVE, Reason}} -> {error, Reason};
        {ok, _} = Hit -> Hit;
        gone -> ask(Fetch, 0)
    end.

wait(Runner, Flight, #fetch{cache = Cache} = Fetch) ->
    Monitor = erlang:monitor(process, Runner, [{alias, reply_demonitor}]),
    case erlmcp_native_nif:cache_flight_join(Cache, Flight, Monitor) of
        ok ->
            receive
                {Monitor, Outcome} ->
                    Outcome;
                {'DOWN', Monitor, process, _, _} ->
                    ask(Fetch, Flight)
            after left(Fetch#fetch.deadline) ->
                true = demonitor(Monitor, [flush]),
                receive
                    {Monitor, Outcome} ->
                        Outcome
                after 0 ->
                    ok = erlmcp_native_nif:cache_flight_leave(Cache, Flight, Monitor),
                    {error, timeout}
                end
            end;
        ended ->
            true = demonitor(Monitor, [flush]),
            ask(Fetch, 0);
        {error, system_limit} = Error ->
            true = demonitor(Monitor, [flush]),
            Error
    end.

deadline(infinity) -> infinity;
deadline(Timeout) -> erlang:monotonic_time(millisecond) + Timeout.

left(infinity) -> infinity;
left(Deadline) -> max(0, Deadline - erlang:monotonic_time(millisecond)).

%% In a process of its own. Nobody looks at what this returns.
refresh(Token, Fetch) ->
    case erlmcp_native_nif:cache_flight_adopt(Token) of
        ok -> run(Token, background, Fetch);
        ended -> ended
    end.

run(Token, Where, Fetch) ->
    {Result, Outcome} =
        try
            computed((Fetch#fetch.function)(), Token, Fetch)
        catch
            Class:Reason -> {failed, {error, {raised, Class, Reason}}}
        end,
    Answer =
        case Result of
            loaded -> Outcome;
            failed -> failed(Outcome, Token, Where, Fetch)
        end,
    tell(Token, Result, Answer),
    Answer.

tell(Token, Result, Answer) ->
    case erlmcp_native_nif:cache_flight_end(Token, Result) of
        [] ->
            ok;
        Waiters ->
            lists:foreach(fun(Waiter) -> Waiter ! {Waiter, Answer} end, Waiters),
            tell(Token, Result, Answer)
    end.

computed({ok, Value}, Token, Fetch) ->
    put(Value, #{}, Token, Fetch),
    {loaded, {ok, Value}};
computed({ok, Value, Options} = Return, Token, Fetch) ->
    case erlmcp_native_cache_options:is_put(Options) of
        true ->
            put(Value, Options, Token, Fetch),
            {loaded, {ok, Value}};
        false ->
            bad_return(Return)
    end;
computed({no_cache, Value}, _Token, _Fetch) ->
    {loaded, {ok, Value}};
computed({error, _} = Error, _Token, _Fetch) ->
    {failed, Error};
computed(Return, _Token, _Fetch) ->
    bad_return(Return).

bad_return(Return) ->
    {failed, {error, {raised, error, {bad_return, Return}}}}.

%% A value that is too large is not kept, nor is one whose cache has gone; it is right all the same.
put(Value, Options, Token, #fetch{call = Call, cache = Cache, key = Key}) ->
    Given = erlmcp_native_cache_options:put_given(Options, Token),
    try
        _ = erlmcp_native_cache_terms:put(Call, Cache, Key, Value, always, Given),
        ok
    catch
        error:badarg:Stack ->
            %% It may be the weigher's.
            case erlmcp_native_cache_warm:is_there(Cache) of
                true -> erlang:raise(error, badarg, Stack);
                false -> ok
            end
    end.

%% An older value, where the cache may give that instead; else the error, which is remembered if
%% it is what the fun answered and there is no value that it would replace.
failed(Outcome, Token, Where, #fetch{cache = Cache, key = Key} = Fetch) ->
    Stale = fun(Bytes) -> erlmcp_native_nif:cache_stale(Cache, Key, Bytes) end,
    try
        case stale(Stale, Key) of
            {ok, _} = Found ->
                Found;
            none ->
                Where =:= background orelse remember(Outcome, Token, Fetch),
                Outcome
        end
    catch
        %% The cache is gone.
        error:badarg -> Outcome
    end.

stale(Stale, Key) ->
    Answer =
        case Stale([]) of
            complex -> Stale(term_to_binary(Key));
            Other -> Other
        end,
    case Answer of
        {error, not_found} ->
            none;
        _ ->
            case erlmcp_native_cache_terms:value(Answer) of
                {ok, {?NEGATIVE, _}} -> none;
                {ok, _} = Found -> Found;
                gone -> none
            end
    end.

remember({error, {raised, _, _}}, _Token, _Fetch) ->
    ok;
remember({error, Reason}, Token, #fetch{cache = Cache} = Fetch) ->
    case erlmcp_native_nif:cache_info(Cache) of
        #{negative_ttl := 0} ->
            ok;
        #{negative_ttl := Time} ->
            Options = #{ttl => 0, stale_for => Time, stale_if_error => 0, weight => 1},
            put({?NEGATIVE, Reason}, Options, Token, Fetch)
    end.
