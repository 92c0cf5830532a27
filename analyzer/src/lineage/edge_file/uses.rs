//! Uses, which are nearly all of a file: in order of time, each as the difference from the one before.

use super::bytes::{Reader, Writer};
use crate::lineage::facts::{Facts, Object, Use, Way};

/// The time for which a use can have gone on after the last one that the row has.
const TICK_NS: i64 = 10_000_000;

/// Bits of the first number of a use.
const WRITTEN: u64 = 1;
const ONCE: u64 = 2;
const TICK: u64 = 4;
const OBJECT: u32 = 3;
const WAYS: u32 = 5;

/// Writes uses, which are in order of time.
pub(super) fn write(uses: &[&Use], to: &mut Writer) {
    let mut before = [0_i64; 4];
    for one in uses {
        let (kind, number) = split(one.object);
        let after = one.end.wrapping_sub(one.last);
        let flag = |is_set: bool, bit: u64| if is_set { bit } else { 0 };
        let flags = flag(one.way == Way::Written, WRITTEN)
            | flag(one.last == one.first, ONCE)
            | flag(after == TICK_NS, TICK);
        let bits = flags | ((kind as u64) << OBJECT) | (u64::from(one.ways) << WAYS);
        to.number(bits);
        to.time(one.first);
        if one.last != one.first {
            to.signed(one.last.wrapping_sub(one.first));
        }
        if after != TICK_NS {
            to.signed(after);
        }
        let mut near = |slot: usize, number: u32| {
            to.signed(i64::from(number) - before[slot]);
            before[slot] = i64::from(number);
        };
        near(3, one.process);
        near(kind, number);
        to.number(one.bytes);
    }
}

/// Limits of the numbers that a use can have.
pub(super) type Limits = [usize; 4];

/// Returns the limits of the numbers of files, sockets, queues and processes.
pub(super) fn limits(facts: &Facts) -> Limits {
    [
        facts.files.items.len(),
        facts.sockets.items.len(),
        facts.queues.items.len(),
        facts.processes.items.len(),
    ]
}

/// Reads as many uses as there are bytes, and calls `visit` with each.
pub(super) fn read(bytes: &[u8], limits: &Limits, mut visit: impl FnMut(Use)) -> Option<()> {
    let (mut before, mut from) = ([0_i64; 4], Reader::new(bytes));
    while !from.rest().is_empty() {
        let bits = from.number()?;
        let ways = u16::try_from(bits >> WAYS).ok()?;
        let first = from.time()?;
        let last = if bits & ONCE != 0 { first } else { first.wrapping_add(from.signed()?) };
        let after = if bits & TICK != 0 { TICK_NS } else { from.signed()? };
        let mut near = |slot: usize| {
            let number = before.get(slot)?.wrapping_add(from.signed()?);
            before[slot] = number;
            u32::try_from(number).ok().filter(|number| (*number as usize) < limits[slot])
        };
        let process = near(3)?;
        let kind = ((bits >> OBJECT) & 3) as usize;
        let object = join(kind, near(kind)?)?;
        let way = if bits & WRITTEN != 0 { Way::Written } else { Way::Read };
        let (end, bytes) = (last.wrapping_add(after), from.number()?);
        visit(Use { process, object, way, first, last, end, bytes, ways });
    }
    Some(())
}

/// Returns the kind of an object and its number.
pub(super) fn split(object: Object) -> (usize, u32) {
    match object {
        Object::File(file) => (0, file),
        Object::Socket(socket) => (1, socket),
        Object::Queue(queue) => (2, queue),
    }
}

/// Returns the object of a kind with a number.
pub(super) fn join(kind: usize, number: u32) -> Option<Object> {
    match kind {
        0 => Some(Object::File(number)),
        1 => Some(Object::Socket(number)),
        2 => Some(Object::Queue(number)),
        _ => None,
    }
}
