//! Decodes a record's bytes into fields. Nothing is searched here and no byte outside the record can be read:
//! the layout was checked when it was compiled.

use std::net::{Ipv4Addr, Ipv6Addr};

use model::{BootClock, Text, text};
use serde_json::{Map, Number, Value};

use super::shape::{Field, Load, Scalar, Shape, Span};

/// Converts kernel times to local wall time, with the present clocks and time zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Clocks {
    /// The boot clock.
    pub boot: BootClock,
    /// Nanoseconds spent in suspend: the distance from the monotonic clock to the boot clock.
    pub suspended_ns: u64,
}

/// Decodes the fields of one struct.
pub(crate) fn object(fields: &[Field], bytes: &[u8], clocks: &Clocks) -> Map<String, Value> {
    let mut map = Map::with_capacity(fields.len());
    for field in fields {
        let bytes = bytes.get(field.at..).unwrap_or_default();
        let mut odd = false;
        map.insert(field.key.clone(), value(&field.shape, bytes, clocks, &mut odd));
        if odd {
            map.insert(field.bytes_key.clone(), exact(&field.shape, bytes));
        }
    }
    map
}

/// Decodes a value; sets `odd` if text holds bytes that are not UTF-8.
fn value(shape: &Shape, bytes: &[u8], clocks: &Clocks, odd: &mut bool) -> Value {
    match shape {
        Shape::Scalar(load, scalar) => number(*load, scalar, bytes, clocks, odd),
        Shape::Span(length, span) => span_value(*span, bytes.get(..*length).unwrap_or_default(), odd),
        Shape::Array { count, stride, element } => {
            let elements = bytes.chunks(*stride).take(*count);
            Value::Array(elements.map(|bytes| value(element, bytes, clocks, odd)).collect())
        }
        Shape::Object(fields) => Value::Object(object(fields, bytes, clocks)),
    }
}

fn number(load: Load, scalar: &Scalar, bytes: &[u8], clocks: &Clocks, odd: &mut bool) -> Value {
    match scalar {
        Scalar::Number if load.width == 16 && load.signed => load.signed(bytes).to_string().into(),
        Scalar::Number if load.width == 16 => load.unsigned(bytes).to_string().into(),
        Scalar::Number if load.signed => (load.signed(bytes) as i64).into(),
        Scalar::Number => (load.unsigned(bytes) as u64).into(),
        Scalar::Bool => (load.unsigned(bytes) != 0).into(),
        Scalar::Float => float(load, bytes),
        Scalar::Hex => format!("{:#x}", load.unsigned(bytes)).into(),
        Scalar::Char => {
            let end = usize::from(bytes.first().is_some_and(|byte| *byte != 0));
            text_value(bytes.get(..end).unwrap_or_default(), odd)
        }
        Scalar::Names(names) => {
            let value = load.signed(bytes) as i64;
            match names.get(value) {
                Some(name) => name.into(),
                None if load.signed => value.into(),
                None => value.cast_unsigned().into(),
            }
        }
        Scalar::Moment { monotonic } => {
            let ns = load.unsigned(bytes) as u64;
            moment(ns, if *monotonic { clocks.suspended_ns } else { 0 }, clocks.boot)
        }
        Scalar::BootNs => (load.unsigned(bytes) as u64).saturating_add(clocks.suspended_ns).into(),
    }
}

impl Load {
    /// Returns the value, zero-extended: for a signed number its own bits only.
    pub(crate) fn unsigned(self, bytes: &[u8]) -> u128 {
        if let Some((shift, bits)) = self.bits {
            return bit_field(bytes, shift, bits);
        }
        let value = match self.width {
            1 => read::<1>(bytes)[0].into(),
            2 => u16::from_le_bytes(read(bytes)).into(),
            4 => u32::from_le_bytes(read(bytes)).into(),
            8 => u64::from_le_bytes(read(bytes)).into(),
            _ => u128::from_le_bytes(read(bytes)),
        };
        if self.big_endian { value.swap_bytes() >> (128 - u32::from(self.width) * 8) } else { value }
    }

    /// Returns the value, sign-extended if it is signed.
    pub(crate) fn signed(self, bytes: &[u8]) -> i128 {
        let value = self.unsigned(bytes);
        if !self.signed {
            return value.cast_signed();
        }
        let width = self.bits.map_or(u32::from(self.width) * 8, |(_, bits)| bits.into());
        let unused = 128u32.saturating_sub(width).min(127);
        (value << unused).cast_signed() >> unused
    }
}

fn read<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or([0; N])
}

/// Reads a bit-field as little-endian compilers lay it out: from the lowest bit of the lowest byte up.
fn bit_field(bytes: &[u8], shift: u8, bits: u8) -> u128 {
    let length = (usize::from(shift) + usize::from(bits)).div_ceil(8).min(bytes.len());
    let mut low = [0; 16];
    let whole = length.min(16);
    low[..whole].copy_from_slice(&bytes[..whole]);
    let mut value = u128::from_le_bytes(low) >> shift;
    if length > 16 && shift > 0 {
        value |= u128::from(bytes[16]) << (128 - u32::from(shift));
    }
    if bits < 128 { value & ((1 << bits) - 1) } else { value }
}

/// Converts a float; JSON has no numbers for infinity and NaN, so these become text.
fn float(load: Load, bytes: &[u8]) -> Value {
    let number = if load.width == 4 {
        f32::from_le_bytes(read(bytes)).into()
    } else {
        f64::from_le_bytes(read(bytes))
    };
    Number::from_f64(number).map_or_else(|| number.to_string().into(), Value::Number)
}

/// Returns local wall time to the nanosecond; 0 means never set.
fn moment(ns: u64, suspended_ns: u64, clock: BootClock) -> Value {
    if ns == 0 {
        return Value::Null;
    }
    let at = ns.saturating_add(suspended_ns);
    let micros = clock.wall(model::BootNs(at));
    let below = (i128::from(clock.local_ns_at_boot) + i128::from(at)).rem_euclid(1000);
    let mut text = String::with_capacity(29);
    text.extend(micros.format().iter().map(|byte| char::from(*byte)));
    text.push_str(&format!("{below:03}"));
    text.into()
}

fn span_value(span: Span, bytes: &[u8], odd: &mut bool) -> Value {
    match span {
        Span::Text => text_value(c_string(bytes), odd),
        Span::Bytes => text::hex(bytes).into(),
        Span::Ipv4 => Ipv4Addr::from(read::<4>(bytes)).to_string().into(),
        Span::Ipv6 => Ipv6Addr::from(read::<16>(bytes)).to_string().into(),
        Span::Mac => {
            let [a, b, c, d, e, f] = read(bytes);
            format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}").into()
        }
    }
}

fn c_string(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn text_value(bytes: &[u8], odd: &mut bool) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => {
            *odd = true;
            Text::from_bytes(bytes).to_str().into()
        }
    }
}

/// Returns the exact bytes of a text, or of each of several, in hex.
fn exact(shape: &Shape, bytes: &[u8]) -> Value {
    match shape {
        Shape::Span(length, _) => text::hex(c_string(bytes.get(..*length).unwrap_or_default())).into(),
        Shape::Array { count, stride, element } => {
            Value::Array(bytes.chunks(*stride).take(*count).map(|bytes| exact(element, bytes)).collect())
        }
        Shape::Scalar(..) => text::hex(bytes.get(..1).unwrap_or_default()).into(),
        Shape::Object(_) => Value::Null,
    }
}
