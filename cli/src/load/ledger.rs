//! A file in which each accepted order is noted, so that an audit can ask for each of them.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use contracts::OrderId;

use super::LoadError;

/// How much is kept back before it is written: some thousand orders.
const BUFFER_BYTES: usize = 256 * 1024;

/// One line an order: its id, a space, its idempotency key.
#[derive(Debug)]
pub(super) struct Ledger {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Ledger {
    /// Begins a ledger in a new file, in place of one that was there.
    pub(super) fn create(path: PathBuf) -> Result<Self, LoadError> {
        let begin = || {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            File::create(&path)
        };
        match begin() {
            Ok(file) => Ok(Self { path, file: BufWriter::with_capacity(BUFFER_BYTES, file) }),
            Err(source) => Err(LoadError::Ledger { path, source }),
        }
    }

    /// Notes one order.
    pub(super) fn note(&mut self, order: OrderId, key: &str) -> Result<(), LoadError> {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let id = order.uuid().hyphenated().encode_lower(&mut text);
        self.written(|file| {
            file.write_all(id.as_bytes())?;
            file.write_all(b" ")?;
            file.write_all(key.as_bytes())?;
            file.write_all(b"\n")
        })
    }

    /// Writes what was kept back.
    pub(super) fn flush(&mut self) -> Result<(), LoadError> {
        self.written(Write::flush)
    }

    fn written(
        &mut self,
        write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> Result<(), LoadError> {
        write(&mut self.file)
            .map_err(|source| LoadError::Ledger { path: self.path.clone(), source })
    }
}
