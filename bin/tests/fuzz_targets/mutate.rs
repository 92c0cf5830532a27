//! Mutations of inputs: changes bytes, moves pieces, and inserts words from the target's dictionary. The random generator
//! is seeded, so that a failure can be reproduced.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

/// Longest mutated input in bytes.
const LONGEST: usize = 16 * 1024;

/// An endless source of mutated inputs.
pub(crate) struct Mutator {
    random: StdRng,
    inputs: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
}

impl Mutator {
    /// Creates a mutator of the inputs that inserts the words. Equal seeds give equal mutations.
    pub(crate) fn new(seed: u64, inputs: Vec<Vec<u8>>, words: Vec<Vec<u8>>) -> Self {
        Self { random: StdRng::seed_from_u64(seed), inputs, words }
    }

    /// Returns the next mutated input.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let mut bytes = self.inputs.choose(&mut self.random).cloned().unwrap_or_default();
        for _ in 0..self.random.random_range(1..6) {
            self.change(&mut bytes);
        }
        bytes.truncate(LONGEST);
        bytes
    }

    fn offset(&mut self, bytes: &[u8]) -> usize {
        self.random.random_range(0..=bytes.len())
    }

    /// Returns a random range of at most 63 bytes.
    fn piece(&mut self, bytes: &[u8]) -> std::ops::Range<usize> {
        let start = self.offset(bytes);
        let end = (start + self.random.random_range(0..64)).min(bytes.len());
        start..end
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let offset = self.offset(bytes);
        match self.random.random_range(0..8) {
            0 if !bytes.is_empty() => {
                let at = offset % bytes.len();
                bytes[at] ^= 1 << self.random.random_range(0..8);
            }
            1 if !bytes.is_empty() => {
                let at = offset % bytes.len();
                bytes[at] =
                    *[0, 1, 0x7f, 0x80, 0xff, b'"', b'\n', b'0'].choose(&mut self.random).unwrap_or(&0);
            }
            2 => drop(bytes.drain(self.piece(bytes))),
            3 => {
                let copy = bytes[self.piece(bytes)].to_vec();
                bytes.splice(offset..offset, copy);
            }
            4 => bytes.truncate(offset),
            5 => {
                let other = self.inputs.choose(&mut self.random).cloned().unwrap_or_default();
                let piece = self.piece(&other);
                bytes.splice(offset..offset, other[piece].iter().copied());
            }
            _ => {
                let word = self.words.choose(&mut self.random).cloned().unwrap_or_default();
                // Half of the words overwrite bytes, so that sizes given elsewhere in the input stay right.
                let end = if self.random.random() { (offset + word.len()).min(bytes.len()) } else { offset };
                bytes.splice(offset..end, word);
            }
        }
    }
}

/// Parses a dictionary in libFuzzer's format: `"…"` per line, with `\xNN`, `\"` and `\\`.
pub(crate) fn dictionary(text: &str) -> Vec<Vec<u8>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| word(line.strip_prefix('"').and_then(|line| line.strip_suffix('"')).unwrap())).collect()
}

fn word(quoted: &str) -> Vec<u8> {
    let (mut word, mut rest) = (Vec::new(), quoted.as_bytes());
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        match (byte, behind) {
            (b'\\', [b'x', hex @ ..]) => {
                word.push(u8::from_str_radix(str::from_utf8(&hex[..2]).unwrap(), 16).unwrap());
                rest = &hex[2..];
            }
            (b'\\', [escaped, behind @ ..]) => {
                word.push(*escaped);
                rest = behind;
            }
            _ => word.push(byte),
        }
    }
    word
}

#[test]
fn dictionaries_are_parsed_as_libfuzzer_does() {
    assert_eq!(dictionary("# no word\n\"a\\x00\\\\\\\"b\"\n"), [b"a\0\\\"b"]);
}
