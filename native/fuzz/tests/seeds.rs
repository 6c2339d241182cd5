//! Every kept input once, without a fuzzer: `seeds/` are written by hand, `kept/` is what fuzzing
//! found, one archive a target.

use std::fs;
use std::path::Path;
use std::process::Command;

use arbitrary::{Arbitrary, Unstructured};

fn replay(target: &str, check: impl Fn(&[u8])) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let unpacked = Path::new(env!("CARGO_TARGET_TMPDIR")).join(target);
    if unpacked.exists() {
        fs::remove_dir_all(&unpacked).expect("a folder can be removed");
    }
    fs::create_dir(&unpacked).expect("a folder can be made");
    let unpack = Command::new("tar")
        .arg("-xzf")
        .arg(root.join("kept").join(target).with_extension("tar.gz"))
        .arg("-C")
        .arg(&unpacked)
        .status();
    assert!(unpack.expect("tar is there").success());
    for folder in [root.join("seeds").join(target), unpacked] {
        let mut inputs = 0;
        for file in fs::read_dir(folder).expect("a folder can be listed") {
            let path = file.expect("a folder can be listed").path();
            println!("{}", path.display());
            check(&fs::read(path).expect("a file can be read"));
            inputs += 1;
        }
        assert!(inputs > 0, "no input for {target}");
    }
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

#[test]
fn snapshot() {
    replay("snapshot", json_fuzz::snapshot);
}
