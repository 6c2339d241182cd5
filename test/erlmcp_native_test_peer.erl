%% Other nodes for a group of tests.
-module(erlmcp_native_test_peer).

-export([init/2, finish/1, start/0]).

%% Makes this node a distributed one, if it is not; to be called as `init_per_group'.
init(Name, Config) ->
    Distributed =
        case is_alive() of
            true ->
                ok;
            false ->
                _ = os:cmd("epmd -daemon"),
                net_kernel:start(list_to_atom(peer:random_name(Name)), #{name_domain => shortnames})
        end,
    case Distributed of
        {error, Reason} -> {skip, {no_distribution, Reason}};
        {ok, _} -> [{net_kernel, started} | Config];
        ok -> Config
    end.

%% Undoes what `init/2' did.
finish(Config) ->
    case proplists:get_value(net_kernel, Config) of
        started -> net_kernel:stop();
        undefined -> ok
    end.

%% A node that is linked to the caller and has its code.
start() ->
    Paths = lists:append([["-pa", Path] || Path <- code:get_path(), filelib:is_dir(Path)]),
    {ok, Peer, Node} = peer:start_link(#{name => peer:random_name(), args => Paths}),
    {Peer, Node}.
