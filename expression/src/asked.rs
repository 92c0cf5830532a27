//! Texts that an expression compares fields with, and the tests among them that no row can pass.

use model::extended::errno_name;
use model::fields::flag_names;
use model::schema::Column;

use super::calls::Function;
use super::ir::{Each, Literal, Node, Relation};
use super::schema::nearest;

/// Largest number of bytes of a command name that the kernel keeps.
const MAX_COMM: usize = 15;

/// A test of a field for a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Name of the column or field of `extended`.
    pub field: String,
    /// The text that it is compared with.
    pub text: String,
    /// True if the text is compared with the whole value or with an element of a list; false if with a part of it.
    pub whole: bool,
}

impl Asked {
    /// Creates a test for the whole value.
    pub fn whole(field: &str, text: &str) -> Self {
        Self { field: field.to_owned(), text: text.to_owned(), whole: true }
    }

    /// Returns why no row of a built-in tracer can pass the test; `None` if one can.
    pub fn is_never_true(&self) -> Option<String> {
        let Self { field, text, whole } = self;
        let field = field.strip_prefix("extended.").unwrap_or(field);
        match field {
            // A byte that is not UTF-8 is shown as a backslash and three characters.
            "comm" if text.len() > MAX_COMM && !text.contains('\\') => Some(format!(
                "no row has {text:?} in comm: the kernel keeps only the first {MAX_COMM} bytes of a command name, {:?}",
                kept(text)
            )),
            "errno" if *whole => {
                let names = || (1..4096).filter_map(errno_name);
                unknown(field, text, names().collect())
            }
            "flags" if *whole && !text.starts_with("0x") => {
                unknown(field, text, flag_names().map(str::to_owned).collect())
            }
            _ => None,
        }
    }
}

/// Returns what the kernel keeps of a command name, without a character that it cuts.
fn kept(text: &str) -> &str {
    let ends = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= MAX_COMM);
    &text[..ends.last().unwrap_or_default()]
}

fn unknown(field: &str, text: &str, names: Vec<String>) -> Option<String> {
    let known = names.iter().any(|name| name == text);
    let upper = text.to_ascii_uppercase();
    let right = nearest(&upper, names.iter().map(String::as_str));
    (!known).then(|| format!("no row has {text:?} in {field}, did you mean {right:?}?"))
}

/// Returns the tests for texts in a compiled expression.
pub(super) fn of(root: &Node) -> Vec<Asked> {
    let mut walk = Walk { vars: Vec::new(), found: Vec::new() };
    walk.visit(root);
    walk.found
}

struct Walk {
    /// Fields that the variables of the enclosing macros are elements of.
    vars: Vec<Option<String>>,
    found: Vec<Asked>,
}

impl Walk {
    fn field(&self, node: &Node) -> Option<String> {
        match node {
            Node::Column(column) => Some(Column::name(*column).to_owned()),
            Node::Field(name) => Some(name.to_string()),
            Node::Var(index) => self.vars.get(*index).cloned().flatten(),
            _ => None,
        }
    }

    fn add(&mut self, of: &Node, text: &Node, whole: bool) {
        if let (Some(field), Some(Literal::Text(text))) = (self.field(of), text.literal()) {
            self.found.push(Asked { field, text: text.to_string(), whole });
        }
    }

    fn visit(&mut self, node: &Node) {
        match node {
            Node::Const(_) | Node::Column(_) | Node::Field(_) | Node::Var(_) => {}
            Node::And(parts) | Node::Or(parts) | Node::List(parts) => self.all(parts),
            Node::Not(of)
            | Node::Has(of)
            | Node::Negative(of)
            | Node::FieldAt(of)
            | Node::Member(of, _)
            | Node::Matches(of, _)
            | Node::InNetwork(of, _)
            | Node::InInts(of, _) => self.visit(of),
            Node::InTexts(of, texts) => {
                if let Some(field) = self.field(of) {
                    self.found.extend(texts.iter().map(|text| Asked::whole(&field, text)));
                }
                self.visit(of);
            }
            Node::Compare(relation, sides) => {
                if relation.is_equality() && *relation == Relation::Equal {
                    self.add(&sides[0], &sides[1], true);
                    self.add(&sides[1], &sides[0], true);
                }
                self.all(sides.as_slice());
            }
            Node::In(sides) => {
                self.add(&sides[1], &sides[0], true);
                if let Node::List(elements) = &sides[1] {
                    elements.iter().for_each(|element| self.add(&sides[0], element, true));
                }
                self.all(sides.as_slice());
            }
            Node::Call(function, arguments) => {
                let is_part =
                    matches!(function, Function::StartsWith | Function::EndsWith | Function::Contains);
                if let (true, [of, text]) = (is_part, arguments.as_slice()) {
                    self.add(of, text, false);
                }
                self.all(arguments);
            }
            Node::At(of, at) => {
                self.visit(of);
                self.visit(at);
            }
            Node::If(parts) => self.all(parts.as_slice()),
            Node::Arithmetic(_, sides) => self.all(sides.as_slice()),
            Node::Each(each) => self.each(each),
        }
    }

    fn all(&mut self, parts: &[Node]) {
        parts.iter().for_each(|part| self.visit(part));
    }

    fn each(&mut self, each: &Each) {
        self.visit(&each.range);
        let field = self.field(&each.range);
        self.vars.push(field);
        self.visit(&each.body);
        if let Some(only) = &each.only {
            self.visit(only);
        }
        self.vars.pop();
    }
}

#[cfg(test)]
mod tests {
    use crate::{Expression, Schema};

    fn never(text: &str) -> Vec<String> {
        let asked = Expression::compile(text, &Schema::default()).unwrap().asked();
        asked.iter().filter_map(super::Asked::is_never_true).collect()
    }

    #[test]
    fn tests_that_no_row_can_pass_are_found() {
        let table = [
            (
                "comm == 'sixteen-bytes-xx'",
                "no row has \"sixteen-bytes-xx\" in comm: the kernel keeps only the first 15",
            ),
            ("comm in ['a', 'b', 'c', 'sixteen-bytes-xx']", "no row has \"sixteen-bytes-xx\" in comm"),
            ("comm.startsWith('sixteen-bytes-xx')", "no row has \"sixteen-bytes-xx\" in comm"),
            ("uid == 0 || !('eacces' == errno)", "no row has \"eacces\" in errno, did you mean \"EACCES\"?"),
            ("extended.errno in ['EACCESS']", "no row has \"EACCESS\" in errno, did you mean \"EACCES\"?"),
            ("'o_creat' in flags", "no row has \"o_creat\" in flags, did you mean \"O_CREAT\"?"),
            (
                "flags.exists(f, f == 'O_CREATE')",
                "no row has \"O_CREATE\" in flags, did you mean \"O_CREAT\"?",
            ),
        ];
        for (text, expected) in table {
            let found = never(text);
            assert!(found.len() == 1 && found[0].starts_with(expected), "{text}: {found:?}");
        }
        for text in [
            "comm == 'fifteen-bytes-x' && errno == 'EACCES' && 'O_CREAT' in flags && '0x800000' in flags",
            r"comm == 'a\xff\xff\xff\xff\xff'",
            "errno.startsWith('E') && flags.exists(f, f.startsWith('O_')) && 'CLONE_VM' in flags",
            "exe == '/usr/bin/a-very-long-name' && fname == 'eacces'",
        ] {
            assert_eq!(never(text), Vec::<String>::new(), "{text}");
        }
    }
}
