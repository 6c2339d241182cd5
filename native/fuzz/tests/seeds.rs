//! Every kept input once, without a fuzzer: the seeds, and what fuzzing left in `corpus/`.

use std::fs;
use std::path::Path;

use arbitrary::{Arbitrary, Unstructured};

fn replay(target: &str, check: impl Fn(&[u8])) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut inputs = 0;
    for kept in ["seeds", "corpus"] {
        let Ok(files) = fs::read_dir(root.join(kept).join(target)) else {
            continue;
        };
        for file in files {
            let path = file.expect("a folder can be listed").path();
            println!("{}", path.display());
            check(&fs::read(path).expect("a file can be read"));
            inputs += 1;
        }
    }
    assert!(inputs > 0, "no input for {target}");
}

#[test]
fn decode() {
    replay("decode", json_fuzz::decode);
}

#[test]
fn split() {
    replay("split", json_fuzz::split);
}

#[test]
fn encode() {
    replay("encode", |input| {
        let script = json_fuzz::Script::arbitrary_take_rest(Unstructured::new(input));
        json_fuzz::encode(&script.expect("any bytes make a script"));
    });
}

#[test]
fn rpc() {
    replay("rpc", json_fuzz::rpc);
}
