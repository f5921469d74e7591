//! Runs the board alone.

use board::Board;

fn main() -> std::process::ExitCode {
    service::standalone::run(contracts::services::BOARD, async |context| {
        Ok(Board::open(&context).await?.router())
    })
}
