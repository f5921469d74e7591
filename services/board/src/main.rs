//! Runs the board alone.

use board::Board;

fn main() -> std::process::ExitCode {
    chassis::alone::run(contracts::services::BOARD, async |floor| {
        Ok(Board::open(&floor).await?.router())
    })
}
