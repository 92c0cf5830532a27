//! Writes types as C does, for people.

use super::{Btf, Type, TypeId};

/// Limit of pointers to pointers and arrays of arrays that are written out.
const SPELLED: usize = 8;

impl Btf {
    /// Writes the type in C: `unsigned int`, `char[16]`, `struct task *`; a malformed one as a question mark.
    pub(crate) fn c_name(&self, id: TypeId) -> String {
        self.spell(id, SPELLED)
    }

    fn spell(&self, id: TypeId, left: usize) -> String {
        let Some(left) = left.checked_sub(1) else { return "…".to_owned() };
        let name = |name| self.name(name).unwrap_or("?").to_owned();
        let tagged = |word: &str, of: String| {
            if of.is_empty() { format!("{word} {{…}}") } else { format!("{word} {of}") }
        };
        match self.get(id) {
            Err(_) => "?".to_owned(),
            Ok(found) => match found {
                Type::Void => "void".to_owned(),
                Type::Int { name: of, .. }
                | Type::Float { name: of, .. }
                | Type::Typedef { name: of, .. } => name(*of),
                Type::Pointer { to } => format!("{} *", self.spell(*to, left)),
                Type::Array { element, count } => {
                    // The outer dimension comes first in C.
                    let of = self.spell(*element, left);
                    let (base, dimensions) = of.split_at(of.find('[').unwrap_or(of.len()));
                    format!("{base}[{count}]{dimensions}")
                }
                Type::Struct { name: of, union, .. } => {
                    tagged(if *union { "union" } else { "struct" }, name(*of))
                }
                Type::Enum { name: of, .. } => tagged("enum", name(*of)),
                Type::Forward { name: of } => tagged("struct", name(*of)),
                Type::Modifier { to } => self.spell(*to, left),
                Type::Var { name: of, .. } | Type::Section { name: of, .. } => name(*of),
                Type::Other { what } => (*what).to_owned(),
            },
        }
    }
}
