//! The launcher as a program of its own, for this crate's tests and benches. The agent is its own launcher.

fn main() -> std::io::Result<()> {
    Err(shell_monitor::launcher::run())
}
