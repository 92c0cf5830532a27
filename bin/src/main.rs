//! `duetector-actors`, the program.

fn main() -> std::process::ExitCode {
    duetector_actors::main()
}
