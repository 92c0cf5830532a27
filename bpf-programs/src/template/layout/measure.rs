//! Computes the sizes of types and the offsets of members.

use super::compile::{Compiler, DEPTH_LIMIT, RECORD_LIMIT};
use super::error::LayoutError;
use super::shape::Load;
use crate::template::btf::{Member, Type, TypeId};

const NO_NUMBER: &str = "numbers have 1, 2, 4, 8 or 16 bytes";

impl Compiler<'_> {
    /// Returns the size of a member that is no bit-field, after checking that it lies inside its struct.
    pub(crate) fn whole_member(
        &self,
        member: &Member,
        path: &str,
        within: usize,
    ) -> Result<usize, LayoutError> {
        let refuse = |why: &str| Err(self.undecodable(path, member.of, why));
        if !member.bit_offset.is_multiple_of(8) {
            return refuse("it does not begin at a byte");
        }
        let size = self.size(member.of, path, 0)?;
        let end = (member.bit_offset as usize / 8).checked_add(size);
        if end.is_none_or(|end| end > within) {
            return refuse("it lies outside of the struct it is in");
        }
        Ok(size)
    }

    /// Returns how to read a bit-field, and the byte it begins in; `None` for other members. Handles both
    /// encodings.
    pub(crate) fn bit_field(
        &self,
        member: &Member,
        path: &str,
        within: usize,
    ) -> Result<Option<(Load, usize)>, LayoutError> {
        let refuse = |why: &str| Err(self.undecodable(path, member.of, why));
        let (target, _) = self.btf.resolve(member.of)?;
        let (size, signed, first, bits) = match *self.btf.get(target)? {
            // Without a width of its own: older compilers make an integer type for each width.
            Type::Int { size, signed, bit_offset, bits, .. }
                if member.bits == 0 && (bits != size.saturating_mul(8) || bit_offset != 0) =>
            {
                (size, signed, bit_offset, bits)
            }
            _ if member.bits == 0 => return Ok(None),
            Type::Int { size, signed, .. } | Type::Enum { size, signed, .. } => {
                (size, signed, 0, member.bits)
            }
            _ => return refuse("only whole numbers can be bit-fields"),
        };
        let start = member.bit_offset as usize + first as usize;
        let fits = bits > 0 && bits <= size.saturating_mul(8).min(128) && start + bits as usize <= within * 8;
        if !fits {
            return refuse("it lies outside of the struct or the type it is in");
        }
        let Some(width) = width(size) else { return refuse(NO_NUMBER) };
        let bits = Some(((start % 8) as u8, bits as u8));
        Ok(Some((Load { width, signed, bits, big_endian: false }, start / 8)))
    }

    /// Returns how to read a whole number, enum or pointer; `None` for other types.
    pub(crate) fn load(&self, id: TypeId, path: &str) -> Result<Option<Load>, LayoutError> {
        let (target, _) = self.btf.resolve(id)?;
        let (size, signed) = match *self.btf.get(target)? {
            Type::Int { size, signed, .. } | Type::Enum { size, signed, .. } => (size, signed),
            Type::Pointer { .. } => (8, false),
            _ => return Ok(None),
        };
        let Some(width) = width(size) else { return Err(self.undecodable(path, id, NO_NUMBER)) };
        Ok(Some(Load { width, signed, bits: None, big_endian: false }))
    }

    /// Returns the size of a type in bytes; at least one.
    pub(crate) fn size(&self, id: TypeId, path: &str, depth: usize) -> Result<usize, LayoutError> {
        let (target, _) = self.btf.resolve(id)?;
        let refuse = |why: String| Err(self.undecodable(path, id, why));
        let size = match self.btf.get(target)? {
            Type::Int { size, .. }
            | Type::Struct { size, .. }
            | Type::Enum { size, .. }
            | Type::Float { size, .. } => *size as usize,
            Type::Pointer { .. } => 8,
            Type::Array { count: 0, .. } => {
                return refuse("its length is unknown; give it one".to_owned());
            }
            Type::Array { .. } if depth > DEPTH_LIMIT => return Err(self.whole("an array contains itself")),
            Type::Array { element, count } => {
                self.size(*element, path, depth + 1)?.saturating_mul(*count as usize)
            }
            Type::Forward { .. } => return refuse("its struct is declared but not defined".to_owned()),
            Type::Void => {
                return refuse("void has no bytes, or clang does not describe this type".to_owned());
            }
            Type::Other { what } => return refuse(format!("{what} has no bytes")),
            _ => return refuse("it has no bytes".to_owned()),
        };
        match size {
            0 => refuse("it has no bytes".to_owned()),
            too_large if too_large > RECORD_LIMIT => {
                refuse(format!("it has {too_large} bytes; a whole record has at most {RECORD_LIMIT}"))
            }
            size => Ok(size),
        }
    }
}

fn width(size: u32) -> Option<u8> {
    [1, 2, 4, 8, 16].into_iter().find(|width| u32::from(*width) == size)
}
