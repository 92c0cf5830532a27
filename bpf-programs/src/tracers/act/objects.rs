//! Fields of calls on namespaces, shared memory and message queues.

use model::{ActField, FlagSet};

use super::names::name;
use crate::wire::ActRecord;

/// Bits of the first of `ids` that say which values of an IPC object are known (`tracers/ipc/probe.bpf.c`).
const HAS_KEY: u64 = 1 << 32;
const HAS_ID: u64 = 1 << 33;
const HAS_SIZE: u64 = 1 << 34;

/// The bits of a command without `IPC_64`.
const COMMAND: u64 = 0xff;

/// The permission bits.
const MODE: u64 = 0o777;

type Fields = Vec<(&'static str, ActField)>;

/// Shows the namespaces after the call, except those that every row has.
pub(super) fn namespaces(raw: &ActRecord, fields: &mut Fields) {
    let names =
        [("user_ns", "uts_ns"), ("ipc_ns", "cgroup_ns"), ("pid_ns_for_children", "time_ns_for_children")];
    for ((low, high), numbers) in names.into_iter().zip(raw.ids) {
        fields.push((low, ActField::Uint(numbers & 0xffff_ffff)));
        fields.push((high, ActField::Uint(numbers >> 32)));
    }
}

/// Shows the type and number of the namespace behind a descriptor, or the process behind a pidfd.
pub(super) fn entered(raw: &ActRecord, fields: &mut Fields) {
    if raw.ids[3] != 0 {
        let number = u64::from(raw.of_type);
        let kind = FlagSet::Namespace.known().iter().find(|(bit, _)| *bit == number);
        let kind = kind.map_or(ActField::Uint(number), |(_, name)| ActField::Name(name));
        fields.extend([("type", kind), ("namespace", ActField::Uint(raw.ids[3]))]);
    } else if raw.target_pid != 0 {
        fields.push(("target_pid", ActField::Uint(raw.target_pid.into())));
    }
}

/// Shows namespace, id, key and size of an IPC object, as far as they are known.
pub(super) fn object(raw: &ActRecord, fields: &mut Fields) {
    fields.push(("ipc_ns", ActField::Uint(raw.ids[2])));
    let number = |value: u64| ActField::Int((value as i32).into());
    if raw.ids[0] & HAS_ID != 0 {
        fields.push(("ipc_id", number(raw.ids[3])));
    }
    if raw.ids[0] & HAS_KEY != 0 {
        fields.push(("ipc_key", number(raw.ids[0])));
    }
    if raw.ids[0] & HAS_SIZE != 0 {
        fields.push(("size", ActField::Uint(raw.ids[1])));
    }
}

/// Shows mode and flags of shmget() or msgget().
pub(super) fn made(flags: u64, fields: &mut Fields) {
    fields.push(("mode", ActField::Uint(flags & MODE)));
    fields.push(("flags", ActField::Flags(flags & 0xffff_ffff & !MODE, FlagSet::Ipc)));
}

/// Shows the command of shmctl() or msgctl().
pub(super) fn control(raw: &ActRecord, names: &[&'static str], fields: &mut Fields) {
    fields.push(("command", name(names, raw.args[1] & COMMAND)));
}
