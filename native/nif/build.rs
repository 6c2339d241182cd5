//! Link arguments that also hold when this is built as a dependency of an Erlang project.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let os = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    // Unmapping is never safe: our threads and thread-local destructors may still run its code.
    if matches!(os.as_str(), "linux" | "freebsd") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
    // The VM itself brings enif_*, at load; ELF linkers allow that by themselves.
    if os == "macos" {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-undefined,dynamic_lookup");
    }
}
