-module(erlmcp_native_schema).
-include("erlmcp_native_doc.hrl").
?MODULEDOC("""
JSON Schema, drafts 4 to 2020-12: compile once, validate often, from any process.

A schema and an instance are given as JSON text (a binary) or as a decoded term (anything
else, or {term, Term} where the term itself is a binary or such a tuple). Terms are read as
json:encode/1 would write them: atoms other than true, false and null are strings, keys may
be binaries, atoms or integers.

No reference is ever fetched: what a schema refers to is in it or among its documents.
""").

-export([
    compile/1, compile/2,
    format_error/2,
    is_valid/2,
    validate/2
]).

-export_type([
    schema/0,
    json/0,
    draft/0,
    compile_opts/0,
    violation/0,
    instance_error/0,
    compile_error/0
]).

-opaque schema() :: erlang:nif_resource().
%% A compiled schema. It can be used by any number of processes at once and is freed when no
%% process refers to it.

-type json() :: binary() | {term, term()} | term().

-type draft() :: draft4 | draft6 | draft7 | draft2019_09 | draft2020_12.

-type compile_opts() :: #{
    draft => draft() | auto,
    formats => boolean() | auto,
    max_errors => pos_integer(),
    max_depth => 1..1024,
    max_schema_size => pos_integer(),
    documents => #{unicode:chardata() => json()}
}.

-type violation() :: #{
    instance_path := binary(),
    schema_path := binary(),
    keyword := binary(),
    message := binary()
}.

-type instance_error() ::
    {invalid_json, Offset :: non_neg_integer()}
    | {unsupported_type, term()}
    | {invalid_utf8, binary()}
    | {too_deep, Max :: pos_integer()}
    | too_large
    | {too_complex, steps | stack}.

-type compile_error() ::
    instance_error()
    | {invalid_schema, violation()}
    | {too_complex, schema}
    | {unresolved_reference, binary()}
    | no_thread.

-define(MAX_ERRORS, 32).
-define(MAX_DEPTH, 128).
-define(MAX_SCHEMA_SIZE, 1048576).

?DOC("""
Compiles with the default options.
""").
-spec compile(json()) -> {ok, schema()} | {error, compile_error()}.
compile(Schema) ->
    compile(Schema, #{}).

?DOC("""
Compiles a schema. Runs on a dirty scheduler.

Options:
- draft: which draft to apply. auto (the default): the one that the schema names, else 2020-12.
- formats: whether format asserts. auto (the default): as the draft says, which is yes up to
  draft 7 and no from 2019-09 on.
- max_errors: how many violations one validation reports; 32.
- max_depth: how deep a schema, a document or an instance may be nested; 128.
- max_schema_size: bytes of a schema or document given as text; of one given as a term, bytes
  of its strings, and as many values. 1 MiB.
- documents: further documents that references may name, by URI.

Errors: the schema is not JSON or beyond a limit (see validate/2), is not a schema of its
draft ({invalid_schema, Violation}, whose instance_path points into the schema), refers to
what is not there ({unresolved_reference, Message}), multiplies its subschemas beyond what
can be validated in bounded time ({too_complex, schema}), or there is no thread to compile on
(no_thread). Unknown options raise badarg.
""").
-spec compile(json(), compile_opts()) -> {ok, schema()} | {error, compile_error()}.
compile(Schema, Options) ->
    Call = {?MODULE, compile, [Schema, Options]},
    is_map(Options) orelse erlmcp_native_error:badarg(Call, 2, "not a map of options"),
    erlmcp_native_nif:schema_compile(Schema, options(Options, Call)).

?DOC("""
Validates an instance. Returns ok, or the violations, at most max_errors of them.

instance_path and schema_path are JSON Pointers: of the value that does not fit, and of the
keyword that says so, without the references on the way. The message is for people; it shows
short values only.

Other errors:
- {invalid_json, Offset}: the text is not JSON from this byte on.
- {unsupported_type, Term}, {invalid_utf8, Binary}: the term holds what JSON cannot.
- {too_deep, Max}: more than max_depth levels.
- too_large: more than 8 million values.
- {too_complex, steps | stack}: schema and instance together need more work or a deeper
  recursion than one validation may.

Small instances are validated on the caller's scheduler, large ones on a dirty one.
""").
-spec validate(schema(), json()) -> ok | {error, [violation()] | instance_error()}.
validate(Schema, Instance) ->
    try erlmcp_native_nif:schema_validate(Schema, Instance, true) of
        large -> erlmcp_native_nif:schema_validate_large(Schema, Instance, true);
        Result -> Result
    catch
        error:badarg ->
            erlmcp_native_error:badarg({?MODULE, validate, [Schema, Instance]}, 1, "not a schema")
    end.

?DOC("""
Whether validate/2 would return ok; faster where it would not. What is not JSON or beyond a
limit is not valid.
""").
-spec is_valid(schema(), json()) -> boolean().
is_valid(Schema, Instance) ->
    try erlmcp_native_nif:schema_validate(Schema, Instance, false) of
        large -> erlmcp_native_nif:schema_validate_large(Schema, Instance, false) =:= ok;
        Result -> Result =:= ok
    catch
        error:badarg ->
            erlmcp_native_error:badarg({?MODULE, is_valid, [Schema, Instance]}, 1, "not a schema")
    end.

?DOC(false).
-spec format_error(term(), list()) -> #{pos_integer() | general => unicode:chardata()}.
format_error(Reason, Stack) ->
    erlmcp_native_error:format(Reason, Stack).

options(Options, Call) ->
    Defaults = #{
        draft => auto,
        formats => auto,
        max_errors => ?MAX_ERRORS,
        max_depth => ?MAX_DEPTH,
        max_schema_size => ?MAX_SCHEMA_SIZE,
        documents => #{}
    },
    [
        erlmcp_native_error:bad_option(Call, 2, Key, Value)
     || {Key, Value} <- maps:to_list(Options), not is_option(Key, Value)
    ],
    #{
        draft := Draft,
        formats := Formats,
        max_errors := MaxErrors,
        max_depth := MaxDepth,
        max_schema_size := MaxSize,
        documents := Documents
    } = maps:merge(Defaults, Options),
    {Draft, Formats, MaxErrors, MaxDepth, MaxSize, [
        {document_uri(Uri, Call), Document}
     || {Uri, Document} <- maps:to_list(Documents)
    ]}.

is_option(draft, Draft) ->
    lists:member(Draft, [auto, draft4, draft6, draft7, draft2019_09, draft2020_12]);
is_option(formats, Formats) -> is_boolean(Formats) orelse Formats =:= auto;
is_option(max_errors, N) -> is_integer(N) andalso N > 0 andalso N < 1 bsl 32;
is_option(max_depth, N) -> is_integer(N) andalso N > 0 andalso N =< 1024;
is_option(max_schema_size, N) -> is_integer(N) andalso N > 0 andalso N < 1 bsl 32;
is_option(documents, Documents) -> is_map(Documents);
is_option(_, _) -> false.

document_uri(Uri, Call) ->
    try unicode:characters_to_binary(Uri) of
        Binary when is_binary(Binary) -> Binary;
        _ -> bad_uri(Uri, Call)
    catch
        error:badarg -> bad_uri(Uri, Call)
    end.

-spec bad_uri(term(), erlmcp_native_error:call()) -> no_return().
bad_uri(Uri, Call) ->
    erlmcp_native_error:badarg(Call, 2, io_lib:format("bad document URI ~0tP", [Uri, 20])).
