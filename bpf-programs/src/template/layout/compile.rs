//! Compiles a struct's type information into a layout. Every size, offset and depth is checked against the
//! enclosing struct, because type information is untrusted input.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::columns;
use super::describe::FieldLine;
use super::error::LayoutError;
use super::hints::{Hints, Show};
use super::shape::{Field, Names};
use crate::template::btf::{Btf, Member, Type, TypeId};

/// Size limit of a record: what a perf buffer can carry.
pub(crate) const RECORD_LIMIT: usize = 64 << 10;
/// Limit of structs in structs and arrays in arrays.
pub(crate) const DEPTH_LIMIT: usize = 32;
/// Limit of all fields, nested ones included.
const FIELD_LIMIT: usize = 4096;
/// Length limit of a field's dotted path.
const PATH_LIMIT: usize = 1024;
/// Limit of one record's decoded size, roughly in bytes: unions show the same bytes several times.
const WEIGHT_LIMIT: usize = 8 << 20;

/// Compiled layout of one struct.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    /// The name as C writes it: `struct event`.
    pub(crate) name: String,
    pub(crate) size: usize,
    pub(crate) fields: Vec<Field>,
    pub(crate) lines: Vec<FieldLine>,
}

/// Compiles the struct of that index.
pub(crate) fn record(btf: &Btf, id: TypeId, name: &str, hints: &Hints) -> Result<Record, LayoutError> {
    let mut compiler = Compiler {
        btf,
        hints,
        record: name,
        lines: Vec::new(),
        lifted: Vec::new(),
        names: HashMap::new(),
        constants: 0,
        fields: 0,
    };
    let Type::Struct { size, .. } = btf.get(id)? else {
        return Err(compiler.whole("it is not a struct"));
    };
    let size = *size as usize;
    if size == 0 || size > RECORD_LIMIT {
        return Err(compiler.whole(format!("it has {size} bytes; a record has 1 to {RECORD_LIMIT}")));
    }
    let mut fields = Vec::new();
    compiler.members(id, Parent { prefix: "", at: 0, start: Some(0), depth: 0 }, &mut fields)?;
    fields.append(&mut compiler.lifted);
    compiler.unique(&mut fields, "")?;
    if fields.iter().fold(0, |sum: usize, field| sum.saturating_add(field.shape.weight())) > WEIGHT_LIMIT {
        return Err(compiler.whole("its overlapping members decode to too much data"));
    }
    let mut lines = compiler.lines;
    columns::check(name, &fields, &mut lines)?;
    Ok(Record { name: name.to_owned(), size, fields, lines })
}

/// Location of a struct's members.
#[derive(Clone, Copy)]
pub(crate) struct Parent<'a> {
    /// Dotted path of the struct, with a dot at the end; for an anonymous struct the path of the outer one.
    pub(crate) prefix: &'a str,
    /// Offset from the beginning of the object that the members go into.
    pub(crate) at: usize,
    /// Offset from the beginning of the record; `None` inside an array, where there are several.
    pub(crate) start: Option<usize>,
    pub(crate) depth: usize,
}

pub(crate) struct Compiler<'a> {
    pub(crate) btf: &'a Btf,
    pub(crate) hints: &'a Hints,
    record: &'a str,
    lines: Vec<FieldLine>,
    /// Fields that a hint moved to the top.
    lifted: Vec<Field>,
    pub(crate) names: HashMap<TypeId, Arc<Names>>,
    /// Number of enum constants so far.
    pub(crate) constants: usize,
    fields: usize,
}

impl Compiler<'_> {
    pub(crate) fn whole(&self, why: impl Into<String>) -> LayoutError {
        LayoutError::Record { record: self.record.to_owned(), why: why.into() }
    }

    pub(crate) fn undecodable(&self, path: &str, id: TypeId, why: impl Into<String>) -> LayoutError {
        let (record, of) = (self.record.to_owned(), self.btf.c_name(id));
        LayoutError::Undecodable { record, field: path.to_owned(), of, why: why.into() }
    }

    /// Compiles the members of a struct or union into the fields `out`.
    pub(crate) fn members(
        &mut self,
        id: TypeId,
        parent: Parent<'_>,
        out: &mut Vec<Field>,
    ) -> Result<(), LayoutError> {
        let btf = self.btf;
        let Type::Struct { size, members, .. } = btf.get(id)? else { return Ok(()) };
        if parent.depth > DEPTH_LIMIT {
            return Err(self.whole("its structs are nested too deep, or one contains itself"));
        }
        for member in btf.members_of(members) {
            self.fields += 1;
            if self.fields > FIELD_LIMIT {
                return Err(self.whole(format!("it has more than {FIELD_LIMIT} fields")));
            }
            let path = format!("{}{}", parent.prefix, btf.name(member.name)?);
            if path.len() > PATH_LIMIT {
                return Err(self.whole("the names of its nested fields are too long"));
            }
            self.member(member, *size as usize, &path, parent, out)?;
        }
        Ok(())
    }

    fn member(
        &mut self,
        member: &Member,
        within: usize,
        path: &str,
        parent: Parent<'_>,
        out: &mut Vec<Field>,
    ) -> Result<(), LayoutError> {
        let (target, _) = self.btf.resolve(member.of)?;
        let name = self.btf.name(member.name)?;
        let is_struct = matches!(self.btf.get(target)?, Type::Struct { .. });
        let show = self.hints.show.get(path).copied();
        let at = member.bit_offset as usize / 8;
        let depth = parent.depth + 1;
        if is_struct && (name.is_empty() || show == Some(Show::Inline)) {
            self.whole_member(member, path, within)?;
            let prefix = if name.is_empty() { parent.prefix.to_owned() } else { format!("{path}.") };
            let start = parent.start.map(|start| start + at);
            return self.members(target, Parent { prefix: &prefix, at: parent.at + at, start, depth }, out);
        }
        if name.is_empty() {
            // An unnamed bit-field is padding.
            return Ok(());
        }
        let mut line =
            FieldLine::new(path, self.btf.c_name(member.of), parent.start.unwrap_or(parent.at) + at);
        let index = self.lines.len();
        self.lines.push(line.clone());
        if show == Some(Show::Hide) {
            return Ok(());
        }
        let (shape, at) = if let Some((load, at)) = self.bit_field(member, path, within)? {
            line.at = parent.start.unwrap_or(parent.at) + at;
            line.bits = load.bits;
            (self.bits(member.of, path, load, show)?, at)
        } else {
            line.size = self.whole_member(member, path, within)?;
            let start = parent.start.map(|start| start + at);
            let inner = Parent { prefix: &format!("{path}."), at: 0, start, depth };
            (self.shape(member.of, path, show, inner)?, at)
        };
        line.shown = shape.shown();
        let field = Field { key: name.to_owned(), bytes_key: String::new(), at: parent.at + at, shape };
        line.name = Some(self.put(field, path, parent, out)?);
        self.lines[index] = line;
        Ok(())
    }

    /// Adds a field to `out`, or to the top if it is renamed so. Returns its name there.
    fn put(
        &mut self,
        mut field: Field,
        path: &str,
        parent: Parent<'_>,
        out: &mut Vec<Field>,
    ) -> Result<String, LayoutError> {
        let Some(to) = self.hints.rename.get(path) else {
            let name = field.key.clone();
            out.push(field);
            return Ok(name);
        };
        let refuse = |why: &str| {
            Err(LayoutError::BadRename { field: path.to_owned(), to: to.clone(), why: why.to_owned() })
        };
        let here = to.strip_prefix(parent.prefix);
        field.key = here.unwrap_or(to).to_owned();
        if field.key.is_empty() || field.key.contains('.') {
            return refuse("a new name may have dots only as the path of the field's own struct");
        }
        if here.is_some() {
            out.push(field);
        } else if let Some(start) = parent.start {
            // `at` counts from the object that it would have gone into.
            field.at = start + field.at - parent.at;
            self.lifted.push(field);
        } else {
            return refuse("a field inside of an array can't be moved out of it");
        }
        Ok(here.unwrap_or(to).to_owned())
    }

    /// Refuses two fields of one name in an object, and chooses the names for exact bytes.
    pub(crate) fn unique(&self, fields: &mut [Field], prefix: &str) -> Result<(), LayoutError> {
        let mut taken = BTreeSet::new();
        for field in &*fields {
            if !taken.insert(field.key.clone()) {
                let name = format!("{prefix}{}", field.key);
                return Err(
                    self.whole(format!("it has two fields {name}; give one another name with `rename`"))
                );
            }
        }
        for field in fields.iter_mut().filter(|field| field.shape.is_text()) {
            let mut key = format!("{}_bytes", field.key);
            while !taken.insert(key.clone()) {
                key.push('_');
            }
            field.bytes_key = key;
        }
        Ok(())
    }
}
