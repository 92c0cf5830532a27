//! Loads a configuration: reads the sources, stacks the layers, and returns a valid [`Config`] or all problems.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use model::Problem;
use model::trusted::{Untrusted, trusted_path};
use toml::Table;

use super::check::{Located, deserialize};
use super::duetector::{self, Translation};
use super::layers::Layer;
use super::origin::{Key, Origin, Warning};
use super::parse;
use super::renamed::OldNames;
use super::sections::Config;
use super::trust;
use super::words::in_words;

/// The sources of a configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    /// The file, if any.
    pub(crate) file: Option<PathBuf>,
    /// All environment variables, by name.
    pub(crate) env: Vec<(String, String)>,
    /// The arguments of `--set`.
    pub(crate) set: Vec<String>,
    /// Refuses a file, and programs of templates, that other users may change.
    pub(crate) trusted_only: bool,
}

/// A valid configuration, and where each value comes from.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) settings: Layer,
    /// Settings that were accepted, but not as they were written.
    pub(crate) warnings: Vec<Warning>,
}

impl From<Config> for Loaded {
    /// Wraps a configuration that was not loaded from sources.
    fn from(config: Config) -> Self {
        Self { config, settings: Layer::default(), warnings: Vec::new() }
    }
}

/// Loads a configuration.
///
/// # Errors
/// All problems: each with its origin, its key and the expected value.
pub(crate) fn load(sources: &Sources) -> anyhow::Result<Loaded> {
    load_for(sources, |_| Vec::new())
}

/// Loads a configuration that must also meet the caller's `conditions`; their problems are reported together with all
/// others. `conditions` runs even if there are problems already; settings with problems then have their defaults.
///
/// # Errors
/// All problems, as for [`load`].
pub(crate) fn load_for(
    sources: &Sources,
    conditions: impl FnOnce(&Config) -> Vec<Problem>,
) -> anyhow::Result<Loaded> {
    let trusted_only = sources.trusted_only;
    check(gather(sources).map_err(|problems| complaint(&problems))?, |config| {
        let mut problems = if trusted_only { trust::untrusted(config) } else { Vec::new() };
        problems.extend(conditions(config));
        problems
    })
}

/// Loads a configuration that consists only of a file with this text.
///
/// # Errors
/// All problems, as for [`load`].
pub(crate) fn load_text(path: &Path, text: &str) -> anyhow::Result<Loaded> {
    let file = parse::file(path, text).map_err(|problem| complaint(&[problem.to_string()]))?;
    let mut given = Given::default();
    given.add_file(path, file, &mut Layer::default()).map_err(|problems| complaint(&problems))?;
    check(given, |_| Vec::new())
}

/// The layers over the defaults, the weakest first.
#[derive(Debug, Default)]
struct Given {
    layers: Vec<Layer>,
    old_names: OldNames,
    warnings: Vec<Warning>,
}

impl Given {
    fn add(&mut self, layer: Layer) {
        self.layers.push(self.old_names.replace(layer));
    }

    /// Adds a file's settings, translated if they are Python duetector's. Variables in `env` that are duetector's
    /// settings override such a file, and are moved from `env` to it.
    fn add_file(&mut self, path: &Path, file: Layer, env: &mut Layer) -> Result<(), Vec<String>> {
        if !is_duetectors(path, &file).map_err(|problem| vec![problem])? {
            self.add(file);
            return Ok(());
        }
        let translation = duetector::translate(path, duetector::with_env(file, env), &current_folder())?;
        self.layers.push(translation.layer());
        self.warnings.extend(translation.warnings);
        Ok(())
    }
}

/// Reads all sources.
fn gather(sources: &Sources) -> Result<Given, Vec<String>> {
    let (mut given, mut problems) = (Given::default(), Vec::new());
    let mut env = parse::env(sources.env.iter().cloned());
    if let Some(path) = &sources.file {
        let read =
            trusted(path, sources.trusted_only).and_then(|()| read(path)).map_err(|problem| vec![problem]);
        if let Err(wrong) = read.and_then(|file| given.add_file(path, file, &mut env)) {
            problems.extend(wrong);
        }
    }
    given.add(env);
    match parse::set(&sources.set) {
        Ok(set) => given.add(set),
        Err(wrong) => problems.extend(wrong.iter().map(ToString::to_string)),
    }
    if problems.is_empty() { Ok(given) } else { Err(problems) }
}

fn check(mut given: Given, conditions: impl FnOnce(&Config) -> Vec<Problem>) -> anyhow::Result<Loaded> {
    // The defaults are a layer too: a file that sets one key of a filter keeps the other keys of that filter.
    let defaults = Layer::of_table(&Table::try_from(Config::default())?, &Origin::Default);
    let mut settings = Layer::stack(std::iter::once(defaults).chain(given.layers));
    settings.resolve_paths();
    let (config, settings, mut problems) = deserialize(settings);
    problems.append(&mut given.old_names.problems);
    // An index into a list is a part of its own, as it is in serde's paths.
    let key =
        |problem: &Problem| -> Key { problem.key.replace('[', ".[").split('.').map(str::to_owned).collect() };
    for problem in config.validate() {
        problems.push(Located::of(&settings, &key(&problem), in_words(&problem.message)));
    }
    // A setting that is wrong in itself is not reported again for the caller's conditions.
    let known = problems.len();
    for problem in conditions(&config) {
        let key = key(&problem);
        if !problems[..known].iter().any(|wrong| wrong.concerns(&key)) {
            problems.push(Located::of(&settings, &key, in_words(&problem.message)));
        }
    }
    if problems.is_empty() {
        given.warnings.extend(given.old_names.warnings());
        return Ok(Loaded { config, settings, warnings: given.warnings });
    }
    // In the order of the file.
    problems.sort();
    Err(complaint(&problems.iter().map(ToString::to_string).collect::<Vec<_>>()))
}

/// Translates a file in Python duetector's format, without the environment and `--set`.
///
/// # Errors
/// That the file has another format, or all problems with it.
pub(crate) fn import(path: &Path) -> anyhow::Result<Translation> {
    let file = read(path).map_err(|problem| complaint(&[problem]))?;
    if !is_duetectors(path, &file).map_err(|problem| complaint(&[problem]))? {
        let message = "none of duetector's own settings is in it: nothing needs to be translated";
        return Err(complaint(&[format!("{}: {message}", path.display())]));
    }
    duetector::translate(path, file, &current_folder()).map_err(|problems| complaint(&problems))
}

fn is_duetectors(path: &Path, file: &Layer) -> Result<bool, String> {
    duetector::recognise(file).map_err(|problem| format!("{}: {problem}", path.display()))
}

/// Returns the folder to which duetector's relative paths refer. If it was removed, paths stay relative.
fn current_folder() -> PathBuf {
    std::env::current_dir().unwrap_or_default()
}

/// Refuses a file that other users may change. One that is missing is reported when it is read.
fn trusted(path: &Path, trusted_only: bool) -> Result<(), String> {
    match trusted_path(path) {
        Err(cause @ (Untrusted::Writable { .. } | Untrusted::Foreign { .. })) if trusted_only => {
            Err(format!("{}: is not used, because other users may change it: {cause}", path.display()))
        }
        _ => Ok(()),
    }
}

fn read(path: &Path) -> Result<Layer, String> {
    let text = std::fs::read_to_string(path).map_err(|cause| {
        format!("{}: can't be read: {cause}; `duetector-actors config generate` makes one", path.display())
    })?;
    parse::file(path, &text).map_err(|problem| problem.to_string())
}

fn complaint(problems: &[String]) -> anyhow::Error {
    match problems {
        [problem] => anyhow!("bad configuration: {problem}"),
        problems => anyhow!("bad configuration:\n  {}", problems.join("\n  ")),
    }
}

/// Deserializes a text without layers, for tests.
#[cfg(test)]
pub(crate) fn from_toml(text: &str) -> Result<Config, String> {
    toml::from_str(text).map_err(|cause| cause.to_string())
}
