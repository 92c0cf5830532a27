//! Reads an object's type information (BTF) as untrusted input. Every number in it is checked where it is used,
//! every chain is followed for a limited length, and memory is allocated only for bytes that are there.
//!
//! Own code, because none of the crates fits: `aya-obj` keeps its types private, `btf-rs` has a licence that
//! may not be linked here (and allocates by lengths that the input states), `btf` is no longer maintained.

mod name;
mod read;

use std::ops::Range;

use object::LittleEndian;
use object::elf::{EM_BPF, EM_NONE};
use object::read::elf::{ElfFile64, FileHeader as _};
use object::{Object as _, ObjectSection as _, SectionKind};

use super::layout::LayoutError;

/// Limit of modifiers and typedefs between a name and its type; C code has a handful.
const CHAIN_LIMIT: usize = 64;
/// The kernel's own limit of a symbol's name; without it, reading each name could mean reading all names each
/// time.
const NAME_LIMIT: usize = 512;

/// Limit of the size of `.bss` in bytes.
const EMPTY_LIMIT: u64 = 64 << 20;

/// The types of one object.
#[derive(Clone, Debug)]
pub(crate) struct Btf {
    types: Vec<Type>,
    members: Vec<Member>,
    constants: Vec<Constant>,
    strings: Vec<u8>,
}

/// Index of a type; 0 is `void`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TypeId(pub u32);

/// Offset of a name in the string section; 0 is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name(u32);

/// A type, as far as record layouts need it.
#[derive(Clone, Debug)]
pub(crate) enum Type {
    Void,
    Int {
        name: Name,
        size: u32,
        signed: bool,
        boolean: bool,
        bit_offset: u32,
        bits: u32,
    },
    Pointer {
        to: TypeId,
    },
    Array {
        element: TypeId,
        count: u32,
    },
    Struct {
        name: Name,
        size: u32,
        union: bool,
        members: Range<usize>,
    },
    Enum {
        name: Name,
        size: u32,
        signed: bool,
        wide: bool,
        constants: Range<usize>,
    },
    Forward {
        name: Name,
    },
    Typedef {
        name: Name,
        to: TypeId,
    },
    /// `const`, `volatile`, `restrict` or a type tag.
    Modifier {
        to: TypeId,
    },
    Float {
        name: Name,
        size: u32,
    },
    Var {
        name: Name,
        to: TypeId,
        external: bool,
    },
    /// A section of variables.
    Section {
        name: Name,
        vars: Vec<TypeId>,
    },
    /// A function, its type, or a tag: nothing that a record can contain.
    Other {
        what: &'static str,
    },
}

/// A member of a struct or union.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    /// Empty for an anonymous struct or union.
    pub name: Name,
    /// The member's type.
    pub of: TypeId,
    /// Offset from the struct's beginning, in bits.
    pub bit_offset: u32,
    /// Width of a bit-field as newer compilers write it; 0 for an ordinary member.
    pub bits: u32,
}

/// A constant of an enum.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Constant {
    pub name: Name,
    /// The value; for an unsigned 64-bit enum the same bits.
    pub value: i64,
}

fn malformed(what: &'static str) -> LayoutError {
    LayoutError::Malformed { what }
}

impl Btf {
    /// Reads the section `.BTF` of an object file for this machine's eBPF.
    ///
    /// # Errors
    /// The file is no such object, has no type information, or it is malformed.
    pub(crate) fn of_object(elf: &[u8]) -> Result<Self, LayoutError> {
        if elf.get(..4) != Some(b"\x7fELF") {
            return Err(LayoutError::NoObject { why: "it is not an ELF file".to_owned() });
        }
        // Class and byte order are in these bytes; the machines we run on have 64-bit little-endian eBPF.
        if elf.get(4..6) != Some(&[2, 1]) {
            let why = "it is not a 64-bit little-endian file; compile it with `clang -target bpf`";
            return Err(LayoutError::NoObject { why: why.to_owned() });
        }
        let file = ElfFile64::<LittleEndian>::parse(elf)
            .map_err(|error| LayoutError::NoObject { why: error.to_string() })?;
        let machine = file.elf_header().e_machine(LittleEndian);
        if machine != EM_BPF && machine != EM_NONE {
            let why =
                format!("it is for machine {machine}, not for eBPF; compile it with `clang -target bpf`");
            return Err(LayoutError::NoObject { why });
        }
        // The loader allocates room for data that is not in the file; if it cannot, the agent would be aborted.
        let empty = file.sections().filter(|section| section.kind() == SectionKind::UninitializedData);
        if let Some(size) = empty.map(|section| section.size()).find(|size| *size > EMPTY_LIMIT) {
            let why = format!(
                "its uninitialised data (.bss) has {size} bytes, at most {EMPTY_LIMIT} can be loaded"
            );
            return Err(LayoutError::NoObject { why });
        }
        let section = file.section_by_name(".BTF").ok_or(LayoutError::NoBtf)?;
        let data = section.data().map_err(|error| LayoutError::NoObject { why: error.to_string() })?;
        Self::parse(data)
    }

    /// Returns the type of that index.
    ///
    /// # Errors
    /// There is no such type.
    pub(crate) fn get(&self, id: TypeId) -> Result<&Type, LayoutError> {
        self.types.get(id.0 as usize).ok_or_else(|| malformed("a type refers to one that does not exist"))
    }

    /// Iterates over all types with their index.
    pub(crate) fn all(&self) -> impl Iterator<Item = (TypeId, &Type)> {
        (0u32..).map(TypeId).zip(&self.types)
    }

    /// Returns the members of a struct or union.
    pub(crate) fn members_of(&self, members: &Range<usize>) -> &[Member] {
        self.members.get(members.clone()).unwrap_or_default()
    }

    /// Returns the constants of an enum.
    pub(crate) fn constants_of(&self, constants: &Range<usize>) -> &[Constant] {
        self.constants.get(constants.clone()).unwrap_or_default()
    }

    /// Returns a name; empty if there is none.
    ///
    /// # Errors
    /// The name lies outside of the section or is not UTF-8, which clang's names always are.
    pub(crate) fn name(&self, name: Name) -> Result<&str, LayoutError> {
        let rest = self.strings.get(name.0 as usize..).unwrap_or_default();
        let end = rest.iter().take(NAME_LIMIT).position(|byte| *byte == 0);
        let bytes = end
            .and_then(|end| rest.get(..end))
            .ok_or_else(|| malformed("a name lies outside of the section"))?;
        std::str::from_utf8(bytes).map_err(|_| malformed("a name is not UTF-8"))
    }

    /// Follows modifiers and typedefs to a type; also returns the names of the typedefs, outermost first.
    ///
    /// # Errors
    /// The chain is circular or leads nowhere.
    pub(crate) fn resolve(&self, id: TypeId) -> Result<(TypeId, Vec<&str>), LayoutError> {
        let (mut id, mut names) = (id, Vec::new());
        for _ in 0..CHAIN_LIMIT {
            id = match self.get(id)? {
                Type::Typedef { name, to } => {
                    names.push(self.name(*name)?);
                    *to
                }
                Type::Modifier { to } => *to,
                _ => return Ok((id, names)),
            };
        }
        Err(malformed("a type contains itself"))
    }
}
