//! The command, as a person and a script use it: real processes, real files.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use crate::cli::{ID, command, done, line, ran, run, text};
use foldlog::algebra::{Change, EntityKey, Operation, Row, State, Update};
use foldlog::codec::lines::{Line, read};
use serde_json::Value;

/// The path of a file of the included data.
fn data(name: &str) -> String {
    format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn lines<T: Line>(text: &str) -> Vec<T> {
    read(text.as_bytes()).collect::<Result<_, _>>().unwrap()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// What a plan makes of the entities, in git's words.
fn net(plan: &str, baseline: &str) -> BTreeMap<EntityKey, (char, Option<State>)> {
    let rows: Vec<Row> = lines(baseline);
    let before: BTreeMap<EntityKey, State> =
        rows.into_iter().filter_map(|row| Some((row.key, row.state?))).collect();
    let operations: Vec<Operation> = lines(plan);
    operations
        .into_iter()
        .map(|operation| {
            let became = match operation.change {
                Change::Create(state) => ('A', Some(state)),
                Change::Update(Update::State(state)) => ('M', Some(state)),
                Change::Update(Update::Patch(patch)) => ('M', Some(before[&operation.key].with(&patch))),
                Change::Delete => ('D', None),
            };
            (operation.key, became)
        })
        .collect()
}

/// Git's own answer.
fn expected() -> BTreeMap<EntityKey, (char, Option<State>)> {
    let text = std::fs::read_to_string(data("ripgrep.expect.ndjson")).unwrap();
    let base = std::fs::read_to_string(data("ripgrep.base.ndjson")).unwrap();
    net(&text, &base)
}

#[test]
fn fold_of_a_real_history_is_gits_own_difference() {
    let (ops, base) = (data("ripgrep.ops.ndjson"), data("ripgrep.base.ndjson"));
    let baseline = std::fs::read_to_string(&base).unwrap();
    let plan = done(&["fold", &ops, "--baseline", &base, "--complete"], "");
    let (ours, gits) = (net(&plan, &baseline), expected());
    assert_eq!(ours, gits);
    let kinds = ['A', 'M', 'D'].map(|kind| ours.values().filter(|(other, _)| *other == kind).count());
    assert_eq!((ours.len(), kinds), (208, [71, 104, 33]));
    // The plan of a plan is that plan.
    assert_eq!(done(&["fold", "--baseline", &base, "--complete"], &plan), plan);
    // The same from standard input, and in two files.
    let log = std::fs::read_to_string(&ops).unwrap();
    assert_eq!(done(&["fold", "-", "--baseline", &base, "--complete"], &log), plan);
    let folder = tempfile::tempdir().unwrap();
    let half = folder.path().join("half.ndjson");
    let (first, second) = log.split_at(log[..150_000].rfind('\n').unwrap() + 1);
    std::fs::write(&half, first).unwrap();
    assert_eq!(done(&["fold", text(&half), "-", "--baseline", &base, "--complete"], second), plan);
}

#[test]
fn a_log_is_folded_alike_from_one_file_several_and_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let log = done(&["generate", "--operations", "30000", "--entities", "5000"], "");
    let half = log.match_indices('\n').nth(14_999).unwrap().0 + 1;
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let all = file("all.ndjson", &log);
    let (first, second) = (file("first.ndjson", &log[..half]), file("second.ndjson", &log[half..]));
    let plan = done(&["fold", text(&all)], "");
    assert!(plan.lines().count() > 4_000);
    assert!(plan == done(&["fold"], &log) && plan == done(&["fold", "-"], &log));
    assert!(plan == done(&["fold", text(&first), text(&second)], ""));
    assert!(plan == done(&["fold", text(&first), "-"], &log[half..]));
    // Folded from its first line to its last; only then is anything said.
    let ran = run(&["fold", text(&first), "-"], log[half..].to_owned() + "nonsense\n");
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(ran.err.starts_with("foldlog: standard input: line 15001: "), "{}", ran.err);
}

#[test]
fn a_journal_delivers_a_real_history_in_bunches() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rg.journal");
    let journal = text(&path);
    let log = std::fs::read_to_string(data("ripgrep.ops.ndjson")).unwrap();
    let baseline = std::fs::read_to_string(data("ripgrep.base.ndjson")).unwrap();
    done(&["baseline", journal, "--complete"], &baseline);
    let mut authority: BTreeMap<EntityKey, State> =
        lines::<Row>(&baseline).into_iter().filter_map(|row| Some((row.key, row.state?))).collect();
    let all: Vec<&str> = log.split_inclusive('\n').collect();
    let mut epoch = 0;
    for part in all.chunks(all.len() / 5 + 1) {
        done(&["append", journal], part.concat());
        loop {
            let bunch = done(&["seal", journal, "--max-operations", "40"], "");
            if bunch.is_empty() {
                break;
            }
            assert_eq!(done(&["seal", journal], ""), bunch, "a retry is the same bunch");
            let bunch = json(&bunch);
            let mut outcomes = Vec::new();
            for sent in bunch["operations"].as_array().unwrap() {
                let sent = Operation::from_line(&sent.to_string()).unwrap();
                let old = authority.remove(&sent.key);
                match sent.change {
                    Change::Create(state) | Change::Update(Update::State(state)) => {
                        authority.insert(sent.key, state)
                    }
                    Change::Update(Update::Patch(patch)) => {
                        authority.insert(sent.key, old.unwrap_or_else(State::empty).with(&patch))
                    }
                    Change::Delete => None,
                };
                epoch += 1;
                outcomes.push(format!(r#"{{"accepted":{{"epoch":{epoch}}}}}"#));
            }
            let answer = format!(r#"{{"bunch":{},"outcomes":[{}]}}"#, bunch["bunch"], outcomes.join(","));
            done(&["settle", journal], &answer);
            assert!(run(&["settle", journal], &answer).err.contains("settled before"));
        }
    }
    let mut gits: BTreeMap<EntityKey, State> =
        lines::<Row>(&baseline).into_iter().filter_map(|row| Some((row.key, row.state?))).collect();
    for (key, (_, state)) in expected() {
        match state {
            Some(state) => gits.insert(key, state),
            None => gits.remove(&key),
        };
    }
    assert_eq!(authority, gits);
    let status = json(&done(&["status", journal, "--json"], ""));
    assert_eq!((&status["appended"], &status["settled"]), (&json("2128"), &json("2128")));
    assert!(done(&["verify", journal], "").is_empty());
}

#[test]
fn each_line_is_answered_before_the_next_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("each.journal");
    let mut child = command(&["append", text(&path), "--each"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    for seq in 1..=20 {
        input
            .write_all(line(r#"{"op":"update","collection":"notes","id":"ID","patch":{"a":1}}"#).as_bytes())
            .unwrap();
        assert_eq!(answers.next().unwrap().unwrap(), format!(r#"{{"seq":{seq}}}"#));
    }
    // What was answered stays, whatever comes next.
    input.write_all(b"nonsense\n").unwrap();
    drop(input);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(json(&done(&["status", text(&path), "--json"], ""))["appended"], 20);
}

#[test]
fn what_is_refused_is_parked_until_it_is_decided() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("parked.journal");
    let journal = text(&path);
    let create = line(r#"{"op":"create","collection":"notes","id":"ID","state":{"a":1}}"#);
    let refuse =
        |bunch: u32| format!(r#"{{"bunch":{bunch},"outcomes":[{{"refused":{{"reason":"too long"}}}}]}}"#);
    let entity = format!("notes/{ID}");
    done(&["append", journal], &create);
    done(&["seal", journal], "");
    done(&["settle", journal], refuse(1));
    let parked = json(&done(&["parked", journal], ""));
    assert_eq!(parked["refused"]["reason"], "too long");
    assert_eq!(parked["operation"]["state"]["a"], 1);
    assert_eq!(done(&["seal", journal], ""), "", "what is parked is not sent");
    done(&["parked", journal, "retry", &entity], "");
    assert!(done(&["seal", journal], "").contains(r#""state":{"a":1}"#));
    done(&["settle", journal], refuse(2));
    done(
        &["parked", journal, "edit"],
        line(r#"{"op":"update","collection":"notes","id":"ID","patch":{"b":2}}"#),
    );
    let mended = done(&["seal", journal], "");
    assert!(mended.contains(r#""op":"create""#) && mended.contains(r#""state":{"a":1,"b":2}"#), "{mended}");
    done(&["settle", journal], refuse(3));
    done(&["parked", journal, "drop", &entity], "");
    assert_eq!(done(&["parked", journal], ""), "");
    let again = run(&["parked", journal, "drop", &entity], "");
    assert_eq!(
        (again.code, again.err.as_str()),
        (1, &*format!("foldlog: {entity} is not parked; `parked` lists what is\n"))
    );
    assert_eq!(json(&done(&["status", journal, "--json"], ""))["settled"], 2);
}

#[test]
fn only_what_is_parked_or_held_is_dropped_and_what_gave_way_is_shown_until_it_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("decided.journal");
    let journal = text(&path);
    let entity = format!("notes/{ID}");
    done(&["append", journal], line(r#"{"op":"create","collection":"notes","id":"ID","state":{"mine":1}}"#));
    let refused = run(&["parked", journal, "drop", &entity], "");
    assert_eq!(refused.code, 1, "it is only pending");
    assert!(refused.err.contains("is not parked"), "{}", refused.err);
    done(&["seal", journal], "");
    done(&["settle", journal], r#"{"bunch":1,"outcomes":[{"superseded":{"epoch":4,"state":{"theirs":2}}}]}"#);
    for listed in [done(&["parked", journal], ""), done(&["show", journal, "notes"], "")] {
        let line = json(&listed);
        assert_eq!((&line["phase"], &line["epoch"]), (&Value::from("superseded"), &Value::from(4)));
        assert_eq!((&line["state"]["theirs"], &line["operation"]["state"]["mine"]), (&json("2"), &json("1")));
    }
    done(&["parked", journal, "forget"], "");
    assert_eq!(done(&["parked", journal], ""), "");
}

#[test]
fn what_is_held_shows_what_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("held.journal");
    let journal = text(&path);
    let other = "11111111-1111-4111-8111-111111111111";
    let create = |id: &str| {
        format!("{{\"op\":\"create\",\"collection\":\"notes\",\"id\":\"{id}\",\"state\":{{\"a\":1}}}}\n")
    };
    done(&["append", journal], create(ID) + &create(other));
    done(&["seal", journal], "");
    let waits = format!(r#"{{"waits":{{"for":{{"collection":"notes","id":"{ID}"}}}}}}"#);
    done(
        &["settle", journal],
        format!(r#"{{"bunch":1,"outcomes":[{{"refused":{{"reason":"no"}}}},{waits}]}}"#),
    );
    let listed = done(&["parked", journal], "");
    let held = json(listed.lines().last().unwrap());
    assert_eq!((&held["phase"], &held["operation"]["state"]["a"]), (&Value::from("held"), &json("1")));
    let sealed = run(&["seal", journal], "");
    assert!(sealed.err.contains("nothing to send; 1 parked and 1 held"), "{}", sealed.err);
    done(&["parked", journal, "drop", &format!("notes/{other}")], "");
    done(&["parked", journal, "drop", &format!("notes/{ID}")], "");
    assert_eq!(json(&done(&["status", journal, "--json"], ""))["settled"], 2);
}

#[test]
fn of_two_baseline_rows_the_newer_counts_wherever_they_stand() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows");
    let newer = line(r#"{"collection":"notes","id":"ID","state":{"x":1},"epoch":16}"#);
    let older = line(r#"{"collection":"notes","id":"ID","state":null,"epoch":15}"#);
    let delete = line(r#"{"op":"delete","collection":"notes","id":"ID"}"#);
    for rows in [newer.clone() + &older, older + &newer] {
        std::fs::write(&path, rows).unwrap();
        let plan = done(&["fold", "--baseline", text(&path)], &delete);
        assert!(plan.contains(r#""op":"delete""#), "{plan}");
    }
}

#[test]
fn answering_each_line_to_nobody_is_an_error_that_says_how_far_it_came() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("each.journal");
    let operations = folder.path().join("operations");
    std::fs::write(&operations, done(&["generate", "--operations", "500"], "")).unwrap();
    let mut child = command(&["append", text(&path), text(&operations), "--each"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = ran(child.wait_with_output().unwrap());
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("nobody reads the answers any more: stopped after "), "{}", ended.err);
    let appended = json(&done(&["status", text(&path), "--json"], ""))["appended"].as_u64().unwrap();
    assert!(
        (1..500).contains(&appended) && ended.err.contains(&format!("after {appended} ")),
        "{}",
        ended.err
    );
}

#[test]
fn a_stream_that_is_joined_late_begins_at_its_cursor() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("late.journal");
    let trigger = line(r#"{"index":101,"collection":"notes","id":"ID","action":"upsert","epoch":3}"#);
    let received = run(&["receive", text(&path), "--cursor", "100"], trigger);
    assert!(received.code == 0 && received.err.contains("heard up to 101"), "{}", received.err);
}

#[test]
fn a_cursor_does_not_go_back_to_one_that_is_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("late.journal");
    let trigger = line(r#"{"index":101,"collection":"notes","id":"ID","action":"upsert","epoch":3}"#);
    done(&["receive", text(&path), "--cursor", "100"], &trigger);
    for cursor in ["50", "100", "101"] {
        let received = run(&["receive", text(&path), "--cursor", cursor], &trigger);
        let said = format!(
            "1 trigger, 0 new; heard up to 101; --cursor {cursor} is not beyond what was heard, and changed nothing\n"
        );
        assert_eq!((received.code, received.err.as_str()), (0, said.as_str()));
        assert_eq!(json(&done(&["receive", text(&path), "--json"], ""))["gaps"], json("[]"));
    }
    let received = run(&["receive", text(&path), "--cursor", "200"], "");
    assert_eq!(received.err, "0 triggers, 0 new; heard up to 200\n");
}

#[test]
fn triggers_are_coalesced_to_one_read_an_entity() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("triggers.journal");
    let journal = text(&path);
    let other = "136a3ece-e2f0-5778-9581-a6cca9801696";
    let triggers: String = [
        r#"{"index":1,"collection":"notes","id":"ID","action":"upsert","epoch":11}"#,
        r#"{"index":2,"collection":"notes","id":"ID","action":"upsert","epoch":12}"#,
        r#"{"index":4,"collection":"notes","id":"OTHER","action":"upsert","epoch":13}"#,
        r#"{"index":5,"collection":"notes","id":"OTHER","action":"delete","epoch":14}"#,
    ]
    .map(|text| line(&text.replace("OTHER", other)))
    .concat();
    let told = json(&done(&["receive", journal, "--json"], &triggers));
    assert_eq!((&told["new"], &told["cursor"], &told["gaps"]), (&json("4"), &json("2"), &json("[[3,3]]")));
    assert_eq!(json(&done(&["receive", journal, "--json"], &triggers))["new"], 0);
    assert_eq!(json(&done(&["reads", journal], "")), json(&line(r#"{"collection":"notes","ids":["ID"]}"#)));
    let row = line(r#"{"collection":"notes","id":"ID","state":{"t":"hi"},"epoch":12}"#);
    let told = json(&done(&["integrate", journal, "--json"], &row));
    assert_eq!(told["applied"].as_array().unwrap().len(), 2);
    assert_eq!(json(&done(&["integrate", journal, "--json"], &row))["stale"], 1);
    assert_eq!(done(&["reads", journal], ""), "");
    let base = json(done(&["show", journal, &format!("notes/{ID}")], "").lines().next().unwrap());
    assert_eq!(
        (&base["is"], &base["epoch"], &base["state"]["t"]),
        (&json(r#""live""#), &json("12"), &json(r#""hi""#))
    );
}

#[test]
fn the_demo_tells_its_story_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let told = ran(command(&["demo"]).env("TMPDIR", folder.path()).output().unwrap());
    assert_eq!(told.code, 0, "{}", told.err);
    for part in [
        "2,128 operations",
        "208 operations",
        "90.2 %",
        "71 creates, 104 updates, 33 deletes",
        "→  nothing",
        "208 operations in     1 request",
        "2,128 operations in 2,128 requests",
        "! blob",
        "1 lost value is kept",
        "hold the same\n   238 files",
    ] {
        assert!(told.out.contains(part), "{part} is not in\n{}", told.out);
    }
    assert!(told.out.lines().all(|line| line.chars().count() <= 80), "{}", told.out);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let figures = json(&done(&["demo", "--json"], ""));
    for (name, value) in [("sent", 208), ("conflicts", 1), ("live", 238)] {
        assert_eq!(figures[name], value, "{name}");
    }
    assert_eq!(figures["phone"], json(r#"{"rows":208,"sent":2}"#));
    let bytes = |way: &str| figures[way]["bytes"].as_u64().unwrap();
    assert!(bytes("one_by_one") > 20 * bytes("folded"), "{figures}");
}

#[test]
fn generate_is_the_same_for_the_same_seed() {
    let made = |seed| done(&["generate", "--operations", "500", "--entities", "20", "--seed", seed], "");
    assert_eq!(made("7"), made("7"));
    assert_ne!(made("7"), made("8"));
    let only_deletes = done(&["generate", "--creates", "0", "--updates", "0", "--patches", "0"], "");
    assert_eq!(only_deletes.lines().count(), 10_000);
    assert!(only_deletes.lines().all(|line| line.starts_with(r#"{"op":"delete""#)));
}

#[test]
fn a_reader_that_stops_early_is_no_error() {
    let mut child = command(&["generate", "--operations", "200000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with(r#"{"op":"#));
    let ended = ran(child.wait_with_output().unwrap());
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
}

#[test]
fn every_command_has_help_with_an_example() {
    let help = done(&["--help"], "");
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .map_while(|line| line.strip_prefix("  "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert_eq!(commands.len(), 24, "{commands:?}");
    for name in commands {
        let help = done(&[name, "--help"], "");
        assert!(help.contains("Example") && help.contains(&format!("foldlog {name}")), "{name}: {help}");
    }
    for wrong in
        [&["fly"][..], &[], &["append"], &["seal", "x", "--max-operations", "0"], &["fold", "--complete"]]
    {
        assert_eq!(run(wrong, "").code, 2, "{wrong:?}");
    }
    assert_eq!(run(&["show", "x", "notes/17"], "").code, 2);
}
