-module(erlmcp_native_cache_snapshot).
-include("erlmcp_native_doc.hrl").
?MODULEDOC(false).

%% Caches in files. A thread of the library does the work and answers by message; it gives up
%% when the process that called dies.

-export([save/3, load/4, is_name/1, timeout/1]).
-export_type([saved/0, load_opts/0, loaded/0, reason/0]).

-type saved() :: #{entries := non_neg_integer(), bytes := non_neg_integer()}.
-type load_opts() :: #{
    overwrite => boolean(),
    atoms => existing | any,
    timeout => timeout()
}.
-type loaded() :: #{
    loaded := non_neg_integer(),
    present := non_neg_integer(),
    expired := non_neg_integer(),
    too_large := non_neg_integer(),
    undecodable := non_neg_integer()
}.
-type reason() ::
    {file, file:posix() | integer()}
    | not_a_snapshot
    | {newer_version, pos_integer()}
    | truncated
    | {damaged, Offset :: non_neg_integer()}
    | busy
    | no_cache
    | system_limit
    | timeout.

-spec save(erlmcp_native_cache:cache(), file:name_all(), erlmcp_native_error:call()) ->
    {ok, saved()} | {error, reason()}.
save(Cache, File, Call) ->
    Path = path(File, Call),
    await(start(fun() -> erlmcp_native_nif:cache_save(Cache, Path, threads()) end, Call), infinity).

-spec load(erlmcp_native_cache:cache(), file:name_all(), load_opts(), erlmcp_native_error:call()) ->
    {ok, loaded()} | {error, reason()}.
load(Cache, File, Opts, Call) ->
    Path = path(File, Call),
    #{overwrite := Overwrite, atoms := Atoms, timeout := Timeout} = load_options(Opts, Call),
    Options = {Overwrite, Atoms =:= any},
    Start = fun() -> erlmcp_native_nif:cache_load(Cache, Path, threads(), Options) end,
    await(start(Start, Call), Timeout).

load_options(Opts, Call) when is_map(Opts) ->
    _ = [
        erlmcp_native_error:bad_option(Call, 3, Key, Value)
     || {Key, Value} <- maps:to_list(Opts), not is_load_option(Key, Value)
    ],
    maps:merge(#{overwrite => false, atoms => existing, timeout => infinity}, Opts);
load_options(_Opts, Call) ->
    erlmcp_native_error:badarg(Call, 3, "not a map of options").

is_load_option(overwrite, V) -> is_boolean(V);
is_load_option(atoms, V) -> V =:= existing orelse V =:= any;
is_load_option(timeout, V) -> V =:= infinity orelse is_integer(V) andalso V >= 0;
is_load_option(_, _) -> false.

%% Whether it can be the name of a file.
-spec is_name(term()) -> boolean().
is_name(File) -> bytes(File) =/= none.

%% The name as the operating system knows the file; the VM has a working directory of its own.
path(File, Call) ->
    case bytes(File) of
        none -> erlmcp_native_error:badarg(Call, 2, "not a file name");
        Path -> filename:absname(Path)
    end.

bytes(File) ->
    try filename:flatten(File) of
        Raw when is_binary(Raw) -> checked(Raw);
        Name -> checked(unicode:characters_to_binary(Name, unicode, file:native_name_encoding()))
    catch
        error:_ -> none
    end.

%% To the system a zero ends the name.
checked(Path) when is_binary(Path), Path =/= <<>> ->
    case binary:match(Path, <<0>>) of
        nomatch -> Path;
        _ -> none
    end;
checked(_) ->
    none.

%% The VM's own threads have work to do too.
threads() ->
    max(1, min(4, erlang:system_info(schedulers_online) div 2)).

start(Start, Call) ->
    try
        Start()
    catch
        error:badarg -> erlmcp_native_error:badarg(Call, 1, "no such cache");
        error:system_limit -> {error, system_limit}
    end.

await({error, _} = Error, _Timeout) ->
    Error;
await({ok, Job}, Timeout) ->
    receive
        {Job, {rows, Table, Rows}} ->
            ok = erlmcp_native_nif:cache_job_rows(Job, [row(Table, Row) || Row <- Rows]),
            await({ok, Job}, Timeout);
        {Job, {decode, AnyAtoms, Values}} ->
            Decodable = [decodable(Value, AnyAtoms) || Value <- Values],
            ok = erlmcp_native_nif:cache_job_rows(Job, Decodable),
            await({ok, Job}, Timeout);
        {Job, Answer} ->
            Answer
    after timeout(Timeout) ->
        ok = erlmcp_native_nif:cache_job_cancel(Job),
        %% It always answers, and soon; it may just have been done.
        receive
            {Job, {error, cancelled}} -> {error, timeout};
            {Job, Answer} -> Answer
        end
    end.

%% The thread cannot read the table.
row(Table, Row) ->
    try erlmcp_native_cache_store:lookup(Table, Row) of
        {ok, Value} -> term_to_binary(Value);
        gone -> gone
    catch
        %% The cache was dropped, and its table with it.
        error:badarg -> gone
    end.

%% The thread cannot build large maps.
decodable(Value, AnyAtoms) ->
    try binary_to_term(Value, [safe || not AnyAtoms]) of
        _ -> Value
    catch
        error:badarg -> gone
    end.

%% What receive takes: at most 49 days.
-spec timeout(timeout()) -> timeout().
timeout(infinity) -> infinity;
timeout(Timeout) -> min(Timeout, 16#ffffffff).
