//! Compiles the kernel side: every `*.bpf.c` below `src` into one object for each kind of hooks (`include/tier.h`),
//! which the crate carries.
//!
//! The objects are compiled side by side, as many at a time as cargo allows jobs. They are kept in the target folder
//! under a hash of everything that goes into them, so that other profiles and features of the crate, and changes to its
//! Rust code, do not compile them again.
//!
//! With `DUETECTOR_SKIP_BPF=1` the objects are empty files, so that the rest can be checked without clang.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// The objects, by the `TIER` they are compiled for; 0 is the object that shows whether tier function works.
const OBJECTS: [(u8, &str); 4] = [(1, "function"), (2, "tracepoint"), (3, "kprobe"), (0, "nothing")];
/// The source of that object.
const NOTHING: &str = "src/loader/nothing.c";

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal in $family:ident $(from $tracer:ident)?;)*) => {
        /// Name, number and family of each kind of records.
        const KINDS: &[(&str, u32, &str)] = &[$((stringify!($name), $number, stringify!($family))),*];
    };
}

macro_rules! syscalls {
    ($(
        $name:ident $call:ident $x86:tt $arm:tt $compat:tt
        $(Fs {($($field:ident $at:literal $(| $kind:ident)?),*) $($meaning:tt)*})? $(Act $act:tt)?;
    )*) => {
        /// Name of each system call, and its numbers on x86-64 and arm64.
        const CALLS: &[(&str, &str, &str)] = &[$((stringify!($name), stringify!($x86), stringify!($arm))),*];
        /// Name of each system call of family Fs, and the positions of its arguments as C initializes them.
        const FS_CALLS: &[(&str, &str)] = &[$($((
            stringify!($name),
            concat!($(".", stringify!($field), "=", stringify!($at $(| $kind)?), ","),*),
        ),)?)*];
    };
}

include!("src/wire/kinds.in");
include!("src/syscalls/calls.in");

/// First number for calls that the architecture lacks; no call has it.
const BEYOND: usize = 4096;

const INSTALL: &str = "install them, on Debian and Ubuntu with: apt-get install clang libbpf-dev";

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    println!("cargo:rerun-if-env-changed=DUETECTOR_SKIP_BPF");
    println!("cargo:rerun-if-env-changed=CLANG");
    println!("cargo:rerun-if-changed=include");
    println!("cargo:rerun-if-changed=src");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let (kinds, calls) = (kinds_header(), syscalls_header(&env::var("CARGO_CFG_TARGET_ARCH")?));
    fs::write(out.join("kinds.h"), &kinds)?;
    fs::write(out.join("syscalls.h"), &calls)?;
    if env::var("DUETECTOR_SKIP_BPF").is_ok_and(|value| value == "1") {
        for (_, name) in OBJECTS {
            fs::write(out.join(object(name)), b"")?;
        }
        return Ok(());
    }
    let source = include_all(&probes(Path::new("src"))?);
    let clang = Clang::find()?;
    let cache = cache(&out, &clang, &[&source, &kinds, &calls])?;
    if OBJECTS.iter().any(|(_, name)| !cache.join(object(name)).exists()) {
        compile_all(&clang, &source, &out)?;
        fs::create_dir_all(&cache)?;
        for (_, name) in OBJECTS {
            // Renamed, so that another build that runs at the same time never sees half an object.
            let partial = cache.join(format!("{name}.{}", std::process::id()));
            fs::copy(out.join(object(name)), &partial)?;
            fs::rename(&partial, cache.join(object(name)))?;
        }
        return Ok(());
    }
    for (_, name) in OBJECTS {
        fs::copy(cache.join(object(name)), out.join(object(name)))?;
    }
    Ok(())
}

fn object(tier: &str) -> String {
    format!("{tier}.bpf.o")
}

/// Returns the header with the kinds of records: their numbers, and as bits those of each family.
fn kinds_header() -> String {
    let mut text = String::from("#ifndef DUETECTOR_KINDS_H\n#define DUETECTOR_KINDS_H\n");
    let mut families = BTreeMap::new();
    for (name, number, family) in KINDS {
        text += &format!("#define KIND_{} {number}\n", name.to_uppercase());
        *families.entry(format!("KINDS_OF_{}", family.to_uppercase())).or_insert(0) |= 1_u64 << number;
    }
    let all = families.values().fold(0, |all, kinds| all | kinds);
    for (name, kinds) in families.into_iter().chain([("KINDS".to_owned(), all)]) {
        text += &format!("#define {name} {kinds}ULL\n");
    }
    text + "#endif\n"
}

/// Returns the header with the numbers of system calls, and the argument positions of those of family Fs.
fn syscalls_header(arch: &str) -> String {
    let mut text = String::from("#ifndef DUETECTOR_SYSCALLS_H\n#define DUETECTOR_SYSCALLS_H\n");
    let mut lacking = Vec::new();
    for (at, (name, x86, arm)) in CALLS.iter().enumerate() {
        let number = if arch == "x86_64" { x86 } else { arm };
        let number = number.parse().unwrap_or_else(|_| {
            lacking.push(name);
            BEYOND + at
        });
        text += &format!("#define NR_{name} {number}\n");
    }
    text += "#define FS_CALLS \\\n";
    for (call, positions) in FS_CALLS.iter().filter(|(call, _)| !lacking.contains(&call)) {
        text += &format!("[NR_{call}] = {{{positions}}}, \\\n");
    }
    text + "\n#endif\n"
}

/// Returns the kernel half of each tracer below `folder`, relative to this crate.
fn probes(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(probes(&path)?);
        } else if path.to_string_lossy().ends_with(".bpf.c") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Returns one source that includes all, so that they share maps and helpers, and clang alone makes the one object.
fn include_all(probes: &[PathBuf]) -> String {
    let mut text = String::new();
    for probe in probes {
        text += &format!("#include \"{}\"\n", probe.display());
    }
    text
}

/// Returns the folder for objects of exactly these sources, compiled by this compiler with these options.
fn cache(out: &Path, clang: &Clang, generated: &[&str]) -> Result<PathBuf> {
    let mut hash = DefaultHasher::new();
    (generated, clang.version()?, &clang.options, fs::read("build.rs")?).hash(&mut hash);
    for folder in ["include", "src", "/usr/include/bpf"] {
        for file in sources(Path::new(folder))? {
            (file.to_string_lossy(), fs::read(&file)?).hash(&mut hash);
        }
    }
    // OUT_DIR is `<target>/<profile>/build/<package>-<hash>/out`.
    let target = out.ancestors().nth(4).ok_or("OUT_DIR is not below a target folder")?;
    Ok(target.join("bpf-objects").join(format!("{:016x}", hash.finish())))
}

/// Returns every C file below the folder, in a fixed order; none if there is no such folder.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if folder.is_dir() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                found.extend(sources(&path)?);
            } else if path.extension().is_some_and(|ending| ending == "c" || ending == "h") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Compiles the objects side by side.
fn compile_all(clang: &Clang, source: &str, out: &Path) -> Result<()> {
    let jobs = env::var("NUM_JOBS").ok().and_then(|jobs| jobs.parse().ok()).unwrap_or(1);
    let waiting = Mutex::new(OBJECTS.iter());
    std::thread::scope(|scope| {
        let work = || {
            loop {
                let next = waiting.lock().map_err(|_| "another compilation panicked")?.next();
                let Some((tier, name)) = next else { return Ok(()) };
                let nothing = format!("#include \"{NOTHING}\"\n");
                let source = if *tier == 0 { nothing.as_str() } else { source };
                clang.compile(source, *tier, &out.join(object(name)))?;
            }
        };
        let workers: Vec<_> = (0..OBJECTS.len().min(jobs)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| "a compilation panicked")?)
    })
}

struct Clang {
    program: String,
    /// The options that all objects share.
    options: Vec<String>,
}

impl Clang {
    fn find() -> Result<Self> {
        let arch = match env::var("CARGO_CFG_TARGET_ARCH")?.as_str() {
            "x86_64" => "x86",
            "aarch64" => "arm64",
            other => return Err(format!("kernel tracers don't know the architecture {other}").into()),
        };
        // Distributions keep <asm/types.h> in a folder of the compiler's own architecture, which -target bpf misses.
        let multiarch = format!("/usr/include/{}-linux-gnu", env::consts::ARCH);
        let fixed = "-target bpf -mcpu=v3 -O2 -g -Wall -Wextra -Werror -I include -I . -idirafter";
        let mut options: Vec<_> = fixed.split(' ').map(str::to_owned).collect();
        options.extend([multiarch, format!("-D__TARGET_ARCH_{arch}")]);
        Ok(Self { program: env::var("CLANG").unwrap_or_else(|_| "clang".to_owned()), options })
    }

    fn version(&self) -> Result<Vec<u8>> {
        let output = Command::new(&self.program).arg("--version").output();
        Ok(output.map_err(|error| self.cannot_run(&error))?.stdout)
    }

    /// Compiles `source` into `object`; generated headers are beside the object.
    fn compile(&self, source: &str, tier: u8, object: &Path) -> Result<()> {
        // The paths of the building machine do not belong in the object.
        let no_paths = format!("-fdebug-prefix-map={}=.", env::current_dir()?.display());
        let mut child = Command::new(&self.program)
            .args(&self.options)
            .args([no_paths, format!("-DTIER={tier}")])
            .arg("-I")
            .arg(object.parent().ok_or("the object has no folder")?)
            .args(["-x", "c", "-c", "-", "-o"])
            .arg(object)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| self.cannot_run(&error))?;
        child.stdin.take().ok_or("clang has no standard input")?.write_all(source.as_bytes())?;
        let output = child.wait_with_output()?;
        if output.status.success() {
            return Ok(());
        }
        let messages = String::from_utf8_lossy(&output.stderr);
        let hint = if messages.contains("file not found") {
            format!("headers are missing; {INSTALL}\n")
        } else {
            String::new()
        };
        Err(format!("{} refused the kernel side\n{hint}{messages}", self.program).into())
    }

    fn cannot_run(&self, error: &std::io::Error) -> String {
        format!("can't run {} ({error}); {INSTALL}", self.program)
    }
}
