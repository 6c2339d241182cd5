-module(erlmcp_native_events).
-include("erlmcp_native_doc.hrl").
?MODULEDOC("""
What happens in pools, limiters and breakers, told to whoever asks: by messages to local processes that
subscribed, and as events of the application `telemetry` where its module is loaded.

A subscriber gets `{erlmcp_native_event, Event, Measurements, Metadata}`, with an event such as
`[breaker, state]`; telemetry gets the same with the event `[erlmcp_native, breaker, state]`.
Which events there are, each part's documentation says. They come from state changes only: nothing that is
done for each request emits one.
""").

-export([subscribe/1, unsubscribe/1]).
-export([emit/3, child_spec/0]).
-export([format_error/2]).
-export_type([part/0, event/0]).

-type part() :: pool | limiter | breaker | all.
-type event() :: [atom(), ...].
%% Begins with its part.

-define(SCOPE, ?MODULE).
-define(CALL(Name, Args), {?MODULE, Name, Args}).

?DOC("""
The calling process gets the events of that part, or of all, from now on until it unsubscribes or ends.

A process that subscribes twice, or to a part and to all, gets each event once. Messages are not bounded:
a subscriber that does not keep up fills its own mailbox.
""").
-spec subscribe(Part :: part()) -> ok | {error, not_started}.
subscribe(Part) ->
    ok = check(Part, ?CALL(subscribe, [Part])),
    case lists:member(self(), members(Part)) of
        true -> ok;
        false -> call(fun() -> pg:join(?SCOPE, Part, self()) end)
    end.

?DOC("""
The calling process gets no more of what it subscribed to by that word. Events that were under way may still
come.
""").
-spec unsubscribe(Part :: part()) -> ok | {error, not_started}.
unsubscribe(Part) ->
    ok = check(Part, ?CALL(unsubscribe, [Part])),
    case call(fun() -> pg:leave(?SCOPE, Part, self()) end) of
        not_joined -> ok;
        Result -> Result
    end.

?DOC(false).
%% From the library's own processes, at what is rare. Never fails: without subscribers, without telemetry
%% and without the application it does nothing.
-spec emit(event(), Measurements :: map(), Metadata :: map()) -> ok.
emit([Part | _] = Event, Measurements, Metadata) ->
    Message = {erlmcp_native_event, Event, Measurements, Metadata},
    _ = [Pid ! Message || Pid <- lists:usort(members(all) ++ members(Part))],
    case erlang:function_exported(telemetry, execute, 3) of
        true -> execute(telemetry, [erlmcp_native | Event], Measurements, Metadata);
        false -> ok
    end.

%% A handler that raises is telemetry's to remove.
execute(Telemetry, Event, Measurements, Metadata) ->
    _ = Telemetry:execute(Event, Measurements, Metadata),
    ok.

?DOC(false).
-spec child_spec() -> supervisor:child_spec().
child_spec() ->
    #{id => ?MODULE, start => {pg, start_link, [?SCOPE]}}.

%% None where the application is not running.
members(Part) ->
    pg:get_local_members(?SCOPE, Part).

call(Ask) ->
    try
        Ask()
    catch
        exit:{noproc, _} -> {error, not_started}
    end.

check(Part, _Call) when Part =:= pool; Part =:= limiter; Part =:= breaker; Part =:= all ->
    ok;
check(_Part, Call) ->
    erlmcp_native_error:badarg(Call, 1, "not pool, limiter, breaker or all").

?DOC(false).
-spec format_error(term(), list()) -> #{pos_integer() | general => unicode:chardata()}.
format_error(Reason, Stack) ->
    erlmcp_native_error:format(Reason, Stack).
