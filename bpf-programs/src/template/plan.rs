//! Matches a template with its object: all checks that need no kernel.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::config::{Poll, TemplateConfig};
use super::errors::{TemplateError, map_type};
use super::hook::{Hook, section_type};
use super::layout::{Layout, Types};
use super::object::{AGENT, AGENT_PIDNS, Contents, LOST, Program, is_attachable};

/// A template that fits its object, ready to be loaded.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(super) bytes: Vec<u8>,
    /// The map that records come through.
    pub(super) map: String,
    pub(super) poll: Poll,
    /// The map's size, if it differs from the object's.
    pub(super) buffer: Option<u32>,
    pub(super) poll_timeout: Duration,
    pub(super) layout: Layout,
    pub(super) hooks: Vec<(Hook, String)>,
    pub(super) constants: Vec<(String, Vec<u8>)>,
    /// True if the object counts the records that its map had no room for.
    pub(super) counts_lost: bool,
}

impl Plan {
    /// Matches a template with its object, read from `path`.
    ///
    /// # Errors
    /// The template does not fit the object.
    pub(crate) fn new(config: &TemplateConfig, path: &Path, bytes: Vec<u8>) -> Result<Self, TemplateError> {
        let of_layout = |source| TemplateError::Layout { path: path.to_owned(), source: Box::new(source) };
        // The loader's parser first: its errors say most clearly what is wrong with a file.
        let types = Types::of_object(&bytes).map_err(of_layout)?;
        let contents =
            Contents::read(&bytes).map_err(|why| TemplateError::Object { path: PathBuf::from(path), why })?;
        let (map, poll) = buffer(config, &contents)?;
        let hooks = hooks(config, &contents)?;
        let layout = types.layout(config.record.as_ref(), Some(&map), &config.hints()).map_err(of_layout)?;
        Ok(Self {
            map,
            poll,
            buffer: config.buffer.map(|size| u32::try_from(size.0).unwrap_or(u32::MAX)),
            poll_timeout: config.poll_timeout(),
            layout,
            hooks,
            constants: constants(config, &contents)?,
            counts_lost: contents.maps.iter().any(|map| map.name == LOST),
            bytes,
        })
    }
}

/// Returns the map that records come through, and its kind.
fn buffer(config: &TemplateConfig, contents: &Contents) -> Result<(String, Poll), TemplateError> {
    let fits = |poll: Poll| config.poll.is_none_or(|wanted| wanted == poll);
    let buffers: Vec<_> =
        contents.maps.iter().filter_map(|map| Some((map, map.poll.filter(|poll| fits(*poll))?))).collect();
    let wanted = config.poll.map_or("ring or perf buffer", map_type);
    let have = || contents.maps.iter().map(|map| format!("{} ({})", map.name, map.kind)).collect();
    if let Some(name) = &config.map {
        let found = buffers.iter().find(|(map, _)| map.name == *name);
        let missing = || TemplateError::NoMap { wanted: name.clone(), poll: wanted.to_owned(), have: have() };
        return found.map(|(map, poll)| (map.name.clone(), *poll)).ok_or_else(missing);
    }
    match &buffers[..] {
        [(map, poll)] => Ok((map.name.clone(), *poll)),
        [] => Err(TemplateError::WhichMap { why: format!("there is no {wanted}"), have: have() }),
        _ => {
            Err(TemplateError::WhichMap { why: "name the records' map with `map`".to_owned(), have: have() })
        }
    }
}

/// Returns each hook with its program.
fn hooks(config: &TemplateConfig, contents: &Contents) -> Result<Vec<(Hook, String)>, TemplateError> {
    if contents.programs.is_empty() {
        return Err(TemplateError::NoPrograms);
    }
    if config.attach.is_empty() {
        return contents.programs.iter().map(by_section).collect();
    }
    let hooks = config.attach.iter().map(Hook::of_config);
    hooks.map(|hook| program(&hook, contents).map(|program| (hook, program))).collect()
}

fn by_section(program: &Program) -> Result<(Hook, String), TemplateError> {
    let name = program.name.clone();
    match program.hook().filter(|_| is_attachable(program)) {
        Some(hook) => Ok((hook, name)),
        None => Err(TemplateError::NoHooks { program: name, section: program.section.clone() }),
    }
}

/// Returns the program that a hook names, or the only one for hooks of that kind.
fn program(hook: &Hook, contents: &Contents) -> Result<String, TemplateError> {
    let (hook_text, kind) = (hook.to_string(), hook.kind());
    let fits = |program: &&Program| section_type(program.kind()) == Some(kind);
    let found = match &hook.program {
        Some(name) => contents.programs.iter().find(|program| program.name == *name).ok_or_else(|| {
            let (program, have) = (name.clone(), contents.program_names());
            TemplateError::NoProgram { hook: hook_text.clone(), program, have }
        })?,
        None => {
            let fitting: Vec<&Program> = contents.programs.iter().filter(fits).collect();
            match (&fitting[..], &contents.programs[..]) {
                ([one], _) => one,
                // Refused below, because it does not fit.
                ([], [one]) => one,
                _ => {
                    return Err(TemplateError::WhichProgram {
                        hook: hook_text,
                        have: contents.program_names(),
                    });
                }
            }
        }
    };
    if fits(&found) {
        return Ok(found.name.clone());
    }
    let (program, section) = (found.name.clone(), found.section.clone());
    Err(TemplateError::WrongProgram { hook: hook_text, program, section, kind })
}

/// Returns the constants to set, as bytes: those of the template, and those that identify the agent.
fn constants(config: &TemplateConfig, contents: &Contents) -> Result<Vec<(String, Vec<u8>)>, TemplateError> {
    let mut set = Vec::new();
    for (name, value) in &config.constants {
        let found = contents.constants.iter().find(|constant| constant.name == *name);
        let Some(found) = found else {
            let have = contents.constants.iter().map(|constant| constant.name.clone()).collect();
            return Err(TemplateError::NoConstant { name: name.clone(), have });
        };
        let bytes = constant(value, found.bytes as usize)
            .map_err(|why| TemplateError::Constant { name: name.clone(), why })?;
        set.push((name.clone(), bytes));
    }
    let (device, inode) = crate::facts::pid_namespace().unwrap_or_default();
    let own = [(AGENT, u64::from(std::process::id())), (AGENT_PIDNS[0], device), (AGENT_PIDNS[1], inode)];
    for (name, value) in own {
        let found = contents.constants.iter().find(|constant| constant.name == name);
        if let Some(found) = found.filter(|_| !config.constants.contains_key(name))
            && let Ok(bytes) = constant(&value.into(), found.bytes as usize)
        {
            set.push((name.to_owned(), bytes));
        }
    }
    Ok(set)
}

/// Encodes a value for a variable of that size.
fn constant(value: &Value, size: usize) -> Result<Vec<u8>, String> {
    match value {
        Value::Bool(value) => constant(&u64::from(*value).into(), size),
        Value::String(text) if text.len() < size => {
            let mut bytes = text.clone().into_bytes();
            bytes.resize(size, 0);
            Ok(bytes)
        }
        Value::String(text) => {
            Err(format!("the variable has room for {} bytes and a NUL, not for {}", size - 1, text.len()))
        }
        Value::Array(items) => {
            if items.is_empty() || !size.is_multiple_of(items.len()) {
                return Err(format!("a variable of {size} bytes can't hold {} numbers", items.len()));
            }
            let parts = items.iter().map(|item| constant(item, size / items.len()));
            Ok(parts.collect::<Result<Vec<_>, _>>()?.concat())
        }
        number => {
            let whole = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
            let whole = whole.ok_or_else(|| format!("{number} is not a whole number"))?;
            if ![1, 2, 4, 8].contains(&size) {
                return Err(format!("a variable of {size} bytes is not a number"));
            }
            let bits = size as u32 * 8;
            if whole >= 1 << bits || whole < -(1 << (bits - 1)) {
                return Err(format!("{whole} does not fit into {size} bytes"));
            }
            // eBPF has the machine's byte order; the bytes that are cut off only repeat the sign.
            let bytes = whole.to_ne_bytes();
            let start = if cfg!(target_endian = "big") { bytes.len() - size } else { 0 };
            Ok(bytes[start..start + size].to_vec())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::object::Map;
    use super::*;

    #[test]
    fn constants_are_as_wide_as_their_variables() {
        assert_eq!(constant(&json!(258), 4).unwrap(), 258_u32.to_ne_bytes());
        assert_eq!(constant(&json!(-1), 2).unwrap(), [0xff, 0xff]);
        assert_eq!(constant(&json!(u64::MAX), 8).unwrap(), [0xff; 8]);
        assert_eq!(constant(&json!(true), 1).unwrap(), [1]);
        assert_eq!(constant(&json!("ab"), 4).unwrap(), b"ab\0\0");
        assert_eq!(constant(&json!([1, 2]), 4).unwrap(), [1_u16.to_ne_bytes(), 2_u16.to_ne_bytes()].concat());
        for (value, size, why) in [
            (json!(256), 1, "256 does not fit into 1 bytes"),
            (json!(-129), 1, "-129 does not fit into 1 bytes"),
            (json!("abcd"), 4, "the variable has room for 3 bytes and a NUL, not for 4"),
            (json!([1, 2, 3]), 4, "a variable of 4 bytes can't hold 3 numbers"),
            (json!(1), 3, "a variable of 3 bytes is not a number"),
        ] {
            assert_eq!(constant(&value, size).unwrap_err(), why);
        }
    }

    fn contents(maps: &[(&str, Option<Poll>)], programs: &[(&str, &str)]) -> Contents {
        let map = |(name, poll): &(&str, Option<Poll>)| {
            let (name, kind) = ((*name).to_owned(), "X".to_owned());
            Map { name, kind, key_size: 0, value_size: 0, max_entries: 1, poll: *poll }
        };
        let program = |(name, section): &(&str, &str)| Program {
            name: (*name).to_owned(),
            section: (*section).to_owned(),
            hook: None,
        };
        Contents {
            programs: programs.iter().map(program).collect(),
            maps: maps.iter().map(map).collect(),
            constants: Vec::new(),
        }
    }

    fn config(text: &str) -> TemplateConfig {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_only_buffer_or_the_one_that_is_named() {
        let (ring, perf) = (Some(Poll::RingBuffer), Some(Poll::PerfBuffer));
        let both = contents(&[("a", ring), ("b", perf), ("c", None)], &[]);
        let result = |text| buffer(&config(text), &both).map_err(|cause| cause.to_string());
        assert_eq!(result(r#"{"poll": "perf_buffer"}"#), Ok(("b".to_owned(), Poll::PerfBuffer)));
        assert_eq!(result(r#"{"map": "a"}"#), Ok(("a".to_owned(), Poll::RingBuffer)));
        assert!(result("{}").unwrap_err().contains("map with `map`"));
        assert!(result(r#"{"map": "c"}"#).unwrap_err().contains("of that name; it has"));
        assert!(result(r#"{"map": "a", "poll": "perf_buffer"}"#).unwrap_err().contains("PERF_EVENT_ARRAY"));
    }

    #[test]
    fn a_hook_finds_its_program_or_says_what_there_is() {
        let two = contents(&[], &[("f", "tp/a/b"), ("g", "kprobe/c")]);
        let result = |text: &str| {
            hooks(&config(text), &two)
                .map(|hooks| {
                    hooks.into_iter().map(|(hook, program)| format!("{hook}: {program}")).collect::<Vec<_>>()
                })
                .map_err(|cause| cause.to_string())
        };
        assert_eq!(result("{}").unwrap(), ["tracepoint a/b: f", "kprobe c: g"]);
        let named = r#"{"attach": [{"type": "kprobe", "function": ["x", "y"]}]}"#;
        assert_eq!(result(named).unwrap(), ["kprobe x|y: g"]);
        let wrong = r#"{"attach": [{"type": "kprobe", "function": "x", "program": "f"}]}"#;
        assert!(result(wrong).unwrap_err().contains("is in section \"tp/a/b\", which is not for a kprobe"));
        let unknown = r#"{"attach": [{"type": "kprobe", "function": "x", "program": "h"}]}"#;
        assert!(result(unknown).unwrap_err().contains("no program h; it has f, g"));
        let unclear = r#"{"attach": [{"type": "fentry", "function": "x"}]}"#;
        assert!(result(unclear).unwrap_err().contains("name its program with `program`"));
    }
}
