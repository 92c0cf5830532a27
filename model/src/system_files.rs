//! Files of the system: those that the system needs in order to run any process, in contrast to the data that processes work
//! on. The kernel side recognises such a file by its file system, or by its owner and folders, never by its path
//! (`include/system_files.h` in `bpf-programs`). The types here are the folders and files that it searches for, and the filters that drop them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::TracerName;

/// Largest number of folders and files together.
pub const MAX_SYSTEM_FOLDERS: usize = 32;
/// Largest number of bytes in the name of a file.
pub const MAX_SYSTEM_NAME: usize = 15;

/// Folders and files of the system, except those of the kernel, and the filters that drop rows which only read them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemFiles {
    /// Folders. A file below one of them is the system's if the file and all folders on the way up belong to root and no other
    /// user may write to them.
    pub folders: BTreeSet<PathBuf>,
    /// Single files, recognised by their folder and name.
    pub files: BTreeSet<PathBuf>,
    /// Filters that the kernel applies, each with the names under which the rows of its tracers are stored; no name means all
    /// tracers.
    pub filters: Vec<(String, BTreeSet<TracerName>)>,
}

impl SystemFiles {
    /// Returns the same files without the filters: the kernel side still recognises them.
    pub fn without_filters(self) -> Self {
        Self { filters: Vec::new(), ..self }
    }

    /// Adds a filter with its folders and files; returns its description for users.
    pub(crate) fn add(
        &mut self,
        filter: &str,
        tracers: &BTreeSet<TracerName>,
        folders: Vec<PathBuf>,
        files: Vec<PathBuf>,
    ) -> String {
        let shown = |paths: &[PathBuf]| {
            paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
        };
        let text = format!(
            "reading of files of proc, sysfs and cgroups; of root's files below {}; of {}; of /dev/null and the like",
            shown(&folders),
            shown(&files)
        );
        self.folders.extend(folders);
        self.files.extend(files);
        self.filters.push((filter.to_owned(), tracers.clone()));
        text
    }

    /// Returns the first filter for rows of this tracer.
    pub fn filter_of(&self, tracer: &TracerName) -> Option<&str> {
        let mut all = self.filters.iter();
        let applies = |tracers: &BTreeSet<TracerName>| tracers.is_empty() || tracers.contains(tracer);
        all.find(|(_, tracers)| applies(tracers)).map(|(name, _)| name.as_str())
    }
}
