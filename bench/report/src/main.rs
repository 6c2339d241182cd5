//! Makes the performance suite's page from its figures: one HTML file that needs nothing else.

#![forbid(unsafe_code)]

mod chart;
mod figures;
mod page;

use std::error::Error;
use std::fs;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, output] = arguments.as_slice() else {
        return Err("usage: erlmcp_bench_report performance.json performance.html".into());
    };
    let run: figures::Run = serde_json::from_slice(&fs::read(input)?)?;
    if run.schema_version != figures::SCHEMA_VERSION {
        return Err(format!(
            "{input} has schema version {}, known is {}",
            run.schema_version,
            figures::SCHEMA_VERSION
        )
        .into());
    }
    fs::write(output, page::html(&run)?)?;
    Ok(())
}
