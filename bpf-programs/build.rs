//! Compiles the kernel side: every `probe.bpf.c` below `src` into one object for each kind of hooks (`include/tier.h`),
//! which the crate carries.
//!
//! With `DUETECTOR_SKIP_BPF=1` empty files stand in for them, so that the rest can be checked without clang.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The objects, by the `TIER` they are compiled for.
const TIERS: [(u8, &str); 3] = [(1, "trampoline"), (2, "tracepoint"), (3, "kprobe")];

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal in $family:ident;)*) => {
        /// Name, number and family of each kind of records.
        const KINDS: &[(&str, u32, &str)] = &[$((stringify!($name), $number, stringify!($family))),*];
    };
}

include!("src/wire/kinds.in");

const INSTALL: &str = "install them, on Debian and Ubuntu with: apt-get install clang libbpf-dev";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-env-changed=DUETECTOR_SKIP_BPF");
    println!("cargo:rerun-if-env-changed=CLANG");
    println!("cargo:rerun-if-changed=include");
    println!("cargo:rerun-if-changed=src");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("kinds.h"), kinds_header())?;
    let object = |name: &str| out.join(format!("{name}.bpf.o"));
    if env::var("DUETECTOR_SKIP_BPF").is_ok_and(|value| value == "1") {
        for (_, name) in TIERS {
            fs::write(object(name), b"")?;
        }
        return Ok(());
    }
    let all = out.join("all.bpf.c");
    fs::write(&all, include_all(&probes(Path::new("src"))?))?;
    for (tier, name) in TIERS {
        compile(&all, tier, &object(name), &out)?;
    }
    Ok(())
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

/// The kernel half of each tracer, in a fixed order.
fn probes(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(probes(&path)?);
        } else if path.ends_with("probe.bpf.c") {
            found.push(fs::canonicalize(path)?);
        }
    }
    found.sort();
    Ok(found)
}

/// One source for all, so that they share maps and helpers, and clang alone makes the one object.
fn include_all(probes: &[PathBuf]) -> String {
    let mut text = String::new();
    for probe in probes {
        text += &format!("#include \"{}\"\n", probe.display());
    }
    text
}

fn compile(source: &Path, tier: u8, object: &Path, headers: &Path) -> Result<(), Box<dyn Error>> {
    let clang = env::var("CLANG").unwrap_or_else(|_| "clang".to_owned());
    let arch = match env::var("CARGO_CFG_TARGET_ARCH")?.as_str() {
        "x86_64" => "x86",
        "aarch64" => "arm64",
        other => return Err(format!("kernel tracers don't know the architecture {other}").into()),
    };
    // Distributions keep <asm/types.h> in a folder of the compiler's own architecture, which -target bpf misses.
    let multiarch = format!("/usr/include/{}-linux-gnu", env::consts::ARCH);
    let output = Command::new(&clang)
        .args(["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Wextra", "-Werror"])
        .args([format!("-D__TARGET_ARCH_{arch}"), format!("-DTIER={tier}")])
        .arg("-I")
        .arg(headers)
        .args(["-I", "include", "-idirafter", &multiarch])
        // The paths of this machine are nobody's business.
        .arg(format!("-fdebug-prefix-map={}=.", env::current_dir()?.display()))
        .arg("-c")
        .arg(source)
        .arg("-o")
        .arg(object)
        .output()
        .map_err(|error| format!("can't run {clang} ({error}); {INSTALL}"))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let hint = if words.contains("file not found") {
        format!("headers are missing; {INSTALL}\n")
    } else {
        String::new()
    };
    Err(format!("{clang} refused the kernel side\n{hint}{words}").into())
}
