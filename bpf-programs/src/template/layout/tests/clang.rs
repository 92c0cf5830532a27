//! Compiles C for the tests.

use std::path::Path;
use std::process::Command;

use crate::template::layout::{Clocks, Fields, Hints, LayoutError, Show, Types};

/// Declarations that a BPF program's headers would contain.
const HEADER: &str = r#"
typedef signed char __s8; typedef unsigned char __u8; typedef unsigned short __u16; typedef unsigned int __u32;
typedef long long __s64; typedef unsigned long long __u64; typedef __u16 __be16; typedef __u32 __be32;
#define __uint(name, val) int (*name)[val]
#define __type(name, val) typeof(val) *name
#define SEC(name) __attribute__((section(name), used))
#define EVENT(type) const type *unused __attribute__((unused))
"#;

/// Runs clang; panics with its output if it fails.
pub(crate) fn clang(arguments: &[&str], source: &Path, out: &Path) {
    let clang = std::env::var("CLANG").unwrap_or_else(|_| "clang".to_owned());
    let output = Command::new(clang).args(arguments).arg(source).arg("-o").arg(out).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Compiles C to an eBPF object.
pub(crate) fn object(source: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (c, o) = (folder.path().join("t.bpf.c"), folder.path().join("t.bpf.o"));
    std::fs::write(&c, format!("{HEADER}{source}")).unwrap();
    clang(&["-target", "bpf", "-g", "-O2", "-c"], &c, &o);
    std::fs::read(&o).unwrap()
}

/// Compiles C and reads its types.
pub(crate) fn types(source: &str) -> Types {
    Types::of_object(&object(source)).unwrap()
}

/// Builds hints as a configuration would: `show` and `rename` by field.
pub(crate) fn hints(show: &[(&str, Show)], rename: &[(&str, &str)]) -> Hints {
    Hints {
        show: show.iter().map(|(field, show)| ((*field).to_owned(), *show)).collect(),
        rename: rename.iter().map(|(field, to)| ((*field).to_owned(), (*to).to_owned())).collect(),
    }
}

/// Decodes `bytes` as `struct event { … }`.
pub(crate) fn decoded(members: &str, hints: &Hints, bytes: &[u8]) -> Fields {
    let types = types(&format!("struct event {{ {members} }}; EVENT(struct event);"));
    types.record(None, hints).unwrap().decode(bytes, &Clocks::default()).unwrap()
}

/// Returns the error for the layout of `struct event { … }`.
pub(crate) fn refused(before: &str, members: &str, hints: &Hints) -> LayoutError {
    let types = types(&format!("{before} struct event {{ {members} }}; EVENT(struct event);"));
    types.record(None, hints).unwrap_err()
}
