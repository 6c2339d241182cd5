%% Memory, of this VM or of one whose memory nobody used before.
-module(erlmcp_bench_vm).

-export([anew/1, counted/0, resident/0]).

%% What `Fun` gives in a VM of its own.
-spec anew(fun(() -> Answer)) -> Answer.
anew(Fun) ->
    Paths = lists:append([["-pa", Path] || Path <- code:get_path(), Path =/= "."]),
    {ok, Peer, _} = peer:start_link(#{connection => standard_io, args => Paths}),
    try
        peer:call(Peer, erlang, apply, [Fun, []], infinity)
    after
        peer:stop(Peer)
    end.

%% Bytes that the VM counts outside the processes, and those of the library, which it cannot see.
-spec counted() -> non_neg_integer().
counted() ->
    erlang:memory(system) + erlmcp_native:memory().

%% Bytes of memory of this operating system process that are resident; 0 where nothing tells.
-spec resident() -> non_neg_integer().
resident() ->
    case file:read_file("/proc/self/statm") of
        {ok, Text} ->
            [_, Pages | _] = binary:split(Text, <<" ">>, [global]),
            binary_to_integer(Pages) * 4096;
        {error, _} ->
            0
    end.
