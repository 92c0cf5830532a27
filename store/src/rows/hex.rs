//! Bytes from lower-case hex, in which fields hold exact bytes.

/// Returns the bytes; `None` for any text that [`model::text::hex`] does not write.
pub(super) fn read(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_written_is_read() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(read(&model::text::hex(&all)), Some(all));
        for wrong in ["0", "0A", "0x", "ü"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
