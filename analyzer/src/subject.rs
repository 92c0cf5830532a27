//! Subjects of questions as people write them: files, processes, and things in answers of `lineage`.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use model::Text;

use crate::Error;
use crate::file_id::FileId;
use crate::lineage::NodeKind;
use crate::process::Which;
use crate::target::Target;

/// The thing that a question is about. All commands that take a TARGET parse it so.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// Files, in all their epochs.
    Files(Target),
    /// The contents of a file in one epoch.
    Contents(FileId, u32),
    /// Processes; with the number of an epoch: only between two programs that they executed.
    Process(Which, Option<u32>),
    /// Another thing that an answer of `lineage` has named, such as a pipe or an address.
    Node(String),
    /// A word that is a file in the working folder, or a process: a number, a name.
    Either(Target, Which),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files(target) | Self::Either(target, _) => write!(f, "{target}"),
            Self::Contents(id, epoch) => write!(f, "file:{id}/{epoch}"),
            Self::Process(which, Some(epoch)) => write!(f, "process:{which}/{epoch}"),
            Self::Process(which, None) => write!(f, "{which}"),
            Self::Node(id) => f.write_str(id),
        }
    }
}

impl Subject {
    /// Parses a subject. Files are written as for [`Target::parse`], or as `file:DEV:INO[:GENERATION][/EPOCH]`; processes as `pid:PID`,
    /// `exec:EXEC_ID`, `comm:NAME` or `process:EXEC_ID[/EPOCH]`, or as tables print them: `NAME[PID] EXEC_ID`; other things by the ids of
    /// an answer of `lineage`.
    ///
    /// # Errors
    /// The text is none of these.
    pub fn parse(text: &OsStr, folder: &Path) -> Result<Self, Error> {
        let shown = Text::from_bytes(text.as_bytes()).to_str().into_owned();
        let wrong = |cause: &str| Error::BadTarget { found: shown.clone(), cause: cause.to_owned() };
        if let Some((kind, rest)) = shown.split_once(':')
            && let Some(subject) = with_kind(kind, rest).map_err(|cause| wrong(&cause))?
        {
            return Ok(subject);
        }
        if NodeKind::of_id(&shown).is_some() {
            return Ok(Self::Node(shown));
        }
        // As tables print a process; the name can have any characters.
        if let Some((name, id)) = shown.rsplit_once("] ")
            && let Some(which) = by_id(id).filter(|_| name.contains('['))
        {
            return Ok(Self::Process(which, None));
        }
        let target = Target::parse(text, folder)?;
        let is_word = !shown.contains('/') && !shown.starts_with("id:") && !shown.starts_with("label:");
        Ok(match named(&shown).filter(|_| is_word) {
            Some(which) => Self::Either(target, which),
            None => Self::Files(target),
        })
    }

    /// Returns the reason why a store without such a thing has nothing about it. `is_file`: only files were looked for.
    pub fn absence(&self, is_file: bool) -> &'static str {
        match self {
            Self::Process(..) => "no row is of such a process",
            Self::Either(..) if !is_file => "no row is about such a file or process",
            Self::Files(target) | Self::Either(target, _) => match target {
                Target::Path(_) => "no row has this path",
                Target::Folder(_) => "no row has a path below this folder",
                Target::Glob(_) => "no row has a path that matches",
                Target::Id(_) => "no row has this identity",
                Target::Label(_) => "no row is about a file of this label",
            },
            Self::Contents(..) => "no row has this identity",
            Self::Node(_) => "no row names it",
        }
    }

    /// Returns the files.
    ///
    /// # Errors
    /// The subject is something else.
    pub fn files(self) -> Result<Target, Error> {
        match self {
            Self::Files(target) | Self::Either(target, _) => Ok(target),
            Self::Contents(id, _) => Ok(Target::Id(id)),
            Self::Process(which, _) => Err(Error::OtherSubject {
                found: which.to_string(),
                cause: format!(
                    "a process, and this is about files: `process {which}` shows those that it used"
                ),
            }),
            Self::Node(id) => Err(Error::OtherSubject {
                cause: format!("no file: `lineage {id}` shows where data came from and went"),
                found: id,
            }),
        }
    }

    /// Returns the processes.
    ///
    /// # Errors
    /// The subject is something else.
    pub fn process(self) -> Result<Which, Error> {
        let wrong = |found: String, what: &str| {
            let cause = format!("{what}: `uses {found}` shows the processes that used it");
            Err(Error::OtherSubject { found, cause })
        };
        match self {
            Self::Process(which, _) | Self::Either(_, which) => Ok(which),
            Self::Files(target) => wrong(target.to_string(), "a file, and this is about processes"),
            Self::Contents(id, _) => wrong(format!("id:{id}"), "a file, and this is about processes"),
            Self::Node(id) => Err(Error::OtherSubject {
                cause: format!("no process: `lineage {id}` shows where data came from and went"),
                found: id,
            }),
        }
    }
}

/// Returns the subject that a word before a colon and the text after it name; `None` if it is no such word.
fn with_kind(kind: &str, rest: &str) -> Result<Option<Subject>, String> {
    let process = |which: Option<Which>, epoch, expected: &str| {
        let subject = which.map(|which| Some(Subject::Process(which, epoch)));
        subject.ok_or_else(|| format!("expected {expected} after {kind}:"))
    };
    match kind {
        "pid" => process(by_number(rest), None, "a process id"),
        "comm" => process(by_name(rest), None, "a name"),
        "exec" | "process" => {
            let (id, epoch) = with_epoch(rest)?;
            process(by_id(id), epoch, "an exec_id such as 1234-5678900000")
        }
        "file" => {
            let (id, epoch) = with_epoch(rest)?;
            let id: FileId = id.parse()?;
            let all = Subject::Files(Target::Id(id));
            Ok(Some(epoch.map_or(all, |epoch| Subject::Contents(id, epoch))))
        }
        _ => Ok(None),
    }
}

/// Returns the text before the last slash, and the number after it.
fn with_epoch(text: &str) -> Result<(&str, Option<u32>), String> {
    let Some((id, epoch)) = text.rsplit_once('/') else { return Ok((text, None)) };
    let epoch = epoch.parse().map_err(|_| format!("expected a number after the slash, found {epoch:?}"))?;
    Ok((id, Some(epoch)))
}

fn by_name(name: &str) -> Option<Which> {
    (!name.is_empty()).then(|| Which { comm: Some(name.to_owned()), ..Which::default() })
}

fn by_number(text: &str) -> Option<Which> {
    let pid = text.parse::<u32>().ok()?;
    Some(Which { pid: Some(pid.into()), ..Which::default() })
}

fn by_id(text: &str) -> Option<Which> {
    let (pid, start) = text.split_once('-')?;
    let is_id = pid.parse::<u32>().is_ok() && start.parse::<u64>().is_ok();
    is_id.then(|| Which { exec_id: Some(text.to_owned()), ..Which::default() })
}

/// Returns the process that a word names: `PID`, `EXEC_ID`, `NAME[PID]` or `NAME`.
fn named(word: &str) -> Option<Which> {
    let with_pid = || {
        let (name, pid) = word.strip_suffix(']')?.rsplit_once('[')?;
        Some(Which { comm: by_name(name).and_then(|which| which.comm), ..by_number(pid)? })
    };
    let is_name = !word.contains(['*', '?', '[']) && !word.starts_with("$'") && !word.starts_with('.');
    let plain = || by_name(word).filter(|_| is_name);
    by_number(word).or_else(|| by_id(word)).or_else(with_pid).or_else(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Subject, Error> {
        Subject::parse(OsStr::new(text), Path::new("/data"))
    }

    fn which(exec_id: Option<&str>, pid: Option<i64>, comm: Option<&str>) -> Which {
        Which { exec_id: exec_id.map(str::to_owned), pid, comm: comm.map(str::to_owned), ..Which::default() }
    }

    #[test]
    fn processes_are_named_as_they_are_printed() {
        let id = which(Some("12-345"), None, None);
        for text in ["exec:12-345", "process:12-345", "sh[12] 12-345", "a [b] c[12] 12-345"] {
            assert_eq!(parse(text).unwrap(), Subject::Process(id.clone(), None), "{text}");
        }
        assert_eq!(parse("process:12-345/1").unwrap(), Subject::Process(id.clone(), Some(1)));
        assert_eq!(parse("pid:12").unwrap(), Subject::Process(which(None, Some(12), None), None));
        assert_eq!(parse("comm:my sh").unwrap(), Subject::Process(which(None, None, Some("my sh")), None));
        for (text, expected) in [
            ("12-345", id),
            ("12", which(None, Some(12), None)),
            ("sh[12]", which(None, Some(12), Some("sh"))),
            ("train.py", which(None, None, Some("train.py"))),
        ] {
            let Subject::Either(target, found) = parse(text).unwrap() else { panic!("{text}") };
            assert_eq!(found, expected, "{text}");
            assert_eq!(parse(text).unwrap().files().unwrap(), target);
            assert_eq!(parse(text).unwrap().process().unwrap(), expected);
        }
    }

    #[test]
    fn files_and_other_nodes_are_those_of_answers() {
        let id = FileId { dev: 1, ino: 2, generation: Some(3) };
        assert_eq!(parse("file:1:2:3").unwrap(), Subject::Files(Target::Id(id)));
        assert_eq!(parse("file:1:2:3/4").unwrap(), Subject::Contents(id, 4));
        assert_eq!(parse("file:1:2:3/4").unwrap().files().unwrap(), Target::Id(id));
        assert_eq!(parse("pipe:7").unwrap(), Subject::Node("pipe:7".to_owned()));
        assert_eq!(parse("./12").unwrap(), Subject::Files(Target::Path("/data/12".to_owned())));
        assert!(matches!(parse("*.csv").unwrap(), Subject::Files(Target::Glob(_))));
        assert_eq!(parse("label:x").unwrap(), Subject::Files(Target::Label("x".to_owned())));
    }

    #[test]
    fn what_a_command_is_not_about_is_refused_with_the_command_that_is() {
        for (text, is_for_files, command) in [
            ("pid:12", true, "`process pid:12`"),
            ("exec:12-345", true, "`process 12-345`"),
            ("pipe:7", true, "`lineage pipe:7`"),
            ("/data/x", false, "`uses /data/x`"),
            ("file:1:2/0", false, "`uses id:1:2`"),
            ("address:x:1", false, "`lineage address:x:1`"),
        ] {
            let subject = parse(text).unwrap();
            let error =
                if is_for_files { subject.files().unwrap_err() } else { subject.process().unwrap_err() };
            assert!(error.is_usage() && error.to_string().contains(command), "{text}: {error}");
        }
        for wrong in [
            "pid:x",
            "pid:",
            "exec:12",
            "process:12-x",
            "process:12-3/x",
            "comm:",
            "file:1",
            "file:1:2/x",
            "id:1",
        ] {
            assert!(parse(wrong).unwrap_err().is_usage(), "{wrong}");
        }
    }
}
