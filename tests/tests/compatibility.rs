//! `docs/compatibility.md` says what the code does: it is made from the code's own tables.

use std::{env, fs};

use ebb_tests::{compatibility, tidy};

/// Set, the test writes the page instead of comparing it.
const REWRITE: &str = "EBB_TEST_REWRITE";

#[test]
fn the_compatibility_page_is_up_to_date() {
    let path = tidy::root().join("docs/compatibility.md");
    let page = compatibility::page();
    if env::var_os(REWRITE).is_some() {
        fs::write(&path, &page).expect("the repository can be written");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let differ = (1..).zip(page.lines().zip(written.lines())).find(|(_, (ours, theirs))| ours != theirs);
    assert!(
        page == written,
        "docs/compatibility.md is out of date, from {differ:?} on: run this test with {REWRITE}=1 and commit the page"
    );
}
