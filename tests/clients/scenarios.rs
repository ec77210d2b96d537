//! What happens to clients and an authority, as files: those that the design was written with, every row of the
//! policies' table by both ways to the authority, and families of entities. In memory, on files, and with crashes.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fs;
use std::path::{Path, PathBuf};

use foldlog::scenario::{Medium, Played, Scenario, play};

fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut found = Vec::new();
    for folder in
        [root.clone(), root.join("policies"), root.join("families"), root.join("mended"), root.join("merge")]
    {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        found.extend(entries.filter(|path| path.extension().is_some_and(|ending| ending == "ndjson")));
    }
    found.sort();
    found
}

fn played(path: &Path, medium: Medium<'_>, seed: Option<u64>) -> Played {
    let scenario = Scenario::read(&fs::read_to_string(path).unwrap()).unwrap();
    play(&scenario, medium, seed).unwrap_or_else(|failure| panic!("{}: {failure}", path.display()))
}

#[test]
fn every_scenario_goes_as_expected_in_memory_and_on_files() {
    let files = files();
    assert!(files.len() > 100, "the scenarios moved");
    for path in &files {
        let folder = tempfile::tempdir().unwrap();
        let in_memory = played(path, Medium::Memory, None);
        assert_eq!(in_memory, played(path, Medium::Files(folder.path()), None));
        assert!(in_memory.expectations > 0, "{} expects nothing", path.display());
    }
}

#[test]
fn crashes_between_the_steps_change_nothing_that_is_expected() {
    let mut crashes = 0;
    for path in files() {
        for seed in 1..=3 {
            crashes += played(&path, Medium::Memory, Some(seed)).crashes;
        }
    }
    assert!(crashes > 1_000, "{crashes} crashes");
}

#[test]
fn what_is_not_as_expected_is_told_with_what_happened_until_then() {
    let text = concat!(
        "{\"scenario\":\"wrong\"}\n",
        "{\"do\":\"create\",\"client\":\"a\",\"entity\":\"notes/x\",\"state\":{\"v\":1}}\n",
        "{\"do\":\"expect\",\"client\":\"a\",\"entity\":\"notes/x\",\"state\":{\"v\":2}}\n",
    );
    let failure = play(&Scenario::read(text).unwrap(), Medium::Memory, None).unwrap_err();
    assert_eq!(
        (failure.line, failure.expected.as_str(), failure.found.as_str()),
        (3, "{\"v\":2}", "{\"v\":1}")
    );
    assert_eq!(failure.account.len(), 1, "{failure}");
}

#[test]
fn what_no_other_input_takes_is_no_step_either() {
    for (line, why) in [
        (r#"{"do":"create","client":"a","entity":"x","state":{}}"#, "COLLECTION/ID"),
        (r#"{"do":"create","client":"a","entity":"notes/","state":{}}"#, "COLLECTION/ID"),
        (r#"{"do":"delete","client":"a","entity":"/x"}"#, "is empty"),
        (r#"{"do":"refuse","entity":"x","reason":"no"}"#, "COLLECTION/ID"),
        (r#"{"do":"expect","client":"a","reads":["notes/x","x"]}"#, "COLLECTION/ID"),
        (r#"{"do":"expect","client":"a","sent":[{"op":"delete","entity":"x"}]}"#, "COLLECTION/ID"),
        (r#"{"do":"expect","client":"a","losers":[["x",{}]]}"#, "COLLECTION/ID"),
        (r#"{"do":"expect","clashes":[["notes/x","y"]]}"#, "COLLECTION/ID"),
        (
            r#"{"do":"merge","from":["a"],"into":"b","resolve":[{"source":"x","dest":"notes/y","with":"dest"}]}"#,
            "COLLECTION/ID",
        ),
        (r#"{"do":"create","client":"a","entity":"notes/x","state":{"v":1,"v":2}}"#, "stands twice"),
        (r#"{"do":"update","client":"a","entity":"notes/x","patch":{"v":[{"w":1,"w":1}]}}"#, "stands twice"),
        (
            r#"{"do":"create","client":"a","entity":"notes/x","state":{"v":18446744073709551616}}"#,
            "cannot be carried exactly",
        ),
        (
            r#"{"do":"resolve","client":"a","entity":"notes/x","with":{"modify":{"v":18446744073709551616}}}"#,
            "cannot be carried exactly",
        ),
        (
            r#"{"do":"expect","client":"a","entity":"notes/x","state":{"v":18446744073709551616}}"#,
            "cannot be carried exactly",
        ),
    ] {
        let malformed = Scenario::read(&format!("{{\"scenario\":\"x\"}}\n{line}\n")).expect_err(line);
        assert!(malformed.line == 2 && malformed.why.contains(why), "{line}: {malformed}");
    }
    let head = r#"{"scenario":"x","schema":{"collections":{"notes":{},"notes":{"policy":"newest"}}}}"#;
    assert_eq!(Scenario::read(head).unwrap_err().line, 1);
}

#[test]
fn a_line_that_is_no_step_is_named() {
    for (text, line) in [
        ("", 1),
        ("{\"do\":\"push\",\"client\":\"a\"}", 1),
        ("{\"scenario\":\"x\"}\n{\"do\":\"psh\",\"client\":\"a\"}", 2),
        ("{\"scenario\":\"x\"}\n\n{\"do\":\"push\",\"client\":\"a\",\"more\":1}", 3),
        ("{\"scenario\":\"x\"}\n{\"do\":\"update\",\"client\":\"a\",\"entity\":\"notes/x\"}", 2),
        ("{\"scenario\":\"x\"}\n{\"do\":\"merge\",\"from\":[\"a\"],\"into\":\"b\",\"defualt\":{}}", 2),
        ("{\"scenario\":\"x\"}\n{\"do\":\"expect\"}", 2),
        ("{\"scenario\":\"x\"}\n{\"do\":\"expect\",\"entity\":\"notes/x\",\"state\":null}", 2),
        ("{\"scenario\":\"x\"}\n{\"do\":\"expect\",\"client\":\"a\",\"entity\":\"notes/x\"}", 2),
        ("{\"scenario\":\"x\"}\n{\"do\":\"expect\",\"client\":\"a\",\"state\":null}", 2),
        ("{\"scenario\":\"x\"}\n{\"do\":\"expect\",\"authority\":true,\"pending\":0}", 2),
        ("{\"scenario\":\"x\"}\n{\"do\":\"expect\",\"client\":\"a\",\"live\":[]}", 2),
        ("{\"scenario\":\"x\",\"schema\":{\"collections\":{\"a\":{\"unique\":[[]]}}}}", 1),
    ] {
        assert_eq!(Scenario::read(text).unwrap_err().line, line, "{text}");
    }
}
