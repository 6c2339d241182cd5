%% What a part gives to the harness: its cases, and the figures that it has to reach.
-module(erlmcp_bench_suite).

-export([present/2, version/1]).
-export_type([target/0]).

%% `over`: the ratio of the medians of `subject` over `to`, as the geometric mean (`mean`) or the
%% least (`least`) of the cases chosen; `at_most`: the median in nanoseconds. `ids` and `min_bytes`
%% choose cases of the group.
-type target() :: #{
    text := binary(),
    group := atom(),
    set => atom(),
    ids => [atom()],
    min_bytes => pos_integer(),
    subject := atom(),
    figure := {mean | least, To :: atom(), AtLeast :: float()} | {at_most, Nanoseconds :: number()}
}.

-callback cases() -> [erlmcp_bench_measure:bench_case()].
-callback targets() -> [target()].

%% Whether the module is on the code path, loads, and exports all of these.
-spec present(module(), [{atom(), arity()}]) -> boolean().
present(Module, Functions) ->
    case code:ensure_loaded(Module) of
        {module, Module} ->
            lists:all(fun({Name, Arity}) -> erlang:function_exported(Module, Name, Arity) end, Functions);
        {error, _} ->
            false
    end.

-spec version(atom()) -> binary().
version(Application) ->
    _ = application:load(Application),
    case application:get_key(Application, vsn) of
        {ok, Version} -> unicode:characters_to_binary(Version);
        undefined -> <<"unknown">>
    end.
