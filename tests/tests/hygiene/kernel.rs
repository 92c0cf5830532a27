//! Rules about kernel tracers and the C they are written in.

use std::fs;

use tests::binary::workspace;

use crate::{files, none, relative};

#[test]
fn each_kernel_tracer_has_its_folder_and_its_reasons() {
    let source = workspace().join("bpf-programs/src");
    let mut tracers = 0;
    let mut complaints = Vec::new();
    for program in files(&source, "probe.bpf.c") {
        let folder = program.parent().unwrap();
        let Ok(text) = fs::read_to_string(folder.join("mod.rs")) else {
            complaints.push(format!("{}: no mod.rs", relative(folder)));
            continue;
        };
        tracers += 1;
        let head: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
        for heading in ["**Hook", "**Kernel", "**Cost"] {
            if !head.contains(heading) {
                complaints.push(format!("{}/mod.rs: no {heading}**", relative(folder)));
            }
        }
    }
    assert!(tracers >= 5, "only {tracers} kernel tracers");
    none(complaints);
}

#[test]
fn each_bpf_hash_map_says_why_it_is_one() {
    // Rings, counters and settings explain themselves; a hash map costs the most and can fill up.
    let mut maps = 0;
    let mut complaints = Vec::new();
    let folder = workspace().join("bpf-programs");
    for path in [files(&folder, ".bpf.c"), files(&folder, ".h")].concat() {
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        for (index, line) in lines.iter().enumerate().filter(|(_, line)| line.contains("SEC(\".maps\")")) {
            let struct_at =
                (0..=index).rev().find(|at| lines[*at].trim_start().starts_with("struct")).unwrap_or(index);
            if !lines[struct_at..index].iter().any(|line| line.contains("HASH")) {
                continue;
            }
            maps += 1;
            let above = struct_at.checked_sub(1).map_or("", |at| lines[at].trim());
            if !(above.ends_with("*/") || above.starts_with("//")) {
                complaints.push(format!(
                    "{}:{}: no reason above {}",
                    relative(&path),
                    index + 1,
                    line.trim()
                ));
            }
        }
    }
    assert!(maps >= 2, "only {maps} hash maps found");
    none(complaints);
}
