//! Parses the section's bytes into types. All kinds of the specification are read, so that the next type starts
//! at the right byte; of a type that no record can contain only its index and size are kept.

use std::ops::Range;

use super::{Btf, Constant, Member, Name, Type, TypeId, malformed};
use crate::template::layout::LayoutError;

const MAGIC: u16 = 0xeb9f;
const HEADER: usize = 24;

impl Btf {
    /// Parses a whole type section.
    ///
    /// # Errors
    /// If the type information is malformed.
    pub(crate) fn parse(data: &[u8]) -> Result<Self, LayoutError> {
        let header = Words { data };
        if data.len() < HEADER || data[..2] == MAGIC.to_be_bytes() {
            return Err(malformed("the header is truncated, or has another byte order"));
        }
        if data[..2] != MAGIC.to_le_bytes() || data[2] != 1 || data[3] != 0 {
            return Err(malformed("the header is not that of BTF version 1"));
        }
        let whole = header.word(4)? as usize;
        let body = data.get(whole.max(HEADER)..).ok_or_else(|| malformed("the header is truncated"))?;
        let part = |at: usize| -> Result<&[u8], LayoutError> {
            let (start, length) = (header.word(at)? as usize, header.word(at + 4)? as usize);
            let end = start.checked_add(length);
            end.and_then(|end| body.get(start..end))
                .ok_or_else(|| malformed("a part lies outside of the section"))
        };
        let strings = part(16)?.to_vec();
        if strings.first() != Some(&0) || strings.last() != Some(&0) {
            return Err(malformed("the strings do not end with a NUL"));
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
            _ => return Err(malformed("a type has a kind that BTF version 1 does not have")),
        })
    }

    fn members(&mut self, from: &mut Words<'_>, count: u32, bits: bool) -> Result<Range<usize>, LayoutError> {
        let start = self.members.len();
        for _ in 0..count {
            let [name, of, offset] = from.take()?;
            // With the flag, the upper byte is the width of a bit-field.
            let (bit_offset, bits) = if bits { (offset & 0xff_ffff, offset >> 24) } else { (offset, 0) };
            self.members.push(Member { name: Name(name), of: TypeId(of), bit_offset, bits });
        }
        Ok(start..self.members.len())
    }

    fn constants(&mut self, from: &mut Words<'_>, count: u32) -> Result<Range<usize>, LayoutError> {
        let start = self.constants.len();
        for _ in 0..count {
            let [name, value] = from.take()?;
            // Corrected by `settle_signs` if the enum is unsigned.
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

    /// Decides which enums are signed, which compilers before clang 16 do not record. If any enum has the flag,
    /// no flag means unsigned; else an enum with a constant from 2^31 up is taken for one with negative
    /// constants, which are far more common.
    fn settle_signs(&mut self) {
        let flagged = self
            .types
            .iter()
            .any(|found| matches!(found, Type::Enum { signed, wide, .. } if *signed || *wide));
        for found in &mut self.types {
            let Type::Enum { signed, wide: false, constants, .. } = found else { continue };
            let constants = &mut self.constants[constants.clone()];
            if !*signed && !flagged && constants.iter().any(|constant| constant.value < 0) {
                *signed = true;
            }
            if !*signed {
                constants.iter_mut().for_each(|constant| constant.value &= 0xffff_ffff);
            }
        }
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
            .ok_or_else(|| malformed("the section ends in the middle of a type"))
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
