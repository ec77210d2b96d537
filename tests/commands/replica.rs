//! `foldlog replica` and `foldlog conflicts`, as a person and a script use them: real processes, real files; the
//! conflicts are made by two real replicas and their authority.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::cli::{ID, Ran, command, done, ran, run, text};
use foldlog::Uuid;
use foldlog::algebra::{CollectionName, EntityKey, Generation, Millis, Operation, Patch, Schema, State};
use foldlog::authority::{MemoryStore, Rules, answer};
use foldlog::journal::{Durability, Journal, Options};
use foldlog::replica::Replica;
use foldlog::sync::{self, Engine, Next, Want};
use serde_json::{Value, json};

const SCHEMA: &str = r#"{"collections":{
    "folders":{},
    "notes":{"policy":"manual","unique":[["title"]],
        "references":{"folder":{"to":"folders","on_delete":"cascade"}}}}}"#;

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(json_of).collect()
}

fn assert_refused(ran: &Ran, code: i32, expected: &str) {
    assert_eq!(ran.err, format!("foldlog: {expected}\n"));
    assert_eq!((ran.code, ran.out.as_str()), (code, ""));
}

/// A folder with a replica of the schema in it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Place::of(SCHEMA)
    }

    fn of(schema: &str) -> Self {
        let place = Place(tempfile::tempdir().unwrap());
        done(&["replica", "init", &place.replica(), "--schema", "-"], schema);
        place
    }

    fn path(&self, name: &str) -> String {
        text(&self.0.path().join(name)).to_owned()
    }

    fn replica(&self) -> String {
        self.path("my.replica")
    }

    /// Everything that is seen of the replica.
    fn shown(&self) -> String {
        let path = self.replica();
        done(&["replica", "list", &path, "--deleted"], "") + &done(&["conflicts", &path, "--json"], "")
    }
}

#[test]
fn what_would_be_sent_of_a_replica_is_by_its_schema() {
    let place = Place::new();
    let (path, folder) = (place.replica(), "136a3ece-e2f0-5778-9581-a6cca9801696");
    let note = json!({"title": "milk", "folder": folder}).to_string();
    done(&["replica", "put", &path, &format!("notes/{ID}"), &note], "");
    done(&["replica", "put", &path, &format!("folders/{folder}"), "{}"], "");
    for command in ["plan", "show"] {
        let listed = rows(&done(&[command, &path], ""));
        let order: Vec<&Value> = listed.iter().map(|row| &row["collection"]).collect();
        assert_eq!(order, ["folders", "notes"], "{command}: what is referred to goes first");
    }
}

#[test]
fn a_replica_is_made_read_and_changed_from_a_shell() {
    let folder = tempfile::tempdir().unwrap();
    let (path, schema) = (folder.path().join("my.replica"), folder.path().join("schema.json"));
    let replica = text(&path);
    fs::write(&schema, SCHEMA).unwrap();
    let made = run(&["replica", "init", replica, "--schema", text(&schema)], "");
    assert_eq!((made.code, made.out.as_str()), (0, ""));
    let id = Replica::open(&path, Options::new()).unwrap().id();
    for told in [
        format!("made the replica {id} in {replica}\n"),
        "  folders: last_operation\n".to_owned(),
        "  notes: manual, unique (title), folder refers to folders (cascade)\n".to_owned(),
    ] {
        assert!(made.err.contains(&told), "{told}: {}", made.err);
    }
    // A new one, whose id is all that goes to standard output.
    let put = run(&["replica", "put", replica, "notes", r#"{"title":"milk","done":false}"#], "");
    let id = put.out.trim_end().to_owned();
    assert_eq!(Uuid::parse_str(&id).unwrap().get_version_num(), 7);
    assert_eq!(put.err, format!("created notes/{id}\n"));
    let entity = format!("notes/{id}");
    done(&["replica", "patch", replica, &entity, "-"], "{\"done\":true}\n");
    assert_eq!(done(&["replica", "get", replica, &entity], ""), "{\"done\":true,\"title\":\"milk\"}\n");
    let whole = run(&["replica", "put", replica, &entity, r#"{"title":"oat milk"}"#], "");
    assert_eq!(whole.err, format!("replaced {entity}\n"));
    assert_eq!(done(&["replica", "get", replica, &entity], ""), "{\"title\":\"oat milk\"}\n");
    // Another one under a folder, whose deletion takes it along.
    let folder_id = done(&["replica", "put", replica, "folders", "{}"], "").trim_end().to_owned();
    let state = json!({"title": "eggs", "folder": folder_id}).to_string();
    done(&["replica", "put", replica, &format!("notes/{ID}"), "-"], &state);
    let listed = rows(&done(&["replica", "list", replica, "notes"], ""));
    let of = |id: &str| listed.iter().find(|row| row["id"] == id).unwrap().clone();
    assert_eq!(
        of(ID),
        json!({"collection": "notes", "id": ID, "state": json_of(&state), "status": "created"})
    );
    let deleted = run(&["replica", "delete", replica, &format!("folders/{folder_id}")], "");
    assert_eq!(deleted.err, format!("deleted folders/{folder_id}, and with it 1 other entity\n"));
    let left = run(&["replica", "list", replica], "");
    assert_eq!(rows(&left.out).len(), 1);
    assert_eq!(left.err, "1 entity, 2 deleted, 1 with something unsent\n");
    let all = rows(&done(&["replica", "list", replica, "--deleted", "notes"], ""));
    assert_eq!(all.iter().filter(|row| row["state"].is_null()).count(), 1);
    // What is deleted is known still, and comes back whole.
    let gone = run(&["replica", "get", replica, &format!("notes/{ID}"), "--json"], "");
    assert_eq!(gone.code, 1);
    let known = json_of(&gone.out);
    assert_eq!((&known["deleted"], &known["last"]["title"]), (&json!(true), &json!("eggs")));
    let revived = run(&["replica", "patch", replica, &format!("notes/{ID}"), r#"{"done":true}"#], "");
    assert_eq!(revived.err, format!("revived notes/{ID}, and with it 1 other entity\n"));
    assert!(done(&["replica", "get", replica, &format!("notes/{ID}")], "").contains("eggs"));
    let again = json_of(&done(&["replica", "get", replica, &entity, "--json"], ""));
    assert_eq!((&again["status"], &again["deleted"]), (&json!("created"), &json!(false)));
    assert!(again["changed_at"].as_u64().unwrap() > 1_600_000_000_000);
    // Unsent still: so it can be taken back.
    done(&["replica", "undo", replica, "--all"], "");
    assert_eq!(done(&["replica", "list", replica], ""), "");
    assert_eq!(
        run(&["replica", "undo", replica, &entity], "").err,
        "nothing of that is unsent; nothing changed\n"
    );
}

#[test]
fn what_is_refused_changes_nothing() {
    let place = Place::new();
    let path = place.replica();
    let milk = done(&["replica", "put", &path, "notes", r#"{"title":"milk"}"#], "").trim_end().to_owned();
    let before = place.shown();
    let unknown = format!("notes/{ID}");
    let taken = format!(
        "{unknown} cannot have the key (title), which notes/{milk} holds; change one of the two first"
    );
    assert_refused(&run(&["replica", "put", &path, &unknown, r#"{"title":"milk"}"#], ""), 1, &taken);
    let dangling = run(&["replica", "put", &path, "notes", r#"{"title":"eggs","folder":7}"#], "");
    assert!(
        dangling.code == 1 && dangling.err.contains("needs the id of an entity in \"folder\""),
        "{dangling:?}"
    );
    for (args, input, code, expected) in [
        (vec!["replica", "patch", &path, &unknown, "{}"], "", 1, format!("there is no {unknown} here; `foldlog replica put` creates it")),
        (vec!["replica", "delete", &path, &unknown], "", 1, format!("there is no {unknown} here; `foldlog replica list` shows what is")),
        (vec!["replica", "get", &path, &unknown], "", 1, format!("there is no {unknown} here; `foldlog replica list` shows what is")),
        (vec!["replica", "delete", &path, "notes"], "", 2, "\"notes\" is no entity; write it as COLLECTION/UUID, like notes/8d56e5d3-d4f3-583e-9955-4d898ddc04c9".to_owned()),
        (vec!["replica", "get", &path, "notes/7"], "", 2, "\"7\" is no UUID; write it as 8-4-4-4-12 hexadecimal digits".to_owned()),
        (vec!["replica", "put", &path, "", "{}"], "", 2, "the collection name \"\" is empty".to_owned()),
        (vec!["replica", "put", &path, "notes", "{title:milk}"], "", 1, "the state: not valid JSON: key must be a string at line 1 column 2; quote it for the shell, like '{\"title\":\"milk\"}', or give - and it on standard input".to_owned()),
        (vec!["replica", "put", &path, "notes", "[1]"], "", 1, "the state: a state or a patch is a JSON object, but this is an array".to_owned()),
        (vec!["replica", "put", &path, "notes", "-"], "{\"a\":1,\"a\":2}", 1, "standard input: the state: the key \"a\" stands twice in one object; keep one of them".to_owned()),
        (vec!["replica", "patch", &path, &unknown, "-"], "", 1, "standard input: the patch: a state or a patch is a JSON object, but this is no JSON value".to_owned()),
        (vec!["conflicts", &path, "show", &unknown], "", 1, format!("{unknown} has no open conflict; `conflicts` lists those that are open")),
        (vec!["conflicts", &path, "resolve", &unknown, "--with", "local"], "", 1, format!("{unknown} has no open conflict; `conflicts` lists those that are open")),
        (vec!["conflicts", &path, "resolve", "--with", "local"], "", 2, "name the entity, or give --all for every open conflict".to_owned()),
        (vec!["conflicts", &path, "restore", "7"], "", 1, "no value 7 lost here; `losers` lists those that did".to_owned()),
    ] {
        assert_refused(&run(&args, input), code, &expected);
    }
    let not_text = run(&["replica", "put", &path, "notes", "-"], b"{\"a\":\"\xff\"}");
    assert_refused(&not_text, 1, "standard input: byte 7 is not UTF-8; the input must be");
    for called_wrong in [
        vec!["replica", "undo", &path],
        vec!["conflicts", &path, "resolve", "--all"],
        vec!["conflicts", &path, "resolve", &unknown, "--all", "--with", "local"],
        vec!["conflicts", &path, "resolve", &unknown, "--modify", "{}", "--with", "local"],
        vec!["conflicts", &path, "losers", "--forget-older-than", "soon"],
    ] {
        assert_eq!(run(&called_wrong, "").code, 2, "{called_wrong:?}");
    }
    let nobody = run(&["conflicts", &path, "resolve"], "l\n");
    assert_eq!(nobody.code, 2);
    for flag in ["--with local|remote|newest|delete", "--modify STATE_JSON", "--all"] {
        assert!(nobody.err.contains(flag), "{}", nobody.err);
    }
    assert_eq!(place.shown(), before);
    let misspelt = run(&["replica", "put", &path, "note", "{}"], "");
    assert!(
        misspelt.err.ends_with("; the schema has no collection note, only folders, notes\n"),
        "{misspelt:?}"
    );
}

#[test]
fn only_init_makes_a_file_and_a_file_that_is_no_replica_is_told_from_one() {
    let place = Place::new();
    let (missing, other, journal) = (place.path("none"), place.path("text"), place.path("my.journal"));
    fs::write(&other, "just a text, and long enough to be looked at. ".repeat(200)).unwrap();
    let create =
        crate::cli::line(r#"{"op":"create","collection":"notes","id":"ID","state":{"title":"milk"}}"#);
    done(&["append", &journal], create);
    let entity = format!("notes/{ID}");
    let commands: [&[&str]; 8] = [
        &["replica", "put", "FILE", "notes", "{}"],
        &["replica", "patch", "FILE", &entity, "{}"],
        &["replica", "delete", "FILE", &entity],
        &["replica", "get", "FILE", &entity],
        &["replica", "list", "FILE"],
        &["conflicts", "FILE"],
        &["conflicts", "FILE", "resolve", "--all", "--with", "local"],
        &["conflicts", "FILE", "losers"],
    ];
    for (file, expected) in [
        (&missing, format!("there is no replica at {missing}; `foldlog replica init {missing}` makes one")),
        (&other, format!("{other} is no replica, or is damaged beyond opening: ")),
        (
            &journal,
            format!(
                "{journal} is a journal, but no replica; `foldlog replica init {journal} --of-journal` makes it one"
            ),
        ),
    ] {
        // Opening a journal marks it as open, in the file too.
        let seen = |file: &String| {
            if *file == journal { Some(done(&["show", file], "").into_bytes()) } else { fs::read(file).ok() }
        };
        let before = seen(file);
        for command in commands {
            let args: Vec<&str> =
                command.iter().map(|arg| if *arg == "FILE" { file.as_str() } else { *arg }).collect();
            let refused = run(&args, "");
            assert_eq!(refused.code, 1, "{args:?}");
            assert!(refused.err.starts_with(&format!("foldlog: {expected}")), "{args:?}: {}", refused.err);
        }
        assert!(seen(file) == before, "{file} was changed");
    }
    for file in [&other, &journal, &place.replica()] {
        let before = fs::read(file).unwrap();
        let refused = run(&["replica", "init", file], "");
        assert!(refused.code == 1 && refused.err.contains("is there already"), "{}", refused.err);
        assert!(fs::read(file).unwrap() == before, "{file} was changed");
    }
    // Bad input makes no file.
    let bad = run(&["replica", "init", &missing, "--schema", "-"], "{\"collections\":7}");
    assert!(bad.code == 1 && bad.err.starts_with("foldlog: standard input: "), "{}", bad.err);
    assert!(!Path::new(&missing).exists());
    let nowhere = run(&["replica", "init", &place.path("no/such/place")], "");
    assert!(nowhere.code == 1 && nowhere.err.contains("cannot be made: "), "{}", nowhere.err);
    // What is pending in a journal is seen in the replica that is made of it.
    done(&["replica", "init", &journal, "--of-journal"], "");
    assert_eq!(done(&["replica", "get", &journal, &entity], ""), "{\"title\":\"milk\"}\n");
    let twice = run(&["replica", "init", &journal, "--of-journal"], "");
    assert!(twice.code == 1 && twice.err.contains("is a replica already"), "{}", twice.err);
}

#[test]
fn the_schema_stays_with_the_replica_and_journal_commands_say_who_may_change_it() {
    let place = Place::new();
    let path = place.replica();
    done(&["replica", "put", &path, "notes", r#"{"title":"milk"}"#], "");
    let schema = Replica::open(&path, Options::new()).unwrap().schema().to_json();
    assert_eq!(schema, Schema::from_json(SCHEMA).unwrap().to_json());
    let entity = format!("notes/{ID}");
    let delete = crate::cli::line(r#"{"op":"delete","collection":"notes","id":"ID"}"#);
    let row = crate::cli::line(r#"{"collection":"notes","id":"ID","state":{}}"#);
    for (args, input) in [
        (&["append", &path][..], &delete),
        (&["append", &path, "--each"], &delete),
        (&["baseline", &path], &row),
        (&["integrate", &path], &row),
        (&["seal", &path], &String::new()),
    ] {
        let refused = run(args, input);
        assert_eq!(refused.code, 1, "{args:?}");
        for told in
            ["is a replica's", "`foldlog replica put`", "`foldlog conflicts`", "`foldlog replica undo`"]
        {
            assert!(refused.err.contains(told), "{args:?}: {}", refused.err);
        }
    }
    assert_eq!(run(&["replica", "get", &path, &entity], "").code, 1, "nothing of it was taken");
    assert!(done(&["plan", &path], "").contains("milk"), "what only reads goes on");
    let held = Journal::open(&path).unwrap();
    let locked = format!("the replica {path} is open elsewhere; close it there, or wait");
    assert_refused(&run(&["replica", "list", &path], ""), 1, &locked);
    assert_refused(&run(&["conflicts", &path], ""), 1, &locked);
    drop(held);
    done(&["replica", "list", &path], "");
}

fn key(collection: &str, n: u128) -> EntityKey {
    EntityKey::new(CollectionName::new(collection).unwrap(), Uuid::from_u128(n)).unwrap()
}

fn note(n: u128) -> EntityKey {
    key("notes", n)
}

fn commit(replica: &Replica, operations: &[Operation]) {
    replica.commit(operations, Durability::Durable).unwrap();
}

/// A replica file, and what it and another one did with their authority.
struct Story {
    place: Place,
    schema: Schema,
    store: MemoryStore,
    other: Replica,
}

impl Story {
    /// Two replicas of a schema that have done nothing yet.
    fn of(json: &str) -> Self {
        let schema = Schema::from_json(json).unwrap();
        Story {
            place: Place::of(json),
            store: MemoryStore::new(schema.clone(), Generation(Uuid::from_u128(1))),
            other: Replica::in_memory(Options::new().schema(schema.clone()).clock(|| 5_000)).unwrap(),
            schema,
        }
    }

    /// Five notes with "title" and "body"; both sides changed 1 to 3, 4 is deleted here and changed there, and 5
    /// is made here with a title that 6 has there.
    fn new() -> Self {
        let mut story = Story::of(SCHEMA);
        let other = story.other.clone();
        let made = |n: u128| {
            Operation::create(
                note(n),
                State::from_json(&format!(r#"{{"body":"b","title":"t{n}"}}"#)).unwrap(),
            )
        };
        let patched = |n, json: &str| Operation::patch(note(n), Patch::from_json(json).unwrap());
        commit(&other, &[made(1), made(2), made(3), made(4)]);
        story.sync(&other, Want::SYNC);
        let mine = story.mine();
        story.sync(&mine, Want::SYNC);
        let theirs = |n: u128| patched(n, &format!(r#"{{"title":"theirs {n}"}}"#)).at(9_000).unwrap();
        commit(&other, &[theirs(1), theirs(2), theirs(3), theirs(4)]);
        commit(&other, &[Operation::create(note(6), State::from_json(r#"{"title":"shared"}"#).unwrap())]);
        story.sync(&other, Want::SYNC);
        let ours = |n: u128| patched(n, &format!(r#"{{"title":"mine {n}"}}"#));
        commit(&mine, &[ours(1), ours(2), ours(3), Operation::delete(note(4))]);
        commit(&mine, &[Operation::create(note(5), State::from_json(r#"{"title":"shared"}"#).unwrap())]);
        story.sync(&mine, Want::DOWN);
        drop(mine);
        assert_eq!(story.open(), [1, 2, 3, 4, 5]);
        story
    }

    fn path(&self) -> String {
        self.place.replica()
    }

    /// The replica file, as a program opens it; this side's clock is behind.
    fn mine(&self) -> Replica {
        Replica::open(self.path(), Options::new().clock(|| 4_000)).unwrap()
    }

    fn sync(&mut self, replica: &Replica, want: Want) {
        let mut engine = Engine::new(replica.clone(), sync::Options::default());
        engine.want_only(want);
        let now = Millis(10_000);
        while let Next::Ask(request) = engine.next(now).unwrap() {
            let rules = Rules { schema: &self.schema, now, refuses: &|_| None };
            let answer = answer(&mut self.store, &rules, &request.ask).unwrap();
            engine.answer(request.number, answer, now, 0).unwrap();
        }
    }

    /// The notes in conflict.
    fn open(&self) -> Vec<u128> {
        let listed = done(&["conflicts", &self.path(), "--json"], "");
        rows(&listed)
            .iter()
            .map(|line| Uuid::parse_str(line["id"].as_str().unwrap()).unwrap().as_u128())
            .collect()
    }

    fn title(&self, n: u128) -> Option<String> {
        let got = run(&["replica", "get", &self.path(), &note(n).to_string()], "");
        (got.code == 0).then(|| json_of(&got.out)["title"].as_str().unwrap().to_owned())
    }

    fn resolve(&self, n: u128, how: &[&str]) -> Ran {
        let (path, entity) = (self.path(), note(n).to_string());
        run(&[&["conflicts", &path, "resolve", &entity], how].concat(), "")
    }
}

#[test]
fn conflicts_are_listed_and_shown_to_people_and_to_scripts() {
    let story = Story::new();
    let path = story.path();
    let listed = run(&["conflicts", &path], "");
    assert_eq!(listed.err, "5 conflicts are open; `resolve` decides\n");
    let expected = [
        format!("{}  local changed title, remote changed title", note(1)),
        format!("{}  local changed title, remote changed title", note(2)),
        format!("{}  local changed title, remote changed title", note(3)),
        format!("{}  local deleted, remote changed title", note(4)),
        format!("{}  wants (title) = (\"shared\"), which {} has", note(5), note(6)),
    ];
    assert_eq!(listed.out.lines().collect::<Vec<_>>(), expected);
    let lines = rows(&done(&["conflicts", &path, "list", "--json"], ""));
    assert_eq!(lines[0]["conflict"], "concurrent");
    let sides = ["base", "local", "remote"].map(|side| lines[0][side]["state"]["title"].clone());
    assert_eq!(sides, ["t1", "mine 1", "theirs 1"]);
    assert_eq!((&lines[3]["local"]["is"], &lines[3]["remote"]["is"]), (&json!("dead"), &json!("live")));
    assert_eq!((&lines[4]["conflict"], &lines[4]["unique"]), (&json!("clash"), &json!(["title"])));
    assert_eq!(lines[4]["holder"], json!(note(6).id().to_string()));
    let shown = run(&["conflicts", &path, "show", &note(1).to_string()], "");
    let lines: Vec<&str> = shown.out.lines().collect();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
    assert_eq!(words(lines[1]), "base local remote");
    assert_eq!(words(lines[2]), r#"body "b" "b" "b""#);
    assert_eq!(words(lines[3]), r#"! title "t1" * "mine 1" * "theirs 1""#);
    assert!(lines[4].starts_with("last changed: base "), "{}", shown.out);
    assert!(lines.iter().skip(1).all(|line| line.chars().count() <= 100), "{}", shown.out);
    let clash = done(&["conflicts", &path, "show", &note(5).to_string()], "");
    assert!(
        words(&clash).contains(r#"remote (not there) local holder title = "shared" = "shared""#),
        "{clash}"
    );
    let raw = json_of(&done(&["conflicts", &path, "show", &note(1).to_string(), "--json"], ""));
    assert_eq!(raw["remote"]["state"]["title"], "theirs 1");
}

#[test]
fn conflicts_are_resolved_each_way_by_flags_and_what_lost_comes_back() {
    let mut story = Story::new();
    let path = story.path();
    let resolved = story.resolve(1, &["--with", "local"]);
    assert_eq!(resolved.err, format!("{} is resolved; 4 open\n", note(1)));
    assert_eq!(story.resolve(1, &["--with", "local"]).code, 1, "it is no longer open");
    assert_eq!(story.resolve(2, &["--with", "remote"]).code, 0);
    // The other side's was changed later: this side's clock is behind.
    assert_eq!(story.resolve(3, &["--with", "newest"]).code, 0);
    assert_eq!(story.resolve(4, &["--with", "delete"]).code, 0);
    let before = story.open();
    let clash = story.resolve(5, &["--modify", r#"{"title":"theirs 2"}"#]);
    assert!(clash.code == 1 && clash.err.contains("cannot have the key (title)"), "{}", clash.err);
    assert_eq!(story.open(), before, "what is refused stays open");
    assert_eq!(story.resolve(5, &["--modify", r#"{"title":"own"}"#]).code, 0);
    assert_eq!(story.open(), []);
    let titles = [1, 2, 3, 4, 5].map(|n| story.title(n));
    let expected = [Some("mine 1"), Some("theirs 2"), Some("theirs 3"), None, Some("own")];
    assert_eq!(titles, expected.map(|title| title.map(str::to_owned)));
    assert_eq!(run(&["conflicts", &path], "").err, "no conflict is open\n");
    // Every value that lost is there, by number.
    let losers = rows(&done(&["conflicts", &path, "losers", "--json"], ""));
    let lost: Vec<(&str, &Value)> =
        losers.iter().map(|lost| (lost["side"].as_str().unwrap(), &lost["fields"]["title"])).collect();
    for expected in [("remote", "theirs 1"), ("local", "mine 2"), ("local", "mine 3"), ("remote", "theirs 4")]
    {
        assert!(
            lost.iter().any(|(side, title)| (*side, title.as_str()) == (expected.0, Some(expected.1))),
            "{lost:?}"
        );
    }
    let told = run(&["conflicts", &path, "losers"], "");
    assert!(told.out.contains(r#"local {"title":"mine 2"}: decided against"#), "{}", told.out);
    let number =
        losers.iter().find(|lost| lost["fields"]["title"] == "mine 2").unwrap()["number"].to_string();
    done(&["conflicts", &path, "restore", &number], "");
    assert_eq!(story.title(2).as_deref(), Some("mine 2"));
    // Both sides come to see what was decided here.
    let (mine, other) = (story.mine(), story.other.clone());
    story.sync(&mine, Want::SYNC);
    story.sync(&other, Want::SYNC);
    drop(mine);
    let theirs = [1, 2, 3, 4, 5].map(|n| other.get(&note(n)).unwrap());
    let theirs = theirs.map(|state| Some(state?.get("title")?.as_str()?.to_owned()));
    assert_eq!(theirs, [1, 2, 3, 4, 5].map(|n| story.title(n)));
    // Nothing is forgotten but on purpose.
    let kept = run(&["conflicts", &path, "losers", "--forget-older-than", "36500d"], "");
    assert!(kept.err.starts_with("forgot 0 values, "), "{}", kept.err);
    let forgotten = run(&["conflicts", &path, "losers", "--forget-older-than", "0s"], "");
    assert!(forgotten.err.ends_with(", 0 left\n"), "{}", forgotten.err);
    assert_eq!(done(&["conflicts", &path, "losers"], ""), "");
}

#[test]
fn all_open_conflicts_are_resolved_at_once() {
    let story = Story::new();
    let path = story.path();
    let resolved = run(&["conflicts", &path, "resolve", "--all", "--with", "remote", "--json"], "");
    assert_eq!(resolved.code, 0, "{}", resolved.err);
    let summary = json_of(&resolved.out);
    assert_eq!((summary["resolved"].as_array().unwrap().len(), &summary["open"]), (5, &json!(0)));
    assert_eq!([1, 4].map(|n| story.title(n)), ["theirs 1", "theirs 4"].map(|title| Some(title.to_owned())));
    assert_eq!(story.title(5), None);
    let again = run(&["conflicts", &path, "resolve", "--all", "--with", "remote"], "");
    assert_eq!((again.code, again.err.as_str()), (0, "0 conflicts resolved, 0 open\n"));
}

#[test]
fn of_all_that_are_resolved_at_once_what_cannot_be_stays_open_and_is_named() {
    let mut story = Story::of(
        r#"{"collections":{
            "boxes":{"policy":"manual"},
            "things":{"references":{"box":{"to":"boxes","on_delete":"restrict"}}}}}"#,
    );
    let (path, other) = (story.path(), story.other.clone());
    let made = |n| Operation::create(key("boxes", n), State::empty());
    let inside = State::from_json(&format!(r#"{{"box":"{}"}}"#, Uuid::from_u128(1))).unwrap();
    commit(&other, &[made(1), made(2), Operation::create(key("things", 1), inside)]);
    story.sync(&other, Want::SYNC);
    let mine = story.mine();
    story.sync(&mine, Want::SYNC);
    let coloured = |json: &str| {
        let colour = Patch::from_json(json).unwrap();
        [1, 2].map(|n| Operation::patch(key("boxes", n), colour.clone()))
    };
    commit(&other, &coloured(r#"{"colour":"red"}"#));
    story.sync(&other, Want::SYNC);
    commit(&mine, &coloured(r#"{"colour":"blue"}"#));
    story.sync(&mine, Want::DOWN);
    drop(mine);
    assert_eq!(story.open(), [1, 2]);
    let resolved = run(&["conflicts", &path, "resolve", "--all", "--with", "delete"], "");
    assert_eq!(resolved.code, 1, "{}", resolved.err);
    let (held, thing) = (key("boxes", 1), key("things", 1));
    let why = format!("{held} stays open: {held} cannot be deleted while {thing} refers to it by \"box\"");
    assert!(resolved.err.starts_with(&why), "{}", resolved.err);
    let ends =
        "1 conflict resolved, 1 open\nfoldlog: 1 conflict cannot be resolved so; decide each by itself\n";
    assert!(resolved.err.ends_with(ends), "{}", resolved.err);
    assert_eq!(story.open(), [1]);
}

/// Whether there is a `script` that runs a command under a pseudo-terminal (util-linux has one).
fn has_script() -> bool {
    let tried = Command::new("script").args(["-qec", "true", "/dev/null"]).stdin(Stdio::null()).output();
    let works = tried.is_ok_and(|output| output.status.success());
    if !works {
        eprintln!("skipped: there is no `script` of util-linux to make a pseudo-terminal with");
    }
    works
}

#[test]
fn on_a_terminal_each_conflict_is_asked_about_and_an_editor_is_opened() {
    if !has_script() {
        return;
    }
    let story = Story::new();
    // An editor that writes what a person would.
    let editor = story.place.path("editor.sh");
    fs::write(&editor, "sed -i 's/mine 2/of both/' \"$1\"\n").unwrap();
    let asked = format!("{} conflicts {} resolve", env!("CARGO_BIN_EXE_foldlog"), story.path());
    let mut terminal = Command::new("script");
    terminal
        .args(["-qec", &asked, "/dev/null"])
        .env("VISUAL", format!("sh {editor}"))
        .env("SHELL", "/bin/sh");
    let mut child =
        terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"r\ne\ns\nq\n").unwrap();
    let ended = ran(child.wait_with_output().unwrap());
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    for told in ["1 of 5", "4 of 5", "\"theirs 1\"", "(l)ocal, (r)emote", "2 conflicts resolved, 3 open"] {
        assert!(ended.out.contains(told), "{told}: {}", ended.out);
    }
    assert_eq!(story.open(), [3, 4, 5]);
    assert_eq!([1, 2].map(|n| story.title(n)), ["theirs 1", "of both"].map(|title| Some(title.to_owned())));
}

#[test]
fn every_subcommand_has_help_with_examples() {
    for command in [
        vec!["replica"],
        vec!["replica", "init"],
        vec!["replica", "put"],
        vec!["replica", "patch"],
        vec!["replica", "delete"],
        vec!["replica", "get"],
        vec!["replica", "list"],
        vec!["replica", "undo"],
        vec!["conflicts"],
        vec!["conflicts", "r", "list"],
        vec!["conflicts", "r", "show"],
        vec!["conflicts", "r", "resolve"],
        vec!["conflicts", "r", "losers"],
        vec!["conflicts", "r", "restore"],
    ] {
        let help = done(&[&command[..], &["--help"]].concat(), "");
        assert!(help.contains("Example") && help.contains(&format!("foldlog {}", command[0])), "{help}");
    }
    let output = command(&["--help"]).output().unwrap();
    let all = String::from_utf8(output.stdout).unwrap();
    assert!(all.contains("replica") && all.contains("conflicts"), "{all}");
}
