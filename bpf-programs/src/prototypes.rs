//! Reads prototypes of functions and positions in structs from the kernel's type information (Documentation/bpf/btf.rst).

use std::collections::BTreeMap;

/// Type information, with the position of each type.
pub(crate) struct Types<'a> {
    bytes: &'a [u8],
    strings: &'a [u8],
    /// Names of the kernel, before those of a module.
    earlier: &'a [u8],
    /// Positions of types by id; that of `void` (0) is unused.
    starts: Vec<usize>,
}

impl<'a> Types<'a> {
    /// Finds all types; `None` if the bytes are no type information. The length of each type depends on its kind.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let header = word(bytes, 4)? as usize;
        let (types, length) = (header + word(bytes, 8)? as usize, word(bytes, 12)? as usize);
        let strings = bytes.get(header + word(bytes, 16)? as usize..)?.get(..word(bytes, 20)? as usize)?;
        let (mut at, mut starts) = (types, vec![0]);
        while at < types + length {
            let info = word(bytes, at + 4)?;
            starts.push(at);
            at += 12 + size_behind(info >> 24 & 0x1f, (info & 0xffff) as usize);
        }
        Some(Self { bytes, strings, earlier: &[], starts })
    }

    /// The same for the types of a module, which refer to those of the kernel.
    pub(crate) fn of_module(bytes: &'a [u8], kernel: &Self) -> Option<Self> {
        Some(Self { earlier: kernel.strings, ..Self::parse(bytes)? })
    }

    /// Returns the positions of these members in the first struct of this name that has them all, in bytes.
    pub(crate) fn positions<const N: usize>(&self, of: &str, members: [&str; N]) -> Option<[u32; N]> {
        const STRUCT: u32 = 4;
        self.starts.iter().skip(1).find_map(|at| {
            let info = word(self.bytes, at + 4)?;
            let is_it = info >> 24 & 0x1f == STRUCT && self.name_at(*at) == Some(of);
            let members = is_it.then(|| members.map(|name| self.position(*at, info, name)))?;
            members.iter().all(Option::is_some).then(|| members.map(Option::unwrap_or_default))
        })
    }

    /// Returns the position of a member of the struct that begins here.
    fn position(&self, at: usize, info: u32, member: &str) -> Option<u32> {
        const BITS: u32 = 0xff_ffff; // above them, if the struct has bit-fields: the number of bits
        let mut members = (0..info as usize & 0xffff).map(|n| at + 12 + 12 * n);
        let found = members.find(|found| self.name_at(*found) == Some(member))?;
        Some((word(self.bytes, found + 8)? & BITS) / 8)
    }

    /// Returns the functions whose names `wanted` accepts, with the ids of their prototypes. Some kernels have two
    /// functions of the same name with different prototypes; a hook is attached to the first.
    pub(crate) fn functions(&self, wanted: impl Fn(&str) -> bool) -> BTreeMap<String, u32> {
        const FUNC: u32 = 12;
        let mut found = BTreeMap::new();
        for at in self.starts.iter().skip(1) {
            if word(self.bytes, at + 4).is_some_and(|info| info >> 24 & 0x1f == FUNC)
                && let Some(name) = self.name_at(*at).filter(|name| wanted(name))
                && let Some(prototype) = word(self.bytes, at + 8)
            {
                found.entry(name.to_owned()).or_insert(prototype);
            }
        }
        found
    }

    /// Returns the names of a prototype's parameters.
    pub(crate) fn parameters(&self, prototype: u32) -> Option<Vec<String>> {
        let at = *self.starts.get(prototype as usize)?;
        let count = word(self.bytes, at + 4)? as usize & 0xffff;
        (0..count).map(|n| Some(self.name_at(at + 12 + 8 * n)?.to_owned())).collect()
    }

    /// Returns the name whose offset is at this position.
    fn name_at(&self, at: usize) -> Option<&'a str> {
        let from = word(self.bytes, at)? as usize;
        let rest = match from.checked_sub(self.earlier.len()) {
            Some(from) => self.strings.get(from..)?,
            None => self.earlier.get(from..)?,
        };
        let end = rest.iter().position(|byte| *byte == 0)?;
        std::str::from_utf8(&rest[..end]).ok()
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Returns the size of the data behind a type's first three words.
fn size_behind(kind: u32, count: usize) -> usize {
    match kind {
        1 | 14 | 17 => 4,              // INT, VAR, DECL_TAG
        3 => 12,                       // ARRAY
        4 | 5 | 15 | 19 => 12 * count, // STRUCT, UNION, DATASEC, ENUM64
        6 | 13 => 8 * count,           // ENUM, FUNC_PROTO
        _ => 0,
    }
}

/// Makes type information of functions with these names and parameters, as a kernel has it.
#[cfg(test)]
pub(crate) fn made_of(functions: &[(&str, &[&str])]) -> Vec<u8> {
    let (mut types, mut strings) = (Vec::new(), vec![0]);
    let mut name = |name: &str| {
        let at = strings.len() as u32;
        strings.extend_from_slice(name.as_bytes());
        strings.push(0);
        at
    };
    let mut put = |words: &[u32]| types.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
    // `int`, whose type has one word more.
    put(&[name("int"), 1 << 24, 4, 0x0100_0020]);
    let mut known: BTreeMap<&[&str], u32> = BTreeMap::new();
    let mut ids = 2..;
    for (function, parameters) in functions {
        let prototype = *known.entry(parameters).or_insert_with(|| {
            put(&[0, 13 << 24 | parameters.len() as u32, 1]);
            parameters.iter().for_each(|parameter| put(&[name(parameter), 1]));
            ids.next().unwrap_or_default()
        });
        put(&[name(function), 12 << 24, prototype]);
        ids.next();
    }
    joined(types, strings)
}

#[cfg(test)]
fn joined(types: Vec<u8>, strings: Vec<u8>) -> Vec<u8> {
    let (types_length, strings_length) = (types.len() as u32, strings.len() as u32);
    let header = [0x0001_eb9f, 24, 0, types_length, types_length, strings_length];
    let header = header.iter().flat_map(|word: &u32| word.to_ne_bytes());
    header.chain(types).chain(strings).collect()
}

/// Makes type information of structs with these names and members at these bytes: a kernel's, or with a kernel's a module's, which
/// takes the names from there that are there.
#[cfg(test)]
pub(crate) fn with_structs(kernel: &[u8], structs: &[(&str, &[(&str, u32)])]) -> Vec<u8> {
    let earlier = Types::parse(kernel).map_or(&[][..], |kernel| kernel.strings);
    let mut strings = if kernel.is_empty() { vec![0] } else { Vec::new() };
    let mut types: Vec<u8> = Vec::new();
    for (of, members) in structs {
        let mut name = |name: &str| {
            let ended = [name.as_bytes(), &[0]].concat();
            earlier.windows(ended.len()).position(|part| part == ended).unwrap_or_else(|| {
                strings.extend_from_slice(&ended);
                earlier.len() + strings.len() - ended.len()
            }) as u32
        };
        let mut words = vec![name(of), 4 << 24 | members.len() as u32, 4096];
        words.extend(members.iter().flat_map(|(member, at)| [name(member), 1, at * 8]));
        types.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
    }
    joined(types, strings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_functions_have_names() {
        let bytes =
            made_of(&[("first", &["of", "two"]), ("fd_install", &["fd", "file"]), ("fd_install", &[])]);
        let types = Types::parse(&bytes).unwrap();
        let found = types.functions(|name| name == "fd_install");
        assert_eq!(found.len(), 1);
        let parameters = types.parameters(found["fd_install"]).unwrap();
        assert_eq!(parameters, ["fd", "file"]);
    }

    #[test]
    fn bytes_that_are_no_types_are_refused() {
        assert!(Types::parse(b"short").is_none());
        assert!(Types::parse(&[0xff; 64]).is_none());
    }
}
