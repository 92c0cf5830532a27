//! Chooses the struct of a record: by name, or the only one that the object declares to be a record.
//!
//! Only structs that clang writes into the type information can be found. A struct that is used only through a
//! local pointer is not written, as in `struct event *e = bpf_ringbuf_reserve(…)`. Structs behind global
//! variables, in map definitions, in the parameters of functions, and those marked `preserve_access_index` are.
//! Two of these declare a ring's records, and only they are chosen without being named:
//! 1. `__type(value, struct event)` in the definition of the ring (or perf event array, where the kernel refuses
//!    it on loading);
//! 2. a global pointer: `const struct event *unused __attribute__((unused));`.
//!
//! Values of other maps are state, parameters are contexts, and `preserve_access_index` marks the kernel's
//! structs: all of these can be named, but are never guessed.

use super::error::LayoutError;
use crate::template::btf::{Btf, Type, TypeId};

/// Map types of rings: `BPF_MAP_TYPE_PERF_EVENT_ARRAY`, `BPF_MAP_TYPE_RINGBUF`.
const RINGS: [u32; 2] = [4, 27];
/// Limit of a list that is searched for other structs of the same name, and shown.
const LISTED: usize = 1000;

/// Finds the struct of that name: `event`, `struct event`, `union event` or a typedef's.
pub(crate) fn named(btf: &Btf, wanted: &str) -> Result<(TypeId, String), LayoutError> {
    let wanted = wanted.trim();
    let (word, name) = match wanted.split_once(char::is_whitespace) {
        Some((word @ ("struct" | "union"), name)) => (Some(word), name.trim()),
        _ => (None, wanted),
    };
    let (mut structs, mut typedefs, mut forward) = (Vec::new(), Vec::new(), false);
    for (id, found) in btf.all() {
        match found {
            Type::Struct { name: own, union, .. }
                if word.is_none_or(|word| (word == "union") == *union) && btf.name(*own)? == name =>
            {
                structs.push(id);
            }
            Type::Forward { name: own } => forward |= btf.name(*own)? == name,
            Type::Typedef { name: own, .. } if word.is_none() && btf.name(*own)? == name => {
                let (target, _) = btf.resolve(id)?;
                if is_struct(btf, target)? && !typedefs.contains(&target) {
                    typedefs.push(target);
                }
            }
            _ => {}
        }
    }
    // `typedef struct {…} event` beside `struct event`: the name without `struct` means the typedef.
    let found = if typedefs.is_empty() { structs } else { typedefs };
    match *found {
        [id] => Ok((id, display(btf, id, name)?)),
        [] if forward => Err(LayoutError::Record {
            record: wanted.to_owned(),
            why: "it is declared but not defined in the object's types".to_owned(),
        }),
        [] => Err(LayoutError::NoSuchRecord { name: wanted.to_owned(), known: structs_of(btf)? }),
        _ => Err(LayoutError::Ambiguous { name: wanted.to_owned(), count: found.len() }),
    }
}

/// Finds the only struct that is declared to be a record; with `map`, that map's.
pub(crate) fn only(btf: &Btf, map: Option<&str>) -> Result<(TypeId, String), LayoutError> {
    let mut candidates = candidates(btf, map)?;
    match candidates.len() {
        1 => Ok(candidates.remove(0)),
        0 => Err(LayoutError::NoCandidate { known: structs_of(btf)? }),
        _ => {
            let candidates = candidates.into_iter().map(|(_, name)| name).collect();
            Err(LayoutError::ManyCandidates { candidates })
        }
    }
}

/// Returns the structs that are declared to be records: first the rings', then those behind global pointers.
pub(crate) fn candidates(btf: &Btf, map: Option<&str>) -> Result<Vec<(TypeId, String)>, LayoutError> {
    let (mut rings, mut pointers, mut maps) = (Vec::new(), Vec::new(), Vec::new());
    for (_, section) in btf.all() {
        if let Type::Section { name, vars } = section
            && btf.name(*name)? == ".maps"
        {
            maps.extend(vars.iter().copied());
        }
    }
    maps.sort_unstable();
    for (id, var) in btf.all() {
        let Type::Var { name, to, external: false } = var else { continue };
        let of_map = maps.binary_search(&id).is_ok();
        let (target, found) = if !of_map {
            (pointed_at(btf, *to)?, &mut pointers)
        } else if map.is_none_or(|map| btf.name(*name).is_ok_and(|name| name == map)) {
            (ring_value(btf, *to)?, &mut rings)
        } else {
            continue;
        };
        if let Some((id, name)) = target
            && found.len() < LISTED
            && !found.iter().any(|(known, _)| *known == id)
        {
            found.push((id, name));
        }
    }
    Ok(if rings.is_empty() { pointers } else { rings })
}

/// Returns the struct that a pointer points at, if any.
fn pointed_at(btf: &Btf, id: TypeId) -> Result<Option<(TypeId, String)>, LayoutError> {
    let (pointer, _) = btf.resolve(id)?;
    let Type::Pointer { to } = *btf.get(pointer)? else { return Ok(None) };
    let (target, typedefs) = btf.resolve(to)?;
    if !is_struct(btf, target)? {
        return Ok(None);
    }
    Ok(Some((target, display(btf, target, typedefs.first().copied().unwrap_or(""))?)))
}

/// Returns the value type of a ring's map definition: `__uint(type, …)` is a pointer to an array of that
/// length.
fn ring_value(btf: &Btf, id: TypeId) -> Result<Option<(TypeId, String)>, LayoutError> {
    let (target, _) = btf.resolve(id)?;
    let Type::Struct { members, .. } = btf.get(target)? else { return Ok(None) };
    let (mut is_ring, mut value) = (false, None);
    for member in btf.members_of(members) {
        match btf.name(member.name)? {
            "type" => {
                if let Type::Pointer { to } = *btf.get(btf.resolve(member.of)?.0)?
                    && let Type::Array { count, .. } = *btf.get(btf.resolve(to)?.0)?
                {
                    is_ring = RINGS.contains(&count);
                }
            }
            "value" => value = pointed_at(btf, member.of)?,
            _ => {}
        }
    }
    Ok(value.filter(|_| is_ring))
}

fn is_struct(btf: &Btf, id: TypeId) -> Result<bool, LayoutError> {
    Ok(matches!(btf.get(id)?, Type::Struct { .. }))
}

/// Writes a struct's name as C does; for an anonymous one its typedef.
fn display(btf: &Btf, id: TypeId, typedef: &str) -> Result<String, LayoutError> {
    Ok(match btf.get(id)? {
        Type::Struct { name, union, .. } if !btf.name(*name)?.is_empty() => {
            format!("{} {}", if *union { "union" } else { "struct" }, btf.name(*name)?)
        }
        _ if typedef.is_empty() => "an anonymous struct".to_owned(),
        _ => typedef.to_owned(),
    })
}

/// Returns all structs that can be named, those declared to be records first.
pub(crate) fn structs_of(btf: &Btf) -> Result<Vec<String>, LayoutError> {
    let mut known: Vec<_> = candidates(btf, None)?.into_iter().map(|(_, name)| name).collect();
    for (id, found) in btf.all() {
        let name = match found {
            Type::Struct { name, .. } if !btf.name(*name)?.is_empty() => display(btf, id, "")?,
            Type::Typedef { name, .. } => {
                let (target, _) = btf.resolve(id)?;
                match btf.get(target)? {
                    Type::Struct { name: own, .. } if btf.name(*own)?.is_empty() => {
                        btf.name(*name)?.to_owned()
                    }
                    _ => continue,
                }
            }
            _ => continue,
        };
        if known.len() < LISTED && !known.contains(&name) {
            known.push(name);
        }
    }
    Ok(known)
}
