//! A file with each request and answer of a run, for an audit.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::PathBuf,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::JoinHandle,
};

use history::{Ask, Call, HistoryError, Recorder, open_to_append};

use super::{LoadError, wire::Answer};

/// How much is buffered before it goes to the writing thread: some hundred orders.
const CHUNK_BYTES: usize = 64 * 1024;
/// How many chunks may wait for the disk: 4 MiB. With more, the load generator waits for the disk, as a history must be
/// complete.
const CHUNKS_WAITING_MAX: usize = 64;

/// Records on the load generator's thread and writes on another, so that a slow disk does not delay requests.
///
/// A run that is killed leaves what was flushed; its last line may be incomplete.
#[derive(Debug)]
pub(super) struct History {
    path: PathBuf,
    recorder: Recorder<BufWriter<Chunks>>,
}

impl History {
    /// Opens a file, and appends a run to those that are in it.
    pub(super) fn append(path: PathBuf) -> Result<Self, LoadError> {
        let written = |source| io_error(path.clone(), source);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(written)?;
        }
        let chunks = Chunks::to(open_to_append(&path)?).map_err(written)?;
        let writer = BufWriter::with_capacity(CHUNK_BYTES, chunks);
        let mut recorder = Recorder::begin(writer).map_err(written)?;
        recorder.flush().map_err(written)?;
        Ok(Self { path, recorder })
    }

    /// Records a request before it is sent.
    pub(super) fn asked(&mut self, ask: Ask) -> Result<Call, LoadError> {
        self.recorder.invoke(ask).map_err(|source| io_error(self.path.clone(), source))
    }

    /// Records an answer, or why there is none.
    pub(super) fn answered(
        &mut self,
        call: &Call,
        answer: Result<&Answer, String>,
    ) -> Result<(), LoadError> {
        match answer {
            Ok(answer) => self.recorder.answered(call, answer.status.as_u16(), &answer.body),
            Err(why) => self.recorder.unanswered(call, why),
        }
        .map_err(|source| io_error(self.path.clone(), source))
    }

    /// Passes the buffer to the writing thread.
    pub(super) fn flush(&mut self) -> Result<(), LoadError> {
        self.recorder.flush().map_err(|source| io_error(self.path.clone(), source))
    }

    /// Waits until everything is written.
    pub(super) fn finish(self) -> Result<(), LoadError> {
        let chunks = self.recorder.into_writer().into_inner().map_err(|error| error.into_error());
        chunks.and_then(Chunks::finish).map_err(|source| io_error(self.path, source))
    }
}

fn io_error(path: PathBuf, source: io::Error) -> LoadError {
    LoadError::History(HistoryError::Io { doing: "write", path, source })
}

/// A thread: its channel and its handle.
type Thread = (SyncSender<Vec<u8>>, JoinHandle<io::Result<()>>);

/// A thread that writes chunks to a file.
#[derive(Debug)]
struct Chunks {
    /// `None` once the thread has ended.
    thread: Option<Thread>,
}

impl Chunks {
    fn to(file: File) -> io::Result<Self> {
        let (sender, chunks) = sync_channel(CHUNKS_WAITING_MAX);
        let thread =
            std::thread::Builder::new().name("history".into()).spawn(|| write(file, chunks))?;
        Ok(Self { thread: Some((sender, thread)) })
    }

    /// Waits until the thread has written everything, and returns its result.
    fn finish(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        let Some((sender, thread)) = self.thread.take() else { return Ok(()) };
        drop(sender);
        thread.join().unwrap_or_else(|_| Err(io::Error::other("its thread panicked")))
    }
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent =
            self.thread.as_ref().is_some_and(|(sender, _)| sender.send(bytes.into()).is_ok());
        if sent {
            return Ok(bytes.len());
        }
        // The thread ends early only if a write fails.
        self.end()?;
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the file is locked until the thread ends")]
fn write(mut file: File, chunks: Receiver<Vec<u8>>) -> io::Result<()> {
    chunks.iter().try_for_each(|chunk| file.write_all(&chunk))
}
