//! The page `docs/compatibility.md`, made from the tables that the product itself goes by: the APIs that are served and
//! the configuration keys of topics and groups. What the tables cannot say, who needs an API and what does not apply, is written
//! beside it here. Knows nothing of how requests are answered.

mod apis;
mod features;

use std::fmt::Write;

use ebb_metastore::state::{
    config::{ConfigKind, Effect, TOPIC_CONFIGS},
    group_config::GROUP_CONFIGS,
};
use ebb_protocol::api::{APIS, Api};

const HEAD: &str = "\
# Compatibility

Ebbtide answers as a broker of Kafka 4.1 does. This page says which requests it takes, how its answers differ, what each
configuration does, and what of Kafka has no place here. A test writes it from the tables that the agent itself
goes by, and fails when it is out of date:

```sh
EBB_TEST_REWRITE=1 cargo test -p ebb-tests --test compatibility
```

## APIs

ApiVersions tells exactly these. A request with another key, or in a version that is not here, closes the connection, as
in Kafka; only ApiVersions itself is answered in any version. Tagged fields that are not known are passed over.

| API | key | versions | who needs it | how it differs |
| --- | --- | --- | --- | --- |
";

const CONFIGS: &str = "
## Topic configurations

All of Kafka's names are accepted, checked as Kafka checks them, stored, and reported by DescribeConfigs with their
sources and documentation. A name that is not here, or a value that the key does not take, is refused with
INVALID_CONFIG.

- **works**: it does what it does in Kafka.
- **later**: stored, and not applied yet.
- **no effect**: stored, and without a meaning here.

| name | default | here | meaning |
| --- | --- | --- | --- |
";

const GROUP_CONFIGS_HEAD: &str = "
## Group configurations

A group of KIP-848 takes these, whether or not it exists yet, and its members learn of a change by their next heartbeat.
The session time-out must be greater than the heartbeat interval. Kafka allows 45 to 60 seconds and 5 to 15 seconds, and
its brokers can be told otherwise; agents cannot, so the bounds are wider. Everything else is refused with
INVALID_CONFIG, also Kafka's `share.*` and `streams.*`: there are no such groups here. Members of the classic protocol
bring their session time-outs along, which may be 6 seconds to 30 minutes.

| name | default | bounds | meaning |
| --- | --- | --- | --- |
";

const OTHER_CONFIGS: &str = "
## Other configurations

| resource | described | altered |
| --- | --- | --- |
| broker | The settings that clients look at and the defaults of topics, by Kafka's names, read-only. An agent answers for itself. The empty name has no settings. | Refused by name with INVALID_REQUEST: an agent's settings come from its command line, environment and file. |
| group | Its configuration, see above. | Its configuration, see above. |
| broker logger | Refused with INVALID_REQUEST: log levels come from the command line. | Refused with INVALID_REQUEST. |
| client metrics | Refused with INVALID_REQUEST: no metrics of clients are collected. | Refused with INVALID_REQUEST. |
";

const FEATURES: &str = "
## What does not apply

| Kafka has | Ebbtide | so |
| --- | --- | --- |
";

/// The page as it should be.
///
/// # Panics
/// When an API has no note.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(HEAD);
    // Writing to a string cannot fail.
    for Api { key, min, max, .. } in APIS {
        let note = apis::find(*key).expect("tests/src/compatibility/apis.rs has a note on every API");
        let versions = if min == max { min.to_string() } else { format!("{min}-{max}") };
        let (who, differs) = (note.needed_by, note.differs);
        let _ = writeln!(page, "| {key} | {} | {versions} | {who} | {differs} |", key.code());
    }
    page.push_str(CONFIGS);
    for key in TOPIC_CONFIGS {
        let effect = match key.effect {
            Effect::Works => "works",
            Effect::Later => "later",
            Effect::Nothing => "no effect",
        };
        let default = if key.default.is_empty() { String::new() } else { format!("`{}`", key.default) };
        let _ = writeln!(page, "| `{}` | {default} | {effect} | {} |", key.name, key.doc);
    }
    page.push_str(GROUP_CONFIGS_HEAD);
    for key in GROUP_CONFIGS {
        let bounds = match key.kind {
            ConfigKind::Int { min, max } => format!("{min} to {max}"),
            _ => String::new(),
        };
        let _ = writeln!(page, "| `{}` | `{}` | {bounds} | {} |", key.name, key.default, key.doc);
    }
    page.push_str(OTHER_CONFIGS);
    page.push_str(FEATURES);
    for [kafka, here, so] in features::FEATURES {
        let _ = writeln!(page, "| {kafka} | {here} | {so} |");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_its_columns() {
        let page = page();
        let columns = |line: &str| line.matches('|').count();
        let mut head = 0;
        for line in page.lines() {
            assert!(head == 0 || columns(line) == 0 || columns(line) == head, "{line}");
            let has_default = !line.contains("throttled") && !line.contains("archive.value.");
            assert!(!line.contains("|  |") || !has_default, "an empty column: {line}");
            head = columns(line);
        }
        assert!(page.contains("| Fetch | 1 | 4-18 |"));
        assert!(page.contains("| `retention.ms` | `604800000` |"));
    }
}
