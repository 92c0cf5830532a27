//! The program `duetector-actors`; everything is in the library.

fn main() -> std::process::ExitCode {
    duetector_actors::main()
}
