//! System calls that move bytes of files, and the arguments that say so.

use nix::libc::{self, c_long, user_regs_struct};

/// A stop at the beginning or the end of a call.
pub(crate) struct Stop {
    pub(crate) number: c_long,
    pub(crate) arguments: [u64; 6],
    pub(crate) returned: i64,
    pub(crate) begins: bool,
}

impl Stop {
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn of(registers: &user_regs_struct) -> Self {
        let r = registers;
        let returned = r.rax.cast_signed();
        Self {
            number: r.orig_rax.cast_signed(),
            arguments: [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9],
            returned,
            // What the kernel puts there before it looks at the call.
            begins: returned == -i64::from(libc::ENOSYS),
        }
    }

    #[cfg(target_arch = "aarch64")]
    pub(crate) fn of(registers: &user_regs_struct) -> Self {
        let r = registers.regs;
        Self {
            number: r[8].cast_signed(),
            arguments: [r[0], r[1], r[2], r[3], r[4], r[5]],
            returned: r[0].cast_signed(),
            // The kernel tells the two stops apart so.
            begins: r[7] == 0,
        }
    }
}

/// A descriptor in a call.
pub(crate) struct Use {
    pub(crate) fd: i32,
    pub(crate) direction: &'static str,
    /// Bytes that do not depend on what the call returns.
    pub(crate) length: Option<u64>,
}

/// Flags of calls that receive no bytes of the stream.
const UNREAD: u64 = (libc::MSG_PEEK | libc::MSG_ERRQUEUE) as u64;

/// Returns the descriptors the call is going to use.
pub(crate) fn uses(stop: &Stop) -> Vec<Use> {
    let one = |at: usize, direction| Use { fd: stop.arguments[at] as i32, direction, length: None };
    match stop.number {
        libc::SYS_read | libc::SYS_pread64 | libc::SYS_readv | libc::SYS_preadv | libc::SYS_preadv2 => {
            vec![one(0, "read")]
        }
        libc::SYS_write | libc::SYS_pwrite64 | libc::SYS_writev | libc::SYS_pwritev | libc::SYS_pwritev2 => {
            vec![one(0, "written")]
        }
        // What is only looked at stays there.
        libc::SYS_recvfrom if stop.arguments[3] & UNREAD == 0 => vec![one(0, "read")],
        libc::SYS_recvmsg if stop.arguments[2] & UNREAD == 0 => vec![one(0, "read")],
        libc::SYS_sendto | libc::SYS_sendmsg => vec![one(0, "written")],
        libc::SYS_sendfile => vec![one(1, "read"), one(0, "written")],
        libc::SYS_splice | libc::SYS_copy_file_range => vec![one(0, "read"), one(2, "written")],
        libc::SYS_mmap if stop.arguments[3] & libc::MAP_ANONYMOUS as u64 == 0 => {
            let (fd, length) = (stop.arguments[4] as i32, Some(stop.arguments[1]));
            vec![Use { fd, direction: "mapped", length }]
        }
        _ => Vec::new(),
    }
}
