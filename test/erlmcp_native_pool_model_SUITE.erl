%% A native pool beside a model of it, see prop_pool.
-module(erlmcp_native_pool_model_SUITE).

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1]).
-export([properties/1]).

all() -> [properties].

suite() -> [{timetrap, {minutes, 10}}].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(erlmcp_native),
    Config.

end_per_suite(_) -> ok.

properties(_) -> erlmcp_native_test_proper:check(prop_pool).
