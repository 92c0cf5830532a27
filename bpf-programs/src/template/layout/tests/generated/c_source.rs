//! Writes a generated struct as C: its declaration, and the code that fills and prints each of its leaves.

use std::fmt::Write as _;

use super::structs::{Enum, Member, Of, Record};

/// A generated struct, as C.
pub(crate) struct CStruct {
    pub(crate) declaration: String,
    pub(crate) leaves: Vec<Leaf>,
    /// The number of keys and elements of all its objects and lists.
    shown: usize,
    names: usize,
    index: usize,
}

/// A part of the struct that has one value.
pub(crate) struct Leaf {
    /// The expression in C: `v.f1.f2[3]`.
    pub(crate) c: String,
    /// The keys and indices that lead to the value.
    pub(crate) path: Vec<Step>,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// The kind of a leaf, which decides how values are compared.
#[derive(Clone, Debug)]
pub(crate) enum What {
    Int,
    Bool,
    Float,
    Double,
    Pointer,
    /// Constants by value; true if the enum has more than 32 bits.
    Enum(Vec<(i128, String)>, bool),
    Text,
    Bytes,
}

/// Writes the C of one struct.
pub(crate) fn build(index: usize, record: &Record) -> CStruct {
    let (declaration, leaves) = (String::new(), Vec::new());
    let mut c_struct = CStruct { declaration, leaves, shown: 0, names: 0, index };
    let body = c_struct.members(record, "v.", &[]);
    c_struct.declaration = format!("struct generated{index} {{\n{body}}}{};\n", attributes(record));
    c_struct
}

fn attributes(record: &Record) -> String {
    let packed = if record.packed { " __attribute__((packed))" } else { "" };
    packed.to_owned() + &aligned(record.aligned)
}

fn aligned(to: Option<u8>) -> String {
    to.map(|to| format!(" __attribute__((aligned({to})))")).unwrap_or_default()
}

impl CStruct {
    pub(crate) fn shown(&self) -> usize {
        self.shown
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("f{}", self.names)
    }

    /// Writes the members' declarations, and collects the leaves.
    fn members(&mut self, record: &Record, c: &str, path: &[Step]) -> String {
        let mut text = String::new();
        for member in &record.members {
            match member {
                Member::Gap(bits) => text += &format!("int : {bits};\n"),
                Member::Anonymous(inner) => {
                    let body = self.members(inner, c, path);
                    text += &format!("{} {{\n{body}}}{};\n", word(inner), attributes(inner));
                }
                Member::Bits { of, bits } => {
                    let name = self.name();
                    let path = [path, &[Step::Key(name.clone())]].concat();
                    let (base, _) = self.of(of, &format!("{c}{name}"), &path);
                    text += &format!("{base} {name} : {bits};\n");
                }
                Member::Plain { of, aligned: to } => {
                    let name = self.name();
                    let path = [path, &[Step::Key(name.clone())]].concat();
                    let (base, dimensions) = self.of(of, &format!("{c}{name}"), &path);
                    text += &format!("{base} {name}{dimensions}{};\n", aligned(*to));
                }
            }
        }
        text
    }

    /// Returns the parts of a declaration before and after the name.
    fn of(&mut self, of: &Of, c: &str, path: &[Step]) -> (String, String) {
        self.shown += 1;
        let (what, base, dimensions) = match of {
            Of::Int(name) => (What::Int, (*name).to_owned(), String::new()),
            Of::Bool => (What::Bool, "_Bool".to_owned(), String::new()),
            Of::Float => (What::Float, "float".to_owned(), String::new()),
            Of::Double => (What::Double, "double".to_owned(), String::new()),
            Of::Pointer => (What::Pointer, "void *".to_owned(), String::new()),
            Of::Text(length) => (What::Text, "char".to_owned(), format!("[{length}]")),
            Of::Bytes(length) => (What::Bytes, "u8".to_owned(), format!("[{length}]")),
            Of::Enum(of) => {
                let (text, constants) = self.enumeration(of);
                (What::Enum(constants, of.is_wide()), text, String::new())
            }
            Of::Record(record) => {
                let body = self.members(record, &format!("{c}."), path);
                return (format!("{} {{\n{body}}}{}", word(record), attributes(record)), String::new());
            }
            Of::Array(element, count) => return self.array(element, (*count).into(), c, path),
        };
        self.leaves.push(Leaf { c: c.to_owned(), path: path.to_vec(), what });
        (base, dimensions)
    }

    /// Each element has leaves of its own; the declaration is that of the last one.
    fn array(&mut self, element: &Of, count: usize, c: &str, path: &[Step]) -> (String, String) {
        // An array of `char` or `u8` is one value, also as an element of an array.
        let names = self.names;
        let mut declared = (String::new(), String::new());
        for index in 0..count {
            self.names = names;
            declared = self.of(element, &format!("{c}[{index}]"), &[path, &[Step::Index(index)]].concat());
        }
        if let Of::Int(name @ ("char" | "unsigned char" | "u8")) = element {
            self.leaves.truncate(self.leaves.len() - count);
            self.shown -= count;
            let what = if *name == "u8" { What::Bytes } else { What::Text };
            self.leaves.push(Leaf { c: c.to_owned(), path: path.to_vec(), what });
        }
        (declared.0, format!("[{count}]{}", declared.1))
    }

    fn enumeration(&mut self, of: &Enum) -> (String, Vec<(i128, String)>) {
        let mut constants = Vec::new();
        let name = format!("e{}_{}", self.index, self.names);
        for (index, value) in of.values.iter().enumerate() {
            constants.push((*value, format!("E{}_{}_{index}", self.index, self.names)));
        }
        let mut text = format!("enum {name} {{ ");
        for (value, name) in &constants {
            let suffix = if *value > i64::MAX.into() { "ULL" } else { "LL" };
            let sure = if *value == i64::MIN.into() {
                format!("(-{}LL - 1)", i64::MAX)
            } else {
                format!("{value}{suffix}")
            };
            write!(text, "{name} = {sure}, ").unwrap();
        }
        text += if of.packed { "} __attribute__((packed))" } else { "}" };
        (text, constants)
    }
}

fn word(record: &Record) -> &'static str {
    if record.union { "union" } else { "struct" }
}

/// Writes the C file: the types for eBPF, and with a `main` for this machine.
pub(crate) fn program(c_structs: &[CStruct]) -> String {
    let mut text = include_str!("prelude.c").to_owned();
    for c_struct in c_structs {
        text += &c_struct.declaration;
        text += &format!("struct generated{0} *pointer{0};\n", c_struct.index);
    }
    text += "#ifndef TYPES_ONLY\n";
    for c_struct in c_structs {
        text += &format!(
            "static void show{0}(void) {{\nstruct generated{0} v;\nfill(&v, sizeof v);\n{1}printf(\"{0} \");\nhex(&v, sizeof \
             v);\n{2}printf(\"\\n\");\n}}\n",
            c_struct.index,
            c_struct.leaves.iter().enumerate().map(|(at, leaf)| filled(at, leaf)).collect::<String>(),
            c_struct.leaves.iter().map(printed).collect::<String>(),
        );
    }
    text += "int main(void) {\n";
    text.extend(c_structs.iter().map(|c_struct| format!("show{}();\n", c_struct.index)));
    text + "return 0;\n}\n#endif\n"
}

/// Writes C that sets the leaf; the struct is already filled with random bytes.
fn filled(at: usize, leaf: &Leaf) -> String {
    let c = &leaf.c;
    match &leaf.what {
        What::Int => format!("{c} = random128();\n"),
        What::Bool => format!("{c} = random128() & 1;\n"),
        What::Enum(constants, wide) => {
            let high = !wide && constants.iter().any(|(value, _)| *value > i32::MAX.into());
            // Sometimes a value that has no name.
            match constants.get(at % (constants.len() + usize::from(!high))) {
                Some((_, name)) => format!("{c} = {name};\n"),
                None => String::new(),
            }
        }
        _ => String::new(),
    }
}

/// Writes C that reads the leaf and prints its value.
fn printed(leaf: &Leaf) -> String {
    let c = &leaf.c;
    match leaf.what {
        What::Int | What::Enum(..) => format!("number({c});\n"),
        What::Bool => format!("number((int){c});\n"),
        What::Pointer => format!("number((unsigned long){c});\n"),
        What::Float | What::Double | What::Text | What::Bytes => {
            format!("printf(\" \");\nhex(&{c}, sizeof {c});\n")
        }
    }
}
