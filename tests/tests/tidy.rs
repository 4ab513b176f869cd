//! The repository keeps its own rules. `CONTRIBUTING.md` gives them in words.

use ebb_tests::tidy::{self, File, Finding, crates, markdown, sources, words};

/// Fails with the findings of a check over the files that it applies to.
fn report(applies: impl Fn(&File) -> bool, check: impl Fn(&File) -> Vec<Finding>) {
    let files = tidy::files();
    let checked: Vec<&File> = files.iter().filter(|file| applies(file)).collect();
    assert!(!checked.is_empty(), "the check found no file to look at");
    let findings: Vec<String> =
        checked.into_iter().flat_map(check).map(|finding| finding.to_string()).collect();
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

#[test]
fn crates_depend_on_each_other_in_one_direction() {
    let packages = crates::workspace(&tidy::root());
    assert!(packages.len() > 5, "cargo lists the workspace's crates");
    let findings = crates::check_packages(&packages);
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

#[test]
fn versions_are_pinned_in_the_root_manifest() {
    // Fuzz targets and foreign clients are workspaces of their own and pin for themselves.
    let own = ["tests/fuzz/", "tests/clients/"];
    let member = |file: &File| {
        file.path.ends_with("/Cargo.toml") && !own.iter().any(|folder| file.path.starts_with(folder))
    };
    report(member, crates::check_manifest);
}

#[test]
fn rust_files_are_whole_and_say_what_they_are() {
    report(|file| file.extension() == "rs", sources::check);
}

#[test]
fn only_the_edge_knows_kafkas_messages() {
    report(|file| file.extension() == "rs", sources::check_wire);
}

#[test]
fn the_repository_speaks_of_the_product_alone() {
    report(|file| file.path != "Cargo.lock", words::check);
}

#[test]
fn links_in_the_documents_arrive() {
    let root = tidy::root();
    report(|file| file.extension() == "md", |file| markdown::check(&root, file));
}
