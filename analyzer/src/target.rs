//! Targets of questions: files by path, folder, pattern, identity or label.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use model::Text;
use store::Sought;

use crate::Error;
use crate::file_id::FileId;
use crate::glob::Glob;
use crate::quoting::unquoted;

/// The subject of a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// The file with this path, absolute.
    Path(String),
    /// All files below this folder; the path ends with a slash.
    Folder(String),
    /// All files whose path matches.
    Glob(Glob),
    /// The file with this identity.
    Id(FileId),
    /// The files of a label, which the configuration lists.
    Label(String),
}

impl Target {
    /// Parses a target: a path, `folder/`, a pattern, `id:DEV:INO[:GENERATION]` (or `file:`), `label:NAME`, or one of them as `$'…'`
    /// ([`crate::quoting`]). Paths that are not absolute begin at `folder`. Bytes that are not valid UTF-8 become `\xNN`, as in rows.
    ///
    /// ```
    /// use std::{ffi::OsStr, path::Path};
    /// let target = analyzer::Target::parse(OsStr::new("../b/./x.csv"), Path::new("/data/a"))?;
    /// assert_eq!(target, analyzer::Target::Path("/data/b/x.csv".to_owned()));
    /// # Ok::<(), analyzer::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::BadTarget`] says what is wrong.
    pub fn parse(text: &OsStr, folder: &Path) -> Result<Self, Error> {
        let unquoted = unquoted(text.as_bytes());
        let shown = Text::from_bytes(unquoted.as_deref().unwrap_or(text.as_bytes())).to_str().into_owned();
        let wrong = |cause: String| Error::BadTarget { found: shown.clone(), cause };
        if let Some(id) = shown.strip_prefix("id:").or_else(|| shown.strip_prefix("file:")) {
            return id.parse().map(Self::Id).map_err(wrong);
        }
        if let Some(name) = shown.strip_prefix("label:") {
            let is_name = !name.is_empty() && !name.contains(char::is_whitespace);
            return if is_name {
                Ok(Self::Label(name.to_owned()))
            } else {
                Err(wrong("expected a name after label:".to_owned()))
            };
        }
        if shown.is_empty() {
            return Err(wrong("it is empty".to_owned()));
        }
        if shown.contains('\0') {
            return Err(wrong("it has a NUL character, which no path has".to_owned()));
        }
        let base = Text::from_bytes(folder.as_os_str().as_bytes());
        let path = absolute(&shown, &base.to_str());
        if Glob::is_one(&shown) {
            // A folder of the caller's with such characters in its name is no pattern.
            let pattern =
                if shown.starts_with('/') { path } else { absolute(&shown, &quoted(&base.to_str())) };
            let pattern = if pattern.ends_with('/') { format!("{pattern}**") } else { pattern };
            let glob = Glob::parse(&pattern).map_err(wrong)?;
            // A name with such characters, each in brackets.
            return Ok(glob
                .name()
                .map_or_else(|| Self::Glob(glob.clone()), |name| Self::Path(name.to_owned())));
        }
        Ok(if path.ends_with('/') { Self::Folder(path) } else { Self::Path(path) })
    }

    /// Returns whether a path is that of the target, or of a file below it. Paths of deleted files end with ` (deleted)` in rows.
    pub fn matches(&self, path: &str) -> bool {
        let is_one = |path: &str| match self {
            Self::Path(own) => own == path,
            Self::Folder(own) => path.len() > own.len() && path.starts_with(own.as_str()),
            Self::Glob(glob) => glob.matches(path),
            Self::Id(_) | Self::Label(_) => false,
        };
        is_one(path) || path.strip_suffix(DELETED).is_some_and(is_one)
    }

    /// Returns the values by which rows with such a path are looked for; none if the target has no path.
    pub(crate) fn sought(&self) -> Vec<Sought> {
        match self {
            Self::Path(path) => vec![Sought::Text(path.clone()), Sought::Text(format!("{path}{DELETED}"))],
            Self::Folder(path) => vec![Sought::Prefix(path.clone())],
            Self::Glob(glob) => vec![Sought::Prefix(glob.prefix().to_owned())],
            Self::Id(_) | Self::Label(_) => Vec::new(),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) | Self::Folder(path) => f.write_str(path),
            Self::Glob(glob) => f.write_str(glob.as_str()),
            Self::Id(id) => write!(f, "id:{id}"),
            Self::Label(name) => write!(f, "label:{name}"),
        }
    }
}

/// End of the paths of deleted files, as the kernel writes it.
pub(crate) const DELETED: &str = " (deleted)";

/// Returns the path of a file that a row names, also if the file was deleted.
pub(crate) fn path_of(shown: &str) -> &str {
    shown.strip_suffix(DELETED).unwrap_or(shown)
}

/// Returns a path from the root, without `.` and `..`. It ends with a slash if it names a folder by one, or by its last part.
fn absolute(path: &str, folder: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{folder}/{path}") };
    let is_folder = whole.ends_with('/') || whole.ends_with("/.") || whole.ends_with("/..");
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    let mut found = String::new();
    parts.iter().for_each(|part| found.extend(["/", part]));
    if is_folder || found.is_empty() {
        found.push('/');
    }
    found
}

/// Returns the pattern that matches only this text.
fn quoted(text: &str) -> String {
    text.chars()
        .map(|one| if matches!(one, '*' | '?' | '[') { format!("[{one}]") } else { one.to_string() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8], folder: &str) -> Result<String, Error> {
        Target::parse(OsStr::from_bytes(text), Path::new(folder)).map(|target| format!("{target:?}"))
    }

    fn check(text: &[u8], folder: &str, expected: &str) {
        let found = parse(text, folder).unwrap();
        assert!(found.starts_with(expected), "{found} {expected}");
    }

    #[test]
    fn a_target_is_a_path_a_folder_a_pattern_an_identity_or_a_label() {
        check(b"/data/x", "/", r#"Path("/data/x")"#);
        check(b"x", "/data", r#"Path("/data/x")"#);
        check(b"./../y//z", "/data/a", r#"Path("/data/y/z")"#);
        check(b"/../../x", "/", r#"Path("/x")"#);
        check(b"/data/", "/", r#"Folder("/data/")"#);
        check(b".", "/data", r#"Folder("/data/")"#);
        check(b"..", "/", r#"Folder("/")"#);
        check(b"*.csv", "/data/a[1]", r#"Glob(Glob { text: "/data/a[[]1]/*.csv", prefix: "/data/a[1]/""#);
        check(b"/data/*/", "/", r#"Glob(Glob { text: "/data/*/**""#);
        check(b"id:65025:12:7", "/", "Id(FileId { dev: 65025, ino: 12, generation: Some(7) })");
        check(b"label:secret", "/", r#"Label("secret")"#);
        check(b"./label:x", "/data", r#"Path("/data/label:x")"#);
        check(b"file:65025:12:7", "/", "Id(FileId { dev: 65025, ino: 12, generation: Some(7) })");
        check(b"/data/[[]1].csv", "/", r#"Path("/data/[1].csv")"#);
        check(br"$'x\ny\'s'", "/data", r#"Path("/data/x\ny's")"#);
    }

    #[test]
    fn names_are_as_rows_have_them() {
        check(b"/data/caf\xe9", "/", r#"Path("/data/caf\\xe9")"#);
        check(b"/data/a\nb\x1b", "/", r#"Path("/data/a\nb\u{1b}")"#);
        check(b"/data/ \\ x", "/", r#"Path("/data/ \\ x")"#);
    }

    #[test]
    fn anything_else_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "it is empty"),
            ("id:", "expected DEV:INO"),
            ("id:1:x", "expected DEV:INO"),
            ("label:", "expected a name"),
            ("label:a b", "expected a name"),
            ("/data/[a", "[ without a ]"),
        ] {
            let error = parse(text.as_bytes(), "/").unwrap_err();
            assert!(error.is_usage() && error.to_string().contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn files_below_a_folder_are_part_of_it_and_the_folder_is_not() {
        let folder = Target::Folder("/data/".to_owned());
        assert!(
            folder.matches("/data/x") && folder.matches("/data/a/b") && folder.matches("/data/x (deleted)")
        );
        assert!(!folder.matches("/data/") && !folder.matches("/data") && !folder.matches("/database"));
        let path = Target::Path("/data/x".to_owned());
        assert!(path.matches("/data/x (deleted)") && !path.matches("/data/x (deleted) (deleted)"));
    }
}
