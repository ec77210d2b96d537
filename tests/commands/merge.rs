//! `foldlog merge` as a person and a script use it: real processes on real files, which are compared byte for byte.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use crate::cli::{Ran, done, run, text};
use foldlog::Uuid;
use foldlog::algebra::{CollectionName, EntityKey, Millis, Operation, Schema, State};
use foldlog::journal::{Durability, Options};
use foldlog::replica::Replica;
use serde_json::{Value, json};

const SCHEMA: &str = r#"{"collections":{
    "units":{"unique":[["code"]]},
    "plots":{"unique":[["unit","number"]],"references":{"unit":{"to":"units","on_delete":"cascade"}}}}}"#;

fn id(n: u128) -> String {
    Uuid::from_u128(n).to_string()
}

fn key(collection: &str, n: u128) -> EntityKey {
    EntityKey::new(CollectionName::new(collection).unwrap(), Uuid::from_u128(n)).unwrap()
}

fn unit(n: u128, code: &str, by: &str) -> Operation {
    let state = json!({"code": code, "by": by}).to_string();
    Operation::create(key("units", n), State::from_json(&state).unwrap())
}

fn plot(n: u128, unit: u128, number: u32, by: &str) -> Operation {
    let state = json!({"unit": id(unit), "number": number, "by": by}).to_string();
    Operation::create(key("plots", n), State::from_json(&state).unwrap())
}

/// A folder of replica files.
struct Place(tempfile::TempDir);

/// What must not change about a file.
type Traces = (Vec<u8>, SystemTime);

impl Place {
    fn new() -> Self {
        Place(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        text(&self.0.path().join(name)).to_owned()
    }

    /// Makes a file of these entities, all written at one time.
    fn with(&self, name: &str, at: u64, operations: &[Operation]) -> String {
        self.of(SCHEMA, name, at, operations)
    }

    fn of(&self, schema: &str, name: &str, at: u64, operations: &[Operation]) -> String {
        let path = self.path(name);
        let options = Options::new().schema(Schema::from_json(schema).unwrap()).clock(move || Millis(at).0);
        Replica::create(&path, options).unwrap().commit(operations, Durability::Durable).unwrap();
        path
    }

    /// One established file, and two of crews: all have a unit "oak" with a plot 1, and one of their own.
    fn crews() -> (Self, [String; 3]) {
        let place = Place::new();
        let est = [unit(1, "oak", "est"), plot(11, 1, 1, "est"), unit(2, "elm", "est")];
        let one =
            [unit(3, "oak", "one"), plot(13, 3, 1, "one"), plot(14, 3, 2, "one"), unit(4, "fir", "one")];
        let two = [unit(5, "oak", "two"), plot(15, 5, 1, "two"), unit(6, "ash", "two")];
        let files = [
            place.with("established.redb", 2_000, &est),
            place.with("crew1.redb", 1_000, &one),
            place.with("crew2.redb", 3_000, &two),
        ];
        (place, files)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn traces(path: &str) -> Traces {
    (fs::read(path).unwrap(), fs::metadata(path).unwrap().modified().unwrap())
}

/// The live entities of a file, with their states; the file is not written.
fn live(path: &str) -> Vec<(String, Value)> {
    let replica = Replica::open_to_read(path, Options::new()).unwrap();
    assert_eq!(replica.check().unwrap(), Vec::<String>::new());
    let all = replica.entities(None).unwrap().into_iter();
    let state = |entity: foldlog::replica::Entity| {
        entity.version.existence.live().map(|state| json_of(state.as_json()))
    };
    all.filter_map(|(key, entity)| Some((key.to_string(), state(entity)?))).collect()
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn merge(into: &str, sources: &[&str], more: &[&str]) -> Ran {
    let mut args = vec!["merge", "--into", into];
    args.extend(sources);
    args.extend(more);
    run(&args, "")
}

/// Calls a merge that must be refused, and sees that no file has changed.
fn refused(place: &Place, code: i32, into: &str, sources: &[&str], more: &[&str], expected: &[&str]) {
    let (names, files) = (place.names(), [into].into_iter().chain(sources.iter().copied()));
    let files: Vec<&str> = files.filter(|file| Path::new(file).is_file()).collect();
    let before: Vec<Traces> = files.iter().map(|file| traces(file)).collect();
    let ran = merge(into, sources, more);
    assert_eq!(ran.code, code, "{ran:?}");
    for part in expected {
        assert!(ran.err.contains(part), "{part} is not in {ran:?}");
    }
    let after: Vec<Traces> = files.iter().map(|file| traces(file)).collect();
    assert!(before == after, "a file was changed: {ran:?}");
    assert_eq!(place.names(), names);
}

#[test]
fn crews_are_checked_decided_by_an_edited_template_and_merged() {
    let (place, [est, one, two]) = Place::crews();
    let sources = [one.as_str(), two.as_str()];
    let before = [&est, &one, &two].map(|file| traces(file));
    // Only looked at: what clashes, what is below it, what would happen.
    let checked = merge(&est, &sources, &["--check"]);
    assert_eq!(checked.code, 1);
    let lines: Vec<&str> = checked.out.lines().collect();
    assert_eq!(lines.len(), 4, "{checked:?}");
    let says = |line: &str, parts: [&str; 3]| {
        assert!(parts.iter().all(|part| line.contains(part)), "{parts:?}: {line}");
    };
    says(
        lines[0],
        [
            &format!("units/{} ({one}) against units/{} ({est})", id(3), id(1)),
            "(code) = (\"oak\")",
            "; 1 below",
        ],
    );
    says(lines[1], [&format!("  plots/{} ({one})", id(13)), &format!("plots/{} ({est})", id(11)), ", 1)"]);
    says(lines[2], [&format!("units/{} ({two})", id(5)), &format!("units/{} ({est})", id(1)), "; 1 below"]);
    assert!(!lines[1].contains("decided"), "{}", lines[1]);
    assert!(checked.err.contains("2 clashes and 2 below, 2 undecided; so far: 7 new"), "{}", checked.err);
    // For a machine, with a template of decisions in it.
    let json = merge(&est, &sources, &["--check", "--json"]);
    assert_eq!(json.code, 1);
    let mut told = json_of(&json.out);
    for (name, number) in [("clashes", 2), ("downstream", 2), ("must_be_listed", 0), ("refusals", 2)] {
        assert_eq!(told[name].as_array().unwrap().len(), number, "{name}");
    }
    assert_eq!(told["entities"]["created"], 7);
    let with = |source, with| json!({"source": format!("units/{}", id(source)), "dest": format!("units/{}", id(1)), "with": with, "children": "both"});
    assert_eq!(told["resolutions"], json!({"resolve": [with(3, "dest"), with(5, "dest")]}));
    // Unchanged it decides everything; both shapes are read.
    let template = place.path("decisions.json");
    for shape in [&told, &told["resolutions"]] {
        fs::write(&template, shape.to_string()).unwrap();
        let clean = merge(&est, &sources, &["--check", "--resolutions", &template]);
        assert_eq!(clean.code, 0, "{clean:?}");
        assert!(clean.out.lines().all(|line| line.ends_with("; decided")), "{}", clean.out);
    }
    told["resolutions"]["resolve"] = json!([with(3, "dest"), with(5, "source")]);
    fs::write(&template, told.to_string()).unwrap();
    assert!([&est, &one, &two].map(|file| traces(file)) == before, "a check changes no file");
    assert_eq!(place.names(), ["crew1.redb", "crew2.redb", "decisions.json", "established.redb"]);
    // And done.
    let merged = merge(&est, &sources, &["--resolutions", &template, "--json"]);
    assert_eq!(merged.code, 0, "{merged:?}");
    let report = json_of(&merged.out);
    let backup = format!("{est}.backup");
    assert_eq!((&report["backup"], &report["clashes"]), (&json!(backup), &json!(4)));
    let of = |key: String| {
        report["entities"].as_array().unwrap().iter().find(|one| one["entity"] == key).unwrap().clone()
    };
    assert_eq!(
        of(format!("units/{}", id(1))),
        json!({"entity": format!("units/{}", id(1)), "was": "live", "now": "deleted",
            "why": [{"lost": {"to": format!("units/{}", id(5))}}]})
    );
    assert_eq!(of(format!("units/{}", id(4)))["now"], "live");
    let left = live(&est);
    let codes: Vec<&Value> =
        left.iter().filter(|(key, _)| key.starts_with("units")).map(|(_, state)| &state["code"]).collect();
    assert_eq!(codes, ["elm", "fir", "oak", "ash"]);
    let plots: Vec<&Value> =
        left.iter().filter(|(key, _)| key.starts_with("plots")).map(|(_, state)| &state["unit"]).collect();
    assert_eq!(plots, [&json!(id(5)), &json!(id(5))], "all plots are the winner's");
    assert!(fs::read(&backup).unwrap() == before[0].0);
    assert!([&one, &two].map(|file| traces(file)) == before[1..]);
    let losers = done(&["conflicts", &est, "losers"], "");
    assert_eq!(losers.lines().count() as u64, report["losers"].as_u64().unwrap());
    assert!(losers.contains("\"est\""), "{losers}");
    // Nothing is left to do, and then no copy is kept.
    let again = merge(&est, &sources, &[]);
    assert_eq!((again.code, again.out.as_str()), (0, ""));
    assert_eq!(again.err, format!("merged into {est}: nothing changes\n"));
    assert_eq!(live(&est), left);
    let clean = merge(&est, &sources, &["--check"]);
    assert_eq!((clean.code, clean.err.as_str()), (0, "nothing clashes; nothing changes\n"));
    assert_eq!(
        place.names(),
        ["crew1.redb", "crew2.redb", "decisions.json", "established.redb", "established.redb.backup"]
    );
}

#[test]
fn one_side_may_be_preferred_with_its_children_or_both() {
    for (prefer, children, by, plots) in [
        ("dest", None, "est", 2),
        ("dest", Some("both"), "est", 2),
        ("source", Some("both"), "two", 2),
        ("newest", None, "two", 2),
        ("dest", Some("winner"), "est", 1),
        ("newest", Some("winner"), "two", 1),
    ] {
        let (_place, [est, one, two]) = Place::crews();
        let before = [&one, &two].map(|file| traces(file));
        let mut more = vec!["--prefer", prefer];
        more.extend(children.map(|children| ["--children", children]).into_iter().flatten());
        let merged = merge(&est, &[&one, &two], &more);
        assert_eq!((merged.code, merged.out.as_str()), (0, ""), "{more:?}: {merged:?}");
        for told in [
            format!("merged into {est}: "),
            "clashes were decided".to_owned(),
            format!("`foldlog conflicts {est} losers`"),
            format!("as it was: {est}.backup"),
        ] {
            assert!(merged.err.contains(&told), "{told}: {}", merged.err);
        }
        let left = live(&est);
        let oak: Vec<_> = left.iter().filter(|(_, state)| state["code"] == "oak").collect();
        assert_eq!((oak.len(), &oak[0].1["by"]), (1, &json!(by)), "{more:?}");
        let found = left.iter().filter(|(key, _)| key.starts_with("plots")).count();
        assert_eq!(found, plots, "{more:?}: {left:?}");
        assert!([&one, &two].map(|file| traces(file)) == before);
    }
}

#[test]
fn what_is_not_decided_is_refused_by_name_and_nothing_changes() {
    let (place, [est, one, two]) = Place::crews();
    let clashes = [3, 5].map(|n| format!("nobody decided about units/{} against units/{}", id(n), id(1)));
    let expected =
        [&clashes[0], &clashes[1], "nothing was merged", "--check --json", "--resolutions", "--prefer"];
    refused(&place, 1, &est, &[&one, &two], &[], &expected);
    // Decided in part.
    let part = place.path("part.json");
    let decide = |source: u128, with: &str| json!({"source": format!("units/{}", id(source)), "dest": format!("units/{}", id(1)), "with": with});
    fs::write(&part, json!({"resolve": [decide(3, "dest")]}).to_string()).unwrap();
    refused(&place, 1, &est, &[&one, &two], &["--resolutions", &part], &[&clashes[1], "nothing was merged"]);
    // What is no clash, or decided twice.
    for (resolve, expected) in [
        (
            json!([decide(3, "dest"), decide(5, "dest"), decide(4, "dest")]),
            "is no clash; a check lists those",
        ),
        (json!([decide(3, "dest"), decide(5, "dest"), decide(3, "source")]), "is named twice"),
        (json!([{"source": "units", "dest": "units", "with": "dest"}]), "resolution 1"),
        (json!([{"source": "units/1", "dest": "units/2"}]), "resolution 1"),
        (
            json!([{"source": "units/".to_owned() + &id(3), "dest": "units/".to_owned() + &id(1),
                "modify": "source", "to": {"code": "yew"}, "children": "both"}]),
            "it has either `with` (source, dest or newest) and perhaps `children` (both or winner), or `modify`",
        ),
        (json!([{"sauce": 1}]), "unknown field"),
        (json!(7), "the resolutions are not as they must be"),
    ] {
        fs::write(&part, json!({ "resolve": resolve }).to_string()).unwrap();
        refused(&place, 1, &est, &[&one, &two], &["--resolutions", &part], &[expected]);
    }
    fs::write(&part, "not JSON").unwrap();
    refused(&place, 1, &est, &[&one, &two], &["--resolutions", &part], &[&part, "the resolutions are not"]);
    // What no state may hold: which of the two is meant is not guessed, and no number is rounded.
    let (source, dest) = (id(3), id(1));
    for (to, expected) in [
        (r#"{"name":"a","name":"b"}"#, "name"),
        (r#"{"name":12345678901234567890123}"#, "12345678901234567890123"),
    ] {
        let one_of =
            format!(r#"{{"source":"units/{source}","dest":"units/{dest}","modify":"source","to":{to}}}"#);
        fs::write(&part, format!(r#"{{"resolve":[{one_of}]}}"#)).unwrap();
        let expected = [&part, "the resolutions are not", expected];
        refused(&place, 1, &est, &[&one, &two], &["--resolutions", &part], &expected);
    }
    let none = place.path("none.json");
    refused(&place, 1, &est, &[&one, &two], &["--resolutions", &none], &[&none]);
    refused(&place, 2, &est, &[&one, &two], &["--children", "winner"], &["--children goes with --prefer"]);
    refused(&place, 2, &est, &[], &[], &["SOURCE"]);
    // Standard input is as good as a file.
    let decided = json!({"resolve": [decide(3, "dest")], "default": {"with": "newest"}}).to_string();
    let args = ["merge", "--into", &est, &one, &two, "--resolutions", "-"];
    assert_eq!(run(&args, decided).code, 0);
}

#[test]
fn what_both_files_have_is_deleted_only_where_it_is_listed() {
    let place = Place::new();
    let est = place.with("established.redb", 1_000, &[unit(1, "oak", "est")]);
    let crew = place.path("crew.redb");
    // The crew begins with what the established file has.
    done(&["replica", "init", &crew, "--schema", "-"], SCHEMA);
    assert_eq!(merge(&crew, &[&est], &["--no-backup"]).code, 0);
    drop(place.with("crew.redb", 2_000, &[unit(2, "elm", "crew")]));
    let other = place.with("other.redb", 3_000, &[unit(3, "oak", "other")]);
    let named = format!("units/{} against units/{} must be listed", id(3), id(1));
    refused(
        &place,
        1,
        &est,
        &[&crew, &other],
        &["--prefer", "source"],
        &[&named, "deleted only where it is listed"],
    );
    let checked = merge(&est, &[&crew, &other], &["--check"]);
    assert!(checked.out.contains("; must be listed"), "{checked:?}");
    let template = merge(&est, &[&crew, &other], &["--check", "--prefer", "source", "--json"]).out;
    let file = place.path("decisions.json");
    fs::write(&file, &template).unwrap();
    assert_eq!(json_of(&template)["resolutions"]["resolve"][0]["with"], "source");
    assert_eq!(merge(&est, &[&crew, &other], &["--resolutions", &file]).code, 0);
    assert!(live(&est).iter().any(|(_, state)| state["by"] == "other"));
}

#[test]
#[cfg(unix)]
fn a_file_that_is_named_twice_is_told_by_whatever_name() {
    let (place, [est, one, _]) = Place::crews();
    let (symlink, hard, of_est) = (place.path("symlink"), place.path("hard"), place.path("of_est"));
    std::os::unix::fs::symlink(&one, &symlink).unwrap();
    fs::hard_link(&one, &hard).unwrap();
    std::os::unix::fs::symlink("established.redb", &of_est).unwrap();
    let detour = format!(
        "{}/../{}/crew1.redb",
        place.0.path().display(),
        place.0.path().file_name().unwrap().display()
    );
    for check in [&[][..], &["--check"]] {
        refused(&place, 2, &est, &[&one, &one], check, &[&format!("{one} is named twice; once is enough")]);
        for other in [&symlink, &hard, &detour] {
            refused(&place, 2, &est, &[&one, other], check, &[&format!("{one} and {other} are one file")]);
        }
        refused(
            &place,
            2,
            &est,
            &[&one, &est],
            check,
            &[&format!("{est} is named as a source and as the destination")],
        );
        refused(
            &place,
            2,
            &est,
            &[&of_est],
            check,
            &[&format!("{of_est} is the destination {est} by another name")],
        );
        refused(&place, 2, &of_est, &[&one, &est], check, &["by another name"]);
    }
    // A link is followed otherwise.
    assert_eq!(merge(&of_est, &[&symlink], &["--prefer", "dest"]).code, 0);
    assert!(fs::symlink_metadata(&of_est).unwrap().is_symlink());
    assert!(live(&est).iter().any(|(_, state)| state["code"] == "fir"));
}

#[test]
fn files_that_cannot_be_used_are_named_and_nothing_is_merged() {
    let (place, [est, one, two]) = Place::crews();
    let prefer = ["--prefer", "dest"];
    let nothing = "nothing was merged";
    // In use: the destination, or a source.
    let held = Replica::open(&est, Options::new()).unwrap();
    for check in [&prefer[..], &["--check"]] {
        let ran = merge(&est, &[&one], check);
        assert_eq!(
            (ran.code, ran.err.contains(&format!("the replica {est} is open elsewhere"))),
            (1, true),
            "{ran:?}"
        );
    }
    drop(held);
    let held = Replica::open(&one, Options::new()).unwrap();
    refused(
        &place,
        1,
        &est,
        &[&two, &one],
        &prefer,
        &[&format!("the replica {one} is open elsewhere"), nothing],
    );
    drop(held);
    // Missing, or something else.
    let (missing, garbage, journal) = (place.path("missing"), place.path("garbage"), place.path("journal"));
    refused(
        &place,
        1,
        &est,
        &[&one, &missing],
        &prefer,
        &[&format!("there is no replica at {missing}"), nothing],
    );
    refused(&place, 1, &missing, &[&one], &prefer, &[&format!("there is no replica at {missing}"), nothing]);
    fs::write(&garbage, "just a text. ".repeat(2_000)).unwrap();
    refused(&place, 1, &est, &[&one, &garbage], &prefer, &[&format!("{garbage} is no replica"), nothing]);
    let create = r#"{"op":"create","collection":"notes","id":"ID","state":{}}"#;
    done(&["append", &journal], crate::cli::line(create));
    refused(
        &place,
        1,
        &est,
        &[&one, &journal],
        &prefer,
        &[&format!("{journal} is a journal, but no replica"), nothing],
    );
    let newer = place.path("newer");
    fs::copy("tests/data/golden/newer.journal", &newer).unwrap();
    refused(
        &place,
        1,
        &est,
        &[&one, &newer],
        &prefer,
        &[&newer, "is newer than 1, the newest that this program reads", nothing],
    );
    refused(&place, 1, &est, &[text(place.0.path())], &prefer, &[nothing]);
    // Under another schema: what is different is said; more is no harm.
    let other = SCHEMA.replace("\"units\":{", "\"units\":{\"policy\":\"manual\",");
    let other = place.of(&other, "other.redb", 1, &[unit(9, "yew", "other")]);
    refused(
        &place,
        1,
        &est,
        &[&other],
        &prefer,
        &[&other, "another schema: the policy of units is LastOperation here"],
    );
    for (name, from, to, expected) in [
        ("does.redb", "cascade", "restrict", "what \"unit\" of plots refers to, or how, is another there"),
        ("refers.redb", "\"to\":\"units\"", "\"to\":\"plots\"", "what \"unit\" of plots refers to, or how,"),
        (
            "unique.redb",
            r#"["code"]"#,
            r#"["by"]"#,
            r#"the unique keys of units are {["code"]} here and {["by"]} there"#,
        ),
    ] {
        let other = place.of(&SCHEMA.replace(from, to), name, 1, &[unit(9, "yew", "other")]);
        refused(&place, 1, &est, &[&other], &prefer, &[&other, "another schema", expected]);
    }
    for (name, from, to) in [
        ("more.redb", r#""units":{"#, r#""more":{},"units":{"#),
        ("fewer.redb", r#""plots":"#, r#""parcels":"#),
        ("more_unique.redb", r#"[["code"]]"#, r#"[["code"],["by","code"]]"#),
        ("no_unique.redb", r#""unique":[["code"]]"#, r#""unique":[]"#),
        ("no_references.redb", r#","references":{"unit":{"to":"units","on_delete":"cascade"}}"#, ""),
    ] {
        assert!(SCHEMA.contains(from), "{name}");
        let other = place.of(&SCHEMA.replace(from, to), name, 1, &[unit(9, "yew", "other")]);
        let ran = merge(&est, &[&other], &prefer);
        assert_eq!(ran.code, 0, "{name}: {ran:?}");
    }
}

#[test]
fn a_damaged_source_is_named_and_nothing_is_merged() {
    let place = Place::new();
    let units: Vec<Operation> = (1..300).map(|n| unit(n, &format!("code {n}"), "crew")).collect();
    let sound = place.with("sound.redb", 1_000, &units);
    let est = place.with("established.redb", 1_000, &[unit(1_000, "oak", "est")]);
    let bytes = fs::read(&sound).unwrap();
    let damaged = place.path("damaged.redb");
    let mut found = 0;
    let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    for at in used.iter().copied().step_by(used.len() / 40) {
        let mut turned = bytes.clone();
        turned[at] ^= 0x10;
        fs::write(&damaged, &turned).unwrap();
        let before = (traces(&est), traces(&damaged));
        let ran = merge(&est, &[&damaged], &["--check"]);
        // A byte that nothing is in says nothing.
        if ran.code == 0 {
            continue;
        }
        found += 1;
        for more in [&[][..], &["--prefer", "dest"]] {
            let ran = merge(&est, &[&damaged], more);
            assert_eq!((ran.code, ran.err.contains(&damaged)), (1, true), "byte {at}: {ran:?}");
        }
        assert!((traces(&est), traces(&damaged)) == before, "byte {at}");
        assert_eq!(place.names(), ["damaged.redb", "established.redb", "sound.redb"]);
    }
    assert!(found > 3, "{found}");
}

#[test]
#[cfg(unix)]
fn a_read_only_destination_can_be_checked_and_not_merged_into() {
    use std::os::unix::fs::PermissionsExt;
    let (place, [est, one, _]) = Place::crews();
    fs::set_permissions(&est, fs::Permissions::from_mode(0o444)).unwrap();
    refused(
        &place,
        1,
        &est,
        &[&one],
        &["--prefer", "dest"],
        &[&format!("{est} is read-only"), "nothing was merged"],
    );
    refused(&place, 0, &est, &[&one], &["--prefer", "dest", "--check"], &["1 clash and 1 below"]);
    // Sources may be.
    fs::set_permissions(&est, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(&one, fs::Permissions::from_mode(0o444)).unwrap();
    assert_eq!(merge(&est, &[&one], &["--prefer", "dest"]).code, 0);
    assert_eq!(fs::metadata(format!("{est}.backup")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_copy_of_the_destination_is_kept_and_never_one_overwritten() {
    let (place, [est, one, two]) = Place::crews();
    fs::write(place.path("established.redb.backup"), "somebody's").unwrap();
    fs::write(place.path("established.redb.backup.unfinished"), "of a killed process".repeat(100_000))
        .unwrap();
    for (source, backup) in [(&one, "established.redb.backup.1"), (&two, "established.redb.backup.2")] {
        let before = fs::read(&est).unwrap();
        let ran = merge(&est, &[source], &["--prefer", "dest"]);
        assert!(ran.err.contains(&format!("as it was: {}", place.path(backup))), "{ran:?}");
        assert!(fs::read(place.path(backup)).unwrap() == before);
    }
    assert_eq!(fs::read_to_string(place.path("established.redb.backup")).unwrap(), "somebody's");
    let third = place.with("crew3.redb", 1, &[unit(30, "yew", "three")]);
    let names = place.names();
    let ran = merge(&est, &[&third], &["--no-backup", "--json"]);
    assert_eq!((ran.code, &json_of(&ran.out)["backup"]), (0, &Value::Null));
    assert_eq!(place.names(), names);
}

#[test]
#[cfg(unix)]
fn killed_at_any_moment_the_destination_is_as_it_was_or_merged_whole() {
    use std::process::Stdio;
    use std::time::{Duration, Instant, UNIX_EPOCH};

    const KILLS: u64 = 40;
    let place = Place::new();
    let some = |from: u128, by: &str| -> Vec<Operation> {
        (from..from + 3_000).map(|n| unit(n, &format!("{by} {n}"), &by.repeat(50))).collect()
    };
    let sound = place.with("sound.redb", 1_000, &some(1, "est"));
    let crews = [
        place.with("one.redb", 1_000, &some(10_000, "one")),
        place.with("two.redb", 1_000, &some(20_000, "two")),
    ];
    let sources: Vec<&str> = crews.iter().map(String::as_str).collect();
    let traced: Vec<Traces> = sources.iter().map(|file| traces(file)).collect();
    let est = place.path("established.redb");
    fs::copy(&sound, &est).unwrap();
    let before = live(&est);
    let began = Instant::now();
    assert_eq!(merge(&est, &sources, &["--no-backup"]).code, 0);
    let took = u64::try_from(began.elapsed().as_micros()).unwrap();
    let after = live(&est);
    assert_eq!((before.len(), after.len()), (3_000, 9_000));
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    println!("seed {seed}, {took} µs");
    let mut random = u64::from(seed) | 1;
    let (mut as_it_was, mut whole, mut by_chance) = (0, 0, 0);
    for kill in 0..KILLS {
        fs::copy(&sound, &est).unwrap();
        let mut args = vec!["merge", "--into", &est];
        args.extend(&sources);
        let mut child =
            crate::cli::command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Mostly where it is written, which is late.
        let wait =
            if kill % 4 == 0 { (random >> 33) % took } else { took / 2 + (random >> 33) % took * 3 / 4 };
        std::thread::sleep(Duration::from_micros(wait));
        child.kill().unwrap();
        by_chance += u64::from(child.wait().unwrap().success());
        // First as it lies there, then opened as usual.
        let found = live(&est);
        drop(Replica::open(&est, Options::new()).unwrap());
        assert!(live(&est) == found, "kill {kill}");
        if found == before {
            as_it_was += 1;
        } else {
            assert!(found == after, "kill {kill}: {} entities", found.len());
            whole += 1;
        }
        let backup = place.path("established.redb.backup");
        if Path::new(&backup).exists() {
            assert!(fs::read(&backup).unwrap() == fs::read(&sound).unwrap(), "kill {kill}");
            fs::remove_file(&backup).unwrap();
        }
        assert!(sources.iter().map(|file| traces(file)).eq(traced.iter().cloned()), "kill {kill}");
    }
    println!("{as_it_was} as it was, {whole} merged whole, {by_chance} of them before the kill");
    assert!(as_it_was > 0 && whole > 0);
}
