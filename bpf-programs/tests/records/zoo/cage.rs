//! A made-up struct as C: its declaration, and the lines that fill and show each of its leaves.

use std::fmt::Write as _;

use super::animal::{Enum, Member, Of, Record};

/// A struct in C.
pub(crate) struct Cage {
    pub(crate) declaration: String,
    pub(crate) leaves: Vec<Leaf>,
    /// Keys and elements that all of its objects and lists have together.
    shown: usize,
    names: usize,
    index: usize,
}

/// Something with one value.
pub(crate) struct Leaf {
    /// As C says it: `v.f1.f2[3]`.
    pub(crate) c: String,
    /// The keys and indices on the way to it.
    pub(crate) path: Vec<Step>,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// What a leaf is, as far as comparing needs to know it.
#[derive(Clone, Debug)]
pub(crate) enum What {
    Int,
    Bool,
    Float,
    Double,
    Pointer,
    /// Constants by value, and the size in bits is over 32.
    Enum(Vec<(i128, String)>, bool),
    Text,
    Bytes,
}

/// Makes the C of one struct.
pub(crate) fn build(index: usize, record: &Record) -> Cage {
    let (declaration, leaves) = (String::new(), Vec::new());
    let mut cage = Cage { declaration, leaves, shown: 0, names: 0, index };
    let body = cage.members(record, "v.", &[]);
    cage.declaration = format!("struct zoo{index} {{\n{body}}}{};\n", attributes(record));
    cage
}

fn attributes(record: &Record) -> String {
    let packed = if record.packed { " __attribute__((packed))" } else { "" };
    packed.to_owned() + &aligned(record.aligned)
}

fn aligned(to: Option<u8>) -> String {
    to.map(|to| format!(" __attribute__((aligned({to})))")).unwrap_or_default()
}

impl Cage {
    pub(crate) fn shown(&self) -> usize {
        self.shown
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("f{}", self.names)
    }

    /// The members' lines; notes the leaves on the way.
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

    /// What stands before and behind the name.
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

    /// Each element has leaves of its own; declared is only one of them.
    fn array(&mut self, element: &Of, count: usize, c: &str, path: &[Step]) -> (String, String) {
        // `char` and `u8` in a row are one value, as are these in an array.
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

/// One C file: the types for eBPF, and with a `main` for this machine.
pub(crate) fn program(cages: &[Cage]) -> String {
    let mut text = include_str!("zoo.c").to_owned();
    for cage in cages {
        text += &cage.declaration;
        text += &format!("struct zoo{0} *pointer{0};\n", cage.index);
    }
    text += "#ifndef TYPES_ONLY\n";
    for cage in cages {
        text += &format!(
            "static void show{0}(void) {{\nstruct zoo{0} v;\nfill(&v, sizeof v);\n{1}printf(\"{0} \");\nhex(&v, sizeof \
             v);\n{2}printf(\"\\n\");\n}}\n",
            cage.index,
            cage.leaves.iter().enumerate().map(|(at, leaf)| filled(at, leaf)).collect::<String>(),
            cage.leaves.iter().map(printed).collect::<String>(),
        );
    }
    text += "int main(void) {\n";
    text.extend(cages.iter().map(|cage| format!("show{}();\n", cage.index)));
    text + "return 0;\n}\n#endif\n"
}

/// C writes the leaf, over what is there.
fn filled(at: usize, leaf: &Leaf) -> String {
    let c = &leaf.c;
    match &leaf.what {
        What::Int => format!("{c} = random128();\n"),
        What::Bool => format!("{c} = random128() & 1;\n"),
        What::Enum(constants, wide) => {
            let high = !wide && constants.iter().any(|(value, _)| *value > i32::MAX.into());
            // A value that has no name, now and then.
            match constants.get(at % (constants.len() + usize::from(!high))) {
                Some((_, name)) => format!("{c} = {name};\n"),
                None => String::new(),
            }
        }
        _ => String::new(),
    }
}

/// C reads the leaf and writes down what it read.
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
