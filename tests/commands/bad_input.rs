//! Bad input gets a clear error and changes nothing: real processes, and every message by heart.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fs;
use std::path::Path;
use std::process::Stdio;

use crate::cli::{ID, Ran, command, done, line, ran, run, text};

/// A journal with something in it, and everything that the command shows of it.
struct Journal {
    folder: tempfile::TempDir,
}

impl Journal {
    fn new() -> Self {
        let journal = Journal { folder: tempfile::tempdir().unwrap() };
        let create = line(r#"{"op":"create","collection":"notes","id":"ID","state":{"a":1}}"#);
        done(&["append", &journal.path()], create);
        done(&["seal", &journal.path()], "");
        done(
            &["append", &journal.path()],
            line(r#"{"op":"update","collection":"notes","id":"ID","patch":{"b":1}}"#),
        );
        journal
    }

    fn path(&self) -> String {
        text(&self.folder.path().join("a.journal")).to_owned()
    }

    fn shown(&self) -> String {
        let path = self.path();
        // The age of the oldest operation goes on.
        let status = done(&["status", &path, "--json"], "");
        let status = status.split("oldest_age_ms").next().unwrap().to_owned();
        [done(&["show", &path], ""), done(&["plan", &path], ""), done(&["seal", &path], ""), status].concat()
    }
}

fn assert_refused(ran: &Ran, code: i32, expected: &str) {
    assert_eq!(ran.code, code, "{}", ran.err);
    let said = ran.err.strip_prefix("foldlog: ").and_then(|said| said.strip_suffix('\n'));
    assert_eq!(said, Some(expected));
    assert_eq!(ran.out, "");
}

#[test]
fn a_bad_line_is_named_by_its_number_and_nothing_of_the_input_is_kept() {
    let journal = Journal::new();
    let before = journal.shown();
    let good = line(r#"{"op":"delete","collection":"notes","id":"ID"}"#);
    for (bad, expected) in [
        ("{\"op\":", "not valid JSON at column 6: EOF while parsing a value"),
        (
            r#"{"op":"fly","collection":"notes","id":"ID"}"#,
            r#""op" is "create", "update" or "delete", but this is "fly""#,
        ),
        (
            r#"{"op":"delete","collection":"notes","id":"ID","who":1}"#,
            r#"an operation has no key "who"; the keys are op, collection, id, state, patch, at, group, groups, stamps, base, touched"#,
        ),
        (
            r#"{"op":"update","collection":"notes","id":"ID","patch":{"a":1},"stamps":{"b":7}}"#,
            r#""stamps" names a field that "patch" does not"#,
        ),
        (r#"{"op":"delete","collection":"","id":"ID"}"#, r#"the collection name "" is empty"#),
        (
            r#"{"op":"delete","collection":"notes","id":"00000000-0000-0000-0000-000000000000"}"#,
            "the nil UUID cannot name an entity; use a version 4 or 7 UUID",
        ),
        (
            r#"{"op":"delete","collection":"notes","id":"8d56e5d3"}"#,
            r#""8d56e5d3" is no UUID; write it as 8-4-4-4-12 hexadecimal digits"#,
        ),
        (
            r#"{"op":"create","collection":"notes","id":"ID"}"#,
            r#"a create needs the whole entity in "state""#,
        ),
        (
            r#"{"op":"update","collection":"notes","id":"ID"}"#,
            r#"an update needs a "patch" (some fields) or a "state" (all of them)"#,
        ),
        (
            r#"{"op":"update","collection":"notes","id":"ID","patch":{},"state":{}}"#,
            r#"an update has a "patch" or a "state", not both; keep one of them"#,
        ),
        (
            r#"{"op":"create","collection":"notes","id":"ID","state":{"a":1,"a":2}}"#,
            r#"the key "a" stands twice in one object; keep one of them"#,
        ),
        (
            r#"{"op":"create","collection":"notes","id":"ID","state":{"a":9007199254740993.0}}"#,
            "the number 9007199254740993.0 cannot be carried exactly (integers of 64 bits and doubles can); send it as a string",
        ),
    ] {
        let input = format!("{good}\n{}{good}", line(bad));
        let refused = run(&["append", &journal.path()], &input);
        assert_refused(&refused, 1, &format!("standard input: line 3: {expected}"));
        assert_refused(&run(&["fold"], &input), 1, &format!("standard input: line 3: {expected}"));
    }
    let huge = format!(
        r#"{{"op":"create","collection":"notes","id":"{ID}","state":{{"a":"{}"}}}}"#,
        "x".repeat(16 * 1024 * 1024)
    );
    let expected = "standard input: line 1: 16777224 bytes of fields; the limit is 16777216 bytes (16 MiB)";
    assert_refused(&run(&["append", &journal.path()], huge), 1, expected);
    let endless = vec![b' '; 33 * 1024 * 1024];
    let expected = "standard input: line 1: longer than 33554432 bytes; one line holds one object";
    assert_refused(&run(&["append", &journal.path()], endless), 1, expected);
    let expected = "standard input: line 2: byte 3 is not UTF-8; the input must be";
    let not_text = [good.as_bytes(), b"{\"\xff\":1}\n"].concat();
    assert_refused(&run(&["append", &journal.path()], not_text), 1, expected);
    assert_eq!(journal.shown(), before);
}

#[test]
fn standard_input_that_is_asked_for_twice_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ops.ndjson");
    fs::write(&path, line(r#"{"op":"create","collection":"notes","id":"ID","state":{}}"#)).unwrap();
    for (args, twice) in [
        (&["fold", "--baseline", "-"][..], "FILE and as --baseline"),
        (&["fold", "-", "--schema", "-"], "FILE and as --schema"),
        (&["fold", "--schema", "-", "--baseline", "-", text(&path)], "--baseline and as --schema"),
        (&["fold", "-", text(&path), "-"], "FILE and as FILE"),
    ] {
        let refused = run(args, line(r#"{"collection":"notes","id":"ID","state":{}}"#));
        let expected = format!(
            "standard input can be read only once, but is asked for as {twice}; name a file in place of one of them \
             (FILE is - where none is named)"
        );
        assert_refused(&refused, 2, &expected);
    }
}

#[test]
fn bad_input_makes_no_journal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.journal");
    for command in ["append", "baseline", "receive"] {
        assert_eq!(run(&[command, text(&path)], "nonsense").code, 1);
        assert!(!path.exists(), "{command}");
    }
    assert_eq!(run(&["append", text(&path), "--each"], "nonsense").code, 1);
    assert!(!path.exists());
}

#[test]
fn a_wrong_answer_to_a_bunch_is_refused_whole() {
    let journal = Journal::new();
    let before = journal.shown();
    for (answer, expected) in [
        (r#"{"bunch":2,"outcomes":[{"retry":{}}]}"#, "outcomes for bunch 2, but bunch 1 is open"),
        (
            r#"{"bunch":0,"outcomes":[]}"#,
            r#"standard input: line 1: "bunch" is a whole number from 1, but this is 0"#,
        ),
        (r#"{"bunch":1,"outcomes":[]}"#, "bunch 1 has 1 operations, but there are 0 outcomes"),
        (
            r#"{"bunch":1,"outcomes":[{"retry":{}},{"retry":{}}]}"#,
            "bunch 1 has 1 operations, but there are 2 outcomes",
        ),
        (
            r#"{"bunch":1,"outcomes":[{"maybe":{}}]}"#,
            r#"standard input: line 1: outcome 1: an outcome has no key "maybe"; the keys are accepted, superseded, clash, refused, waits, retry"#,
        ),
        ("", "standard input: 0 lines of outcomes; give the answer to the open bunch, one line"),
    ] {
        assert_refused(&run(&["settle", &journal.path()], answer), 1, expected);
    }
    assert_eq!(journal.shown(), before);
}

#[test]
fn what_is_no_journal_is_refused_by_every_command() {
    let journal = Journal::new();
    let folder = journal.folder.path();
    let whole = fs::read(journal.path()).unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, bytes).unwrap();
        text(&path).to_owned()
    };
    let mut flipped = whole.clone();
    flipped[5] ^= 1;
    let cases = [
        (text(&folder.join("missing")).to_owned(), "there is no journal at"),
        (text(folder).to_owned(), "cannot be opened: "),
        (file("empty", b""), "is no journal, or is damaged beyond opening: the file is empty"),
        (file("words", &b"These are words. ".repeat(1000)), "is no journal, or is damaged beyond opening: "),
        (file("short", &whole[..whole.len() / 3]), "is no journal, or is damaged beyond opening: "),
        (file("tiny", &whole[..100]), "is no journal, or is damaged beyond opening: "),
        (file("flipped", &flipped), "is no journal, or is damaged beyond opening: "),
    ];
    for (path, expected) in cases {
        let before = fs::read(&path).ok();
        for command in
            ["plan", "compact", "seal", "settle", "reads", "integrate", "status", "show", "parked", "verify"]
        {
            let refused = run(&[command, &path], "");
            assert_eq!(refused.code, 1, "{command} {path}: {}", refused.err);
            assert!(refused.err.contains(expected), "{command} {path}: {}", refused.err);
            assert!(!refused.err.contains("panic"), "{}", refused.err);
        }
        assert!(fs::read(&path).ok() == before, "{path} was changed");
    }
}

/// Runs a command whose words nobody reads: both pipes have no other end.
fn unread(args: &[&str]) -> i32 {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = command(args);
    command.stdin(Stdio::null()).stdout(writer.try_clone().unwrap()).stderr(writer);
    command.status().unwrap().code().expect("no signal")
}

#[test]
fn how_a_command_ends_does_not_depend_on_who_reads_its_words() {
    let folder = tempfile::tempdir().unwrap();
    let [scenario, missing] = ["a.ndjson", "missing.ndjson"].map(|name| folder.path().join(name));
    fs::write(&scenario, "{\"scenario\":\"a\"}\n{\"do\":\"expect\",\"client\":\"a\",\"pending\":1}\n")
        .unwrap();
    assert_eq!(unread(&["scenario", text(&scenario)]), 1);
    assert_eq!(unread(&["fold", text(&missing)]), 1);
    assert_eq!(unread(&["fold", "--no-such-option"]), 2);
    assert_eq!(unread(&["generate", "--operations", "100000"]), 0, "who read enough is no failure");
}

#[test]
fn a_flipped_bit_inside_is_found_and_named() {
    let journal = Journal::new();
    let mut whole = fs::read(journal.path()).unwrap();
    let text = br#"{"a":1}"#;
    let places: Vec<usize> =
        (0..whole.len() - text.len()).filter(|place| whole[*place..].starts_with(text)).collect();
    assert!(!places.is_empty());
    for place in places {
        whole[place + 5] ^= 1;
    }
    fs::write(journal.path(), &whole).unwrap();
    let found = run(&["verify", &journal.path()], "");
    assert_eq!(found.code, 1, "{}{}", found.out, found.err);
    assert!(found.out.contains("checksum") || found.err.contains("damaged"), "{}{}", found.out, found.err);
    assert!(fs::read(journal.path()).unwrap() == whole, "verify never writes");
    let path = journal.path();
    assert_eq!(unread(&["verify", &path]), 1, "it is damaged though nobody reads that");
    let refused = run(&["plan", &path], "");
    assert!(refused.code == 1 && refused.err.contains("--mend"), "{}", refused.err);
    let mended = run(&["compact", &path, "--mend"], "");
    assert_eq!(mended.code, 0, "{}", mended.err);
    assert!(mended.err.contains("set aside: piece of the open bunch 0, "), "{}", mended.err);
    assert!(mended.err.contains(": the checksum does not agree"), "{}", mended.err);
    let status = run(&["status", &path], "");
    assert!(status.out.contains("damaged values; `foldlog compact` lists them"), "{}", status.out);
    assert_eq!(run(&["verify", &path], "").code, 0);
    // What was appended behind the bunch goes on.
    assert!(run(&["plan", &path], "").out.contains(r#""patch":{"b":1}"#));
}

#[test]
fn what_a_newer_program_wrote_is_refused_by_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("newer.journal");
    fs::copy("tests/data/golden/newer.journal", &path).unwrap();
    for command in ["append", "plan", "compact", "seal", "status", "show", "parked", "receive", "verify"] {
        let refused = run(&[command, text(&path)], "");
        assert_eq!(refused.code, 1, "{command}: {}", refused.out);
        let said = format!("{}{}", refused.out, refused.err);
        assert!(said.contains("is newer than 1, the newest that this program reads"), "{command}: {said}");
    }
}

/// A limit on the size of files is a disk that is full for this process alone.
#[cfg(unix)]
#[test]
fn a_full_disk_beneath_a_journal_loses_nothing_that_was_acknowledged() {
    let journal = Journal::new();
    let before = run(&["plan", &journal.path()], "");
    let wide = "x".repeat(20_000);
    let lines: String = (0..400)
        .map(|number| {
            let id = format!("5eed0000-0000-4000-8000-{number:012}");
            format!("{{\"op\":\"update\",\"collection\":\"notes\",\"id\":\"{id}\",\"state\":{{\"t\":\"{wide}\"}}}}\n")
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let operations = folder.path().join("operations");
    fs::write(&operations, lines).unwrap();
    let script = "trap '' XFSZ; ulimit -f 6000; exec \"$@\"";
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", script, "sh", env!("CARGO_BIN_EXE_foldlog"), "append", &journal.path()]);
    let ended = ran(limited.arg(&operations).output().unwrap());
    assert_eq!(ended.code, 1, "{}{}", ended.out, ended.err);
    assert!(ended.err.contains("the journal's storage failed: File too large"), "{}", ended.err);
    assert_eq!(run(&["verify", &journal.path()], "").code, 0);
    assert_eq!(run(&["plan", &journal.path()], "").out, before.out);
    assert_eq!(run(&["append", &journal.path(), text(&operations)], "").code, 0, "with room it goes on");
}

#[test]
fn a_second_process_is_told_who_has_the_journal() {
    let journal = Journal::new();
    let path = journal.path();
    let mut holder = command(&["append", &path, "--each"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = holder.stdin.take().unwrap();
    std::io::Write::write_all(
        &mut input,
        line(r#"{"op":"delete","collection":"notes","id":"ID"}"#).as_bytes(),
    )
    .unwrap();
    let mut answer = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(holder.stdout.as_mut().unwrap()), &mut answer)
        .unwrap();
    for command in ["plan", "verify"] {
        let expected = format!("the journal {path} is open elsewhere; close it there, or wait");
        assert_refused(&run(&[command, &path], ""), 1, &expected);
    }
    drop(input);
    assert!(holder.wait().unwrap().success());
    done(&["plan", &path], "");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_and_not_a_panic() {
    let full = || Stdio::from(fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    for args in [&["generate"][..], &["demo"], &["--json", "demo"]] {
        let ended = ran(command(args).stdout(full()).stderr(Stdio::piped()).output().unwrap());
        assert_eq!(ended.code, 1, "{args:?}");
        assert!(
            ended.err.starts_with("foldlog: writing to standard output failed: No space left"),
            "{}",
            ended.err
        );
    }
}

#[cfg(unix)]
#[test]
fn a_path_that_cannot_be_written_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).unwrap();
    let path = folder.path().join("new.journal");
    let delete = line(r#"{"op":"delete","collection":"notes","id":"ID"}"#);
    let refused = run(&["append", text(&path)], &delete);
    // Whoever may do everything is not refused.
    if !may_do_everything(folder.path()) {
        assert_eq!(refused.code, 1);
        assert!(refused.err.contains("cannot be opened: Permission denied"), "{}", refused.err);
    }
    let beyond = folder.path().join("no/such/folder/new.journal");
    let refused = run(&["append", text(&beyond)], &delete);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("cannot be opened: "), "{}", refused.err);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
}

#[cfg(unix)]
fn may_do_everything(folder: &Path) -> bool {
    fs::write(folder.join("probe"), "").is_ok()
}
