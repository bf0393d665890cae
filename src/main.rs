//! The command.

use std::process::ExitCode;

fn main() -> ExitCode {
    corpusd::cli::main()
}
