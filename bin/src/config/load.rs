//! From layers to a trusted [`Config`], or to everything that is wrong, all at once.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use toml::Value;

use super::layers::{self, Key, Leaf, Leaves, Origin};
use super::sections::Config;

/// What a configuration is made from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    /// The file, if any.
    pub(crate) file: Option<PathBuf>,
    /// Environment variables.
    pub(crate) env: Vec<(String, String)>,
    /// `--set` arguments.
    pub(crate) set: Vec<String>,
}

/// A configuration, and what of it did not come from defaults.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) given: Leaves,
}

/// Loads a configuration.
///
/// # Errors
/// Everything that is wrong: each with where it was said, its key and what was expected.
pub(crate) fn load(sources: &Sources) -> anyhow::Result<Loaded> {
    let given = gather(sources).map_err(|problems| complaint(&problems))?;
    let (config, given, mut problems) = deserialize(given);
    for problem in config.validate() {
        let key: Key = problem.key.split('.').map(str::to_owned).collect();
        problems.push(Located::of(&given, &key, problem.message));
    }
    if problems.is_empty() {
        return Ok(Loaded { config, given });
    }
    // In the order in which they stand in the file.
    problems.sort();
    Err(complaint(&problems.iter().map(ToString::to_string).collect::<Vec<_>>()))
}

fn gather(sources: &Sources) -> Result<Leaves, Vec<String>> {
    let mut problems = Vec::new();
    let mut leaves = Leaves::default();
    if let Some(path) = &sources.file {
        match read(path) {
            Ok(file) => leaves.merge(file),
            Err(problem) => problems.push(problem),
        }
    }
    leaves.merge(layers::of_env(sources.env.iter().cloned()));
    match layers::of_set(&sources.set) {
        Ok(set) => leaves.merge(set),
        Err(wrong) => problems.extend(wrong.iter().map(ToString::to_string)),
    }
    if problems.is_empty() { Ok(leaves) } else { Err(problems) }
}

fn read(path: &Path) -> Result<Leaves, String> {
    let text = std::fs::read_to_string(path).map_err(|cause| {
        format!("{}: can't be read: {cause}; `duetector-actors config generate` makes one", path.display())
    })?;
    layers::of_file(path, &text).map_err(|problem| problem.to_string())
}

/// Something wrong at a key, and where that key was set.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Located {
    origin: Origin,
    key: Key,
    message: String,
}

impl Located {
    fn of(leaves: &Leaves, key: &Key, message: String) -> Self {
        let origin = leaves.near(key).map_or(Origin::Default, |(_, leaf)| leaf.origin.clone());
        Self { origin, key: key.clone(), message }
    }
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // serde's `[1]` is a place in the list before it.
        let key = self.key.join(".").replace(".[", "[");
        write!(f, "{}: {key}: {}", self.origin, self.message)
    }
}

/// Deserializes what can be: a setting that can't is taken out, complained about, and the rest tried again, so that
/// all errors are found in one go.
fn deserialize(mut leaves: Leaves) -> (Config, Leaves, Vec<Located>) {
    let mut problems = Vec::new();
    loop {
        let error = match serde_path_to_error::deserialize(Value::Table(leaves.to_table())) {
            Ok(config) => return (config, leaves, problems),
            Err(error) => error,
        };
        let mut key: Key = error.path().iter().map(|part| part.to_string()).filter(|part| part != "?").collect();
        let message = error.inner().message().trim().to_owned();
        let unknown = unknown_field(&message);
        if let Some((name, _)) = &unknown
            && key.last() != Some(name)
        {
            key.push(name.clone());
        }
        let Some(found) = leaves.near(&key).map(|(found, _)| found.clone()) else {
            problems.push(Located { origin: Origin::Default, key, message });
            return (Config::default(), leaves, problems);
        };
        if unknown.is_none() && leaves.0.get_mut(&found).is_some_and(|leaf| reread(leaf, &message)) {
            continue;
        }
        let message = match unknown {
            Some((name, known)) => unknown_message(&name, &known),
            None => plain_words(&message),
        };
        problems.push(Located::of(&leaves, &key, message));
        leaves.0.retain(|other, _| !other.starts_with(&key) && *other != found);
    }
}

/// Takes typed text another way, where the first guess was wrong: text that looked like a number, a list whose
/// items stand between commas.
fn reread(leaf: &mut Leaf, message: &str) -> bool {
    let Some(typed) = leaf.typed.clone() else { return false };
    if message.contains("expected a sequence") {
        let items = typed.split(',').map(str::trim).filter(|item| !item.is_empty());
        // Tried once: from then on what was typed is the list.
        leaf.value = Value::Array(items.map(layers::guess_value).collect());
        leaf.typed = None;
        return true;
    }
    let wants_text = message.rsplit_once(", expected ").is_some_and(|(_, expected)| expected.contains("string"));
    if leaf.value.is_str() || !wants_text {
        return false;
    }
    leaf.value = Value::String(typed);
    true
}

/// serde's words for a wrong type, for people who write TOML.
fn plain_words(message: &str) -> String {
    let split = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    let Some((found, expected)) = split.and_then(|rest| rest.rsplit_once(", expected ")) else {
        return message.to_owned();
    };
    let expected = match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number, not negative",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a section",
        other if other.starts_with("struct ") => "a section",
        other => other,
    };
    format!("expected {expected}, found {found}")
}

/// Name and known names from serde's "unknown field `x`, expected one of `a`, `b`".
fn unknown_field(message: &str) -> Option<(String, Vec<String>)> {
    let rest = message.strip_prefix("unknown field `")?;
    let (name, rest) = rest.split_once('`')?;
    let known = rest.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    Some((name.to_owned(), known))
}

fn unknown_message(name: &str, known: &[String]) -> String {
    let nearest = known.iter().min_by_key(|other| strsim::damerau_levenshtein(name, other));
    match nearest {
        Some(nearest) if strsim::jaro_winkler(name, nearest) > 0.7 => {
            format!("unknown key, did you mean `{nearest}`?")
        }
        _ => format!("unknown key, expected one of: {}", known.join(", ")),
    }
}

fn complaint(problems: &[String]) -> anyhow::Error {
    match problems {
        [problem] => anyhow!("bad configuration: {problem}"),
        problems => anyhow!("bad configuration:\n  {}", problems.join("\n  ")),
    }
}

/// Deserializes without layers: for tests.
#[cfg(test)]
pub(crate) fn from_toml(text: &str) -> Result<Config, String> {
    toml::from_str(text).map_err(|cause| cause.to_string())
}
