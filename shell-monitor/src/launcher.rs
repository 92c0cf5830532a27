//! The launcher: a process of its own that becomes a template's program.
//!
//! If a thread of the agent took on a user's ids to start a program, that user could signal, stop or limit the agent
//! through it. So the agent executes the launcher, which is another image with nothing of the agent's memory; only the
//! launcher changes its ids, and then executes the program:
//!
//! ```text
//!   agent (root)   ── starts ──▶ launcher (root)   closes all descriptors, new session
//!                  ── request ─▶                   receives the program's stdin
//!                                launcher (user)   ids, no_new_privs, working folder
//!                  ◀── READY ──
//!                  ◀── end ────  program (user)    execve has closed the socket
//! ```
//!
//! The session is new, so the program has no controlling terminal into which it could push characters. The program gets
//! SIGTERM if the agent dies without having ended it.

use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::fs;
use std::io::{self, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::errno::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal};
use tokio::signal::unix::{SignalKind, signal};

use crate::launch::{READY, Refusal, Request, Step};
use crate::user::Ids;

/// Folders in which a program is searched if its environment has no PATH, as `execvp(3)` does.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Executes the program that the agent asks for over stdin. Returns only if that fails, with the reason, which the agent
/// has also received over the socket.
pub fn run() -> io::Error {
    let socket = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from);
    let mut socket = match socket.and_then(|socket| socket.peer_addr().map(|_| socket)) {
        Ok(socket) => socket,
        Err(cause) => {
            return io::Error::new(cause.kind(), format!("only the agent may use this: stdin: {cause}"));
        }
    };
    let (step, cause) = become_program(&mut socket);
    let refusal = Refusal { step, errno: cause.raw_os_error().unwrap_or(nix::libc::EIO) };
    // If the agent is gone, nobody needs the answer.
    let _ = serde_json::to_vec(&refusal).map(|answer| socket.write_all(&answer));
    cause
}

/// Returns the step that failed, and the cause.
fn become_program(socket: &mut UnixStream) -> (Step, io::Error) {
    let request = match prepare(socket) {
        Ok(request) => request,
        Err(cause) => return (Step::Prepare, cause),
    };
    if let Some(Err(cause)) = request.ids.as_ref().map(take_on) {
        return (Step::Ids, cause);
    }
    if let Err(cause) = restrict(&request) {
        return (Step::Prepare, cause);
    }
    if let Some(Err(cause)) = request.cwd.as_ref().map(env::set_current_dir) {
        return (Step::Folder, cause);
    }
    if let Err(cause) = socket.write_all(READY) {
        return (Step::Prepare, cause);
    }
    (Step::Execute, execute(&request).into())
}

/// Gives up what is the agent's, and receives the request.
fn prepare(socket: &mut UnixStream) -> io::Result<Request> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    close_inherited(socket.as_raw_fd())?;
    rustix::process::setsid()?;
    let stdin = receive_descriptor(socket)?;
    let mut request = Vec::new();
    socket.read_to_end(&mut request)?;
    nix::unistd::dup2_stdin(stdin)?;
    Ok(serde_json::from_slice(&request)?)
}

/// Closes all descriptors but stdin, stdout, stderr and this one: those that the agent itself has inherited.
fn close_inherited(keep: i32) -> io::Result<()> {
    let mut open = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        open.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    for fd in open.into_iter().filter(|fd| *fd > 2 && *fd != keep) {
        // The one that listed the folder is closed already.
        let _ = nix::unistd::close(fd);
    }
    Ok(())
}

fn receive_descriptor(socket: &UnixStream) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut first = [0; READY.len()];
    recvmsg(socket, &mut [IoSliceMut::new(&mut first)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let received = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    received.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Takes on the ids. The user is changed last: without root the others could not be set.
fn take_on(ids: &Ids) -> io::Result<()> {
    use rustix::process::{Gid, Uid};
    use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
    let groups: Vec<Gid> = ids.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    let (uid, gid) = (Uid::from_raw(ids.uid), Gid::from_raw(ids.gid));
    set_thread_groups(&groups)?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}

/// Sets what lasts beyond execve. The signal at the agent's death is set here, because a change of ids clears it.
fn restrict(request: &Request) -> io::Result<()> {
    if !request.allow_setuid {
        rustix::thread::set_no_new_privs(true)?;
    }
    set_parent_process_death_signal(Some(Signal::TERM))?;
    let parent = nix::unistd::getppid().as_raw();
    if u32::try_from(parent) == Ok(request.agent) {
        Ok(())
    } else {
        // The agent has died before the signal was set.
        Err(Errno::ESRCH.into())
    }
}

/// Executes the program; returns why that failed.
fn execute(request: &Request) -> Errno {
    // Rust's runtime ignores SIGPIPE, which a program would inherit; a handled signal is reset by execve.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return Errno::EAGAIN };
    let _entered = runtime.enter();
    let Ok(_handled) = signal(SignalKind::pipe()) else { return Errno::EAGAIN };

    let variable = |(name, value): &(OsString, OsString)| {
        CString::new([name.as_bytes(), b"=", value.as_bytes()].concat())
    };
    let arguments = request.comm.iter().map(|argument| CString::new(argument.as_str())).collect();
    let environment = request.env.iter().map(variable).collect();
    let (Ok(arguments), Ok(environment)): (Result<Vec<_>, _>, Result<Vec<_>, _>) = (arguments, environment)
    else {
        return Errno::EINVAL;
    };
    let execute = |path: &Path| match CString::new(path.as_os_str().as_bytes()) {
        Ok(path) => match nix::unistd::execve(&path, &arguments, &environment) {
            Err(cause) => cause,
        },
        Err(_) => Errno::EINVAL,
    };
    let Some(program) = request.comm.first() else { return Errno::ENOENT };
    if program.contains('/') {
        return execute(Path::new(program));
    }
    let path = request.env.iter().find(|(name, _)| name == "PATH");
    search(path.map_or(OsStr::new(DEFAULT_PATH), |(_, path)| path), program, execute)
}

/// Tries the program in each folder of PATH, as `execvp(3)` does; returns the cause that says most.
fn search(path: &OsStr, program: &str, execute: impl Fn(&Path) -> Errno) -> Errno {
    let mut cause = Errno::ENOENT;
    for folder in env::split_paths(path) {
        let file = folder.join(program);
        match execute(&file) {
            Errno::ENOENT | Errno::ENOTDIR => {}
            // In a folder that the user can't search, nothing was found.
            Errno::EACCES if !file.exists() => {}
            Errno::EACCES => cause = Errno::EACCES,
            other => return other,
        }
    }
    cause
}
