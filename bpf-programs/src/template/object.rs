//! The contents of an object file, read without loading it: programs, maps, constants.

use std::collections::BTreeMap;
use std::panic::catch_unwind;

use aya_obj::generated::bpf_map_type;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SectionKind, SymbolKind};
use serde::Serialize;

use super::config::Poll;
use super::hook::{Hook, section_type};

/// Map in which a program counts the records that found no room: an unsigned 64-bit number for each CPU. See
/// `duetector.h`.
pub(crate) const LOST: &str = "duetector_lost";
/// Constant that is set to the agent's process id, if the object has it.
pub(crate) const AGENT: &str = "agent_tgid";
/// Constants that are set to the device and inode of the pid namespace of that process id.
pub(crate) const AGENT_PIDNS: [&str; 2] = ["agent_pidns_dev", "agent_pidns_ino"];

/// Contents of an object.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Contents {
    /// Programs, in the order of the file.
    pub programs: Vec<Program>,
    /// Maps, by name.
    pub maps: Vec<Map>,
    /// Read-only variables, by name.
    pub constants: Vec<Constant>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Program {
    /// The program's function.
    pub name: String,
    pub section: String,
    /// The hook that the section names in full.
    pub hook: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Map {
    pub name: String,
    /// The map's type, as the kernel calls it.
    #[serde(rename = "type")]
    pub kind: String,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Number of entries; for a ring buffer its bytes.
    pub max_entries: u32,
    /// How records can come through it, if they can.
    pub(crate) poll: Option<Poll>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Constant {
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
}

impl Program {
    /// Returns the hook that the section names in full.
    pub(super) fn hook(&self) -> Option<Hook> {
        Hook::of_section(&self.name, &self.section)
    }

    /// Returns the first part of the section's name: the kind of program.
    pub(super) fn kind(&self) -> &str {
        self.section.split('/').next().unwrap_or_default()
    }
}

impl Contents {
    /// Reads an object file.
    ///
    /// # Errors
    /// The file is no eBPF object; the text says why.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        if !bytes.starts_with(b"\x7fELF") {
            return Err(
                "it is not an ELF file: name an object made by `clang -target bpf -c`, or its source (.bpf.c)"
                    .to_owned(),
            );
        }
        let file = object::File::parse(bytes).map_err(|cause| cause.to_string())?;
        if file.architecture() != object::Architecture::Bpf {
            return Err(format!(
                "it is for {:?}, not for eBPF: make it with `clang -target bpf -c`",
                file.architecture()
            ));
        }
        let maps = as_the_loader_does(bytes)?.maps;
        Ok(Self { programs: programs(&file), maps: self::maps(maps), constants: constants(&file) })
    }

    /// Returns the names of the programs.
    pub(super) fn program_names(&self) -> Vec<String> {
        self.programs.iter().map(|program| program.name.clone()).collect()
    }
}

/// Parses the file with the loader's own parser. That panics at some damaged objects (`aya-obj` 0.3 trusts
/// offsets in `.BTF.ext` and section sizes), and one bad object must not affect other tracers.
fn as_the_loader_does(bytes: &[u8]) -> Result<aya_obj::Object, String> {
    match catch_unwind(|| aya_obj::Object::parse(bytes)) {
        Ok(read) => read.map_err(|cause| cause.to_string()),
        Err(_) => Err("it is damaged: the loader can't parse it; compile it again".to_owned()),
    }
}

fn programs(file: &object::File<'_>) -> Vec<Program> {
    let mut found: Vec<(usize, u64, Program)> = Vec::new();
    for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_global()) {
        let section = symbol.section_index().and_then(|index| file.section_by_index(index).ok());
        let Some(section) = section.filter(|section| section.kind() == SectionKind::Text) else { continue };
        let (Ok(name), Ok(of)) = (symbol.name(), section.name()) else { continue };
        // Functions that programs call are in `.text`.
        if of == ".text" {
            continue;
        }
        let hook = Hook::of_section(name, of).map(|hook| hook.to_string());
        let program = Program { name: name.to_owned(), section: of.to_owned(), hook };
        found.push((section.index().0, symbol.address(), program));
    }
    found.sort_by_key(|(section, address, _)| (*section, *address));
    found.into_iter().map(|(_, _, program)| program).collect()
}

fn maps(maps: std::collections::HashMap<String, aya_obj::Map>) -> Vec<Map> {
    let sorted: BTreeMap<String, aya_obj::Map> = maps.into_iter().collect();
    // `.rodata` and other sections of variables; those that can be set are listed as constants.
    let own = sorted.into_iter().filter(|(name, _)| !name.starts_with('.'));
    own.map(|(name, map)| {
        let kind = map.map_type();
        let poll = match kind {
            kind if kind == bpf_map_type::BPF_MAP_TYPE_RINGBUF as u32 => Some(Poll::RingBuffer),
            kind if kind == bpf_map_type::BPF_MAP_TYPE_PERF_EVENT_ARRAY as u32 => Some(Poll::PerfBuffer),
            _ => None,
        };
        let kind = bpf_map_type::try_from(kind).map_or_else(|_| kind.to_string(), |kind| format!("{kind:?}"));
        let (key_size, value_size) = (map.key_size(), map.value_size());
        Map { name, kind, key_size, value_size, max_entries: map.max_entries(), poll }
    })
    .collect()
}

fn constants(file: &object::File<'_>) -> Vec<Constant> {
    let mut found = Vec::new();
    for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Data && symbol.size() > 0) {
        let section = symbol.section_index().and_then(|index| file.section_by_index(index).ok());
        let read_only = section.is_some_and(|section| section.name().is_ok_and(|n| n.starts_with(".rodata")));
        // Local symbols are the compiler's own.
        if let (true, true, Ok(name)) = (read_only, symbol.is_global(), symbol.name()) {
            found.push(Constant { name: name.to_owned(), bytes: symbol.size() });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// True if a template can attach the program, judging by its section.
pub(super) fn is_attachable(program: &Program) -> bool {
    section_type(program.kind()).is_some()
}
