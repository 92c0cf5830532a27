//! Resolves calls of the kernel function `bpf_rdonly_cast` in the object. It converts a number to a typed pointer, so that a
//! field is read by one load instead of a call of `bpf_probe_read_kernel`.
//!
//! aya (0.14) does not resolve kernel functions. Therefore `include/compat.h` encodes the call with a placeholder, which is
//! replaced here by the function's id in the kernel's type information.

use aya::Btf;
use aya_obj::btf::BtfKind;

/// `call` of a kernel function (`BPF_JMP | BPF_CALL`, source register `BPF_PSEUDO_KFUNC_CALL`), number "duet".
const PLACEHOLDER: [u8; 8] = [0x85, 0x20, 0, 0, 0x64, 0x75, 0x65, 0x74];
/// `call bpf_get_smp_processor_id`, which every kernel and program type has; replaces calls that are never reached.
const NOTHING: [u8; 8] = [0x85, 0, 0, 0, 8, 0, 0, 0];
/// The function's name. It is in vmlinux since 6.2, for every type of program ("bpf: Add a kfunc for generic type cast").
const NAME: &str = "bpf_rdonly_cast";

/// Returns the object with its casts resolved, and whether the kernel has the function, which is the value for the object's
/// constant `has_cast`.
pub(crate) fn resolve(object: &[u8], kernel: &Btf) -> (Vec<u8>, bool) {
    let id = kernel.id_by_type_name_kind(NAME, BtfKind::Func).ok();
    let call = match id {
        Some(id) => {
            let mut call = PLACEHOLDER;
            call[4..].copy_from_slice(&id.to_ne_bytes());
            call
        }
        None => NOTHING,
    };
    let mut object = object.to_vec();
    // Sections with code start at a multiple of 8, and so do instructions.
    for instruction in object.chunks_exact_mut(8).filter(|bytes| **bytes == PLACEHOLDER) {
        instruction.copy_from_slice(&call);
    }
    (object, id.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::OBJECT;
    use crate::prototypes::made_of;
    use aya::Endianness;

    fn calls(object: &[u8]) -> usize {
        object.chunks_exact(8).filter(|bytes| **bytes == PLACEHOLDER).count()
    }

    #[test]
    fn no_placeholder_is_left() {
        for (name, has_it) in [(NAME, true), ("another", false)] {
            let bytes = made_of(&[(name, &["obj", "btf_id"])]);
            let kernel = Btf::parse(&bytes, Endianness::default()).unwrap();
            let (resolved, found) = resolve(OBJECT, &kernel);
            assert_eq!(found, has_it);
            assert_eq!((calls(OBJECT) > 0, calls(&resolved)), (!OBJECT.is_empty(), 0));
        }
    }
}
