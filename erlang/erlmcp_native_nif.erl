-module(erlmcp_native_nif).
-include("erlmcp_native_doc.hrl").
?MODULEDOC(false).

-export([
    memory_in_use/0
]).
-nifs([
    memory_in_use/0
]).
-on_load(init/0).

%% Equals ABI in native/nif/src/boundary.rs.
-define(ABI, 1).
-define(nif_stub, erlang:nif_error({nif_not_loaded, ?MODULE})).

-spec init() -> ok | {error, {Reason, string()}} when
    Reason :: load_failed | bad_lib | load | reload | upgrade | old_code.
init() ->
    erlang:load_nif(filename:join(code:priv_dir(erlmcp_native), "liberlmcp_native"), ?ABI).

-spec memory_in_use() -> non_neg_integer().
memory_in_use() -> ?nif_stub.
