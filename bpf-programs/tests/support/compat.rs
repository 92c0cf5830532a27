//! A 32-bit program that makes any system call it is sent, and the Perl code that sends it calls. The program
//! is written byte by byte, so that no 32-bit compiler, linker or library is needed, here or in a guest.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

use bpf_programs::testing::{Compat, Kind};
use model::{Details, Ends, Open, Record, Socket};

use crate::support::{Kernel, decode};
use crate::{TIMES, Test};

/// Address at which the program is loaded; its messages are one page further.
const BASE: u32 = 0x2000_0000;
const MESSAGE: u32 = BASE + 4096;

/// Machine code that reads a message of 4096 bytes from standard input, the first seven words of which are a
/// call's number and arguments, makes the call, writes the result, and repeats that until the input ends. Its
/// source, for `as --32`:
///
/// ```text
/// _start: mov $3, %eax; xor %ebx, %ebx; mov $MESSAGE, %ecx; mov $4096, %edx; int $0x80; cmp $4096, %eax; jne end
///         mov MESSAGE, %eax; mov MESSAGE+4, %ebx; mov MESSAGE+8, %ecx; mov MESSAGE+12, %edx; mov MESSAGE+16, %esi
///         mov MESSAGE+20, %edi; mov MESSAGE+24, %ebp; int $0x80; mov %eax, MESSAGE
///         mov $4, %eax; mov $1, %ebx; mov $MESSAGE, %ecx; mov $4, %edx; int $0x80; jmp _start
/// end:    mov $1, %eax; int $0x80
/// ```
#[rustfmt::skip]
const CODE: [u8; 105] = [
    0xb8, 0x03, 0x00, 0x00, 0x00, 0x31, 0xdb, 0xb9, 0x00, 0x10, 0x00, 0x20, 0xba, 0x00, 0x10, 0x00, 0x00, 0xcd, 0x80,
    0x3d, 0x00, 0x10, 0x00, 0x00, 0x75, 0x48,
    0xa1, 0x00, 0x10, 0x00, 0x20, 0x8b, 0x1d, 0x04, 0x10, 0x00, 0x20, 0x8b, 0x0d, 0x08, 0x10, 0x00, 0x20,
    0x8b, 0x15, 0x0c, 0x10, 0x00, 0x20, 0x8b, 0x35, 0x10, 0x10, 0x00, 0x20, 0x8b, 0x3d, 0x14, 0x10, 0x00, 0x20,
    0x8b, 0x2d, 0x18, 0x10, 0x00, 0x20, 0xcd, 0x80, 0xa3, 0x00, 0x10, 0x00, 0x20,
    0xb8, 0x04, 0x00, 0x00, 0x00, 0xbb, 0x01, 0x00, 0x00, 0x00, 0xb9, 0x00, 0x10, 0x00, 0x20, 0xba, 0x04, 0x00, 0x00, 0x00,
    0xcd, 0x80, 0xeb, 0x9e,
    0xb8, 0x01, 0x00, 0x00, 0x00, 0xcd, 0x80,
];

/// Perl code that starts the program `$ARGV[1]` with all descriptors that are open then, prints its pid, and
/// sends it calls: `call32(number, argument…)` passes texts by address; `wide(position, argument…)` splits the
/// argument at that position, counted from 0, into two; `socketcall(number, argument…)` puts the arguments into
/// memory; `ipc(number, argument…)` puts those of the 64-bit call into ipc()'s order, with an address to write to where that has none.
const PRELUDE: &str = r#"
pipe(my $r, W32); pipe(R32, my $w); $| = 1;
$pid32 = fork; unless ($pid32) { open(STDIN, '<&', $r); open(STDOUT, '>&', $w); exec $ARGV[1] or die; }
print $pid32; close STDOUT;
END { local $?; kill 9, $pid32; waitpid $pid32, 0; }
sub words { my ($at, @a) = @_; my $texts = ''; my @words;
    my $behind = $at + 4 * @a;
    for (@a) {
        if (ref $_) { my ($words, $more) = words($behind + length $texts, @$_); push @words, $behind + length $texts; $texts .= pack('L*', @$words) . $more; }
        elsif (/^-?\d+$/) { push @words, $_ & 0xffffffff; }
        else { push @words, $behind + length $texts; $texts .= "$_\0"; $texts .= "\0" while length($texts) % 4; }
    }
    return (\@words, $texts); }
sub call32 { my ($nr, @a) = @_; push @a, 0 while @a < 6;
    my ($words, $texts) = words(0x20001004, @a);
    my $message = pack('L*', $nr, @$words) . $texts; $message .= "\0" x (4096 - length $message);
    syswrite(W32, $message) == 4096 or die; sysread(R32, my $result, 4) == 4 or die; return unpack('l', $result); }
sub wide { my ($at, @a) = @_; (@a[0 .. $at - 1], map { ($_ & 0xffffffff, ($_ >> 32) & 0xffffffff) } @a[$at .. $#a]) }
sub socketcall { my ($nr, @a) = @_; call32(102, $nr, \@a) }
sub ipc { my ($nr, @a) = @_;
    my %orders = (11 => [0, 2, 3, 1], 12 => [0, 2, 4, 1, 3], 14 => [0, 1, -1, 2], 21 => [0, 2, -1, 1], 22 => [-1, -1, -1, 0], 24 => [0, 1, -1, 2]);
    my @b = map { $_ < 0 ? [0] : $a[$_] // 0 } @{$orders{$nr} // [0, 1, 2]};
    call32(117, $nr == 12 ? 0x10000 | $nr : $nr, @b) }
"#;

/// Runs a script in which a 32-bit program makes calls; returns that program's pid. `before` is Perl code that
/// runs before it starts; it must leave descriptors open (`$^F`).
pub fn run(folder: &Path, before: &str, script: &str) -> anyhow::Result<u32> {
    output(folder, before, script)?.parse().context("no pid")
}

/// Does the same and returns all output, which ends with that pid.
pub fn output(folder: &Path, before: &str, script: &str) -> anyhow::Result<String> {
    let home = tempfile::tempdir()?;
    let program = home.path().join("caller32");
    write_program(&program)?;
    let script = format!("{before} {PRELUDE} {script}");
    let output = Command::new("perl").arg("-e").arg(&script).arg(folder).arg(&program).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} of {script}: {errors}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// Writes the program to a file.
fn write_program(path: &Path) -> anyhow::Result<()> {
    let mut elf = b"\x7fELF\x01\x01\x01".to_vec();
    elf.resize(16, 0);
    let put = |elf: &mut Vec<u8>, half: bool, value: u32| {
        let bytes = value.to_le_bytes();
        elf.extend_from_slice(if half { &bytes[..2] } else { &bytes });
    };
    let start = 52 + 32;
    // The header: an executable for i386, its entry, one segment, no sections.
    for (half, value) in [(true, 2), (true, 3), (false, 1), (false, BASE + start), (false, 52), (false, 0)] {
        put(&mut elf, half, value);
    }
    put(&mut elf, false, 0);
    [52, 32, 1, 0, 0, 0].into_iter().for_each(|value| put(&mut elf, true, value));
    // The segment: the whole file, and room for messages after it; read, write, execute.
    let size = start + CODE.len() as u32;
    for value in [1, 0, BASE, BASE, size, MESSAGE - BASE + 4096, 7, 4096] {
        put(&mut elf, false, value);
    }
    elf.extend_from_slice(&CODE);
    fs::write(path, elf)?;
    Ok(fs::set_permissions(path, Permissions::from_mode(0o755))?)
}

/// Writes a call as Perl code; `arguments` are those of a 64-bit program, and `wide_at` is the position of the
/// first one that takes two registers.
pub fn perl(compat: &Compat, arguments: &str, wide_at: u32) -> String {
    if let Some(number) = compat.socketcall {
        return format!("socketcall({number}, {arguments})");
    }
    if let Some(number) = compat.ipc {
        return format!("ipc({number}, {arguments})");
    }
    let number = compat.number;
    if compat.is_wide {
        return format!("call32({number}, wide({wide_at}, {arguments}))");
    }
    format!("call32({number}, {arguments})")
}

pub const TESTS: &[Test] = &[("open_by_a_32_bit_program", open), ("connect_by_a_32_bit_program", connect)];

/// Returns the records of one kind that a script's 32-bit program made.
fn records(kind: Kind, folder: &Path, before: &str, script: &str) -> anyhow::Result<Vec<Record>> {
    let mut kernel = Kernel::start()?;
    let pid = run(folder, before, script)?;
    kernel.drain();
    let reported: Vec<Record> =
        kernel.of(pid, kind).iter().map(|bytes| decode(kind, bytes)).collect::<Result<_, _>>()?;
    ensure!(reported.iter().all(|one| one.identity.as_ref().is_some_and(|who| who.compat)), "{reported:?}");
    Ok(reported)
}

fn open() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("file");
    fs::write(&file, "")?;
    let before = "$^F = 1000; umask(18); chdir $ARGV[0]; sysopen(D, '.', 0200000); $d = fileno(D);";
    for (good, bad, flags, mode) in [
        ("5, 'file', 2, 0", "5, 'no', 2, 0", 2, 0),
        ("8, 'file', 384", "8, 'no/file', 384", 0o1101, 0o600),
        ("295, $d, 'file', 64, 384", "295, $d, 'no/file', 64, 384", 0o100, 0o600),
        ("437, $d, 'file', [2, 0, 0, 0, 0, 0], 24", "437, $d, 'no', [2, 0, 0, 0, 0, 0], 24", 2, 0),
    ] {
        let script = format!("for (1..{TIMES}) {{ call32(6, call32({good})); call32({bad}); }}");
        let reported: Vec<Open> = records(Kind::Open, folder.path(), before, &script)?
            .into_iter()
            .filter_map(|record| match record.details {
                Details::Open(open)
                    if open.path.as_bytes().starts_with(folder.path().as_os_str().as_encoded_bytes()) =>
                {
                    Some(*open)
                }
                _ => None,
            })
            .collect();
        let (good_ones, bad_ones): (Vec<&Open>, Vec<&Open>) = reported.iter().partition(|open| open.ret >= 0);
        ensure!((good_ones.len(), bad_ones.len()) == (TIMES, TIMES), "{good}: {reported:?}");
        ensure!(
            bad_ones.iter().all(|open| open.ret == -i64::from(libc::ENOENT) && open.file.is_none()),
            "{bad_ones:?}"
        );
        for open in good_ones {
            let wanted = (file.as_os_str().as_encoded_bytes(), b"file".as_slice(), flags, mode, 0o022);
            let found = (open.path.as_bytes(), open.path_asked.as_bytes(), open.flags, open.mode, open.umask);
            ensure!(found == wanted && open.file.is_some(), "{good}: {open:?}");
        }
    }
    Ok(())
}

fn connect() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (to, refused) = (listener.local_addr()?, TcpListener::bind("127.0.0.1:0")?.local_addr()?);
    // An address in network order, as the words that it takes in memory.
    let address = |to: std::net::SocketAddr| {
        format!("[2 | unpack('v', pack('n', {})) << 16, 0x0100007f, 0, 0]", to.port())
    };
    for call in ["call32(362, ", "socketcall(3, "] {
        let one = |to| format!("$s = call32(359, 2, 1, 0); {call} $s, {}, 16); call32(6, $s);", address(to));
        let script = format!("for (1..{TIMES}) {{ {} {} }}", one(to), one(refused));
        let reported: Vec<Socket> = records(Kind::Connect, folder.path(), "", &script)?
            .into_iter()
            .filter_map(|record| match record.details {
                Details::Socket(connect) => Some(*connect),
                _ => None,
            })
            .collect();
        let count = |to: std::net::SocketAddr, ret: i32| {
            let same = |one: &&Socket| {
                matches!(one.ends, Ends::Inet { remote: Some(remote), .. } if remote == (to.ip(), to.port()))
                    && one.ret == Some(ret.into())
            };
            reported.iter().filter(same).count()
        };
        let counts = (count(to, 0), count(refused, -libc::ECONNREFUSED), reported.len());
        ensure!(counts == (TIMES, TIMES, 2 * TIMES), "{call}: {counts:?} {reported:?}");
    }
    Ok(())
}
