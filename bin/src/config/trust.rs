//! Checks the files that the agent reads or runs with its own rights: the programs of templates, their interpreters, scripts
//! among their arguments, and eBPF sources and objects. None of them may be one that other users can change, see
//! [`model::trusted`].

use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use model::Problem;
use model::trusted::{Untrusted, trusted_path, trusted_path_for};
use shell_monitor::settings::Command;
use shell_monitor::user::Identity;

use super::sections::Config;

/// Programs whose first argument that is a file is a program, too; their names may end with a version.
const INTERPRETERS: [&str; 15] = [
    "ash", "bash", "busybox", "dash", "env", "ksh", "lua", "node", "perl", "php", "python", "ruby", "sh",
    "tclsh", "zsh",
];
/// Options of interpreters after which the program is a text or a module, and files are data.
const NO_FILE: [&str; 3] = ["-c", "-e", "-m"];
/// Longest first line of a script that the kernel reads.
const FIRST_LINE: u64 = 256;
/// Length of a chain of scripts, each the interpreter of the one before, that the kernel follows.
const MOST_INTERPRETERS: usize = 5;
/// Reason of each refusal.
const REASON: &str = "other users must not be able to change what the agent runs";

/// Returns a problem for each file of an enabled template that other users may change.
pub(super) fn untrusted(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, template) in config.bpf_templates() {
        let refused = source(Path::new(&template.program)).err();
        problems.extend(refused.map(|cause| problem(format!("tracer.template.bpf.{name}.program"), &cause)));
    }
    let own = config.shell_monitor();
    let shells = own.shells().into_iter().map(|shell| (shell.section, shell.command));
    let children = own.subprocesses().into_iter().map(|child| (child.section, child.command));
    for (section, command) in shells.chain(children) {
        problems.extend(refused(&command).map(|cause| problem(format!("{section}.comm"), &cause)));
    }
    problems
}

fn problem(key: String, cause: &Untrusted) -> Problem {
    Problem::new(key, format!("{cause} ({REASON})"))
}

/// Checks an eBPF object, or a source and the files beside it that it includes.
fn source(path: &Path) -> Result<(), Untrusted> {
    exists(trusted_path(path))?;
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(()) };
    let folder = path.parent().unwrap_or(Path::new("/"));
    let includes = text.lines().filter_map(|line| {
        let name = line.trim_start().strip_prefix('#')?.trim_start().strip_prefix("include")?.trim_start();
        name.strip_prefix('"')?.split('"').next()
    });
    includes
        .map(|name| folder.join(name))
        .filter(|file| file.is_file())
        .try_for_each(|file| trusted_path(&file))
}

/// Returns why a command can't be run.
fn refused(command: &Command) -> Option<Untrusted> {
    // A program that runs as another user may be in that user's hands.
    let user = command.user.as_deref().and_then(|user| Identity::find(user).ok()).map(|found| found.uid());
    let base = command
        .cwd
        .as_deref()
        .map(PathBuf::from)
        .or_else(|| std::env::current_dir().ok())
        .unwrap_or_default();
    // Programs take files, modules and settings from the folder that they run in.
    let mut files: Vec<PathBuf> = command.cwd.iter().map(PathBuf::from).collect();
    let (program, searched) = found(command, &base)?;
    files.extend(searched);
    add_with_interpreters(&program, &mut files);
    let mut first = interprets(&program);
    for argument in command.comm.iter().skip(1) {
        first &= !NO_FILE.contains(&argument.as_str());
        let file = base.join(argument.rsplit_once('=').map_or(argument.as_str(), |(_, value)| value));
        if !file.is_file() {
            continue;
        }
        if first || is_program(&file) {
            add_with_interpreters(&file, &mut files);
        }
        first = false;
    }
    files.iter().find_map(|file| exists(trusted_path_for(file, user)).err())
}

/// A file that is not there is reported where it is used.
fn exists(checked: Result<(), Untrusted>) -> Result<(), Untrusted> {
    match checked {
        Err(Untrusted::Unreachable { .. }) => Ok(()),
        checked => checked,
    }
}

/// Finds the program as the kernel and the C library do: by its path, or in the folders of PATH. Also returns the folders
/// before its own in PATH, in which another program of that name would be run instead.
fn found(command: &Command, base: &Path) -> Option<(PathBuf, Vec<PathBuf>)> {
    let program = command.comm.first()?;
    if program.contains('/') {
        return Some((base.join(program), Vec::new()));
    }
    let path = command.env.get("PATH").map(Into::into).or_else(|| std::env::var_os("PATH"))?;
    let folders: Vec<_> = std::env::split_paths(&path).map(|folder| base.join(folder)).collect();
    let at = folders.iter().position(|folder| is_program(&folder.join(program)))?;
    Some((folders[at].join(program), folders[..at].to_vec()))
}

fn interprets(program: &Path) -> bool {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    INTERPRETERS.contains(&name)
}

/// Returns whether a file is meant to be run: it is executable, or begins like a script.
fn is_program(file: &Path) -> bool {
    let found = file.metadata();
    found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        || interpreter(file).is_some()
}

/// Adds a program, the interpreter that its first line names, that one's interpreter, and so on.
fn add_with_interpreters(program: &Path, files: &mut Vec<PathBuf>) {
    let chain = std::iter::successors(Some(program.to_owned()), |program| interpreter(program));
    files.extend(chain.take(MOST_INTERPRETERS));
}

/// Returns the interpreter that a script's first line names.
fn interpreter(script: &Path) -> Option<PathBuf> {
    let mut start = Vec::new();
    File::open(script).ok()?.take(FIRST_LINE).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let name = line.trim_ascii().split(|byte| byte.is_ascii_whitespace()).next()?;
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(name)))
}
