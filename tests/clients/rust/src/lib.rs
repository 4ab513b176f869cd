//! What the Rust clients share of the contract in `tests/clients/README.md`: command line and output. Knows no client.

use std::{
    collections::BTreeMap,
    error::Error,
    io::{self, BufRead, Read},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::json;

/// What a scenario ends with.
pub type Outcome = Result<(), Box<dyn Error>>;

/// The command line.
#[derive(Debug)]
pub struct Options {
    /// What to play.
    pub scenario: String,
    all: BTreeMap<String, String>,
}

impl Options {
    /// Reads the command line.
    ///
    /// # Errors
    /// When it names no scenario, or an option without a value.
    pub fn parse() -> Result<Self, Box<dyn Error>> {
        let mut words = std::env::args().skip(1);
        let scenario = words.next().ok_or("a scenario is missing")?;
        let mut all = BTreeMap::new();
        while let Some(name) = words.next() {
            let value = words.next().ok_or_else(|| format!("{name} has no value"))?;
            all.insert(name.trim_start_matches("--").to_owned(), value);
        }
        Ok(Self { scenario, all })
    }

    /// An option's value.
    ///
    /// # Errors
    /// When it is not given.
    pub fn get(&self, name: &str) -> Result<&str, Box<dyn Error>> {
        self.all.get(name).map(String::as_str).ok_or_else(|| format!("--{name} is missing").into())
    }

    /// How many records.
    ///
    /// # Errors
    /// When it is not given, or no number.
    pub fn count(&self) -> Result<usize, Box<dyn Error>> {
        Ok(self.get("count")?.parse()?)
    }
}

/// Key and value of each line of standard input.
///
/// # Errors
/// When it cannot be read, or a line has no tab.
pub fn lines() -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let mut lines = Vec::new();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let (key, value) = line.split_once('\t').ok_or("a line has no tab")?;
        lines.push((key.to_owned(), value.to_owned()));
    }
    Ok(lines)
}

/// A flag that is set when standard input ends.
#[must_use]
pub fn end_of_input() -> Arc<AtomicBool> {
    let ended = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&ended);
    std::thread::spawn(move || {
        // An input that cannot be read has ended too.
        let _ = io::stdin().read_to_end(&mut Vec::new());
        flag.store(true, Ordering::Relaxed);
    });
    ended
}

/// Tells a step.
pub fn step(name: &str) {
    println!("{}", json!({ "step": name }));
}

/// Tells how many records are acknowledged.
pub fn produced(count: usize) {
    println!("{}", json!({ "step": "produced", "count": count }));
}

/// Tells what the member has now.
pub fn assigned(partitions: &[i32]) {
    println!("{}", json!({ "step": "assigned", "partitions": partitions }));
}

/// Tells of a record that was read.
pub fn record(partition: i32, offset: i64, key: &[u8], value: &[u8]) {
    let (key, value) = (String::from_utf8_lossy(key), String::from_utf8_lossy(value));
    println!(
        "{}",
        json!({ "step": "record", "partition": partition, "offset": offset, "key": key, "value": value })
    );
}

/// Tells the step when the answer is the right one.
///
/// # Errors
/// When it is not.
pub fn check(name: &str, right: bool) -> Outcome {
    if !right {
        return Err(format!("{name}: the answer is not the right one").into());
    }
    step(name);
    Ok(())
}
