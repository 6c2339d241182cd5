-module(erlmcp_native_json_stream).
-include("erlmcp_native_doc.hrl").
?MODULEDOC(false).

%% Documents out of chunks that are cut anywhere. Every byte is looked at once to find where
%% documents end and once more when its document, then whole, is decoded; parts of an unfinished
%% one wait in a list. The stream is a plain term: no process, nothing to close.

-export([new/4, is_stream/1, feed/2, finish/1]).
-export_type([stream/0]).

%% The most and the fewest bytes that are split at once.
-define(WINDOW, 32768).
-define(AFTER_ERROR, 256).
-define(SMALL_PART, 1024).

-record(stream, {
    %% Decodes a document that fills its chunk, and one that does not, whose strings must not
    %% keep the chunk alive.
    decode :: decode(),
    decode_copying :: decode(),
    max_size :: pos_integer() | infinity,
    framing :: lines | concatenated,
    %% Where json_split goes on.
    state :: lines | concatenated | non_neg_integer(),
    %% The unfinished document's parts, last first, and their size.
    parts = [] :: [binary()],
    size = 0 :: non_neg_integer(),
    %% What an error left unread.
    unread = [] :: [binary()],
    %% After an error, what stands before the next line is not looked at.
    skipping = false :: boolean(),
    %% How many bytes are split at once. Few after an error, as what is split beyond the next one
    %% is split again.
    window = ?WINDOW :: pos_integer()
}).
-opaque stream() :: #stream{}.
-type error() :: erlmcp_native_json:decode_error().
-type decode() :: fun((binary()) -> {ok, term()} | {error, error()}).

-spec new(decode(), decode(), pos_integer() | infinity, lines | concatenated) -> stream().
new(Decode, DecodeCopying, MaxSize, Framing) ->
    #stream{
        decode = Decode,
        decode_copying = DecodeCopying,
        max_size = MaxSize,
        framing = Framing,
        state = Framing
    }.

-spec is_stream(term()) -> boolean().
is_stream(Stream) ->
    is_record(Stream, stream).

-spec feed(stream(), binary()) -> {ok, [term()], stream()} | {error, error(), [term()], stream()}.
feed(#stream{unread = Unread} = Stream, Chunk) ->
    read(Unread ++ [Chunk], Stream#stream{unread = []}, []).

-spec finish(stream()) -> ok | {ok, [term()]} | {error, error()}.
finish(Stream) ->
    case feed(Stream, <<>>) of
        {error, Error, _, _} ->
            {error, Error};
        {ok, [], #stream{parts = []}} ->
            ok;
        {ok, Terms, #stream{parts = []}} ->
            {ok, Terms};
        {ok, Terms, #stream{parts = Parts, decode = Decode}} ->
            %% A number or a line ends here as well; of all else, decoding tells where it
            %% breaks off.
            case Decode(iolist_to_binary(lists:reverse(Parts))) of
                {ok, Term} -> {ok, Terms ++ [Term]};
                {error, Error} -> {error, Error}
            end
    end.

read([], Stream, Terms) ->
    {ok, lists:reverse(Terms), Stream};
read([<<>> | Chunks], Stream, Terms) ->
    read(Chunks, Stream, Terms);
read([Chunk | Chunks], #stream{skipping = true} = Stream, Terms) ->
    case binary:match(Chunk, <<"\n">>) of
        nomatch -> read(Chunks, Stream, Terms);
        {At, 1} -> read([tail(Chunk, At + 1) | Chunks], Stream#stream{skipping = false}, Terms)
    end;
read([Chunk | Chunks], Stream, Terms) ->
    #stream{window = Size, state = State0} = Stream,
    Window = binary:part(Chunk, 0, min(Size, byte_size(Chunk))),
    {Extents, State} = erlmcp_native_nif:json_split(Window, State0),
    Split = Stream#stream{state = State, window = min(2 * Size, ?WINDOW)},
    documents(Extents, Chunk, Chunks, byte_size(Window), Split, Terms).

documents([], Chunk, Chunks, WindowSize, Stream, Terms) ->
    read([tail(Chunk, WindowSize) | Chunks], Stream, Terms);
documents([{Start, Length, IsWhole} | Extents], Chunk, Chunks, WindowSize, Stream0, Terms) ->
    #stream{size = Size0, max_size = MaxSize} = Stream0,
    Size = Size0 + Length,
    Part = binary:part(Chunk, Start, Length),
    Stream = Stream0#stream{parts = [], size = 0},
    Result =
        if
            Size > MaxSize -> {error, too_large(MaxSize)};
            IsWhole -> decode(Stream0, Part);
            true -> unfinished
        end,
    case Result of
        {ok, Term} ->
            documents(Extents, Chunk, Chunks, WindowSize, Stream, [Term | Terms]);
        unfinished ->
            Parts = with_part(Part, Stream0#stream.parts),
            Unfinished = Stream#stream{parts = Parts, size = Size},
            documents(Extents, Chunk, Chunks, WindowSize, Unfinished, Terms);
        {error, Error} ->
            %% The newline of a bad line is its last byte.
            Line = if IsWhole, Stream#stream.framing =:= lines -> 1; true -> 0 end,
            Failed = Stream#stream{
                state = Stream#stream.framing,
                skipping = true,
                window = ?AFTER_ERROR,
                unread = [tail(Chunk, Start + Length - Line) | Chunks]
            },
            {error, Error, lists:reverse(Terms), Failed}
    end.

decode(#stream{parts = [], decode = Decode, decode_copying = DecodeCopying}, Part) ->
    case pins_more(Part) of
        true -> DecodeCopying(Part);
        false -> Decode(Part)
    end;
decode(#stream{parts = Parts, decode = Decode}, Part) ->
    Decode(iolist_to_binary(lists:reverse(Parts, [Part]))).

%% Whether it keeps more than twice itself alive: the chunk, or what the chunk is a part of.
pins_more(Part) ->
    2 * byte_size(Part) < binary:referenced_byte_size(Part).

%% Small parts are joined, so that a list of them takes no more than they do.
with_part(Part, [Last | Parts]) when byte_size(Last) < ?SMALL_PART ->
    [<<Last/binary, Part/binary>> | Parts];
with_part(Part, Parts) ->
    case pins_more(Part) of
        true -> [binary:copy(Part) | Parts];
        false -> [Part | Parts]
    end.

too_large(MaxSize) ->
    #{reason => {max_size, MaxSize}, offset => MaxSize, line => 1, column => MaxSize + 1}.

tail(Binary, From) ->
    binary:part(Binary, From, byte_size(Binary) - From).
