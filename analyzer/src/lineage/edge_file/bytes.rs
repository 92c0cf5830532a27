//! Numbers and texts in as few bytes as they need.

/// Bytes that grow.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
    /// The signed number before, from which the next one differs little.
    before: i64,
}

impl Writer {
    /// Adds a number: seven bits a byte, the lowest first.
    pub(super) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    /// Adds a number near zero.
    pub(super) fn signed(&mut self, number: i64) {
        self.number(((number << 1) ^ (number >> 63)).cast_unsigned());
    }

    /// Adds a time, as the difference from the one before.
    pub(super) fn time(&mut self, at: i64) {
        self.signed(at.wrapping_sub(self.before));
        self.before = at;
    }

    pub(super) fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// Adds a list of so many texts, each without the beginning that it shares with the one before.
    pub(super) fn texts<'a>(&mut self, length: usize, texts: impl Iterator<Item = &'a str>) {
        self.number(length as u64);
        let mut before = "";
        for text in texts {
            let shared = before.bytes().zip(text.bytes()).take_while(|(one, other)| one == other).count();
            let shared = (0..=shared).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
            self.number(shared as u64);
            self.text(&text[shared..]);
            before = text;
        }
    }

    /// Adds a value that may be missing.
    pub(super) fn maybe<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.bytes.push(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    /// Adds a list.
    pub(super) fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.number(items.len() as u64);
        items.iter().for_each(|item| write(self, item));
    }
}

/// Bytes that are read. Each function returns `None` if they end too early, or are none of its values.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    before: i64,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, before: 0 }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let (mut number, mut shift) = (0_u64, 0);
        loop {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(number);
            }
            shift += 7;
            if shift > 63 {
                return None;
            }
        }
    }

    /// Reads a number below a limit.
    pub(super) fn below(&mut self, limit: usize) -> Option<u32> {
        let number = self.number()?;
        (number < limit as u64).then_some(number as u32)
    }

    pub(super) fn small<T: TryFrom<u64>>(&mut self) -> Option<T> {
        T::try_from(self.number()?).ok()
    }

    pub(super) fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    pub(super) fn time(&mut self) -> Option<i64> {
        self.before = self.before.wrapping_add(self.signed()?);
        Some(self.before)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        std::str::from_utf8(text).ok()
    }

    /// Reads a list of texts.
    pub(super) fn texts(&mut self, mut visit: impl FnMut(&str)) -> Option<()> {
        let mut text = String::new();
        for _ in 0..self.number()? {
            let shared = usize::try_from(self.number()?).ok()?;
            if !text.is_char_boundary(shared) {
                return None;
            }
            text.truncate(shared);
            text.push_str(self.text()?);
            visit(&text);
        }
        Some(())
    }

    pub(super) fn maybe<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.flag()? { read(self).map(Some) } else { Some(None) }
    }

    pub(super) fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let length = usize::try_from(self.number()?).ok()?;
        // Each item has a byte at least: a wrong length needs no memory.
        let mut items = Vec::with_capacity(length.min(self.bytes.len()));
        for _ in 0..length {
            items.push(read(self)?);
        }
        Some(items)
    }
}
