//! Atoms made once, at load.

rustler::atoms! {
    ok,
    error,
    disabled,
    nif_panicked,
}
