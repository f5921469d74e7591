//! The program `chefcito`.

use std::process::ExitCode;

fn main() -> ExitCode {
    chefcito::main()
}
