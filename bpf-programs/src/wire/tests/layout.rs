//! Compares the sizes and offsets of C's structs, from the type information in the object itself, with those of
//! Rust's.

use super::btf;
use crate::catalog::OBJECT;
use crate::wire;

/// A struct's name in C, its size in Rust, its fields in Rust.
type Layout = (&'static str, usize, &'static [(&'static str, usize, usize)]);

macro_rules! layouts {
    ($($c:literal $rust:ident)*) => {
        [$(($c, size_of::<wire::$rust>(), wire::$rust::LAYOUT)),*]
    };
}

#[test]
fn c_and_rust_agree() {
    let layouts: [Layout; 28] = layouts! {
        "text" TextRef
        "header" Header
        "open_record" OpenRecord
        "exec_record" ExecRecord
        "clone_record" CloneRecord
        "exit_record" ExitRecord
        "sock_record" SockRecord
        "socket_ids" SocketIds
        "file_id" FileId
        "fs_record" FsRecord
        "usage_record" UsageRecord
        "usage_key" UsageKey
        "sweep" Sweep
        "act_record" ActRecord
        "process_record" ProcessRecord
        "settings" Settings
        "count" Count
        "counts" Counts
        "loss_key" LossKey
        "mark" Mark
        "unstored" Unstored
        "test" RuleTest
        "cgroup_key" CgroupKey
        "path_key" PathKey
        "system_folder" SystemFolder
        "system_folders" SystemFolders
        "process_key" ProcessKey
        "tree" Tree
    };
    if OBJECT.is_empty() {
        // Built without the kernel side: there is nothing to compare.
        return;
    }
    let types = btf::types(OBJECT);
    for (name, size, fields) in layouts {
        let found =
            types.iter().find(|found| found.name == name).unwrap_or_else(|| panic!("no struct {name}"));
        assert_eq!(found.size, size, "size of {name}");
        let in_c: Vec<_> = found.fields.iter().map(|(name, at)| (name.as_str(), *at)).collect();
        let in_rust: Vec<_> = fields.iter().map(|(name, at, _)| (*name, *at)).collect();
        assert_eq!(in_c, in_rust, "fields of {name}");
    }
}
