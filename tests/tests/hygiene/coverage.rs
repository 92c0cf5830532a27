//! The lines of `docs/COVERAGE.md` and the tests that show that they are true; and that the README has every tracer.

use std::fs;

use tests::binary::workspace;

use crate::{none, rust_files};

/// A part of a line that no other line has, and the test that holds it, or why there is none.
const LINES: &[(&str, Result<&str, &str>)] = &[
    ("what the agent itself does", Ok("agent_is_not_whoever_starts_its_iterator")),
    ("changes of the machine's clock", Ok("what_is_listed_as_not_seen_leaves_no_record")),
    ("the kernel's keys", Ok("what_is_listed_as_not_seen_leaves_no_record")),
    ("what the kernel does on its own", Ok("what_an_overlay_does_in_its_layers_leaves_no_record")),
    ("calls of the x32 ABI", Err("Debian's kernels have it switched off")),
    ("calls that a debugger cancels", Ok("what_is_listed_as_not_seen_leaves_no_record")),
    ("which subvolume of btrfs", Ok("files_in_unknown_subvolumes_are_marked")),
    ("several file systems: `dev`", Ok("identity_on_an_overlay_of_two_file_systems")),
    ("calls that seccomp refuses", Ok("what_is_listed_as_not_seen_leaves_no_record")),
    ("that a filter of seccomp answered", Ok("doubt_a_result_that_a_filter_makes_up")),
    ("what is done through io_uring: before Linux 6.0", Err("the tests' kernels are later")),
    ("io_uring's multishot requests", Ok("uring_a_multishot_request_has_its_last_result")),
    ("or the ring is closed, before", Ok("uring_a_request_whose_ring_is_closed_has_no_result")),
    ("the user whose rights a request", Ok("uring_a_request_with_another_users_rights")),
    ("neither open files nor change names", Ok("uring_a_polling_thread_without_completions_is_recorded")),
    ("those of a ring with a polling thread", Ok("uring_a_polling_thread_without_completions_is_recorded")),
    ("files opened by other calls", Ok("mount_each_call")),
    ("truncated when they are opened", Ok("open_each_field")),
    ("by a request of its own", Ok("subvolumes_made_by_ioctl_leave_no_row")),
    ("ioctl (chattr) or file_setattr", Ok("what_is_listed_as_not_seen_leaves_no_record")),
    ("not attached to the file tree yet", Ok("what_is_listed_as_not_seen_leaves_no_record")),
    ("which bytes of a mapping", Ok("usage_each_way")),
    ("by other calls than mmap", Ok("what_is_listed_as_not_seen_leaves_no_record")),
    ("memory without a file", Ok("what_is_listed_as_not_seen_leaves_no_record")),
    ("what a program learns of folders", Ok("what_is_listed_as_not_seen_leaves_no_record")),
    ("files of kinds that", Ok("files_of_other_kinds_have_no_rows")),
    ("was renamed between two rows", Ok("ledger_has_a_row_for_each_name_of_a_file")),
    ("results of libaio", Ok("what_is_listed_as_not_seen_leaves_no_record")),
    ("the inode number of the peer", Ok("socket_ids_of_a_client_closed_before_accept")),
    ("by splice or sendfile", Ok("what_is_listed_as_not_seen_leaves_no_record")),
    ("UDP_GRO", Ok("udp_counts_datagrams_and_not_calls")),
    ("names resolved by other means", Ok("what_is_listed_as_not_seen_leaves_no_record")),
    ("frames that go through memory", Ok("what_is_listed_as_not_seen_leaves_no_record")),
    ("sockets of netlink, TIPC", Ok("what_is_listed_as_not_seen_leaves_no_record")),
    ("the outcome of a connection of vsock", Ok("socket_families_vsock")),
    ("associations of SCTP that begin", Ok("socket_families_sctp")),
    ("gets by sctp_bindx", Ok("socket_families_sctp")),
    ("whether a message of SCTP", Ok("socket_families_sctp")),
    ("addresses of vsock connections", Ok("socket_families_vsock_connected")),
    ("outcomes of connections that began", Ok("connect_that_began_before_has_no_outcome")),
    ("the end of connections that were", Ok("connections_of_before_have_no_outcome_and_no_end")),
    ("which of the two exec calls", Ok("exec_denied_each_way")),
    ("the resolved path of a script", Ok("script_of_a_process_with_io_uring_or_many_files")),
    ("which file a script was", Ok("script_of_a_process_with_io_uring_or_many_files")),
    ("calls that failed to make a process", Ok("what_is_listed_as_not_seen_leaves_no_record")),
    ("exits of single threads", Ok("exit_of_many_threads_is_recorded_once")),
    ("which process the target is", Ok("kill_in_a_pid_namespace_names_its_target")),
    ("signals that the kernel sends", Ok("what_is_listed_as_not_seen_leaves_no_record")),
    ("through /proc/PID/mem", Ok("what_only_reads_files_of_the_system_is_hidden")),
    ("page protection that a process", Ok("what_is_listed_as_not_seen_leaves_no_record")),
    ("reading of extended attributes", Ok("what_is_listed_as_not_seen_leaves_no_record")),
    ("memory made by memfd_secret", Ok("what_is_listed_as_not_seen_leaves_no_record")),
    ("namespaces that clone makes", Ok("clone_of_processes_and_threads")),
    ("which bytes of shared memory", Ok("ipc_joins_both_ends")),
    ("semaphores, which carry no data", Ok("what_is_listed_as_not_seen_leaves_no_record")),
    ("ids and capabilities that a process", Ok("what_is_listed_as_not_seen_leaves_no_record")),
    ("files of proc, sysfs, cgroup", Ok("what_only_reads_files_of_the_system_is_hidden")),
    (
        "below one of `filter.system.folders`",
        Ok("files_below_a_known_folder_are_the_systems_only_if_they_are_roots_alone"),
    ),
    ("the single files of", Ok("what_is_mounted_over_files_of_the_system_is_not_hidden")),
    ("the devices null, zero", Ok("what_only_reads_files_of_the_system_is_hidden")),
    ("`attr` by path; opens that failed; execs that failed before", Ok("race_no_row_names_another_file")),
    ("execs that failed after their file was opened | the file itself", Ok("race_exec_whose_text_changes")),
    ("function | execs that failed before their file was opened", Ok("race_exec_whose_text_changes")),
    ("tracepoint, kprobe | opens that succeeded", Ok("race_open_whose_text_changes")),
    ("function | `open`, `unlink`, `rename`", Ok("race_no_row_names_another_file")),
    ("function | `attr` and `truncate` by path", Ok("race_no_row_names_another_file")),
    ("and `truncate` by descriptor |", Ok("race_attr_whose_descriptor_changes")),
    ("`attr`, `truncate`, `mount` by descriptor", Ok("race_attr_whose_descriptor_changes")),
    ("function | `mount`, open_by_handle_at", Err("the line of the other hooks has the test")),
    ("tracepoint, kprobe | `udp`, `dns`", Ok("race_datagrams_whose_address_and_bytes_change")),
    ("datagrams that are sent", Ok("race_datagrams_whose_address_and_bytes_change")),
    ("datagrams that are received", Ok("race_datagrams_that_arrive")),
    ("messages of SCTP; `udp`", Err("the line of the other hooks has the test")),
    ("`connect` of TCP, unless", Ok("connect_whose_descriptor_and_address_are_exchanged")),
    ("other `connect`; `accept`", Ok("race_connect_whose_descriptor_changes")),
    ("`usage` of sockets by recv", Ok("race_transfers_whose_descriptor_changes")),
    ("`usage` by read, pread64", Ok("race_transfers_whose_descriptor_changes")),
    ("`usage` by FICLONE, FICLONERANGE", Ok("usage_of_files_that_share_blocks")),
    ("`usage` by FICLONERANGE and", Ok("usage_of_files_that_share_blocks")),
    ("`usage` by calls of 32-bit programs", Ok("usage_each_way_of_32_bit_programs")),
    ("other `usage` by calls", Ok("race_transfers_whose_descriptor_changes")),
    ("`memfd`, `ipc` by descriptor", Ok("doubt_descriptors_and_texts_of_acts")),
    ("failed calls of `memfd`, `namespace`", Ok("doubt_descriptors_and_texts_of_acts")),
    ("another one has traced by ptrace", Ok("doubt_calls_that_a_debugger_makes_up")),
    ("by 32-bit programs through socketcall", Ok("udp_by_a_32_bit_program")),
    (
        "requests of io_uring that post no completion, if",
        Ok("uring_what_ends_unseen_is_found_with_its_result"),
    ),
    ("requests of io_uring that splice", Ok("uring_bytes_are_in_the_ledger")),
    ("other requests of io_uring", Ok("uring_each_operation_is_recorded_like_its_call")),
];

#[test]
fn each_line_of_coverage_is_held_by_a_test() {
    let text = fs::read_to_string(workspace().join("docs/COVERAGE.md")).unwrap();
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| tracer |");
    let heads = ["| dropped |", "| hooks | rows |"];
    let rows: Vec<_> =
        text.lines().filter(is_row).filter(|row| !heads.iter().any(|head| row.starts_with(head))).collect();
    let code: String = rust_files().into_iter().map(|(_, text)| text).collect();
    let mut complaints = Vec::new();
    for row in &rows {
        let held: Vec<_> = LINES.iter().filter(|(part, _)| row.contains(part)).collect();
        if held.len() != 1 {
            complaints.push(format!("{} entries for {row:.120}: {held:?}", held.len()));
        }
    }
    for (part, test) in LINES {
        if !rows.iter().any(|row| row.contains(part)) {
            complaints.push(format!("no line has {part:?}"));
        }
        let exists =
            |test: &str| code.contains(&format!("fn {test}(")) || code.contains(&format!("(\"{test}\", "));
        if let Ok(test) = test
            && !exists(test)
        {
            complaints.push(format!("there is no test {test}"));
        }
    }
    none(complaints);
}

#[test]
fn the_readme_has_every_kernel_tracer() {
    let kinds = fs::read_to_string(workspace().join("bpf-programs/src/wire/kinds.in")).unwrap();
    let tracers = kinds.lines().filter_map(|line| line.trim().split_once(" from ")?.1.strip_suffix(';'));
    let readme = fs::read_to_string(workspace().join("README.md")).unwrap();
    let (_, table) = readme.split_once("## What it records").unwrap();
    let cells: Vec<_> =
        table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next()).collect();
    let has =
        |tracer: &str| cells.iter().any(|cell| cell.split(", ").any(|one| one == format!("`{tracer}`")));
    let missing: Vec<_> = tracers
        .filter(|tracer| !has(tracer))
        .map(|tracer| format!("README.md has no row of {tracer}"))
        .collect();
    none(missing);
}
