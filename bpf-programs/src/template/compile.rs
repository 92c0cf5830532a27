//! Compiles a template's source with the machine's clang, in a private folder and within a time limit.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use actors::clock;
use tokio::process::Command;

use super::errors::TemplateError;

/// The text of `duetector.h`, which sources may include.
pub const HEADER: &str = include_str!("../../include/duetector.h");
/// The header's file name.
pub(crate) const HEADER_NAME: &str = "duetector.h";

/// Time limit of a compilation; the examples take a quarter of a second.
const LIMIT: Duration = Duration::from_secs(60);
/// Limit of the compiler's lines that are kept.
const WORDS: usize = 6;
/// Limit of the length of such a line.
const LONGEST_LINE: usize = 400;

/// The architecture's name in libbpf's headers.
#[cfg(target_arch = "x86_64")]
const ARCH: &str = "x86";
#[cfg(target_arch = "aarch64")]
const ARCH: &str = "arm64";
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("kernel tracers don't know this architecture");

/// True if this is a source, which must be compiled before it can be loaded.
pub fn is_source(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "c")
}

/// Reads an object, or compiles its source.
///
/// # Errors
/// The file can't be read, there is no compiler, or it refuses the source or takes too long.
pub async fn object(path: &Path, cflags: &[String]) -> Result<Vec<u8>, TemplateError> {
    if !is_source(path) {
        return read(path);
    }
    // clang's own message for a missing file names the command line, not the setting.
    read(path)?;
    let folder = tempfile::Builder::new().prefix("duetector-bpf-").tempdir();
    let folder = folder.map_err(|source| TemplateError::Folder { path: path.to_owned(), source })?;
    let object = folder.path().join("program.bpf.o");
    let header = fs::write(folder.path().join(HEADER_NAME), HEADER);
    header.map_err(|source| TemplateError::Folder { path: path.to_owned(), source })?;
    compile(path, folder.path(), &object, cflags).await?;
    read(&object)
}

fn read(path: &Path) -> Result<Vec<u8>, TemplateError> {
    fs::read(path).map_err(|source| TemplateError::Read { path: path.to_owned(), source })
}

async fn compile(path: &Path, folder: &Path, object: &Path, cflags: &[String]) -> Result<(), TemplateError> {
    let no_clang = |source| TemplateError::NoClang { path: path.to_owned(), source };
    let clang = find("clang").ok_or_else(|| no_clang(io::Error::from(io::ErrorKind::NotFound)))?;
    // Distributions keep <asm/types.h> in a folder of the compiler's own architecture, which -target bpf does
    // not search.
    let multiarch = format!("/usr/include/{}-linux-gnu", std::env::consts::ARCH);
    let mut command = Command::new(clang);
    command.args(["-target", "bpf", "-mcpu=v3", "-g", "-O2", "-Wall", "-fno-color-diagnostics"]);
    command.arg(format!("-D__TARGET_ARCH_{ARCH}")).arg("-I").arg(folder);
    command.args(["-idirafter", &multiarch]).args(cflags);
    command.arg("-c").arg(path).arg("-o").arg(object);
    command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    let output = tokio::select! {
        output = command.output() => output.map_err(no_clang)?,
        () = clock::sleep(LIMIT) => return Err(TemplateError::Slow { path: path.to_owned(), limit: LIMIT }),
    };
    if output.status.success() {
        return Ok(());
    }
    let mut words = words(&String::from_utf8_lossy(&output.stderr));
    if words.is_empty() {
        words.push(format!("clang ended with {}", output.status));
    }
    Err(TemplateError::Compile { path: path.to_owned(), words })
}

/// Returns the compiler's errors, or all of its output if none of it is marked as an error.
fn words(said: &str) -> Vec<String> {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let is_error = |line: &&str| line.contains("error:");
    let short = |line: &str| line.chars().take(LONGEST_LINE).collect::<String>();
    let errors: Vec<String> = lines().filter(is_error).take(WORDS).map(short).collect();
    if errors.is_empty() { lines().take(WORDS).map(short).collect() } else { errors }
}

/// Finds a program as `execvp` does, so that a missing one and one that can't be run give different errors.
fn find(program: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_come_before_everything_else() {
        let said =
            "a.c:1:2: warning: odd\n  int x\n      ^\na.c:3:4: error: no semicolon\n1 error generated.\n";
        assert_eq!(words(said), ["a.c:3:4: error: no semicolon"]);
        assert_eq!(words("clang: what\n\n"), ["clang: what"]);
    }
}
