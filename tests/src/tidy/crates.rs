//! Which crate may depend on which, and how dependencies are written. The rule is the picture in
//! `docs/ARCHITECTURE.md`: order and offsets never meet bytes, and no agent needs a client.

use std::{path::Path, process::Command};

use serde::Deserialize;

use super::{File, Finding};

/// Each crate of the workspace, with the crates of the workspace that it may depend on, also in its tests.
const ALLOWED: [(&str, &[&str]); 10] = [
    ("ebb-protocol", &[]),
    ("ebbtide", &["ebb-protocol"]),
    ("ebb-metastore", &["ebb-protocol"]),
    ("ebb-segment", &["ebb-protocol"]),
    ("ebb-archive", &["ebb-protocol"]),
    ("ebb-coordinator", &["ebb-protocol", "ebb-metastore"]),
    ("ebb-agent", &["ebb-protocol", "ebb-segment", "ebb-archive", "ebb-metastore", "ebb-coordinator"]),
    ("ebb-compactor", &["ebb-protocol", "ebb-segment", "ebb-archive", "ebb-metastore"]),
    (
        "ebb",
        &[
            "ebb-protocol",
            "ebb-segment",
            "ebb-archive",
            "ebb-metastore",
            "ebb-coordinator",
            "ebb-agent",
            "ebb-compactor",
            "ebbtide",
        ],
    ),
    (
        "ebb-tests",
        &[
            "ebb-protocol",
            "ebb-segment",
            "ebb-archive",
            "ebb-metastore",
            "ebb-coordinator",
            "ebb-agent",
            "ebb-compactor",
            "ebbtide",
            "ebb",
        ],
    ),
];

/// Crates from outside that one of ours must not use, because of what it must not know.
const FORBIDDEN: [(&str, &[&str]); 6] = [
    ("ebb-protocol", &["tokio", "quinn", "object_store", "reqwest"]),
    ("ebb-metastore", &["kafka-protocol", "quinn", "reqwest"]),
    ("ebb-segment", &["kafka-protocol", "quinn"]),
    ("ebb-coordinator", &["tokio", "kafka-protocol", "quinn", "object_store"]),
    ("ebb-compactor", &["kafka-protocol", "quinn", "reqwest"]),
    ("ebbtide", &["object_store", "foyer"]),
];

/// A crate of the workspace, as `cargo metadata` describes it.
#[derive(Clone, Debug, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// What it depends on, in all kinds of builds.
    pub dependencies: Vec<Dependency>,
}

/// A dependency of a crate.
#[derive(Clone, Debug, Deserialize)]
pub struct Dependency {
    /// The crate's name.
    pub name: String,
    /// The versions it may have.
    pub req: String,
    /// Where it lies, when it is ours.
    pub path: Option<String>,
    /// `dev` or `build`; none for an ordinary one. A dev-dependency stays out of the product.
    pub kind: Option<String>,
}

/// The crates of the workspace.
///
/// # Panics
/// When cargo cannot read the workspace.
#[must_use]
pub fn workspace(root: &Path) -> Vec<Package> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()
        .expect("cargo runs, since it built this test");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice::<Metadata>(&output.stdout).expect("cargo's format is stable").packages
}

/// Dependencies that go the wrong way, and versions that are not pinned.
#[must_use]
pub fn check_packages(packages: &[Package]) -> Vec<String> {
    let mut findings = Vec::new();
    for package in packages {
        let name = &package.name;
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| known == name) else {
            findings
                .push(format!("{name} is not in the table of crates: add it, with what it may depend on"));
            continue;
        };
        let forbidden = FORBIDDEN.iter().find(|(known, _)| known == name).map_or(&[][..], |(_, list)| list);
        for dependency in &package.dependencies {
            let to = dependency.name.as_str();
            if dependency.path.is_some() {
                if !allowed.contains(&to) {
                    findings.push(format!("{name} must not depend on {to}: {name} must not know it"));
                }
                continue;
            }
            if forbidden.contains(&to) && dependency.kind.is_none() {
                findings.push(format!("{name} must not depend on {to}: it is not {name}'s business"));
            }
            if !dependency.req.starts_with('=') {
                findings.push(format!(
                    "{name} takes {to} {}: pin it with = in the root manifest",
                    dependency.req
                ));
            }
        }
    }
    findings
}

/// Dependencies of a member's manifest that are not taken from the root manifest.
#[must_use]
pub fn check_manifest(manifest: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut in_dependencies = false;
    for (number, line) in (1..).zip(manifest.text.lines().map(str::trim)) {
        if let Some(section) = line.strip_prefix('[') {
            in_dependencies = section.trim_end_matches(']').ends_with("dependencies");
            if section.contains("dependencies.") {
                findings.push(manifest.finding(number, "write a dependency on one line under its table"));
            }
        } else if in_dependencies && line.contains('=') && !line.starts_with('#') {
            let compact = line.replace(' ', "");
            if !compact.contains("workspace=true") {
                findings.push(
                    manifest
                        .finding(number, "pin the version in the root manifest and use `workspace = true`"),
                );
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, to: &str, req: &str, path: Option<&str>) -> Package {
        let dependency = Dependency {
            name: to.to_owned(),
            req: req.to_owned(),
            path: path.map(str::to_owned),
            kind: None,
        };
        Package { name: name.to_owned(), dependencies: vec![dependency] }
    }

    #[test]
    fn dependencies_go_one_way_and_are_pinned() {
        let check = |package: Package, expected: usize| {
            assert_eq!(check_packages(std::slice::from_ref(&package)).len(), expected, "{package:?}");
        };
        check(package("ebb-agent", "ebb-metastore", "*", Some("metastore")), 0);
        check(package("ebb-agent", "ebbtide", "*", Some("client")), 1);
        check(package("ebb-metastore", "ebb-segment", "*", Some("agent/segment")), 1);
        check(package("ebb-compactor", "ebb-agent", "*", Some("agent")), 1);
        check(package("ebb-new", "bytes", "=1.0.0", None), 1);
        check(package("ebb-agent", "bytes", "=1.0.0", None), 0);
        check(package("ebb-agent", "bytes", "^1", None), 1);
        check(package("ebb-protocol", "tokio", "=1.0.0", None), 1);
    }

    #[test]
    fn members_take_versions_from_the_root() {
        let check = |text: &str, expected: usize| {
            let file = File { path: "Cargo.toml".to_owned(), text: text.to_owned() };
            assert_eq!(check_manifest(&file).len(), expected, "{text}");
        };
        check("[package]\nname = \"a\"\n[dependencies]\nbytes.workspace = true\n# a = b\n", 0);
        check("[dev-dependencies]\ntokio = { workspace = true, features = [\"rt\"] }\n", 0);
        check("[dependencies]\nbytes = \"1\"\n", 1);
        check("[dependencies.bytes]\nversion = \"1\"\n", 1);
    }
}
