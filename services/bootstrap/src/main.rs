//! Makes what the services find when they start.

use std::process::ExitCode;

fn main() -> ExitCode {
    bootstrap::main(std::env::args_os().skip(1))
}
