%% A worker that does not end when it is told to.
-module(erlmcp_native_test_deaf_worker).

-export([start_link/1, init/0]).

start_link([]) -> proc_lib:start_link(?MODULE, init, []).

init() ->
    _ = process_flag(trap_exit, true),
    proc_lib:init_ack({ok, self()}),
    receive never -> ok end.
