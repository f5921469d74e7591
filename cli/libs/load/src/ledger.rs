//! A file with each accepted order, for an audit.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use contracts::OrderId;

use super::LoadError;

/// How much is buffered before it is written: some thousand orders.
const BUFFER_BYTES: usize = 256 * 1024;

/// A ledger: one line an order with its id, a space, and its idempotency key.
#[derive(Debug)]
pub(super) struct Ledger {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Ledger {
    /// Creates a ledger; overwrites an existing file.
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

    /// Adds an order.
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

    /// Writes the buffer.
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
