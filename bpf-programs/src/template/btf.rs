//! An object's type information (BTF), read as what it is: input from a stranger. Every number in it is checked
//! where it is used, nothing is followed without end, and no room is made before the bytes for it are there.
//!
//! Own code, because none of the crates fits: `aya-obj` keeps its types to itself, `btf-rs` is under a licence
//! that may not be linked here (and makes room by lengths that the input states), `btf` is no longer kept.

mod name;

use std::ops::Range;

use object::LittleEndian;
use object::elf::{EM_BPF, EM_NONE};
use object::read::elf::{ElfFile64, FileHeader as _};
use object::{Object as _, ObjectSection as _};

use super::layout::LayoutError;

/// Modifiers and typedefs between a name and what it means; C code has a handful.
const CHAIN_LIMIT: usize = 64;
/// The kernel's own limit of a symbol's name: what reads each name must not be made to read all of them each time.
const NAME_LIMIT: usize = 512;
const MAGIC: u16 = 0xeb9f;
const HEADER: usize = 24;

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
        let section = file.section_by_name(".BTF").ok_or(LayoutError::NoBtf)?;
        let data = section.data().map_err(|error| LayoutError::NoObject { why: error.to_string() })?;
        Self::parse(data)
    }

    /// Type information as it stands in the section.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn parse(data: &[u8]) -> Result<Self, LayoutError> {
        let header = Words { data };
        if data.len() < HEADER || data[..2] == MAGIC.to_be_bytes() {
            return Err(malformed("its header is cut, or of a machine with another byte order"));
        }
        if data[..2] != MAGIC.to_le_bytes() || data[2] != 1 || data[3] != 0 {
            return Err(malformed("its header is not that of BTF version 1"));
        }
        let whole = header.word(4)? as usize;
        let body = data.get(whole.max(HEADER)..).ok_or_else(|| malformed("its header is cut"))?;
        let part = |at: usize| -> Result<&[u8], LayoutError> {
            let (start, length) = (header.word(at)? as usize, header.word(at + 4)? as usize);
            let end = start.checked_add(length);
            end.and_then(|end| body.get(start..end)).ok_or_else(|| malformed("a part lies outside of it"))
        };
        let strings = part(16)?.to_vec();
        if strings.first() != Some(&0) || strings.last() != Some(&0) {
            return Err(malformed("its names are not closed"));
        }
        let void = vec![Type::Void];
        let mut btf = Self { types: void, members: Vec::new(), constants: Vec::new(), strings };
        let mut rest = Words { data: part(8)? };
        while !rest.data.is_empty() {
            let found = btf.read_type(&mut rest)?;
            btf.types.push(found);
        }
        btf.settle_signs();
        Ok(btf)
    }

    fn read_type(&mut self, from: &mut Words<'_>) -> Result<Type, LayoutError> {
        let [name, info, size] = from.take()?;
        let (name, to) = (Name(name), TypeId(size));
        let (kind, count, flag) = (info >> 24 & 0x1f, info & 0xffff, info >> 31 == 1);
        Ok(match kind {
            1 => {
                let [data] = from.take()?;
                let (encoding, bit_offset, bits) = (data >> 24 & 0xf, data >> 16 & 0xff, data & 0xff);
                let (signed, boolean) = (encoding & 1 != 0, encoding & 4 != 0);
                Type::Int { name, size, signed, boolean, bit_offset, bits }
            }
            2 => Type::Pointer { to },
            3 => {
                let [element, _index, count] = from.take()?;
                Type::Array { element: TypeId(element), count }
            }
            4 | 5 => Type::Struct { name, size, union: kind == 5, members: self.members(from, count, flag)? },
            6 => {
                Type::Enum { name, size, signed: flag, wide: false, constants: self.constants(from, count)? }
            }
            7 => Type::Forward { name },
            8 => Type::Typedef { name, to },
            9..=11 | 18 => Type::Modifier { to },
            12 => Type::Other { what: "a function" },
            13 => {
                for _ in 0..count {
                    let [_name, _of] = from.take()?;
                }
                Type::Other { what: "a function type" }
            }
            14 => {
                let [linkage] = from.take()?;
                Type::Var { name, to, external: linkage == 2 }
            }
            15 => {
                let mut vars = Vec::new();
                for _ in 0..count {
                    let [var, _offset, _size] = from.take()?;
                    vars.push(TypeId(var));
                }
                Type::Section { name, vars }
            }
            16 => Type::Float { name, size },
            17 => {
                let [_component] = from.take()?;
                Type::Other { what: "a declaration tag" }
            }
            19 => Type::Enum {
                name,
                size,
                signed: flag,
                wide: true,
                constants: self.wide_constants(from, count)?,
            },
            _ => return Err(malformed("it holds a kind of type that BTF version 1 does not have")),
        })
    }

    fn members(&mut self, from: &mut Words<'_>, count: u32, bits: bool) -> Result<Range<usize>, LayoutError> {
        let start = self.members.len();
        for _ in 0..count {
            let [name, of, offset] = from.take()?;
            // With the flag the upper byte is the width of a bit-field.
            let (bit_offset, bits) = if bits { (offset & 0xff_ffff, offset >> 24) } else { (offset, 0) };
            self.members.push(Member { name: Name(name), of: TypeId(of), bit_offset, bits });
        }
        Ok(start..self.members.len())
    }

    fn constants(&mut self, from: &mut Words<'_>, count: u32) -> Result<Range<usize>, LayoutError> {
        let start = self.constants.len();
        for _ in 0..count {
            let [name, value] = from.take()?;
            // Put right by `settle_signs` where the enum is unsigned.
            self.constants.push(Constant { name: Name(name), value: i64::from(value.cast_signed()) });
        }
        Ok(start..self.constants.len())
    }

    fn wide_constants(&mut self, from: &mut Words<'_>, count: u32) -> Result<Range<usize>, LayoutError> {
        let start = self.constants.len();
        for _ in 0..count {
            let [name, low, high] = from.take()?;
            let value = (u64::from(high) << 32 | u64::from(low)).cast_signed();
            self.constants.push(Constant { name: Name(name), value });
        }
        Ok(start..self.constants.len())
    }

    /// Compilers before clang 16 don't tell whether an enum is signed. Where one of a later one is among the
    /// types, no flag means unsigned; else an enum with a constant from 2^31 up is taken for one with negative
    /// constants, which are far more common.
    fn settle_signs(&mut self) {
        let told = self
            .types
            .iter()
            .any(|found| matches!(found, Type::Enum { signed, wide, .. } if *signed || *wide));
        for found in &mut self.types {
            let Type::Enum { signed, wide: false, constants, .. } = found else { continue };
            let constants = &mut self.constants[constants.clone()];
            if !*signed && !told && constants.iter().any(|constant| constant.value < 0) {
                *signed = true;
            }
            if !*signed {
                constants.iter_mut().for_each(|constant| constant.value &= 0xffff_ffff);
            }
        }
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

/// 32-bit words.
struct Words<'a> {
    data: &'a [u8],
}

impl Words<'_> {
    fn word(&self, at: usize) -> Result<u32, LayoutError> {
        let bytes = self.data.get(at..).and_then(<[u8]>::first_chunk);
        bytes
            .map(|bytes| u32::from_le_bytes(*bytes))
            .ok_or_else(|| malformed("it ends in the middle of a type"))
    }

    fn take<const N: usize>(&mut self) -> Result<[u32; N], LayoutError> {
        let mut words = [0; N];
        for (index, word) in words.iter_mut().enumerate() {
            *word = self.word(index * 4)?;
        }
        self.data = self.data.get(N * 4..).unwrap_or_default();
        Ok(words)
    }
}
