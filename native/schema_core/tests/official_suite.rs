//! The official JSON-Schema-Test-Suite, draft by draft, from _build/schema_suite, where
//! scripts/fetch_schema_suite.sh puts it. Without it the tests count as ignored, which is why
//! this has a `main` of its own.

mod common;

use schema_core::Draft;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Optional tests that fail, with the reason. Required tests have no exceptions.
const KNOWN: &[(&str, &str)] = &[];

fn suite() -> Result<PathBuf, String> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let fetched = Command::new(project.join("scripts/fetch_schema_suite.sh")).output();
    let folder = project.join("_build/schema_suite");
    if folder.join("tests").is_dir() {
        return Ok(folder);
    }
    Err(match fetched {
        Ok(output) => String::from_utf8_lossy(&output.stderr)
            .trim()
            .replace('\n', "; "),
        Err(error) => error.to_string(),
    })
}

fn json_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn remotes(suite: &Path) -> Vec<(String, String)> {
    let folder = suite.join("remotes");
    json_files(&folder)
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&folder).expect("below the folder");
            let uri = format!("http://localhost:1234/{}", name.display());
            (uri, fs::read_to_string(&path).expect("a file"))
        })
        // Drafts that this library does not know.
        .filter(|(uri, _)| !uri.contains("/draft-next/") && !uri.contains("/v1/"))
        .collect()
}

/// Runs a draft's tests; false when one fails.
fn run(suite: &Path, folder: &str, draft: Draft) -> bool {
    let remotes = remotes(suite);
    let tests = suite.join("tests").join(folder);
    let (mut passed, mut unexpected, mut known) = ([0, 0], Vec::new(), 0);
    for path in json_files(&tests) {
        let file = path.strip_prefix(&tests).expect("below the folder");
        let file = file.display().to_string();
        let optional = file.starts_with("optional/");
        let mut options = common::options(Some(draft));
        options.formats = file.contains("optional/format").then_some(true);
        // The suite's own remotes hold for one draft each.
        let documents: Vec<_> = remotes
            .iter()
            .filter(|(uri, _)| {
                !uri.contains("/draft") || uri.contains(folder) || file.contains("cross-draft")
            })
            .cloned()
            .collect();
        let groups: Value =
            serde_json::from_str(&fs::read_to_string(&path).expect("a file")).expect("JSON");
        for group in groups.as_array().expect("groups") {
            let schema = common::compile_with(&group["schema"].to_string(), &documents, &options);
            for test in group["tests"].as_array().expect("tests") {
                let name = format!(
                    "{folder}/{file}: {}: {}",
                    group["description"].as_str().expect("text"),
                    test["description"].as_str().expect("text")
                );
                let data = test["data"].to_string();
                let valid = test["valid"] == Value::Bool(true);
                let failure = match &schema {
                    Err(error) => Some(format!("does not compile: {error:?}")),
                    Ok(schema) => {
                        let found = common::is_valid(schema, &data);
                        let explained = common::violations(schema, &data, common::LARGE)
                            .expect("within limits")
                            .is_empty();
                        assert_eq!(found, explained, "{name}");
                        (found != valid).then(|| format!("is {found}"))
                    }
                };
                match failure {
                    None => passed[usize::from(optional)] += 1,
                    Some(_) if KNOWN.iter().any(|(known, _)| name.starts_with(known)) => known += 1,
                    Some(failure) => unexpected.push(format!("{name}: {failure}")),
                }
            }
        }
    }
    println!(
        "test {folder} ... {}",
        if unexpected.is_empty() {
            "ok"
        } else {
            "FAILED"
        }
    );
    println!(
        "  {} required and {} optional passed, {known} known failures",
        passed[0], passed[1]
    );
    for failure in &unexpected {
        println!("  {failure}");
    }
    unexpected.is_empty()
}

const DRAFTS: [(&str, Draft); 5] = [
    ("draft4", Draft::Draft4),
    ("draft6", Draft::Draft6),
    ("draft7", Draft::Draft7),
    ("draft2019-09", Draft::Draft201909),
    ("draft2020-12", Draft::Draft202012),
];

fn main() -> ExitCode {
    let (mut passed, mut failed, mut ignored) = (0, 0, 0);
    match suite() {
        Ok(suite) => {
            for (folder, draft) in DRAFTS {
                if run(&suite, folder, draft) {
                    passed += 1;
                } else {
                    failed += 1;
                }
            }
        }
        Err(reason) => {
            for (folder, _) in DRAFTS {
                println!("test {folder} ... ignored, {reason}");
                ignored += 1;
            }
        }
    }
    let result = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {result}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; \
         0 filtered out"
    );
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
