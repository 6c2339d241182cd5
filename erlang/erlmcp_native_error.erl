-module(erlmcp_native_error).
-include("erlmcp_native_doc.hrl").
?MODULEDOC(false).

%% Errors as the BIFs raise them: the stack trace begins with the function that was called, and
%% the shell explains what was wrong (`error_info', EEP 54).

-export([raise/3, badarg/3, bad_option/4, flat/3, format/2]).
-export_type([call/0]).

%% The public function that is being run, with its arguments.
-type call() :: {module(), atom(), [term()]}.

%% The cause says what was wrong with which argument, counted from 1, or in `general', or at which
%% `position' of a text.
-spec raise(call(), term(), #{pos_integer() | general | position => term()}) -> no_return().
raise({Module, Function, Args}, Reason, Cause) ->
    {current_stacktrace, [_ | Stack]} = process_info(self(), current_stacktrace),
    %% A door's inner modules have names that begin with its own; the JSON door reads the options of
    %% others.
    Own = atom_to_list(Module),
    IsOwn = fun({M, _, _, _}) ->
        lists:member(M, [?MODULE, erlmcp_native_json]) orelse lists:prefix(Own, atom_to_list(M))
    end,
    Outer = lists:dropwhile(IsOwn, Stack),
    Info = [{error_info, #{cause => Cause, module => Module}}],
    erlang:raise(error, Reason, [{Module, Function, Args, Info} | Outer]).

-spec badarg(call(), pos_integer(), unicode:chardata()) -> no_return().
badarg(Call, At, Why) ->
    raise(Call, badarg, #{At => Why}).

-spec bad_option(call(), pos_integer(), term(), term()) -> no_return().
bad_option(Call, At, Key, Value) ->
    badarg(Call, At, io_lib:format("no such option or value: ~0tp", [{Key, Value}])).

%% The bytes of an argument. Flattening is the VM's: it yields.
-spec flat(iodata(), pos_integer(), call()) -> binary().
flat(Text, _At, _Call) when is_binary(Text) ->
    Text;
flat(Text, At, Call) ->
    try
        iolist_to_binary(Text)
    catch
        error:badarg -> badarg(Call, At, "not iodata")
    end.

%% What a door's format_error/2 returns.
-spec format(term(), list()) -> #{pos_integer() | general => unicode:chardata()}.
format(_Reason, [{_, _, _, Location} | _]) ->
    case proplists:get_value(error_info, Location, #{}) of
        #{cause := #{position := Offset}} ->
            #{general => io_lib:format("at byte ~b", [Offset])};
        #{cause := Cause} ->
            Cause;
        _ ->
            #{}
    end.
