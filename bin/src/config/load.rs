//! From layers to a trusted [`Config`], or to everything that is wrong, all at once.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use model::Problem;
use toml::Table;

use super::check::{Located, deserialize};
use super::duetector::{self, Translation, Warning};
use super::layers::{self, Key, Leaves, Origin};
use super::sections::Config;
use super::words::in_words;

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

/// A configuration, and where each value of it came from.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) given: Leaves,
    /// What of a file of duetector's could not be kept.
    pub(crate) warnings: Vec<Warning>,
}

impl From<Config> for Loaded {
    /// A configuration that comes from nowhere.
    fn from(config: Config) -> Self {
        Self { config, given: Leaves::default(), warnings: Vec::new() }
    }
}

/// Loads a configuration.
///
/// # Errors
/// Everything that is wrong: each with where it was said, its key and what was expected.
pub(crate) fn load(sources: &Sources) -> anyhow::Result<Loaded> {
    load_for(sources, |_| Vec::new())
}

/// The same for somebody who has conditions of his own: what he says is wrong is told with the rest. He is asked even
/// if something is wrong already; what is, then has its default.
///
/// # Errors
/// Everything that is wrong.
pub(crate) fn load_for(
    sources: &Sources,
    conditions: impl FnOnce(&Config) -> Vec<Problem>,
) -> anyhow::Result<Loaded> {
    checked(gather(sources).map_err(|problems| complaint(&problems))?, conditions)
}

/// Loads a configuration of nothing but a file with this text.
///
/// # Errors
/// As [`load`].
pub(crate) fn load_text(file: &Path, text: &str) -> anyhow::Result<Loaded> {
    let said = layers::of_file(file, text).map_err(|problem| complaint(&[problem.to_string()]))?;
    let layer = file_layer(file, said, &mut Leaves::default()).map_err(|problems| complaint(&problems))?;
    checked(layer, |_| Vec::new())
}

fn checked(
    (given, warnings): (Leaves, Vec<Warning>),
    conditions: impl FnOnce(&Config) -> Vec<Problem>,
) -> anyhow::Result<Loaded> {
    // Defaults are a layer too, so that one key of a section with defaults of its own (a filter) leaves the others.
    let mut leaves = layers::of_table(&Table::try_from(Config::default())?, &Origin::Default);
    leaves.merge(given);
    leaves.resolve_paths();
    let (config, given, mut problems) = deserialize(leaves);
    // A place in a list is a part of its own, as serde has it.
    let key =
        |problem: &Problem| -> Key { problem.key.replace('[', ".[").split('.').map(str::to_owned).collect() };
    for problem in config.validate() {
        problems.push(Located::of(&given, &key(&problem), in_words(&problem.message)));
    }
    // What is wrong as it is needs no second complaint, and what is not known no first.
    let known = problems.len();
    for problem in conditions(&config) {
        let key = key(&problem);
        if !problems[..known].iter().any(|wrong| wrong.concerns(&key)) {
            problems.push(Located::of(&given, &key, in_words(&problem.message)));
        }
    }
    if problems.is_empty() {
        return Ok(Loaded { config, given, warnings });
    }
    // In the order in which they stand in the file.
    problems.sort();
    Err(complaint(&problems.iter().map(ToString::to_string).collect::<Vec<_>>()))
}

fn gather(sources: &Sources) -> Result<(Leaves, Vec<Warning>), Vec<String>> {
    let mut problems = Vec::new();
    let (mut leaves, mut warnings) = (Leaves::default(), Vec::new());
    let mut env = layers::of_env(sources.env.iter().cloned());
    if let Some(path) = &sources.file {
        match read(path).map_err(|problem| vec![problem]).and_then(|file| file_layer(path, file, &mut env)) {
            Ok((file, told)) => {
                leaves.merge(file);
                warnings = told;
            }
            Err(wrong) => problems.extend(wrong),
        }
    }
    leaves.merge(env);
    match layers::of_set(&sources.set) {
        Ok(set) => leaves.merge(set),
        Err(wrong) => problems.extend(wrong.iter().map(ToString::to_string)),
    }
    if problems.is_empty() { Ok((leaves, warnings)) } else { Err(problems) }
}

/// A file's settings in our words. Variables that are duetector's settings belong to a file of duetector's.
fn file_layer(path: &Path, file: Leaves, env: &mut Leaves) -> Result<(Leaves, Vec<Warning>), Vec<String>> {
    if !duetector::recognise(&file).map_err(|problem| vec![format!("{}: {problem}", path.display())])? {
        return Ok((file, Vec::new()));
    }
    let translation = duetector::translate(path, duetector::with_env(file, env), &current_folder())?;
    Ok((translation.leaves(), translation.warnings))
}

/// Translates a file of duetector's, as it stands there.
///
/// # Errors
/// When it is none, or everything that is wrong with it.
pub(crate) fn import(path: &Path) -> anyhow::Result<Translation> {
    let file = read(path).map_err(|problem| complaint(&[problem]))?;
    if !duetector::recognise(&file)
        .map_err(|problem| complaint(&[format!("{}: {problem}", path.display())]))?
    {
        let message = "none of duetector's own settings is in it: nothing needs to be translated";
        return Err(complaint(&[format!("{}: {message}", path.display())]));
    }
    duetector::translate(path, file, &current_folder()).map_err(|problems| complaint(&problems))
}

/// Where duetector's relative paths begin. Where there is none (it was removed), paths stay as they are.
fn current_folder() -> PathBuf {
    std::env::current_dir().unwrap_or_default()
}

fn read(path: &Path) -> Result<Leaves, String> {
    let text = std::fs::read_to_string(path).map_err(|cause| {
        format!("{}: can't be read: {cause}; `duetector-actors config generate` makes one", path.display())
    })?;
    layers::of_file(path, &text).map_err(|problem| problem.to_string())
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
