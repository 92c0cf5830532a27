//! Output of the program.

/// Prints a line on stdout, which is where results go.
#[expect(clippy::print_stdout, reason = "its result is its output")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}
