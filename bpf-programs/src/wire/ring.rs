//! Reads an eBPF ring buffer, and releases records separately from reading them. The kernel may reuse a record's room only
//! after it was released; with pinned rings that is when the rows made from it are committed.
//!
//! ```text
//!  page 0              page 1              data                     the same data again
//!  consumer position   producer position   ┌───────┬───────┬─────┐  ┌───────┬─
//!  (we write)          (kernel writes)     │ record│ record│     │  │ record│ …
//!                                          └───────┴───────┴─────┘  └───────┴─
//! ```
//!
//! The data is mapped twice in a row, so a record that wraps around the end is still contiguous. Each record has a header
//! of 8 bytes, of which the first 4 hold the length and the bits [`BUSY`] and [`DISCARDED`], and is padded to 8 bytes.
//! Positions count bytes since the ring was created.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use model::OffsetRange;

const HEADER: u64 = 8;
/// The record is reserved and not written yet.
const BUSY: u32 = 1 << 31;
/// The record was discarded by its writer.
const DISCARDED: u32 = 1 << 30;

/// The reader of one ring.
#[derive(Debug)]
pub(crate) struct RingReader {
    fd: OwnedFd,
    consumer: Mapping,
    /// The page with the producer position, then the data twice.
    producer: Mapping,
    page: usize,
    size: u64,
    /// Position of the next record.
    cursor: u64,
    released: u64,
    /// The producer position when it was read last.
    produced: u64,
    /// Read limit (mark), if there is one.
    upto: Option<u64>,
}

impl RingReader {
    /// Opens the ring buffer map behind `fd`, which has `size` bytes, at the first record that was not released.
    ///
    /// # Errors
    /// Fails if the ring can't be mapped into memory.
    pub(crate) fn open(fd: OwnedFd, size: u32, page: usize) -> io::Result<Self> {
        let consumer = Mapping::new(fd.as_fd(), 0, page, libc::PROT_READ | libc::PROT_WRITE)?;
        let producer = Mapping::new(fd.as_fd(), page, page + 2 * size as usize, libc::PROT_READ)?;
        let released = consumer.word(0).load(Ordering::Acquire);
        let size = u64::from(size);
        Ok(Self {
            fd,
            consumer,
            producer,
            page,
            size,
            cursor: released,
            released,
            produced: released,
            upto: None,
        })
    }

    /// Limits reading to the current end of the ring, until the next mark.
    pub(crate) fn mark(&mut self) {
        self.upto = Some(self.produced());
    }

    /// Returns whether everything below the mark has been read.
    pub(crate) fn is_at_mark(&self) -> bool {
        self.upto.is_none_or(|upto| self.cursor >= upto)
    }

    /// Reads the next record; returns the range it occupies and its bytes, or `None` if there is none yet. The record stays
    /// in the ring until it is released.
    pub(crate) fn next(&mut self) -> Option<(OffsetRange, &[u8])> {
        loop {
            if self.upto.is_some_and(|upto| self.cursor >= upto) {
                return None;
            }
            if self.cursor == self.produced {
                // Acquire: makes everything visible that was written before the position was moved.
                self.produced = self.producer.word(0).load(Ordering::Acquire);
                if self.cursor == self.produced {
                    return None;
                }
            }
            let at = self.page + (self.cursor & (self.size - 1)) as usize;
            // Acquire: the kernel clears the bit after it has written the record.
            let header = self.producer.half(at).load(Ordering::Acquire);
            if header & BUSY != 0 {
                return None;
            }
            let length = u64::from(header & !DISCARDED);
            let range =
                OffsetRange { start: self.cursor, end: self.cursor + (HEADER + length).next_multiple_of(8) };
            if range.end > self.produced {
                // The kernel never writes this; the following record could not be located.
                return None;
            }
            self.cursor = range.end;
            if header & DISCARDED == 0 {
                return Some((range, self.producer.bytes(at + HEADER as usize, length as usize)));
            }
        }
    }

    /// Returns the next record without moving the cursor.
    pub(crate) fn peek(&mut self) -> Option<&[u8]> {
        let range = self.next()?.0;
        self.cursor = range.start;
        let at = self.page + (range.start & (self.size - 1)) as usize;
        let length = self.producer.half(at).load(Ordering::Relaxed);
        Some(self.producer.bytes(at + HEADER as usize, length as usize))
    }

    /// Returns the bytes written and not yet read.
    pub(crate) fn unread(&self) -> u64 {
        self.produced() - self.cursor
    }

    /// Returns to the kernel the room below position `upto`, as far as it was read.
    pub(crate) fn release(&mut self, upto: u64) {
        let upto = upto.min(self.cursor);
        if upto > self.released {
            self.released = upto;
            // Release: the records are read before their room may be written again.
            self.consumer.word(0).store(upto, Ordering::Release);
        }
    }

    /// Returns the producer position: the end of the last record.
    pub(crate) fn produced(&self) -> u64 {
        self.producer.word(0).load(Ordering::Acquire)
    }

    /// Returns the size of the ring in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Returns the position up to which room was given back.
    pub(crate) fn released(&self) -> u64 {
        self.released
    }

    /// Returns the position of the next record.
    pub(crate) fn cursor(&self) -> u64 {
        self.cursor
    }
}

impl AsFd for RingReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Memory shared with the kernel.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the memory belongs to no thread; it is only written through atomics, or by the kernel before it moves the
// producer position.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(fd: BorrowedFd<'_>, offset: usize, length: usize, access: i32) -> io::Result<Self> {
        let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
        // SAFETY: a new mapping at an address chosen by the kernel touches no memory of ours.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), length, access, libc::MAP_SHARED, fd.as_raw_fd(), offset)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Self { start, length })
    }

    /// Returns the 8 bytes at `at`, which must be a multiple of 8.
    fn word(&self, at: usize) -> &AtomicU64 {
        assert!(at.is_multiple_of(8) && at + 8 <= self.length, "outside of a ring's memory");
        // SAFETY: inside the mapping (just checked), which starts at a page boundary, so it is aligned; it lives as long
        // as `self`; all other accesses are atomic, too.
        unsafe { self.start.add(at).cast().as_ref() }
    }

    /// Returns the 4 bytes at `at`, which must be a multiple of 4.
    fn half(&self, at: usize) -> &AtomicU32 {
        assert!(at.is_multiple_of(4) && at + 4 <= self.length, "outside of a ring's memory");
        // SAFETY: as in `word`.
        unsafe { self.start.add(at).cast().as_ref() }
    }

    /// Returns bytes that the kernel has finished writing.
    fn bytes(&self, at: usize, length: usize) -> &[u8] {
        assert!(at + length <= self.length, "outside of a ring's memory");
        // SAFETY: inside the mapping (just checked), which lives as long as `self`. The kernel writes a record's room
        // again only after it was released, and `RingReader` lends it out under a borrow that `release` ends.
        unsafe { std::slice::from_raw_parts(self.start.add(at).as_ptr(), length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping belongs to `self`, and every reference into it borrowed `self`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    use super::*;

    const PAGE: usize = 4096;
    const SIZE: u64 = 4096;

    /// A file with the layout of a ring; records are written twice, as they are mapped.
    struct Kernel {
        file: File,
        produced: u64,
    }

    impl Kernel {
        fn new() -> Self {
            let file = tempfile::tempfile().unwrap();
            file.set_len(2 * PAGE as u64 + 2 * SIZE).unwrap();
            Self { file, produced: 0 }
        }

        fn reader(&self) -> RingReader {
            RingReader::open(self.file.try_clone().unwrap().into(), SIZE as u32, PAGE).unwrap()
        }

        fn write(&self, at: u64, bytes: &[u8]) {
            for (index, byte) in bytes.iter().enumerate() {
                let at = (at + index as u64) % SIZE + 2 * PAGE as u64;
                self.file.write_all_at(&[*byte], at).unwrap();
                self.file.write_all_at(&[*byte], at + SIZE).unwrap();
            }
        }

        fn put(&mut self, bits: u32, bytes: &[u8]) -> u64 {
            let at = self.produced;
            self.write(at, &(bytes.len() as u32 | bits).to_ne_bytes());
            self.write(at + 8, bytes);
            self.produced += (8 + bytes.len() as u64).next_multiple_of(8);
            self.file.write_all_at(&self.produced.to_ne_bytes(), PAGE as u64).unwrap();
            at
        }

        fn released(&self) -> u64 {
            let mut word = [0; 8];
            self.file.read_exact_at(&mut word, 0).unwrap();
            u64::from_ne_bytes(word)
        }
    }

    #[test]
    fn reading_stops_at_the_mark() {
        let mut kernel = Kernel::new();
        let mut reader = kernel.reader();
        assert!(reader.is_at_mark(), "there is no mark");
        kernel.put(0, b"one");
        reader.mark();
        kernel.put(0, b"two");
        assert!(!reader.is_at_mark());
        assert_eq!(reader.next().unwrap().1, b"one");
        assert!(reader.is_at_mark() && reader.next().is_none());
        reader.mark();
        assert_eq!(reader.next().unwrap().1, b"two");
    }

    #[test]
    fn reading_is_ahead_of_releasing_and_a_successor_starts_at_the_released_position() {
        let mut kernel = Kernel::new();
        let mut reader = kernel.reader();
        assert!(reader.next().is_none());
        kernel.put(0, b"one");
        kernel.put(DISCARDED, b"never mind");
        kernel.put(0, b"two");
        assert_eq!(reader.next().unwrap(), (OffsetRange { start: 0, end: 16 }, &b"one"[..]));
        let (second, bytes) = reader.next().unwrap();
        assert_eq!((second, bytes), (OffsetRange { start: 40, end: 56 }, &b"two"[..]));
        assert!(reader.next().is_none());
        assert_eq!((kernel.released(), reader.cursor()), (0, 56));
        reader.release(40);
        reader.release(16);
        assert_eq!(kernel.released(), 40, "the position never goes back");
        let mut successor = kernel.reader();
        assert_eq!(successor.next().unwrap().1, b"two");
        successor.release(u64::MAX);
        assert_eq!(kernel.released(), 56, "not beyond the cursor");
    }

    #[test]
    fn reading_waits_for_a_record_being_written() {
        let mut kernel = Kernel::new();
        let mut reader = kernel.reader();
        let at = kernel.put(BUSY, b"slow");
        kernel.put(0, b"quick");
        assert!(reader.next().is_none());
        kernel.write(at, &4_u32.to_ne_bytes());
        assert_eq!(reader.next().unwrap().1, b"slow");
        assert_eq!(reader.next().unwrap().1, b"quick");
    }

    #[test]
    fn records_that_wrap_around_the_end_are_read_whole() {
        let mut kernel = Kernel::new();
        let mut reader = kernel.reader();
        for round in 0..50_u8 {
            kernel.put(0, &[round; 1000]);
            let (range, bytes) = reader.next().unwrap();
            assert_eq!(bytes, [round; 1000]);
            reader.release(range.end);
        }
        assert_eq!(kernel.released(), 50 * 1008);
    }
}
