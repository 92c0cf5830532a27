//! `tracers inspect`: lists what is in a user's object, and drafts a template for it.

use std::path::Path;

use serde::Serialize;

use super::compile;
use super::config::HookType;
use super::errors::TemplateError;
use super::hook::section_type;
use super::layout::{FieldLine, Hints, LayoutError, RecordChoice, Types};
use super::object::{Constant, Contents, Map, Program};

/// An object's contents, read without loading it.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    pub file: String,
    pub programs: Vec<Program>,
    pub maps: Vec<Map>,
    /// Read-only variables, which `constants` can set.
    pub constants: Vec<Constant>,
    /// Layouts of the structs that are declared to be records.
    pub records: Vec<RecordLayout>,
    /// Reasons why layouts are missing.
    pub problems: Vec<String>,
    /// Names of all structs that `record` could name.
    pub structs: Vec<String>,
    /// A configuration section to paste.
    pub template: String,
}

/// Layout of a struct as it would be decoded.
#[derive(Clone, Debug, Serialize)]
pub struct RecordLayout {
    /// The struct's name, as `record` can name it.
    pub record: String,
    pub bytes: usize,
    pub fields: Vec<FieldLine>,
}

/// Reads an object, or compiles its source, and lists its contents.
///
/// # Errors
/// The file can't be read or compiled, or is no object.
pub async fn inspect(path: &Path, cflags: &[String]) -> Result<Inspection, TemplateError> {
    let bytes = compile::object(path, cflags).await?;
    let types = match Types::of_object(&bytes) {
        Err(source) if !matches!(source, LayoutError::NoBtf) => {
            return Err(TemplateError::Layout { path: path.to_owned(), source: Box::new(source) });
        }
        types => types,
    };
    let contents =
        Contents::read(&bytes).map_err(|why| TemplateError::Object { path: path.to_owned(), why })?;
    let (mut records, mut problems, mut structs) = (Vec::new(), Vec::new(), Vec::new());
    match types {
        Err(cause) => problems.push(cause.to_string()),
        Ok(types) => {
            structs = types.structs();
            for name in types.candidates() {
                match types.layout(Some(&RecordChoice::Named(name)), None, &Hints::default()) {
                    Ok(layout) => records.extend(layout.describe().map(|(record, bytes, fields)| {
                        RecordLayout { record: record.to_owned(), bytes, fields: fields.to_vec() }
                    })),
                    Err(cause) => problems.push(cause.to_string()),
                }
            }
            if records.is_empty() && problems.is_empty() {
                problems.extend(types.layout(None, None, &Hints::default()).err().map(|it| it.to_string()));
            }
        }
    }
    let template = template(path, &contents, &records);
    let Contents { programs, maps, constants } = contents;
    let file = path.display().to_string();
    Ok(Inspection { file, programs, maps, constants, records, problems, structs, template })
}

/// Drafts a section to paste: what the object says itself is left out, what it leaves open is to be filled in.
fn template(path: &Path, contents: &Contents, records: &[RecordLayout]) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut text = format!("[tracer.template.bpf.{}]\n", name(path));
    let mut line = |line: String| text.extend([line.as_str(), "\n"]);
    line(format!("program = {:?}", absolute.display().to_string()));
    let buffers: Vec<_> = contents.maps.iter().filter(|map| map.poll.is_some()).collect();
    if let ([first, _, ..], [_, others @ ..]) = (&buffers[..], &buffers[..]) {
        let others: Vec<_> = others.iter().map(|map| map.name.as_str()).collect();
        line(format!("map = {:?}  # or {}", first.name, others.join(", ")));
    }
    if let [first, others @ ..] = records
        && !others.is_empty()
    {
        let others: Vec<_> = others.iter().map(|other| other.record.as_str()).collect();
        line(format!("record = {:?}  # or {}", first.record, others.join(", ")));
        line(format!(
            "# several on one ring: record = {{ kind = \"FIELD\", 1 = {:?}, 2 = {:?} }}",
            first.record, others[0]
        ));
    }
    if contents.programs.iter().any(|program| program.hook.is_none()) {
        line("attach = [".to_owned());
        for program in &contents.programs {
            line(format!("    {}", hook(program)));
        }
        line("]".to_owned());
    } else {
        let hooks = contents.programs.iter().filter_map(|program| program.hook.as_deref());
        line(format!("# attached where the sections say: {}", hooks.collect::<Vec<_>>().join(", ")));
    }
    text
}

/// Writes an entry of `attach`, with capitals for what the program's section does not name.
fn hook(program: &Program) -> String {
    let rest = program.section.split_once('/').map(|(_, rest)| rest);
    let Some(kind) = section_type(program.kind()) else {
        return format!("# {}: a program in section {:?} can't be attached", program.name, program.section);
    };
    let keys = match kind {
        HookType::Tracepoint => {
            let (category, name) = rest.and_then(|rest| rest.split_once('/')).unwrap_or(("CATEGORY", "NAME"));
            format!("category = {category:?}, name = {name:?}")
        }
        HookType::RawTracepoint | HookType::BtfTracepoint => format!("name = {:?}", rest.unwrap_or("NAME")),
        HookType::Uprobe | HookType::Uretprobe => {
            let (path, function) =
                rest.and_then(|rest| rest.rsplit_once(':')).unwrap_or(("LIBRARY", "FUNCTION"));
            format!("path = {path:?}, function = {function:?}")
        }
        HookType::PerfEvent => "frequency = 99".to_owned(),
        _ => format!("function = {:?}", rest.unwrap_or("FUNCTION")),
    };
    format!("{{ type = \"{kind}\", {keys}, program = {:?} }},", program.name)
}

/// Derives a tracer's name from a file's.
fn name(path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = file.split('.').next().unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
    let name: String = stem.chars().map(plain).take(64).collect();
    if name.is_empty() { "mine".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(name: &str, section: &str) -> Program {
        let hook = super::super::hook::Hook::of_section(name, section).map(|hook| hook.to_string());
        Program { name: name.to_owned(), section: section.to_owned(), hook }
    }

    #[test]
    fn what_the_object_says_is_left_out() {
        let mut contents =
            Contents { programs: vec![program("f", "tp/signal/signal_generate")], ..Contents::default() };
        assert_eq!(
            template(Path::new("/x/kill watch.bpf.o"), &contents, &[]),
            "[tracer.template.bpf.kill_watch]\nprogram = \"/x/kill watch.bpf.o\"\n\
             # attached where the sections say: tracepoint signal/signal_generate\n"
        );
        contents.programs.push(program("g", "uprobe"));
        let drafted = template(Path::new("/x/a.bpf.o"), &contents, &[]);
        assert!(drafted.contains(
            r#"{ type = "tracepoint", category = "signal", name = "signal_generate", program = "f" },"#
        ));
        assert!(
            drafted
                .contains(r#"{ type = "uprobe", path = "LIBRARY", function = "FUNCTION", program = "g" },"#)
        );
    }
}
