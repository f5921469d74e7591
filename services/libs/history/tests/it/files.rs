//! Files of any kind: what is no history is told in a sentence, and nothing waits or grows without end.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
};

use history::{Ask, HistoryError, LINE_BYTES_MAX, Recorder, check, check_file, open_to_append};
use tempfile::{TempDir, tempdir};

const BEGIN: &str = r#"{"begin":{"version":1,"at":"2026-01-31T12:00:00Z"}}"#;
const ASK: &str = r#"{"invoke":{"call":0,"at":"2026-01-31T12:00:00Z","ask":"stock"}}"#;

/// Returns the sentence that a check of this content ends with.
fn told(content: impl AsRef<[u8]>) -> String {
    check(content.as_ref(), Path::new("FILE")).unwrap_err().to_string()
}

#[test]
fn a_malformed_line_is_told_with_what_was_found_and_what_is_valid() {
    let after = |line: &str| told(format!("{BEGIN}\n{line}\n"));
    let cases = [
        (told(""), "FILE: line 1: found an empty file; valid is a first line such as {\"begin\""),
        (
            told("hello"),
            "FILE: line 1: found `hello` (expected value, at column 1); valid is one JSON",
        ),
        (told("{\"beg"), "line 1: found `{\"beg`, which is cut off"),
        (told(b"\x7fELF\x02\0\0\xff\n"), "line 1: found `\\u{7f}ELF\\u{2}\\u{0}\\u{0}\u{fffd}`"),
        (told(format!("{ASK}\n")), "line 1: found a line of a run that has not begun"),
        (
            told(BEGIN.replace(":1,", ":2,")),
            "line 1: found a history of version 2; valid is version 1",
        ),
        (after(""), "line 2: found an empty line; valid is one JSON"),
        (after(r#"{"end":{}}"#), "line 2: found `{\"end\":{}}` (unknown variant `end`"),
        (after(&ASK.replace("stock", "soup")), "(unknown variant `soup`, expected one of `place`"),
        (after(&ASK.replace(":0,", ":1,")), "line 2: found call 1; valid is call 0"),
        (after(&format!("{ASK}\n{ASK}")), "line 3: found call 0; valid is call 1"),
        (
            after(
                r#"{"answer":{"call":3,"at":"2026-01-31T12:00:00Z","outcome":{"unknown":{"why":""}}}}"#,
            ),
            "line 2: found an answer to call 3, which is not in flight",
        ),
        (after(&"x".repeat(LINE_BYTES_MAX + 1)), "line 2: found a line of more than 1048576 bytes"),
        // What is not cut off is no last line of a killed process.
        (told(format!("{BEGIN}\nhello")), "line 2: found `hello`"),
    ];
    for (told, expected) in cases {
        assert!(told.contains(expected), "{told}\ndoes not contain\n{expected}");
    }
    check(format!("{BEGIN}\n{ASK}\n{}", &ASK[..20]).as_bytes(), Path::new("FILE")).unwrap();
}

#[test]
fn what_is_no_file_is_refused_unopened() {
    let folder = tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    for (path, what) in [
        (folder.path(), "is a folder; it should be a regular file"),
        (&pipe, "is a pipe, a socket or a device; it should be a regular file"),
        (Path::new("/dev/zero"), "is a pipe, a socket or a device"),
    ] {
        for refused in [check_file(path).unwrap_err(), open_to_append(path).unwrap_err()] {
            assert!(refused.to_string().contains(what), "{refused}");
        }
    }
    let missing = check_file(&folder.path().join("missing")).unwrap_err();
    assert!(missing.to_string().starts_with("cannot read "), "{missing}");
}

#[test]
fn a_huge_file_without_lines_is_read_no_further_than_one_line() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("huge");
    File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let error = check_file(&path).unwrap_err().to_string();
    assert!(error.contains("line 1: found a line of more than 1048576 bytes"), "{error}");
    let error = open_to_append(&path).unwrap_err().to_string();
    assert!(error.contains("line 1: found a line of more than 1048576 bytes"), "{error}");
}

#[test]
fn more_in_flight_than_a_check_keeps_is_told() {
    let key = "k".repeat(500_000);
    let place = |call: u64| {
        format!(
            r#"{{"invoke":{{"call":{call},"at":"2026-01-31T12:00:00Z","ask":{{"place":{{"key":"{key}","dishes":[null]}}}}}}}}"#
        )
    };
    let lines: Vec<String> = (0..40).map(place).collect();
    let error = told(format!("{BEGIN}\n{}\n", lines.join("\n")));
    assert!(error.contains("too many requests in flight at one time"), "{error}");
}

fn record(folder: &TempDir) -> Result<Recorder<File>, HistoryError> {
    open_to_append(&folder.path().join("history")).map(|file| Recorder::begin(file).unwrap())
}

#[test]
fn a_run_is_appended_to_what_a_killed_one_has_left() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("history");
    let mut first = record(&folder).unwrap();
    let _unanswered = first.invoke(Ask::Stock).unwrap();
    assert!(matches!(record(&folder), Err(HistoryError::InUse { .. })));
    let mut file = first.into_writer();
    file.write_all(br#"{"invoke":{"call":1,"#).unwrap();
    drop(file);

    let mut second = record(&folder).unwrap();
    let call = second.invoke(Ask::Stock).unwrap();
    second.answered(&call, 200, br#"{"stock":[{"ingredient":"rice","on_hand":-1}]}"#).unwrap();
    drop(second);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!((text.lines().count(), text.matches("begin").count()), (5, 2), "{text}");
    assert_eq!(check_file(&path).unwrap().violations().count(), 1);
}

#[test]
fn nothing_is_appended_to_another_file() {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("history"), "dear diary\n").unwrap();
    let refused = record(&folder).unwrap_err().to_string();
    assert!(refused.contains("line 1: found `dear diary`"), "{refused}");
    assert_eq!(fs::read_to_string(folder.path().join("history")).unwrap(), "dear diary\n");
}
