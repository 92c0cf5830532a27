//! Duetector's defaults, where they differ from ours. They apply to settings that a file of duetector's leaves out.

use std::path::Path;

use toml::Value;

use super::super::layers::Layer;
use super::super::origin::Key;
use super::rules::URL;
use super::shape::Shape;

/// The names under which duetector stores what its kernel tracers record.
const NAMES: [(&str, &str); 3] =
    [("open", "do_sys_openat2"), ("clone", "__x64_sys_clone"), ("connect", "tcp_v4_connect")];
/// Duetector's interval between two polls of a command or child.
const INTERVAL: &str = "500ms";
/// Patterns of file names that duetector's filter drops. It also drops everything that root does.
const PATTERNS: [&str; 7] = ["/proc", "/sys", "/lib", "/dev", "/run", "/usr/lib", "/etc/ld.so.cache"];

/// Returns the settings of ours, by key, that stand for duetector's defaults. `file` has duetector's keys.
pub(super) fn implied(file: &Layer, folder: &Path) -> Vec<(Key, Value)> {
    let mut implied: Vec<(Key, Value)> = Vec::new();
    let mut add =
        |key: &str, value: Value| implied.push((key.split('.').map(str::to_owned).collect(), value));
    for tracer in bpf_programs::tracers() {
        match NAMES.iter().find(|(name, _)| *name == tracer.name) {
            Some((name, stored_as)) => add(&format!("tracer.{name}.name"), (*stored_as).into()),
            // duetector has no such tracer.
            None => add(&format!("tracer.{}.disabled", tracer.name), true.into()),
        }
    }
    let patterns = PATTERNS.map(Value::from).to_vec();
    add("filter.pattern.re_exclude_fname", patterns.into());
    add("filter.pattern.exclude_uid", vec![Value::from(0)].into());
    add("filter.pattern.exclude_gid", vec![Value::from(0)].into());
    add("filter.system.disabled", true.into());
    add("shell.interval", INTERVAL.into());
    add("tracer.uname.interval", INTERVAL.into());
    add("subprocess.restart_times", 0.into());
    // Its analyzer reads the store, so this has duetector's schema.
    add("collector.store.disabled", true.into());
    add("collector.sqlite.disabled", false.into());
    // A file in the current folder. Only a folder whose name is not UTF-8 is refused here.
    if let Ok(store) = Shape::Store.form(&URL.into(), folder) {
        add("collector.sqlite.path", store.value);
    }
    for name in children(file) {
        // duetector ignores `preserve_env`: its children always get the whole environment.
        let key = ["tracer", "template", "sp", &name, "preserve_env"].map(str::to_owned).to_vec();
        implied.push((key, true.into()));
    }
    implied
}

/// Returns the names of the file's subprocess tracers.
fn children(file: &Layer) -> Vec<String> {
    let mut names: Vec<String> = file
        .iter()
        .filter_map(|(key, _)| match key.as_slice() {
            [tracer, template, sp, name, _, ..] if [tracer, template, sp] == ["tracer", "template", "sp"] => {
                Some(name.clone())
            }
            _ => None,
        })
        .collect();
    names.dedup();
    names
}
