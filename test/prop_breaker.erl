-module(prop_breaker).
%% Properties of erlmcp_native_breaker: any sequence of calls, alone and two beside one another, answers as a
%% model does that knows of each call the period that it began in. Time plays no part: a wait is none or
%% endless. Run by erlmcp_native_breaker_SUITE; the environment variable ERLMCP_NUMTESTS says how many cases.

-export([prop_answers_as_the_model/0, prop_parallel_calls_have_an_order/0]).
%% proper_statem
-export([initial_state/0, command/1, precondition/2, postcondition/3, next_state/3]).
%% Commands
-export([allow/1, leave/2, force/1, state/0, counts/0]).

-define(B, prop_breaker).
-define(m, erlmcp_native_breaker).
-define(FAILURES, 3).
-define(PROBES, 3).
-define(SUCCESSES, 2).
-define(WINDOW, 4).

%% `tokens': of calls that were admitted: period, whether a probe, whether its outcome was told.
-record(model, {
    state = closed :: closed | {open, 0 | infinity} | half_open | disabled,
    period = 0 :: non_neg_integer(),
    by_rate = false :: boolean(),
    results = [] :: [ok | failure],
    succeeded = 0 :: non_neg_integer(),
    failed = 0 :: non_neg_integer(),
    tokens = [] :: [{term(), non_neg_integer(), pass | probe, boolean()}],
    calls = 0, failures = 0, ignored = 0, refused = 0, stale = 0
}).

prop_answers_as_the_model() ->
    for_all(fun(ByRate) -> proper_statem:commands(?MODULE, #model{by_rate = ByRate}) end, fun(Commands) ->
        {History, State, Result} = proper_statem:run_commands(?MODULE, Commands),
        Result =:= ok orelse
            begin
                io:format("~p~n~p~n~p~n", [lists:last(History), State, Result]),
                false
            end
    end).

%% Mostly half-open: each wait is over at once.
prop_parallel_calls_have_an_order() ->
    Initial = fun(ByRate) -> #model{by_rate = ByRate, state = {open, 0}, period = 1} end,
    for_all(fun(ByRate) -> proper_statem:parallel_commands(?MODULE, Initial(ByRate)) end, fun(Commands) ->
        ok = ?m:force_open(?B, 0),
        {_, _, Result} = proper_statem:run_parallel_commands(?MODULE, Commands),
        Result =:= ok
    end).

for_all(Generator, Property) ->
    proper:forall(proper_types:boolean(), fun(ByRate) ->
        proper:forall(Generator(ByRate), fun(Commands) ->
            Rate = #{
                failure_rate => 0.5, window => {count, ?WINDOW}, minimum_calls => ?WINDOW, failures => ?FAILURES
            },
            Opts = if ByRate -> Rate; true -> #{failures => ?FAILURES} end,
            B = ?m:new(Opts#{
                name => ?B, open => 0, probes => ?PROBES, successes => ?SUCCESSES, probe_timeout => infinity
            }),
            try
                Property(Commands)
            after
                ok = ?m:delete(B)
            end
        end)
    end).

%%% Commands

%% For a process that outlives those that PropEr starts.
allow(Caller) -> ?m:allow(?B, #{caller => Caller}).

leave({ok, Token}, ok) -> ?m:success(?B, Token);
leave({ok, Token}, failure) -> ?m:failure(?B, Token);
leave({ok, Token}, ignored) -> ?m:ignore(?B, Token);
leave({error, _}, _) -> none.

force(reset) -> ?m:reset(?B);
force(close) -> ?m:force_close(?B);
force(disable) -> ?m:disable(?B);
force(Time) -> ?m:force_open(?B, Time).

state() -> ?m:state(?B).

counts() ->
    #{calls := Calls, failures := Failures, ignored := Ignored, refused := Refused, stale := Stale} = ?m:info(?B),
    {Calls, Failures, Ignored, Refused, Stale}.

initial_state() -> #model{}.

command(#model{tokens = Tokens}) ->
    Outcome = proper_types:oneof([ok, failure, ignored]),
    Told = [{8, {call, ?MODULE, leave, [proper_types:oneof([T || {T, _, _, _} <- Tokens]), Outcome]}} || Tokens =/= []],
    proper_types:frequency(
        Told ++
            [
                {8, {call, ?MODULE, allow, [self()]}},
                {2, {call, ?MODULE, state, []}},
                {1, {call, ?MODULE, counts, []}},
                {1, {call, ?MODULE, force, [proper_types:oneof([reset, close, disable, 0, 0, 0, infinity])]}}
            ]
    ).

precondition(#model{tokens = Tokens}, {call, _, leave, [Token, _]}) -> lists:keymember(Token, 1, Tokens);
precondition(_, _) -> true.

postcondition(Model, {call, _, allow, _}, Result) ->
    case {admits(Model), Result} of
        {refused, {error, {circuit_open, _}}} -> true;
        {Kind, {ok, _}} -> Kind =/= refused;
        _ -> false
    end;
postcondition(Model, {call, _, leave, [Token, _]}, Result) ->
    case lists:keyfind(Token, 1, Model#model.tokens) of
        {{error, _}, _, _, _} -> Result =:= none;
        Call -> Result =:= left(Model, Call)
    end;
postcondition(Model, {call, _, state, _}, Result) ->
    Result =:= name(Model#model.state);
postcondition(#model{calls = C, failures = F, ignored = I, refused = R, stale = S}, {call, _, counts, _}, Result) ->
    Result =:= {C, F, I, R, S};
postcondition(_, {call, _, force, _}, Result) ->
    Result =:= ok.

name({open, _}) -> open;
name(State) -> State.

admits(#model{state = {open, infinity}}) -> refused;
admits(#model{state = {open, 0}}) -> probe;
admits(#model{state = half_open} = Model) ->
    case running(Model) + Model#model.succeeded + Model#model.failed of
        ?PROBES -> refused;
        _ -> probe
    end;
admits(_) -> pass.

running(#model{tokens = Tokens, period = Period}) ->
    length([T || {T, P, probe, false} <- Tokens, P =:= Period]).

left(#model{period = Period}, {_, Period, pass, _}) -> ok;
left(#model{period = Period}, {_, Period, probe, false}) -> ok;
left(_, _) -> stale.

next_state(Model0, Result, {call, _, allow, _}) ->
    Model =
        case Model0#model.state of
            {open, 0} -> period(Model0, half_open);
            _ -> Model0
        end,
    Tokens = Model#model.tokens,
    case admits(Model) of
        refused ->
            %% Known by nobody until it is run.
            Model#model{refused = Model#model.refused + 1, tokens = [{Result, none, none, true} | Tokens]};
        Kind ->
            Model#model{tokens = [{Result, Model#model.period, Kind, false} | Tokens]}
    end;
next_state(Model, _, {call, _, leave, [Token, Outcome]}) ->
    case lists:keyfind(Token, 1, Model#model.tokens) of
        {_, none, _, _} ->
            Model;
        Call ->
            case left(Model, Call) of
                stale -> Model#model{stale = Model#model.stale + 1};
                ok -> ended(Model, Call, Outcome)
            end
    end;
next_state(Model, _, {call, _, force, [reset]}) ->
    period(Model, closed);
next_state(#model{state = closed} = Model, _, {call, _, force, [close]}) ->
    Model;
next_state(Model, _, {call, _, force, [close]}) ->
    period(Model, closed);
next_state(Model, _, {call, _, force, [disable]}) ->
    period(Model, disabled);
next_state(Model, _, {call, _, force, [Time]}) ->
    period(Model, {open, Time});
next_state(Model, _, _) ->
    Model.

period(Model, State) ->
    Model#model{state = State, period = Model#model.period + 1, results = [], succeeded = 0, failed = 0}.

ended(Model, {Token, Period, probe, _}, ignored) ->
    %% As if it had not been; stale from now on.
    tell(Model#model{ignored = Model#model.ignored + 1}, {Token, Period, probe, true});
ended(Model, _, ignored) ->
    Model#model{ignored = Model#model.ignored + 1};
ended(Model0, {_, _, Kind, _} = Call, Outcome) ->
    Model = counted(Model0, Outcome),
    case {Kind, Model#model.state} of
        {probe, _} -> decide(tell(probed(Model, Outcome), setelement(4, Call, true)));
        {pass, closed} -> judge(Model#model{results = [Outcome | Model#model.results]});
        {pass, disabled} -> Model
    end.

tell(Model, Call) ->
    Model#model{tokens = lists:keyreplace(element(1, Call), 1, Model#model.tokens, Call)}.

counted(Model, ok) -> Model#model{calls = Model#model.calls + 1};
counted(Model, failure) -> Model#model{calls = Model#model.calls + 1, failures = Model#model.failures + 1}.

probed(Model, ok) -> Model#model{succeeded = Model#model.succeeded + 1};
probed(Model, failure) -> Model#model{failed = Model#model.failed + 1}.

decide(#model{succeeded = ?SUCCESSES} = Model) -> period(Model, closed);
decide(#model{failed = Failed} = Model) when Failed > ?PROBES - ?SUCCESSES -> period(Model, {open, 0});
decide(Model) -> Model.

judge(#model{results = Results, by_rate = ByRate} = Model) ->
    InARow = length(lists:takewhile(fun(R) -> R =:= failure end, Results)),
    Window = lists:sublist(Results, ?WINDOW),
    Failures = length([failure || failure <- Window]),
    IsTooMuch = ByRate andalso hd(Results) =:= failure andalso length(Window) =:= ?WINDOW andalso Failures * 2 >= ?WINDOW,
    if
        InARow >= ?FAILURES; IsTooMuch -> period(Model, {open, 0});
        true -> Model
    end.
