//! Every `ebb` command that a document shows is one that `ebb` knows, with the options it shows.

use std::process::Command;

use ebb_tests::{
    tidy::{self, commands},
    tools::Tool,
};

#[test]
fn the_commands_in_the_documents_exist() {
    let Some(ebb) = Tool::Ebb.find("commands in the documents") else { return };
    let mut found = 0;
    let mut findings = Vec::new();
    for file in tidy::files().iter().filter(|file| file.extension() == "md") {
        for (line, words) in commands::commands(&file.text) {
            let Some(arguments) = commands::arguments_of_ebb(&words) else { continue };
            found += 1;
            // Asked for help, the program reads what stands before it and then does nothing.
            let output =
                Command::new(&ebb).args(arguments).arg("--help").output().expect("tests/run built ebb");
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                findings.push(file.finding(line, said).to_string());
            }
        }
    }
    assert!(found > 5, "the documents show commands");
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}
