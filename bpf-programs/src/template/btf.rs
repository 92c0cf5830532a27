//! An object's type information (BTF), read as what it is: input from a stranger. Every number in it is checked
//! where it is used, nothing is followed without end, and no room is made before the bytes for it are there.
//!
//! Own code, because none of the crates fits: `aya-obj` keeps its types to itself, `btf-rs` is under a licence
//! that may not be linked here (and makes room by lengths that the input states), `btf` is no longer kept.

mod name;
mod read;

use std::ops::Range;

use object::LittleEndian;
use object::elf::{EM_BPF, EM_NONE};
use object::read::elf::{ElfFile64, FileHeader as _};
use object::{Object as _, ObjectSection as _, SectionKind};

use super::layout::LayoutError;

/// Modifiers and typedefs between a name and what it means; C code has a handful.
const CHAIN_LIMIT: usize = 64;
/// The kernel's own limit of a symbol's name: what reads each name must not be made to read all of them each time.
const NAME_LIMIT: usize = 512;

/// Bytes of `.bss`.
const EMPTY_LIMIT: u64 = 64 << 20;

/// The types of one object.
#[derive(Clone, Debug)]
pub struct Btf {
    types: Vec<Type>,
    members: Vec<Member>,
    constants: Vec<Constant>,
    strings: Vec<u8>,
}

/// Index of a type; 0 is `void`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub u32);

/// Place of a name among the strings; 0 is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name(u32);

/// One type, as far as record layouts need to know it.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the words of the BTF specification")]
pub enum Type {
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
    /// `const`, `volatile`, `restrict`, a type tag.
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
    /// A function, its type, a tag: nothing that bytes could be.
    Other {
        what: &'static str,
    },
}

/// A struct's or union's member.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Empty for an anonymous struct or union.
    pub name: Name,
    /// Its type.
    pub of: TypeId,
    /// From the struct's beginning.
    pub bit_offset: u32,
    /// Width of a bit-field as newer compilers write it; 0 of an ordinary member.
    pub bits: u32,
}

/// One of an enum's constants.
#[derive(Clone, Copy, Debug)]
pub struct Constant {
    /// Its name.
    pub name: Name,
    /// Its value; of an unsigned 64-bit one the same bits.
    pub value: i64,
}

fn malformed(what: &'static str) -> LayoutError {
    LayoutError::Malformed { what }
}

impl Btf {
    /// The section `.BTF` of an object file for this machine's eBPF.
    ///
    /// # Errors
    /// When the file is no such object, or has no type information, or that is malformed.
    pub fn of_object(elf: &[u8]) -> Result<Self, LayoutError> {
        if elf.get(..4) != Some(b"\x7fELF") {
            return Err(LayoutError::NoObject { why: "it is no ELF file".to_owned() });
        }
        // Class and byte order stand here; the eBPF of the machines we run on is 64 bits, least byte first.
        if elf.get(4..6) != Some(&[2, 1]) {
            let why = "it is no 64-bit little-endian file; compile it with `clang -target bpf`";
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
        // Room that no bytes of the file stand for: the loader would make it, and where it can't, end the agent.
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

    /// The type of that index.
    ///
    /// # Errors
    /// When there is none.
    pub fn get(&self, id: TypeId) -> Result<&Type, LayoutError> {
        self.types.get(id.0 as usize).ok_or_else(|| malformed("a type refers to one that is not there"))
    }

    /// All types, with their index.
    pub fn all(&self) -> impl Iterator<Item = (TypeId, &Type)> {
        (0u32..).map(TypeId).zip(&self.types)
    }

    /// The members of a struct or union.
    pub fn members_of(&self, members: &Range<usize>) -> &[Member] {
        self.members.get(members.clone()).unwrap_or_default()
    }

    /// The constants of an enum.
    pub fn constants_of(&self, constants: &Range<usize>) -> &[Constant] {
        self.constants.get(constants.clone()).unwrap_or_default()
    }

    /// A name; empty for none.
    ///
    /// # Errors
    /// When it lies outside, or is not UTF-8, which clang's never are.
    pub fn name(&self, name: Name) -> Result<&str, LayoutError> {
        let rest = self.strings.get(name.0 as usize..).unwrap_or_default();
        let end = rest.iter().take(NAME_LIMIT).position(|byte| *byte == 0);
        let bytes =
            end.and_then(|end| rest.get(..end)).ok_or_else(|| malformed("a name lies outside of it"))?;
        std::str::from_utf8(bytes).map_err(|_| malformed("a name is not UTF-8"))
    }

    /// What is behind modifiers and typedefs, and the typedefs' names on the way, outermost first.
    ///
    /// # Errors
    /// When it goes in a circle, or nowhere.
    pub fn resolve(&self, id: TypeId) -> Result<(TypeId, Vec<&str>), LayoutError> {
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
        Err(malformed("a type is made of itself"))
    }
}
