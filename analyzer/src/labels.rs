//! Labels: names that the configuration gives to files and processes. Rows are not changed: a label is looked up when a question names
//! it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use model::Problem;
use nix::unistd::User;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::error::nearest;
use crate::target::{DELETED, Target};

/// `[label.<name>]`: files and processes that have the label.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LabelSettings {
    /// Files: paths, `folder/`, patterns, `id:DEV:INO[:GENERATION]`.
    pub files: Vec<String>,
    /// Reason why the label exists.
    pub purpose: String,
    /// True for files that everything touches and nothing is learnt from, such as libraries: `lineage` does not go on there.
    pub boundary: bool,
    /// Processes of these users, by name or number.
    pub users: Vec<String>,
    /// Processes of these control groups and those below.
    pub cgroups: Vec<String>,
    /// Processes of these containers, by name or id.
    pub containers: Vec<String>,
    /// Processes that run these programs: paths, `folder/` or patterns.
    pub exes: Vec<String>,
}

/// All labels, by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels(pub BTreeMap<String, LabelSettings>);

impl Labels {
    /// Returns all problems that the types of the settings do not rule out.
    pub fn validate(&self, section: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (name, label) in &self.0 {
            let key = format!("{section}.{name}");
            let is_plain = |one: char| one.is_ascii_alphanumeric() || "_-.".contains(one);
            if name.is_empty() || !name.chars().all(is_plain) {
                problems
                    .push(Problem::new(&key, "a label's name has only letters, digits, `_`, `-` and `.`"));
            }
            if label.has_nothing() {
                let message = "has neither files nor users, cgroups, containers or exes: nothing can have it";
                problems.push(Problem::new(&key, message));
            }
            label.validate(&key, &mut problems);
        }
        problems
    }

    /// Returns the targets with those of labels in the place of the labels.
    ///
    /// # Errors
    /// A label is not known, or has no files.
    pub fn resolve(&self, targets: Vec<Target>) -> Result<Vec<Target>, Error> {
        let mut resolved = Vec::new();
        for target in targets {
            match target {
                Target::Label(name) => resolved.extend(self.files(&name)?),
                other => resolved.push(other),
            }
        }
        Ok(resolved)
    }

    /// Returns the files of a label.
    ///
    /// # Errors
    /// The label is not known, or has no files.
    pub fn files(&self, name: &str) -> Result<Vec<Target>, Error> {
        let wrong = |cause: String| Error::BadTarget { found: format!("label:{name}"), cause };
        let Some(label) = self.0.get(name) else {
            let nearest = nearest(name, self.0.keys().map(String::as_str));
            let nearest = nearest.map(|name| format!(", did you mean {name:?}?")).unwrap_or_default();
            let cause = if self.0.is_empty() {
                "the configuration has no labels".to_owned()
            } else {
                format!("the configuration has no such label{nearest}")
            };
            return Err(wrong(cause));
        };
        if label.files.is_empty() {
            return Err(wrong("the label has no files, only processes".to_owned()));
        }
        label.files.iter().map(|text| target(text)).collect()
    }

    /// Returns the files at which `lineage` does not go on.
    ///
    /// # Errors
    /// A text is no target, which [`Self::validate`] reports.
    pub fn boundary(&self) -> Result<Vec<Target>, Error> {
        let labels = self.0.values().filter(|label| label.boundary);
        labels.flat_map(|label| &label.files).map(|text| target(text)).collect()
    }

    /// Returns the labels as the function `label` of expressions takes them.
    pub fn expressions(&self) -> expression::Labels {
        let alternatives = self.0.iter().map(|(name, label)| (name.clone(), label.expressions()));
        expression::Labels::Known(Arc::new(alternatives.collect()))
    }
}

impl LabelSettings {
    fn has_nothing(&self) -> bool {
        let lists = [&self.files, &self.users, &self.cgroups, &self.containers, &self.exes];
        lists.iter().all(|list| list.is_empty())
    }

    fn validate(&self, key: &str, problems: &mut Vec<Problem>) {
        for (list, name, takes_ids) in [(&self.files, "files", true), (&self.exes, "exes", false)] {
            for (index, text) in list.iter().enumerate() {
                let problem = match target(text) {
                    Err(error) => Some(error.to_string()),
                    Ok(Target::Label(_)) => Some("a label can't have another label".to_owned()),
                    Ok(Target::Id(_)) if !takes_ids => {
                        Some("expected a path, folder/ or a pattern".to_owned())
                    }
                    Ok(Target::Id(_)) => None,
                    Ok(_) => (!text.starts_with('/')).then(|| "expected an absolute path".to_owned()),
                };
                problems
                    .extend(problem.map(|message| Problem::new(format!("{key}.{name}[{index}]"), message)));
            }
        }
        for (index, name) in self.users.iter().enumerate() {
            if uid(name).is_none() {
                problems.push(Problem::new(
                    format!("{key}.users[{index}]"),
                    format!("no user has the name {name:?}"),
                ));
            }
        }
        for (index, cgroup) in self.cgroups.iter().enumerate() {
            if !cgroup.starts_with('/') {
                let message =
                    "expected a path below the root of the hierarchy, such as /system.slice/web.service";
                problems.push(Problem::new(format!("{key}.cgroups[{index}]"), message));
            }
        }
        for (index, container) in self.containers.iter().enumerate() {
            if container.is_empty() {
                problems.push(Problem::new(format!("{key}.containers[{index}]"), "expected a name or an id"));
            }
        }
    }

    /// Returns expressions, one of which holds for each row that has the label.
    fn expressions(&self) -> Vec<String> {
        let mut all = Vec::new();
        for target in self.files.iter().filter_map(|text| target(text).ok()) {
            if let Target::Id(id) = &target {
                let generation =
                    id.generation.map(|number| format!(" && generation == {number}")).unwrap_or_default();
                all.push(format!("dev == {} && ino == {}{generation}", id.dev, id.ino));
            } else {
                all.extend(["fname", "new_path"].into_iter().filter_map(|column| on_path(column, &target)));
            }
        }
        all.extend(self.exes.iter().filter_map(|text| on_path("exe", &target(text).ok()?)));
        all.extend(self.users.iter().filter_map(|name| Some(format!("uid == {}", uid(name)?))));
        for cgroup in &self.cgroups {
            let path = cgroup.trim_end_matches('/');
            all.push(format!(
                "cgroup == {} || cgroup.startsWith({})",
                quoted(path),
                quoted(&format!("{path}/"))
            ));
        }
        for container in &self.containers {
            let name = quoted(container);
            all.push(format!("container_name == {name} || container_id == {name}"));
        }
        all
    }
}

/// Returns the expression that a column has a path of the target.
fn on_path(column: &str, target: &Target) -> Option<String> {
    match target {
        Target::Path(path) => Some(format!(
            "{column} == {} || {column} == {}",
            quoted(path),
            quoted(&format!("{path}{DELETED}"))
        )),
        Target::Folder(path) => Some(format!("{column}.startsWith({})", quoted(path))),
        Target::Glob(glob) => Some(format!(
            "{column}.startsWith({}) && {column}.matches({})",
            quoted(glob.prefix()),
            quoted(glob.expression())
        )),
        Target::Id(_) | Target::Label(_) => None,
    }
}

fn target(text: &str) -> Result<Target, Error> {
    Target::parse(OsStr::new(text), Path::new("/"))
}

fn uid(name: &str) -> Option<u32> {
    name.parse().ok().or_else(|| Some(User::from_name(name).ok()??.uid.as_raw()))
}

/// Returns a text as a literal of an expression.
fn quoted(text: &str) -> String {
    let mut literal = String::from("'");
    for one in text.chars() {
        match one {
            '\'' | '\\' => literal.extend(['\\', one]),
            one if one.is_control() => {
                // Writing to a String can't fail.
                let _ = write!(literal, "\\U{:08x}", u32::from(one));
            }
            one => literal.push(one),
        }
    }
    literal.push('\'');
    literal
}

#[cfg(test)]
mod tests {
    use expression::{Expression, Schema};
    use model::{Details, Extended, Text, Tracking, WallTime};

    use super::*;

    fn labels(label: LabelSettings) -> Labels {
        Labels(BTreeMap::from([("secret".to_owned(), label)]))
    }

    fn files(files: &[&str]) -> LabelSettings {
        LabelSettings {
            files: files.iter().map(|file| (*file).to_owned()).collect(),
            ..LabelSettings::default()
        }
    }

    #[test]
    fn all_errors_are_found_at_once() {
        let label = LabelSettings {
            files: vec!["data/x".into(), "label:other".into(), "/[".into(), "id:1".into(), "/fine/".into()],
            users: vec!["nobody-has-this-name".into(), "4000000000".into()],
            cgroups: vec!["system.slice".into()],
            exes: vec!["id:1:2".into()],
            ..LabelSettings::default()
        };
        let problems = labels(label).validate("label");
        let keys: Vec<String> = problems.iter().map(|problem| problem.to_string()).collect();
        for key in ["files[0]", "files[1]", "files[2]", "files[3]", "users[0]", "cgroups[0]", "exes[0]"] {
            assert!(
                keys.iter().any(|found| found.contains(&format!("label.secret.{key}"))),
                "{key}: {keys:?}"
            );
        }
        assert_eq!(problems.len(), 7);
        assert_eq!(labels(LabelSettings::default()).validate("label").len(), 1);
    }

    #[test]
    fn a_label_stands_for_its_files() {
        let known = labels(files(&["/data/", "id:1:2:3"]));
        let target = |text: &str| Target::parse(OsStr::new(text), Path::new("/")).unwrap();
        let resolved = known.resolve(vec![target("/x"), target("label:secret")]).unwrap();
        assert_eq!(resolved, ["/x", "/data/", "id:1:2:3"].map(target));
        let error = known.resolve(vec![target("label:secrets")]).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("did you mean \"secret\"?"), "{error}");
    }

    #[test]
    fn an_expression_asks_for_the_rows_of_a_label() {
        let label = LabelSettings {
            users: vec!["1234".into()],
            cgroups: vec!["/a.slice".into()],
            exes: vec!["/usr/bin/cu*".into()],
            ..files(&["/data/", "/it's \\ a\nname", "/pat/*.csv"])
        };
        let schema = Schema { labels: labels(label).expressions(), ..Schema::default() };
        let expression = Expression::compile("uid != 7 && label('secret')", &schema).unwrap();
        let has = |change: &dyn Fn(&mut Tracking)| {
            let details = Details::Fields(serde_json::Map::new());
            let mut row = Tracking::new("open".into(), WallTime(0), Extended::new(details));
            row.uid = Some(0);
            change(&mut row);
            expression.matches(&row).unwrap()
        };
        for path in ["/data/x", "/it's \\ a\nname", "/pat/x.csv"] {
            assert!(has(&|row| row.fname = Some(Text::from(path.to_owned()))), "{path}");
        }
        for path in ["/data", "/pat/a/x.csv", "/other"] {
            assert!(!has(&|row| row.fname = Some(Text::from(path.to_owned()))), "{path}");
        }
        assert!(
            has(&|row| row.uid = Some(1234))
                && has(&|row| row.exe = Some(Text::from("/usr/bin/curl".to_owned())))
        );
        assert!(!has(&|row| row.exe = Some(Text::from("/usr/bin/ls".to_owned()))));
        assert!(
            Expression::compile("label('secrets')", &schema).unwrap_err().message.contains("did you mean")
        );
    }
}
