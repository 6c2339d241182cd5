-module(erlmcp_native_rate).
-include("erlmcp_native_doc.hrl").
?MODULEDOC("""
Sliding rates: how many events a second there are, over the last second, ten seconds, minute, five
minutes, hour and day, and as a mean that forgets.

Any number of processes mark events at once, in some 20 ns, without a lock and without losing one.
Memory is constant: some 4 KB, and 128 bytes for each scheduler that has marked an event.

A rate belongs to the process that made it, as an ETS table does, and every call takes its handle or
its name; a call on one that is not there raises `badarg`. For counters that monitoring systems
take rates of by themselves, see `erlmcp_native_metrics`.
""").

-export([new/0, new/1, delete/1, whereis/1]).
-export([mark/1, mark/2, read/1]).
-export([format_error/2]).
-export_type([rate/0, handle/0, opts/0, reading/0, milliseconds/0]).

-type handle() :: pos_integer().
%% Of this node. It bears a generation: the handle of a rate that has gone is never that of another
%% one.
-type rate() :: handle() | atom().
%% A name costs a look-up at each call, some 20 ns; what marks often keeps the handle.
-type opts() :: #{name => atom(), owner => pid() | none}.
%% What a rate is made with:
%%
%% `name': an atom other than `undefined' that stands for the handle; default: none.
%% `owner': the process with which it ends, or `none'; default: the caller.
-type milliseconds() :: pos_integer().
-type reading() :: #{
    total := non_neg_integer(),
    rate := float(),
    windows := [{milliseconds(), float()}]
}.
%% Of events since the rate was made:
%%
%% `total': how many, modulo 2 ^ 64.
%% `rate': how many a second; those of a minute ago, and the time since, count half, those of two
%% minutes ago a quarter, and so on.
%% `windows': how many a second in the last 1000, 10000, 60000, 300000, 3600000 and 86400000
%% milliseconds, and up to a quarter longer; or since the rate was made, where that is shorter.

-define(CALL(Name, Args), {?MODULE, Name, Args}).

?DOC("""
As `new/1` with no options.
""").
-spec new() -> handle().
new() ->
    new(#{}).

?DOC("""
Makes a rate, which ends with the process that calls this unless `owner` says otherwise.

Raises `badarg` where one of that name is there, and `system_limit` where there are as many as there
can be.
""").
-spec new(Opts :: opts()) -> handle().
new(Opts) when is_map(Opts) ->
    Call = ?CALL(new, [Opts]),
    _ = [
        erlmcp_native_error:bad_option(Call, 1, Key, Value)
     || {Key, Value} <- maps:to_list(Opts), not is_option(Key, Value)
    ],
    Name = maps:get(name, Opts, undefined),
    case erlmcp_native_nif:rate_new(Name, maps:get(owner, Opts, self())) of
        Handle when is_integer(Handle) ->
            Handle;
        exists ->
            erlmcp_native_error:badarg(Call, 1, "there is a rate of this name");
        system_limit ->
            erlmcp_native_error:raise(Call, system_limit, #{general => "too many rates"})
    end;
new(Opts) ->
    erlmcp_native_error:badarg(?CALL(new, [Opts]), 1, "not a map of options").

is_option(name, V) -> is_atom(V) andalso V =/= undefined;
is_option(owner, none) -> true;
is_option(owner, V) -> is_pid(V) andalso node(V) =:= node();
is_option(_, _) -> false.

?DOC("""
Ends a rate: its memory is free again, and so is its name. Any process may.
""").
-spec delete(Rate :: rate()) -> ok.
delete(Rate) ->
    case erlmcp_native_nif:rate_delete(Rate) of
        true -> ok;
        false -> no_rate(?CALL(delete, [Rate]))
    end.

?DOC("""
The handle of the rate of that name.
""").
-spec whereis(Name :: atom()) -> handle() | undefined.
whereis(Name) when is_atom(Name) ->
    erlmcp_native_nif:rate_whereis(Name);
whereis(Name) ->
    erlmcp_native_error:badarg(?CALL(whereis, [Name]), 1, "not an atom").

?DOC("""
As `mark/2` of one event.
""").
-spec mark(Rate :: rate()) -> ok.
mark(Rate) ->
    case erlmcp_native_nif:rate_mark(Rate, 1) of
        ok -> ok;
        _ -> no_rate(?CALL(mark, [Rate]))
    end.

?DOC("""
Counts so many events, from 0 to 2 ^ 64 - 1, as having happened now.
""").
-spec mark(Rate :: rate(), Events :: non_neg_integer()) -> ok.
mark(Rate, Events) ->
    case erlmcp_native_nif:rate_mark(Rate, Events) of
        ok ->
            ok;
        invalid_rate ->
            no_rate(?CALL(mark, [Rate, Events]));
        invalid_value ->
            Why = "not an integer from 0 to 2 ^ 64 - 1",
            erlmcp_native_error:badarg(?CALL(mark, [Rate, Events]), 2, Why)
    end.

?DOC("""
How many events there were, and how many a second. All of it is of the same moment.
""").
-spec read(Rate :: rate()) -> reading().
read(Rate) ->
    case erlmcp_native_nif:rate_read(Rate) of
        {Total, Decaying, Windows} -> #{total => Total, rate => Decaying, windows => Windows};
        invalid_rate -> no_rate(?CALL(read, [Rate]))
    end.

-spec no_rate(erlmcp_native_error:call()) -> no_return().
no_rate(Call) ->
    erlmcp_native_error:badarg(Call, 1, "not a rate of this node, or it has gone").

?DOC(false).
-spec format_error(term(), list()) -> #{pos_integer() | general => unicode:chardata()}.
format_error(Reason, Stack) ->
    erlmcp_native_error:format(Reason, Stack).
