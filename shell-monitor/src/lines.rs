//! Splits a stream of bytes into lines: exactly, with a length limit, and independently of how the stream is cut into
//! chunks.
//!
//! As with Python's universal newlines, `\n`, `\r\n` and a lone `\r` end a line. A line longer than the limit is not
//! kept: it is skipped and reported as [`Line::TooLong`].

use memchr::memchr2;

/// Capacity in bytes up to which the buffer is kept after a long line.
const KEPT_CAPACITY: usize = 256 * 1024;

/// A line, without its line end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Bytes of the line.
    Whole(&'a [u8]),
    /// Length of a line that exceeds the limit, in bytes.
    TooLong(u64),
}

/// Splits chunks of bytes into lines.
#[derive(Debug)]
pub struct LineReader {
    limit: usize,
    /// Beginning of the current line, from earlier chunks.
    partial: Vec<u8>,
    /// Bytes skipped of a line that is too long; 0 if the current line is not.
    skipped: u64,
    /// True if the last chunk ended in `\r`: a `\n` at the start of the next chunk belongs to it.
    after_cr: bool,
}

impl LineReader {
    /// Makes a reader for lines of up to `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, partial: Vec::new(), skipped: 0, after_cr: false }
    }

    /// Reads the next chunk and calls `line` for each line that it completes.
    pub fn feed(&mut self, mut chunk: &[u8], mut line: impl FnMut(Line<'_>)) {
        if std::mem::take(&mut self.after_cr) && chunk.first() == Some(&b'\n') {
            chunk = &chunk[1..];
        }
        while let Some(end) = memchr2(b'\n', b'\r', chunk) {
            self.complete(&chunk[..end], &mut line);
            let terminator = match (chunk[end], chunk.get(end + 1)) {
                (b'\r', Some(b'\n')) => 2,
                (b'\r', None) => {
                    self.after_cr = true;
                    1
                }
                _ => 1,
            };
            chunk = &chunk[end + terminator..];
        }
        self.keep(chunk);
    }

    /// Calls `line` for a last line without a line end, if there is one.
    pub fn finish(&mut self, mut line: impl FnMut(Line<'_>)) {
        self.after_cr = false;
        if self.skipped > 0 || !self.partial.is_empty() {
            self.complete(&[], &mut line);
        }
    }

    fn complete(&mut self, tail: &[u8], line: &mut impl FnMut(Line<'_>)) {
        let length = self.partial.len() + tail.len();
        if self.skipped > 0 || length > self.limit {
            line(Line::TooLong(self.skipped + length as u64));
        } else if self.partial.is_empty() {
            line(Line::Whole(tail));
        } else {
            self.partial.extend_from_slice(tail);
            line(Line::Whole(&self.partial));
        }
        self.skipped = 0;
        self.clear();
    }

    fn keep(&mut self, tail: &[u8]) {
        if self.skipped > 0 || self.partial.len() + tail.len() > self.limit {
            self.skipped += (self.partial.len() + tail.len()) as u64;
            self.clear();
        } else {
            self.partial.extend_from_slice(tail);
        }
    }

    fn clear(&mut self) {
        if self.partial.capacity() > KEPT_CAPACITY {
            self.partial = Vec::new();
        } else {
            self.partial.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 8;

    /// Returns the lines; one that is too long as its length.
    fn cut<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Result<Vec<u8>, u64>> {
        let mut lines = Vec::new();
        let mut reader = LineReader::new(LIMIT);
        let mut note = |line: Line<'_>| {
            lines.push(match line {
                Line::Whole(bytes) => Ok(bytes.to_vec()),
                Line::TooLong(length) => Err(length),
            });
        };
        for chunk in chunks {
            reader.feed(chunk, &mut note);
        }
        reader.finish(&mut note);
        lines
    }

    /// Computes the same by definition: splits, then measures each line.
    fn expected(bytes: &[u8]) -> Vec<Result<Vec<u8>, u64>> {
        let (mut lines, mut line, mut at) = (Vec::new(), Vec::new(), 0);
        let measure = |line: &mut Vec<u8>| {
            let line = std::mem::take(line);
            if line.len() > LIMIT { Err(line.len() as u64) } else { Ok(line) }
        };
        while at < bytes.len() {
            match bytes[at] {
                b'\r' | b'\n' => {
                    lines.push(measure(&mut line));
                    at += usize::from(bytes[at] == b'\r' && bytes.get(at + 1) == Some(&b'\n'));
                }
                byte => line.push(byte),
            }
            at += 1;
        }
        if !line.is_empty() {
            lines.push(measure(&mut line));
        }
        lines
    }

    #[test]
    fn every_line_end_ends_a_line() {
        let lines = cut([&b"a\nb\r\nc\rd\n\ne"[..]]);
        let texts: Vec<_> =
            lines.iter().map(|line| String::from_utf8(line.clone().unwrap()).unwrap()).collect();
        assert_eq!(texts, ["a", "b", "c", "d", "", "e"]);
    }

    #[test]
    fn a_long_line_is_read_past_and_the_next_is_whole() {
        assert_eq!(
            cut([&b"12345678\n123456789\nx"[..]]),
            [Ok(b"12345678".to_vec()), Err(9), Ok(b"x".to_vec())]
        );
    }

    proptest! {
        #[test]
        fn chunks_make_no_difference(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'x'), Just(0xff)], 0..120),
            size in 1_usize..20,
        ) {
            prop_assert_eq!(cut(bytes.chunks(size)), expected(&bytes));
        }
    }
}
