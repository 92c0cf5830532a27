//! The identity of a file.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Identity of a file: it stays the same when the file is renamed. The text form is `DEV:INO` or `DEV:INO:GENERATION`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    /// Device of the file's file system, as in the field `dev`.
    pub dev: u64,
    /// Inode number of the file.
    pub ino: u64,
    /// Generation of the inode; `None` if it is not known.
    pub generation: Option<u32>,
}

impl FileId {
    /// Returns whether both can be one file: they are equal, as far as both have a generation.
    pub fn fits(&self, other: &Self) -> bool {
        let same =
            self.generation.is_none() || other.generation.is_none() || self.generation == other.generation;
        (self.dev, self.ino) == (other.dev, other.ino) && same
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.dev, self.ino)?;
        self.generation.map_or(Ok(()), |generation| write!(f, ":{generation}"))
    }
}

impl FromStr for FileId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected DEV:INO or DEV:INO:GENERATION in numbers, found {text:?}");
        let parts = text.split(':').collect::<Vec<_>>();
        let number = |text: &&str| text.parse::<u64>().map_err(|_| wrong());
        let (dev, ino, generation) = match parts.as_slice() {
            [dev, ino] => (number(dev)?, number(ino)?, None),
            [dev, ino, generation] => {
                (number(dev)?, number(ino)?, Some(generation.parse::<u32>().map_err(|_| wrong())?))
            }
            _ => return Err(wrong()),
        };
        Ok(Self { dev, ino, generation })
    }
}

impl Serialize for FileId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_is_read_again() {
        for text in ["65025:12:7", "0:18446744073709551615", "1:2:4294967295"] {
            assert_eq!(text.parse::<FileId>().map(|id| id.to_string()).as_deref(), Ok(text));
        }
        for text in ["", "1", "1:2:3:4", "1:x", "-1:2", "1:2:4294967296", "1: 2"] {
            assert!(text.parse::<FileId>().is_err(), "{text}");
        }
    }
}
