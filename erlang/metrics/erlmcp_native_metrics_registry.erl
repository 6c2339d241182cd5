-module(erlmcp_native_metrics_registry).
-include("erlmcp_native_doc.hrl").
-include("erlmcp_native_metrics.hrl").
?MODULEDOC(false).

%% Families and their series: tables that everybody reads and that one process writes, so that a
%% series is made once and a bound is strict. Whoever records does not come by this process, nor
%% does what is turned away for want of room.
%%
%% The tables belong to the supervisor, which lives as long as the application: whatever crashes,
%% this process too, no metric is lost. What is native belongs to the supervisor as well.
%%
%% families: #family{} by the name that it was given, and {claim, {claim, Text}, Key} for every name
%% that it exposes. series: {{Key, [Value] | overflow}, Handle, Created}. exemplars:
%% {{Histogram, Bucket}, Labels, Value, Time}. collectors: {Name, Fun}.

-behaviour(gen_server).

-export([create_tables/0, is_started/0]).
-export([new/1, delete/1, family/1, families/0, is_claimed/1, find/1]).
-export([series/3, overflow/1, remove_series/2, all_series/0, series_of/1, reset/1]).
-export([start_link/0, init/1, handle_call/3, handle_cast/2]).
-export_type([series_row/0]).

-define(MAX_FAMILIES, 10_000).
-define(MAX_VALUE_BYTES, 1_024).
%% A counter for each scheduler takes a cache line of 64 bytes each; eight share them as well.
-define(CHUNK, 8).
%% How long to wait for this process to be started again, in milliseconds.
-define(RETRY, 1).

-type key() :: {atom() | binary(), [binary()] | overflow}.
-type series_row() :: {key(), erlmcp_native_metrics_record:native(), Created :: float()}.

-record(state, {
    families = 0 :: non_neg_integer(),
    %% Where the next counter is: a chunk, and how many of it are taken.
    chunk = none :: counters:counters_ref() | none,
    taken = ?CHUNK :: 0..?CHUNK
}).

%% By the supervisor, which owns them then.
-spec create_tables() -> ok.
create_tables() ->
    Shared = [named_table, public, {read_concurrency, true}],
    _ = ets:new(?FAMILIES, [{keypos, 2} | Shared]),
    _ = ets:new(?SERIES, Shared),
    %% In order, so that those of one histogram are found without looking at all.
    _ = ets:new(?EXEMPLARS, [ordered_set, {write_concurrency, true} | Shared]),
    _ = ets:new(?COLLECTORS, Shared),
    true = ets:insert(?COLLECTORS, erlmcp_native_metrics_standard:collectors()),
    ok.

-spec is_started() -> boolean().
is_started() ->
    ets:whereis(?SERIES) =/= undefined.

-spec new(#family{}) -> ok | {error, exists | not_started | system_limit}.
new(Family) ->
    call({new, Family}).

-spec delete(atom() | binary()) -> boolean() | {error, not_started}.
delete(Key) ->
    call({delete, Key}).

%% By its key.
-spec family(atom() | binary()) -> #family{} | none.
family(Key) ->
    case ets:lookup(?FAMILIES, Key) of
        [Family] -> Family;
        [] -> none
    end.

%% By any spelling of its name.
-spec find(atom() | binary()) -> #family{} | none.
find(Name) when is_atom(Name); is_binary(Name) ->
    case family(Name) of
        none -> find_text(text(Name));
        Family -> Family
    end;
find(_) ->
    none.

find_text(Text) ->
    case claimant(Text) of
        none ->
            none;
        #family{name = Text} = Family ->
            Family;
        #family{type = counter, name = Name} = Family when Text =:= <<Name/binary, "_total">> ->
            Family;
        _ ->
            none
    end.

claimant(Text) ->
    case ets:lookup(?FAMILIES, {claim, Text}) of
        [{claim, _, Key}] -> family(Key);
        [] -> none
    end.

%% Whether a family exposes a sample of this name.
-spec is_claimed(binary()) -> boolean().
is_claimed(Text) ->
    ets:member(?FAMILIES, {claim, Text}).

-spec families() -> [#family{}].
families() ->
    Any = erlang:make_tuple(record_info(size, family), '_', [{1, family}]),
    ets:match_object(?FAMILIES, Any).

-spec all_series() -> [series_row()].
all_series() ->
    ets:tab2list(?SERIES).

-spec series_of(#family{}) -> [series_row()].
series_of(#family{key = Key}) ->
    ets:select(?SERIES, [{{{Key, '_'}, '_', '_'}, [], ['$_']}]).

%% The series of these values, made where there is none yet and room for it.
-spec series(#family{}, [binary()], boolean()) ->
    {ok, erlmcp_native_metrics_record:native()} | none | full | gone | {error, not_started | system_limit}.
series(#family{key = Key} = Family, Values, Make) ->
    case ets:lookup(?SERIES, {Key, Values}) of
        [{_, Handle, _}] ->
            {ok, Handle};
        [] when not Make ->
            none;
        [] ->
            Room = Family#family.count < Family#family.max_series,
            Fits = lists:all(fun(V) -> byte_size(V) =< ?MAX_VALUE_BYTES end, Values),
            case Room andalso Fits of
                true -> call({series, Key, Values});
                false -> full
            end
    end.

%% The series that takes what found no room.
-spec overflow(#family{}) ->
    {ok, erlmcp_native_metrics_record:native()} | gone | {error, not_started | system_limit}.
overflow(#family{key = Key}) ->
    case ets:lookup(?SERIES, {Key, overflow}) of
        [{_, Handle, _}] -> {ok, Handle};
        [] -> call({series, Key, overflow})
    end.

-spec remove_series(#family{}, [binary()]) -> boolean() | {error, not_started}.
remove_series(#family{key = Key}, Values) ->
    call({remove_series, Key, Values}).

-spec reset(#family{}) -> ok | {error, not_started}.
reset(#family{key = Key}) ->
    call({reset, Key}).

%% All requests can be asked twice. While the tables are there this process is, or will be.
call(Request) ->
    try
        gen_server:call(?MODULE, Request, infinity)
    catch
        exit:_ ->
            case is_started() of
                true ->
                    receive
                    after ?RETRY -> call(Request)
                    end;
                false ->
                    {error, not_started}
            end
    end.

text(Atom) when is_atom(Atom) -> atom_to_binary(Atom);
text(Bytes) -> Bytes.

?DOC(false).
-spec start_link() -> {ok, pid()} | {error, term()} | ignore.
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

?DOC(false).
-spec init([]) -> {ok, #state{}}.
init([]) ->
    %% The one before this may have ended between a series and its count.
    Counts = lists:foldl(
        fun
            ({{_, overflow}, _, _}, Acc) -> Acc;
            ({{Key, _}, _, _}, Acc) -> Acc#{Key => maps:get(Key, Acc, 0) + 1}
        end,
        #{},
        all_series()
    ),
    case families() of
        [] ->
            Standard = erlmcp_native_metrics_standard:families(),
            State = lists:foldl(fun add_family/2, #state{}, Standard),
            _ = [start_at(Key, Value) || {Key, Value} <- erlmcp_native_metrics_standard:start_values()],
            {ok, State};
        Families ->
            _ = [set_count(Key, maps:get(Key, Counts, 0)) || #family{key = Key} <- Families],
            {ok, #state{families = length(Families)}}
    end.

?DOC(false).
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call({series, Key, Values}, _From, State) ->
    case family(Key) of
        none -> {reply, gone, State};
        Family -> make_series(Family, Values, State)
    end;
handle_call({new, Family}, _From, State) ->
    {Reply, After} = make_family(Family, State),
    {reply, Reply, After};
handle_call({delete, Key}, _From, #state{families = Families} = State) ->
    case family(Key) of
        none ->
            {reply, false, State};
        Family ->
            ok = delete_family(Family),
            {reply, true, State#state{families = Families - 1}}
    end;
handle_call({remove_series, Key, Values}, _From, State) ->
    Rows = ets:lookup(?SERIES, {Key, Values}),
    ok = lists:foreach(fun remove_row/1, Rows),
    _ = [add_count(Key, -1) || Rows =/= [], Values =/= overflow],
    {reply, Rows =/= [], State};
handle_call({reset, Key}, _From, State) ->
    _ = [reset_row(Row) || #family{} = Family <- [family(Key)], Row <- series_of(Family)],
    {reply, ok, State}.

?DOC(false).
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_, State) ->
    {noreply, State}.

%%% Families

add_family(Family, State) ->
    {ok, After} = make_family(Family, State),
    After.

start_at(Key, Value) ->
    [{_, {gauge, Ref, 1}, _}] = ets:lookup(?SERIES, {Key, []}),
    erlmcp_native_metrics_record:set_gauge(Ref, Value).

make_family(#family{key = Key, name = Name, type = Type} = Family, State) ->
    Exposed = erlmcp_native_metrics_options:names_exposed(Type, Name),
    case lists:usort([Other || Text <- Exposed, Other <- [claimant(Text)], Other =/= none]) of
        [] when State#state.families >= ?MAX_FAMILIES ->
            {{error, system_limit}, State};
        [] ->
            %% All at once, so that none is there without the others.
            Claims = [{claim, {claim, Text}, Key} || Text <- Exposed],
            true = ets:insert(?FAMILIES, [Family | Claims]),
            {ok, first_series(Family, State#state{families = State#state.families + 1})};
        [Other] ->
            IsSame = Other#family{key = Key, count = 0} =:= Family,
            {if IsSame -> ok; true -> {error, exists} end, State};
        _ ->
            {{error, exists}, State}
    end.

%% What has no labels shows from the beginning, as 0.
first_series(#family{labels = []} = Family, State) ->
    {reply, _, After} = make_series(Family, [], State),
    After;
first_series(_Family, State) ->
    State.

delete_family(#family{key = Key, type = Type, name = Name} = Family) ->
    Exposed = erlmcp_native_metrics_options:names_exposed(Type, Name),
    true = ets:delete(?FAMILIES, Key),
    ok = lists:foreach(fun(Text) -> ets:delete(?FAMILIES, {claim, Text}) end, Exposed),
    lists:foreach(fun remove_row/1, series_of(Family)).

set_count(Key, Count) ->
    true = ets:update_element(?FAMILIES, Key, {#family.count, Count}).

add_count(Key, Change) ->
    ets:update_counter(?FAMILIES, Key, {#family.count, Change}).

%%% Series

make_series(#family{key = Key, count = Count, max_series = Max} = Family, Values, State) ->
    case ets:lookup(?SERIES, {Key, Values}) of
        [{_, Handle, _}] ->
            {reply, {ok, Handle}, State};
        [] when Values =/= overflow, Count >= Max ->
            {reply, full, State};
        [] ->
            case make_handle(Family, State) of
                {ok, Handle, After} ->
                    true = ets:insert(?SERIES, {{Key, Values}, Handle, now_seconds()}),
                    _ = [add_count(Key, 1) || Values =/= overflow],
                    {reply, {ok, Handle}, After};
                {error, _} = Error ->
                    {reply, Error, State}
            end
    end.

make_handle(#family{type = Type}, #state{taken = ?CHUNK} = State) when
    Type =:= counter; Type =:= up_down_counter
->
    Chunk = counters:new(?CHUNK, [write_concurrency]),
    {ok, {Type, Chunk, 1}, State#state{chunk = Chunk, taken = 1}};
make_handle(#family{type = Type}, #state{chunk = Chunk, taken = Taken} = State) when
    Type =:= counter; Type =:= up_down_counter
->
    %% Never taken again when its series is removed: a handle to it may still be about.
    {ok, {Type, Chunk, Taken + 1}, State#state{taken = Taken + 1}};
make_handle(#family{type = gauge}, State) ->
    {ok, {gauge, atomics:new(1, []), 1}, State};
make_handle(#family{key = Key, type = histogram, native = Native}, State) ->
    try
        {ok, {histogram, erlmcp_native_histogram:new(Native#{owner => owner()}), Key}, State}
    catch
        error:system_limit -> {error, system_limit}
    end;
make_handle(#family{key = Key, type = rate}, State) ->
    try
        {ok, {rate, erlmcp_native_rate:new(#{owner => owner()}), Key}, State}
    catch
        error:system_limit -> {error, system_limit}
    end.

owner() ->
    ets:info(?SERIES, owner).

remove_row({Key, Handle, _Created}) ->
    true = ets:delete(?SERIES, Key),
    erlmcp_native_metrics_record:remove(Handle).

reset_row({Key, {Type, _, _} = Handle, _Created}) ->
    ok = erlmcp_native_metrics_record:reset(Handle),
    %% What is exposed of the others goes on from where it was.
    Type =:= histogram orelse Type =:= rate orelse
        ets:update_element(?SERIES, Key, {3, now_seconds()}).

now_seconds() ->
    erlang:system_time(millisecond) / 1000.
