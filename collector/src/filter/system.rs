//! The filter of kind `system`: it drops opens and usage that only read files which the system itself needs in order to run
//! any process. For each such record the kernel side decides whether the file is one of these ([`model::system_files`]).

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use model::Problem;
use model::system_files::{MAX_SYSTEM_FOLDERS, MAX_SYSTEM_NAME};

use super::config::{FilterConfig, FilterKind};

/// Folders of shared libraries, and of the files of the C library, Perl and time zones. Modules of Python and Perl are below
/// the folders of shared libraries. Programs are there, too, but the filter never drops their execution.
const FOLDERS: [&str; 13] = [
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libx32",
    "/usr/share/i18n",
    "/usr/share/locale",
    "/usr/share/perl",
    "/usr/share/perl5",
    "/usr/share/zoneinfo",
];
/// The cache of the dynamic loader, and the time zone if it is not a symbolic link. Most processes read both.
/// `ld.so.preload` is not in the list: most machines have no such file, and its contents change all programs.
const FILES: [&str; 2] = ["/etc/ld.so.cache", "/etc/localtime"];

impl FilterConfig {
    /// Returns the default filter.
    pub(super) fn system() -> Self {
        let paths = |paths: &[&str]| Some(paths.iter().map(PathBuf::from).collect());
        Self {
            kind: Some(FilterKind::System),
            folders: paths(&FOLDERS),
            files: paths(&FILES),
            ..Self::default()
        }
    }

    /// Returns the folders and the files of the settings; if they are not set, those of the default filter.
    pub(super) fn system_paths(&self) -> [Vec<PathBuf>; 2] {
        let all = |paths: &[&str]| paths.iter().map(PathBuf::from).collect();
        let (folders, files) = (self.folders.clone(), self.files.clone());
        [folders.unwrap_or_else(|| all(&FOLDERS)), files.unwrap_or_else(|| all(&FILES))]
    }

    /// Checks the folders and the files.
    pub(super) fn validate_system(&self, prefix: &str) -> Result<(), Vec<Problem>> {
        let [folders, files] = self.system_paths();
        let mut problems = Vec::new();
        let mut refuse = |key: String, message: String| problems.push(Problem::new(key, message));
        for (key, list) in [("folders", &folders), ("files", &files)] {
            for (index, path) in list.iter().enumerate() {
                let at = || format!("{prefix}.{key}[{index}]");
                if !path.is_absolute() {
                    refuse(at(), format!("{path:?} is no absolute path"));
                } else if key == "files" && !has_short_name(path) {
                    let message =
                        format!("the name of a file has 1 to {MAX_SYSTEM_NAME} bytes, {path:?} does not");
                    refuse(at(), message);
                }
            }
        }
        let count = folders.len() + files.len();
        if count > MAX_SYSTEM_FOLDERS {
            let message = format!("there may be {MAX_SYSTEM_FOLDERS} folders and files, these are {count}");
            refuse(format!("{prefix}.folders"), message);
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

fn has_short_name(path: &Path) -> bool {
    path.file_name().map(OsStr::len).is_some_and(|len| len <= MAX_SYSTEM_NAME)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::{Clocks, Details, Moment, Open, Record, WallTime};
    use serde_json::{Map, json};

    use super::super::{Filters, FiltersConfig, Stage};
    use super::*;

    fn dropped(filters: &Filters, details: Details) -> bool {
        let record = Record { at: Moment::Wall(WallTime(0)), identity: None, details };
        let row = crate::normalize::row(&"open".into(), record, &Clocks::default()).unwrap();
        filters.drops(&row, Stage::Normalized).or_else(|| filters.drops(&row, Stage::Enriched)).is_some()
    }

    fn fields(path: &str) -> Details {
        Details::Fields(Map::from_iter([("fname".to_owned(), json!(path)), ("uid".to_owned(), json!(0))]))
    }

    #[test]
    fn the_defaults_hide_what_reads_files_of_the_system_and_nothing_else() {
        let filters = Filters::compile(&FiltersConfig::default(), "filter").unwrap();
        // No path hides a row: a file of any kind can have any path in somebody's mount namespace.
        for path in
            ["/proc/self/maps", "/sys/x", "/lib/libc.so.6", "/usr/lib/locale/C", "/run/lock/x", "/dev/null"]
        {
            assert!(!dropped(&filters, fields(path)), "{path}");
        }
        for of_system in [true, false] {
            let open = Open {
                path: "/home/alice/data".into(),
                path_incomplete: false,
                path_unresolved: false,
                path_asked: "data".into(),
                handle: None,
                flags: 0,
                mode: 0,
                umask: 0,
                ret: 3,
                of_system,
                file: None,
            };
            let details = Details::Open(Box::new(open));
            assert_eq!(dropped(&filters, details), of_system);
        }
    }

    #[test]
    fn the_filter_of_system_files_has_folders_and_files() {
        let table = [
            (json!({"kind": "system"}), None),
            (json!({"kind": "system", "folders": [], "files": []}), None),
            (
                json!({"kind": "system", "folders": ["usr/lib"]}),
                Some("filter.f.folders[0]: \"usr/lib\" is no absolute path"),
            ),
            (
                json!({"kind": "system", "files": ["/etc/a-much-too-long-name"]}),
                Some("filter.f.files[0]: the name of a file has"),
            ),
            (
                json!({"kind": "system", "folders": vec!["/a"; 40]}),
                Some("filter.f.folders: there may be 32 folders and files, these are 42"),
            ),
            (
                json!({"kind": "system", "exclude_uid": [0]}),
                Some("filter.f.exclude_uid: unknown field `exclude_uid`, expected one of `kind`"),
            ),
            (json!({"kind": "system", "drop": "true"}), Some("filter.f.drop: unknown field `drop`")),
            (json!({"drop": "true", "folders": ["/a"]}), Some("filter.f.folders: unknown field `folders`")),
            (json!({"exclude_uid": [0], "files": ["/a"]}), Some("filter.f.files: unknown field `files`")),
        ];
        for (section, expected) in table {
            let filter: FilterConfig = serde_json::from_value(section).unwrap();
            let problems = FiltersConfig(BTreeMap::from([("f".to_owned(), filter)])).validate("filter");
            let first = problems.first().map(ToString::to_string);
            assert!(
                first.as_deref().unwrap_or_default().starts_with(expected.unwrap_or_default())
                    && first.is_some() == expected.is_some(),
                "{first:?}"
            );
        }
        let filter: FilterConfig =
            serde_json::from_value(json!({"kind": "system", "tracers": ["open"]})).unwrap();
        let pushdown = FiltersConfig(BTreeMap::from([("f".to_owned(), filter)])).pushdown();
        assert_eq!(
            ["open", "usage"].map(|tracer| pushdown.system.filter_of(&tracer.into())),
            [Some("f"), None]
        );
        assert!(pushdown.splits[0].kernel[0].contains("/usr/lib ") && pushdown.splits[0].collector.is_none());
    }
}
