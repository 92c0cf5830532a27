//! Reads the structs of an object: as much of ELF and BTF as that needs.

/// A struct's name, size, and fields with their byte offsets.
pub(super) struct Struct {
    pub(super) name: String,
    pub(super) size: usize,
    pub(super) fields: Vec<(String, usize)>,
}

fn number(bytes: &[u8], at: usize, width: usize) -> usize {
    bytes[at..at + width].iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
}

fn text(bytes: &[u8], at: usize) -> String {
    let end = bytes[at..].iter().position(|byte| *byte == 0).expect("closed by a NUL");
    String::from_utf8_lossy(&bytes[at..at + end]).into_owned()
}

/// Finds the section `.BTF` of a little-endian 64-bit object.
fn section(elf: &[u8]) -> &[u8] {
    let (table, size) = (number(elf, 0x28, 8), number(elf, 0x3a, 2));
    let (count, names) = (number(elf, 0x3c, 2), number(elf, 0x3e, 2));
    let header = |index: usize| &elf[table + index * size..][..size];
    let names_at = number(header(names), 0x18, 8);
    let found = (0..count).map(header).find(|found| text(elf, names_at + number(found, 0, 4)) == ".BTF");
    let found = found.expect("section .BTF");
    &elf[number(found, 0x18, 8)..][..number(found, 0x20, 8)]
}

/// Returns all structs of the object.
pub(super) fn types(elf: &[u8]) -> Vec<Struct> {
    let btf = section(elf);
    let header = number(btf, 4, 4);
    let (types, length, strings) =
        (header + number(btf, 8, 4), number(btf, 12, 4), header + number(btf, 16, 4));
    let mut found = Vec::new();
    let mut at = types;
    while at < types + length {
        let (name, info, size) = (number(btf, at, 4), number(btf, at + 4, 4), number(btf, at + 8, 4));
        let (count, kind) = (info & 0xffff, info >> 24 & 0x1f);
        at += 12;
        if kind == 4 {
            let field = |index: usize| {
                let member = at + index * 12;
                (text(btf, strings + number(btf, member, 4)), (number(btf, member + 8, 4) & 0xff_ffff) / 8)
            };
            let fields = (0..count).map(field).collect();
            found.push(Struct { name: text(btf, strings + name), size, fields });
        }
        at += behind(kind, count);
    }
    found
}

/// Returns the size of the data after a type's fixed part, by its kind.
fn behind(kind: usize, count: usize) -> usize {
    match kind {
        1 | 14 | 17 => 4,              // int, var, decl_tag
        3 => 12,                       // array
        4 | 5 | 15 | 19 => count * 12, // struct, union, datasec, enum64
        6 | 13 => count * 8,           // enum, function prototype
        _ => 0,
    }
}
