-module(erlmcp_native).
-include("erlmcp_native_doc.hrl").
?MODULEDOC("""
What concerns the library as a whole.
""").

-export([memory/0]).

?DOC("""
The bytes that the native part holds now. The VM's own `erlang:memory/0` does not
count them.
""").
-spec memory() -> non_neg_integer().
memory() ->
    erlmcp_native_nif:memory_in_use().
