//! The `knockon` command.

fn main() -> std::process::ExitCode {
    knockon::cli::main()
}
