//! The program in a pseudo-terminal, and what that shows.

use std::{
    io::{Read, Write},
    num::NonZeroU16,
    sync::{Arc, Mutex},
    thread,
};

use portable_pty::{Child, CommandBuilder, PtyPair, PtySize, native_pty_system};

use crate::chefcito::{Home, kill, wait_until};

/// A terminal in which a command runs.
pub(super) struct Pty {
    /// Its other end stays open, so that it can be asked for its settings when the command has ended.
    pair: PtyPair,
    child: Box<dyn Child + Send + Sync>,
    typed: Box<dyn Write + Send>,
    shown: Arc<Mutex<Shown>>,
    /// Its settings before the command.
    before: Settings,
}

/// What the terminal shows, and all bytes that it was sent.
struct Shown {
    parser: vt100::Parser,
    bytes: Vec<u8>,
}

/// Whether it echoes what is typed, waits for whole lines, and so on.
type Settings = String;

impl Pty {
    pub(super) fn run(home: &Home, args: &[&str], (columns, rows): (u16, u16)) -> Self {
        Self::run_with(home, args, &[], (columns, rows))
    }

    pub(super) fn run_with(
        home: &Home,
        args: &[&str],
        variables: &[(&str, &str)],
        (columns, rows): (u16, u16),
    ) -> Self {
        let pair = native_pty_system().openpty(size(columns, rows)).unwrap();
        let plain = home.command(args);
        let mut command = CommandBuilder::new(plain.get_program());
        command.args(plain.get_args());
        command.env_clear();
        plain
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?)))
            .for_each(|(name, value)| command.env(name, value));
        command.env("TERM", "xterm-256color");
        variables.iter().for_each(|(name, value)| command.env(name, value));
        command.cwd(home.path());
        let before = settings(&pair);
        let child = pair.slave.spawn_command(command).unwrap();
        let mut output = pair.master.try_clone_reader().unwrap();
        let typed = pair.master.take_writer().unwrap();
        let parser = vt100::Parser::new(nonzero(rows), nonzero(columns), 0);
        let shown = Arc::new(Mutex::new(Shown { parser, bytes: Vec::new() }));
        let filled = Arc::clone(&shown);
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut piece) {
                let mut shown = filled.lock().unwrap();
                shown.parser.process(&piece[..length]);
                shown.bytes.extend(&piece[..length]);
            }
        });
        Self { pair, child, typed, shown, before }
    }

    pub(super) fn text(&self) -> String {
        self.shown.lock().unwrap().parser.screen().contents()
    }

    /// All bytes that were sent to the terminal.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.shown.lock().unwrap().bytes.clone()
    }

    pub(super) fn wait_for(&self, text: &str) {
        self.wait_until(text, |shown| shown.contains(text));
    }

    pub(super) fn wait_until(&self, what: &str, holds: impl Fn(&str) -> bool) {
        wait_until(what, || {
            let shown = self.text();
            holds(&shown)
        });
    }

    pub(super) fn type_keys(&mut self, keys: &str) {
        self.typed.write_all(keys.as_bytes()).unwrap();
        self.typed.flush().unwrap();
    }

    pub(super) fn resize(&self, columns: u16, rows: u16) {
        self.shown.lock().unwrap().parser.set_size(nonzero(rows), nonzero(columns));
        self.pair.master.resize(size(columns, rows)).unwrap();
    }

    pub(super) fn signal(&self, signal: &str) {
        kill(signal, i32::try_from(self.child.process_id().unwrap()).unwrap());
    }

    /// Waits until the command has ended, and checks that the terminal is as it was. Returns the exit code.
    pub(super) fn ended(&mut self) -> u32 {
        let mut ended = None;
        wait_until("the command has ended", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        wait_until("the screen is restored", || {
            let shown = self.shown.lock().unwrap();
            let screen = shown.parser.screen();
            !screen.alternate_screen() && !screen.hide_cursor()
        });
        assert_eq!(settings(&self.pair), self.before, "the terminal is as it was");
        ended.unwrap().exit_code()
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ended = self.child.kill();
    }
}

const fn nonzero(count: u16) -> NonZeroU16 {
    NonZeroU16::new(count).unwrap()
}

const fn size(cols: u16, rows: u16) -> PtySize {
    PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }
}

fn settings(pair: &PtyPair) -> Settings {
    format!("{:?}", pair.master.get_termios().unwrap())
}
