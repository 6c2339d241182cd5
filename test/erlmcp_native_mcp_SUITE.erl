%% The tables of MCP's revisions, against what the published schemas have.
-module(erlmcp_native_mcp_SUITE).
-include_lib("stdlib/include/assert.hrl").

-export([all/0]).
-export([revisions/1, methods/1, changes/1, error_codes/1, wrong_arguments/1]).

-define(MCP, erlmcp_native_mcp).

all() -> [revisions, methods, changes, error_codes, wrong_arguments].

revisions(_) ->
    ?assertEqual(
        [<<"2024-11-05">>, <<"2025-03-26">>, <<"2025-06-18">>, <<"2025-11-25">>, <<"2026-07-28">>],
        ?MCP:revisions()
    ),
    ?assertEqual(<<"2026-07-28">>, ?MCP:latest()),
    ?assert(?MCP:is_revision(<<"2025-06-18">>)),
    ?assertNot(?MCP:is_revision(<<"2024-10-07">>)),
    ?assertNot(?MCP:is_revision("2025-06-18")),
    ?assertEqual(
        [false, true, false, false, false], [?MCP:has_batches(R) || R <- ?MCP:revisions()]
    ).

%% By kind and sender: what the unions ClientRequest, ServerRequest, InputRequest,
%% ClientNotification and ServerNotification of each schema list.
methods(_) ->
    Count = fun(Revision, Kind, Sender) ->
        length([
            1
         || #{kind := K, from := From} <- maps:values(?MCP:methods(Revision)),
            K =:= Kind,
            lists:member(Sender, From)
        ])
    end,
    [
        ?assertEqual(
            Expected,
            [
                Count(Revision, Kind, Sender)
             || {Kind, Sender} <- [
                    {request, client},
                    {request, server},
                    {input_request, server},
                    {notification, client},
                    {notification, server}
                ]
            ],
            Revision
        )
     || {Revision, Expected} <- [
            {<<"2024-11-05">>, [13, 3, 0, 4, 7]},
            {<<"2025-03-26">>, [13, 3, 0, 4, 7]},
            {<<"2025-06-18">>, [13, 4, 0, 4, 7]},
            {<<"2025-11-25">>, [17, 8, 0, 5, 9]},
            {<<"2026-07-28">>, [10, 0, 3, 1, 8]}
        ]
    ].

changes(_) ->
    [
        ?assertEqual(
            Expected,
            [element(1, ?MCP:method(Revision, Method)) =:= ok || Revision <- ?MCP:revisions()],
            Method
        )
     || {Method, Expected} <- [
            {<<"initialize">>, [true, true, true, true, false]},
            {<<"ping">>, [true, true, true, true, false]},
            {<<"tools/call">>, [true, true, true, true, true]},
            {<<"elicitation/create">>, [false, false, true, true, true]},
            {<<"tasks/get">>, [false, false, false, true, false]},
            {<<"server/discover">>, [false, false, false, false, true]},
            {<<"subscriptions/listen">>, [false, false, false, false, true]},
            {<<"tools/list_changed">>, [false, false, false, false, false]}
        ]
    ],
    ?assertEqual(
        {ok, #{kind => request, from => [client, server]}}, ?MCP:method(<<"2024-11-05">>, <<"ping">>)
    ),
    ?assertEqual(
        {ok, #{kind => input_request, from => [server]}},
        ?MCP:method(<<"2026-07-28">>, <<"roots/list">>)
    ).

error_codes(_) ->
    Standard = #{
        parse_error => -32700,
        invalid_request => -32600,
        method_not_found => -32601,
        invalid_params => -32602,
        internal_error => -32603
    },
    [
        ?assertEqual(maps:merge(Standard, More), ?MCP:error_codes(Revision))
     || {Revision, More} <- [
            {<<"2024-11-05">>, #{resource_not_found => -32002}},
            {<<"2025-11-25">>, #{resource_not_found => -32002, url_elicitation_required => -32042}},
            {<<"2026-07-28">>, #{
                header_mismatch => -32020,
                missing_required_client_capability => -32021,
                unsupported_protocol_version => -32022
            }}
        ]
    ],
    ?assertEqual({ok, -32002}, ?MCP:error_code(<<"2025-06-18">>, resource_not_found)),
    ?assertEqual({error, not_found}, ?MCP:error_code(<<"2026-07-28">>, resource_not_found)),
    ?assertEqual({ok, header_mismatch}, ?MCP:error_name(<<"2026-07-28">>, -32020)),
    ?assertEqual({error, not_found}, ?MCP:error_name(<<"2025-11-25">>, -32020)).

wrong_arguments(_) ->
    [
        ?assertError(badarg, Fun(Wrong))
     || Wrong <- [<<"2024-10-07">>, atom, "2024-11-05", 1],
        Fun <- [
            fun ?MCP:methods/1,
            fun ?MCP:error_codes/1,
            fun ?MCP:has_batches/1,
            fun(Revision) -> ?MCP:method(Revision, <<"ping">>) end,
            fun(Revision) -> ?MCP:error_code(Revision, parse_error) end,
            fun(Revision) -> ?MCP:error_name(Revision, -32700) end
        ]
    ].
