//! A ring buffer's reader that reads ahead of what it releases: the kernel may use a record's room again only when
//! the agent says so, and that is when the rows made from it are safe.
//!
//! The kernel's layout: a page with the consumer's position, which is ours to write; a page with the producer's; the
//! data, mapped twice in a row, so that no record is broken at the end. Each record has a header of 8 bytes, whose
//! first 4 are its length with two bits on top, and is padded to 8 bytes. Positions are bytes since the ring was made.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use model::Stretch;

const HEADER: u64 = 8;
/// Reserved, and not yet written.
const BUSY: u32 = 1 << 31;
/// Given up by its writer.
const DISCARDED: u32 = 1 << 30;

/// One ring, in one reader's hands.
#[derive(Debug)]
pub(crate) struct RingReader {
    fd: OwnedFd,
    consumer: Mapping,
    /// Its position's page, then the data twice.
    producer: Mapping,
    page: usize,
    size: u64,
    /// Where the next record begins.
    cursor: u64,
    released: u64,
    /// The producer's position when it was looked at last.
    produced: u64,
    /// How far is read: as far as there is something, or up to a mark.
    upto: Option<u64>,
}

impl RingReader {
    /// Reads the ring buffer map behind `fd`, which has `size` bytes, from the first record that was not released.
    ///
    /// # Errors
    /// It can't be mapped.
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

    /// Reads no further than the kernel has got now, until the next mark.
    pub(crate) fn mark(&mut self) {
        self.upto = Some(self.produced());
    }

    /// Everything below the mark has been read.
    pub(crate) fn is_at_mark(&self) -> bool {
        self.upto.is_none_or(|upto| self.cursor >= upto)
    }

    /// The next record and where it lies; `None` when there is none yet. It stays where it is until it is released.
    pub(crate) fn next(&mut self) -> Option<(Stretch, &[u8])> {
        loop {
            if self.upto.is_some_and(|upto| self.cursor >= upto) {
                return None;
            }
            if self.cursor == self.produced {
                // Acquire: what was written before the position was moved is to be seen.
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
            let stretch =
                Stretch { start: self.cursor, end: self.cursor + (HEADER + length).next_multiple_of(8) };
            if stretch.end > self.produced {
                // The kernel never writes this; nothing behind it could be found.
                return None;
            }
            self.cursor = stretch.end;
            if header & DISCARDED == 0 {
                return Some((stretch, self.producer.bytes(at + HEADER as usize, length as usize)));
            }
        }
    }

    /// The next record, without going on to the one after it.
    pub(crate) fn peek(&mut self) -> Option<&[u8]> {
        let stretch = self.next()?.0;
        self.cursor = stretch.start;
        let at = self.page + (stretch.start & (self.size - 1)) as usize;
        let length = self.producer.half(at).load(Ordering::Relaxed);
        Some(self.producer.bytes(at + HEADER as usize, length as usize))
    }

    /// Bytes written and not yet read.
    pub(crate) fn unread(&self) -> u64 {
        self.produced() - self.cursor
    }

    /// Gives the kernel back what lies below `upto`, as far as it was read.
    pub(crate) fn release(&mut self, upto: u64) {
        let upto = upto.min(self.cursor);
        if upto > self.released {
            self.released = upto;
            // Release: the records are read before their room may be written again.
            self.consumer.word(0).store(upto, Ordering::Release);
        }
    }

    /// Where the last record ends, as far as the kernel has got.
    pub(crate) fn produced(&self) -> u64 {
        self.producer.word(0).load(Ordering::Acquire)
    }

    /// Bytes of the data.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Where the next record begins.
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

// SAFETY: the memory belongs to no thread; what is written in it is only written through atomics, or by the kernel
// before it says so.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(fd: BorrowedFd<'_>, offset: usize, length: usize, access: i32) -> io::Result<Self> {
        let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
        // SAFETY: a new mapping at a place of the kernel's choice touches no memory of ours.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), length, access, libc::MAP_SHARED, fd.as_raw_fd(), offset)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Self { start, length })
    }

    /// The 8 bytes at `at`, which are a multiple of 8.
    fn word(&self, at: usize) -> &AtomicU64 {
        assert!(at.is_multiple_of(8) && at + 8 <= self.length, "outside of a ring's memory");
        // SAFETY: inside the mapping (just checked), which starts at a page's beginning, so it is aligned; it lives
        // as long as `self`; others access it as atomics, too.
        unsafe { self.start.add(at).cast().as_ref() }
    }

    /// The 4 bytes at `at`, which are a multiple of 4.
    fn half(&self, at: usize) -> &AtomicU32 {
        assert!(at.is_multiple_of(4) && at + 4 <= self.length, "outside of a ring's memory");
        // SAFETY: as in `word`.
        unsafe { self.start.add(at).cast().as_ref() }
    }

    /// Bytes that the kernel has finished writing.
    fn bytes(&self, at: usize, length: usize) -> &[u8] {
        assert!(at + length <= self.length, "outside of a ring's memory");
        // SAFETY: inside the mapping (just checked), which lives as long as `self`. The kernel writes a record's room
        // again only after it was released, and `RingReader` lends it out under a borrow that `release` ends.
        unsafe { std::slice::from_raw_parts(self.start.add(at).as_ptr(), length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours alone, and every reference into it borrowed `self`.
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

    /// A file laid out as the kernel lays out a ring; records are written twice, as they are mapped.
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
    fn it_reads_up_to_a_mark() {
        let mut kernel = Kernel::new();
        let mut reader = kernel.reader();
        assert!(reader.is_at_mark(), "there is none");
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
    fn it_reads_ahead_and_a_successor_begins_at_what_was_released() {
        let mut kernel = Kernel::new();
        let mut reader = kernel.reader();
        assert!(reader.next().is_none());
        kernel.put(0, b"one");
        kernel.put(DISCARDED, b"never mind");
        kernel.put(0, b"two");
        assert_eq!(reader.next().unwrap(), (Stretch { start: 0, end: 16 }, &b"one"[..]));
        let (second, bytes) = reader.next().unwrap();
        assert_eq!((second, bytes), (Stretch { start: 40, end: 56 }, &b"two"[..]));
        assert!(reader.next().is_none());
        assert_eq!((kernel.released(), reader.cursor()), (0, 56));
        reader.release(40);
        reader.release(16);
        assert_eq!(kernel.released(), 40, "it never goes back");
        let mut successor = kernel.reader();
        assert_eq!(successor.next().unwrap().1, b"two");
        successor.release(u64::MAX);
        assert_eq!(kernel.released(), 56, "not beyond what was read");
    }

    #[test]
    fn it_waits_for_a_record_in_the_making() {
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
    fn records_lie_across_the_end() {
        let mut kernel = Kernel::new();
        let mut reader = kernel.reader();
        for round in 0..50_u8 {
            kernel.put(0, &[round; 1000]);
            let (stretch, bytes) = reader.next().unwrap();
            assert_eq!(bytes, [round; 1000]);
            reader.release(stretch.end);
        }
        assert_eq!(kernel.released(), 50 * 1008);
    }
}
