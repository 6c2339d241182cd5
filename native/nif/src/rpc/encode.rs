//! `rpc_encode`: an envelope written around its values, in one call.

use crate::json::encode::{encode, Options, Piece};
use rustler::sys::*;

/// The texts around the values of each kind of message; `erlmcp_native_rpc` knows the numbers.
const ENVELOPES: [&[&str]; 7] = [
    &[
        r#"{"jsonrpc":"2.0","id":"#,
        r#","method":"#,
        r#","params":"#,
        "}",
    ],
    &[r#"{"jsonrpc":"2.0","id":"#, r#","method":"#, "}"],
    &[r#"{"jsonrpc":"2.0","method":"#, r#","params":"#, "}"],
    &[r#"{"jsonrpc":"2.0","method":"#, "}"],
    &[r#"{"jsonrpc":"2.0","id":"#, r#","result":"#, "}"],
    &[
        r#"{"jsonrpc":"2.0","id":"#,
        r#","error":{"code":"#,
        r#","message":"#,
        "}}",
    ],
    &[
        r#"{"jsonrpc":"2.0","id":"#,
        r#","error":{"code":"#,
        r#","message":"#,
        r#","data":"#,
        "}}",
    ],
];

const MOST_PIECES: usize = 9;

/// `rpc_encode(Envelope, Values :: tuple())`: what `json_encode` gives.
unsafe fn rpc_encode(env: *mut ErlNifEnv, args: &[ErlNifTerm; 2]) -> ErlNifTerm {
    let (mut number, mut arity) = (0, 0);
    let mut values = std::ptr::null();
    // SAFETY: `env` is the calling environment of a NIF on a normal scheduler, and the terms are
    // its; on success `values` points to `arity` of them.
    unsafe {
        if enif_get_uint(env, args[0], &mut number) == 0
            || enif_get_tuple(env, args[1], &mut arity, &mut values) == 0
        {
            return enif_make_badarg(env);
        }
        let Some(texts) = ENVELOPES.get(number as usize) else {
            return enif_make_badarg(env);
        };
        let arity = arity as usize;
        if texts.len() != arity + 1 {
            return enif_make_badarg(env);
        }
        let mut pieces = [Piece::Text(""); MOST_PIECES];
        for (index, text) in texts.iter().enumerate() {
            pieces[2 * index] = Piece::Text(text);
            if index < arity {
                pieces[2 * index + 1] = Piece::Value(*values.add(index));
            }
        }
        encode(env, &pieces[..2 * arity + 1], Options::FRAGMENTS_ONLY, 0)
    }
}
nif!("rpc_encode", 2, Normal, rpc_encode);
