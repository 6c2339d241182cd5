//! Atoms made once, at load.

rustler::atoms! {
    ok,
    error,
    nif_panicked,
}
