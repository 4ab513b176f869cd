//! What lies in `deploy/` is read by the programs that will use it, or checked by its form where those are not here.

use std::{fs, path::Path, process::Command};

use ebb_tests::{
    tidy::{self, File, dockerfile, settings},
    tools::Tool,
};

/// The most that `systemd-analyze security` may find open, in tenths.
const EXPOSURE_MAX: u32 = 15;

/// Runs a program and fails with what it says when it does not like what it read.
fn accepts(program: &Path, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().expect("tests/run found the program");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{program:?} {arguments:?}: {}", String::from_utf8_lossy(&said));
}

#[test]
fn the_dockerfile_makes_an_image_of_the_binary_alone() {
    let path = "deploy/Dockerfile".to_owned();
    let text = fs::read_to_string(tidy::root().join(&path)).expect("the Dockerfile is there");
    let findings = dockerfile::check(&File { path, text });
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn the_compose_file_fits_the_specification() {
    let Some(compose) = Tool::Compose.find("compose.yaml against the Compose specification") else { return };
    let file = tidy::root().join("deploy/compose.yaml");
    accepts(&compose, &[file.to_str().expect("the path is UTF-8")]);
}

#[test]
fn systemd_understands_the_unit_and_finds_it_confined() {
    let Some(analyze) = Tool::SystemdAnalyze.find("the systemd unit") else { return };
    let unit =
        fs::read_to_string(tidy::root().join("deploy/systemd/ebb-agent.service")).expect("the unit is there");
    // `verify` wants the program to exist, which it need not where the tests run.
    assert!(unit.contains("/usr/local/bin/ebb agent"), "the unit starts an agent");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let copy = folder.path().join("ebb-agent.service");
    fs::write(&copy, unit.replace("/usr/local/bin/ebb agent", "/bin/true agent"))
        .expect("the copy can be written");
    let copy = copy.to_str().expect("the path is UTF-8");
    accepts(&analyze, &["verify", copy]);
    accepts(
        &analyze,
        &["security", "--no-pager", "--offline=true", &format!("--threshold={EXPOSURE_MAX}"), copy],
    );
}

#[test]
fn settings_named_outside_the_code_exist() {
    let files = tidy::files();
    let known = settings::known(files.iter().filter(|file| file.path.starts_with("client/cli/src/")));
    assert!(known.contains("EBB_SERVER"), "the command line's settings are found");
    let text = |file: &&File| file.path.starts_with("deploy/") || file.extension() == "md";
    let findings: Vec<String> = files
        .iter()
        .filter(text)
        .flat_map(|file| settings::check(file, &known))
        .map(|f| f.to_string())
        .collect();
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}
