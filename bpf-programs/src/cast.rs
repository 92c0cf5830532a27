//! The kernel function `bpf_rdonly_cast` for the programs: it turns a number into a typed pointer, whose fields are
//! then single loads instead of calls of `bpf_probe_read_kernel`.
//!
//! aya (0.14) resolves no kernel functions, so `include/compat.h` spells the call out with a number of its own, which is
//! replaced here by the function's id in the kernel's type information.

use aya::Btf;
use aya_obj::btf::BtfKind;

/// `call` of a kernel function (`BPF_JMP | BPF_CALL`, source register `BPF_PSEUDO_KFUNC_CALL`), number "duet".
const PLACEHOLDER: [u8; 8] = [0x85, 0x20, 0, 0, 0x64, 0x75, 0x65, 0x74];
/// `call bpf_get_smp_processor_id`, which every kernel and program type has: stands where nobody comes by.
const NOTHING: [u8; 8] = [0x85, 0, 0, 0, 8, 0, 0, 0];
/// In vmlinux since 6.2, for every type of program ("bpf: Add a kfunc for generic type cast").
const NAME: &str = "bpf_rdonly_cast";

/// The object with its casts made calls, and whether the kernel has the function: what `has_cast` is to be set to.
pub fn resolve(object: &[u8], kernel: &Btf) -> (Vec<u8>, bool) {
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
    use crate::programs::OBJECT;

    fn calls(object: &[u8]) -> usize {
        object.chunks_exact(8).filter(|bytes| **bytes == PLACEHOLDER).count()
    }

    #[test]
    fn no_placeholder_is_left() {
        let Ok(kernel) = Btf::from_sys_fs() else { return };
        let (resolved, _) = resolve(OBJECT, &kernel);
        assert_eq!((calls(OBJECT) > 0, calls(&resolved)), (!OBJECT.is_empty(), 0));
    }
}
