//! Files that nearly all programs touch, and of which nothing is learnt.

/// Beginnings of paths of libraries, programs and settings that come with the system.
const SYSTEM: [&str; 14] = [
    "/usr/lib/",
    "/usr/lib32/",
    "/usr/lib64/",
    "/usr/libexec/",
    "/usr/share/",
    "/usr/bin/",
    "/usr/sbin/",
    "/lib/",
    "/lib64/",
    "/bin/",
    "/sbin/",
    "/etc/",
    "/proc/",
    "/sys/",
];

/// Single files and sockets: of the log, of the message bus, of names of users and hosts, of package managers, and devices.
const SINGLE: [&str; 10] = [
    "/dev/null",
    "/dev/zero",
    "/dev/tty",
    "/dev/ptmx",
    "/run/systemd/journal/",
    "/run/dbus/",
    "/run/nscd/",
    "/var/run/nscd/",
    "/var/lib/dpkg/",
    "/var/lib/rpm/",
];

/// Returns whether nearly all programs touch a file with this path.
pub(super) fn is_common(path: &str) -> bool {
    SYSTEM.iter().chain(&SINGLE).any(|known| {
        let is_folder = known.ends_with('/');
        if is_folder { path.starts_with(known) } else { path == *known }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_system_are_common_and_data_are_not() {
        for path in [
            "/usr/lib/x86_64-linux-gnu/libc.so.6",
            "/etc/ld.so.cache",
            "/dev/null",
            "/run/systemd/journal/socket",
        ] {
            assert!(is_common(path), "{path}");
        }
        for path in ["/home/a/usr/lib/x", "/data/etc", "/dev/nullx", "/srv/lib/x.csv", ""] {
            assert!(!is_common(path), "{path}");
        }
    }
}
