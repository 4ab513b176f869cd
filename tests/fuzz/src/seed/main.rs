//! Writes the first inputs of every target: real encoded bytes, `corpus/TARGET/seed-NAME`. They depend on nothing but
//! this code, so that a change of a format shows in them.

mod archives;
mod batches;
mod commands;
mod requests;
mod responses;

use std::{fs, io, path::Path};

// What is compiled for fuzzing refers to libFuzzer.
use libfuzzer_sys as _;

/// A target's input, and what it is called.
struct Seed {
    target: &'static str,
    name: String,
    input: Vec<u8>,
}

impl Seed {
    fn new(target: &'static str, name: impl Into<String>, input: impl Into<Vec<u8>>) -> Self {
        Self { target, name: name.into(), input: input.into() }
    }
}

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let seeds =
        [requests::seeds(), responses::seeds(), batches::seeds(), archives::seeds(), commands::seeds()];
    for Seed { target, name, input } in seeds.into_iter().flatten() {
        let directory = corpus.join(target);
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(format!("seed-{name}")), input)?;
    }
    Ok(())
}
