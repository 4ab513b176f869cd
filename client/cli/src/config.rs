//! Reads the configuration file of `ebb agent`. Knows only names and values, not what they do.

use std::{collections::BTreeSet, path::Path};

use clap::{Args, Command};

use crate::{args::AgentArgs, output::Failure};

/// The settings in effect: those given as flags or in the environment, then those of the configuration file.
pub(crate) fn settle(given: AgentArgs) -> Result<AgentArgs, Failure> {
    let Some(path) = given.config.clone() else { return Ok(given) };
    let text = std::fs::read_to_string(&path).map_err(Failure::with(path.display()))?;
    let file = parse(&text, &path)?;
    Ok(given.or(file))
}

fn parse(text: &str, path: &Path) -> Result<AgentArgs, Failure> {
    let table: toml::Table = text.parse().map_err(Failure::with(path.display()))?;
    let known = names();
    if let Some(unknown) = table.keys().find(|key| !known.contains(*key)) {
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        return Err(Failure::new(format!(
            "{}: unknown setting {unknown:?}; known are {known}",
            path.display()
        )));
    }
    table.try_into().map_err(Failure::with(path.display()))
}

/// The names of all settings, which are those of the flags.
fn names() -> BTreeSet<String> {
    AgentArgs::augment_args(Command::new("agent"))
        .get_arguments()
        .filter_map(|argument| argument.get_long())
        .filter(|name| *name != "config")
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn parsed(text: &str) -> Result<AgentArgs, String> {
        parse(text, Path::new("agent.toml")).map_err(|failure| failure.to_string())
    }

    #[test]
    fn every_setting_is_read_under_the_name_of_its_flag() {
        let file = "store = \"file:///data\"\nkafka = \"0.0.0.0:9092\"\nlinger-max = \"7ms\"\ncache-memory = \"1MiB\"";
        let settings = parsed(file).expect("the file is valid");
        assert_eq!(settings.store.as_deref(), Some("file:///data"));
        assert_eq!(settings.tuning.linger_max, Some(Duration::from_millis(7)));
        assert_eq!(settings.tuning.cache_memory.map(|size| size.as_u64()), Some(1 << 20));
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let given = AgentArgs { store: Some("memory:///".to_owned()), ..AgentArgs::default() };
        let settled = given.or(parsed("store = \"file:///data\"\nzone = \"a\"").expect("the file is valid"));
        assert_eq!(settled.store.as_deref(), Some("memory:///"));
        assert_eq!(settled.zone.as_deref(), Some("a"));
    }

    #[test]
    fn an_unknown_setting_is_named() {
        let error = parsed("stroe = \"x\"").expect_err("the name is wrong");
        assert!(
            error.contains("agent.toml") && error.contains("\"stroe\"") && error.contains("linger-max"),
            "{error}"
        );
    }
}
