//! What a file of duetector's says without saying it: duetector's defaults, where they are not ours.

use std::path::Path;

use toml::Value;

use super::super::layers::{Key, Leaves};
use super::rules::URL;
use super::shape::Shape;

/// The names under which duetector stores what its kernel tracers record.
const NAMES: [(&str, &str); 3] =
    [("open", "do_sys_openat2"), ("clone", "__x64_sys_clone"), ("connect", "tcp_v4_connect")];
/// From one look at a command or child to the next.
const INTERVAL: &str = "500ms";
/// What duetector's filter hides, with root.
const PATTERNS: [&str; 7] = ["/proc", "/sys", "/lib", "/dev", "/run", "/usr/lib", "/etc/ld.so.cache"];

/// Settings of ours, by key, that hold where the file (in duetector's words) does not say otherwise.
pub(super) fn implied(file: &Leaves, folder: &Path) -> Vec<(Key, Value)> {
    let mut implied: Vec<(Key, Value)> = Vec::new();
    let mut say =
        |key: &str, value: Value| implied.push((key.split('.').map(str::to_owned).collect(), value));
    for tracer in bpf_programs::programs::tracers() {
        match NAMES.iter().find(|(name, _)| *name == tracer.name) {
            Some((name, stored_as)) => say(&format!("tracer.{name}.name"), (*stored_as).into()),
            // duetector has no such tracer.
            None => say(&format!("tracer.{}.disabled", tracer.name), true.into()),
        }
    }
    let patterns = PATTERNS.map(Value::from).to_vec();
    say("filter.pattern.re_exclude_fname", patterns.into());
    say("filter.pattern.exclude_uid", vec![Value::from(0)].into());
    say("filter.pattern.exclude_gid", vec![Value::from(0)].into());
    say("shell.interval", INTERVAL.into());
    say("tracer.uname.interval", INTERVAL.into());
    say("subprocess.restart_times", 0.into());
    // A file, relative to the folder one starts in; that has a name, or nothing could be stored.
    if let Ok(store) = Shape::Store.form(&URL.into(), folder) {
        say("collector.sqlite.path", store.value);
    }
    for name in children(file) {
        // duetector never reads `preserve_env`: its children always have the whole environment.
        let key = ["tracer", "template", "sp", &name, "preserve_env"].map(str::to_owned).to_vec();
        implied.push((key, true.into()));
    }
    implied
}

/// Names of the file's subprocess tracers.
fn children(file: &Leaves) -> Vec<String> {
    let mut names: Vec<String> = file
        .0
        .keys()
        .filter_map(|key| match key.as_slice() {
            [tracer, template, sp, name, _, ..] if [tracer, template, sp] == ["tracer", "template", "sp"] => {
                Some(name.clone())
            }
            _ => None,
        })
        .collect();
    names.dedup();
    names
}
