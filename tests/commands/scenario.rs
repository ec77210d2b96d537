//! `foldlog scenario`: where scenarios come from.

use std::fs;

use crate::cli::{done, run, text};

const SCENARIO: &str = "{\"scenario\":\"one note\"}\n\
    {\"do\":\"create\",\"client\":\"a\",\"entity\":\"notes/x\",\"state\":{}}\n\
    {\"do\":\"expect\",\"client\":\"a\",\"pending\":1}\n";

#[test]
fn a_scenario_comes_by_standard_input_too() {
    for args in [&["scenario", "-"][..], &["scenario"]] {
        assert_eq!(done(args, SCENARIO).lines().next(), Some("ok      standard input  one note"));
    }
    let failed = run(&["scenario", "-"], SCENARIO.replace("expect", "expct"));
    assert!(failed.out.starts_with("FAILED  standard input\nline 3: "), "{}", failed.out);
    let twice = run(&["scenario", "-", "-"], SCENARIO);
    assert_eq!((twice.code, twice.out.as_str()), (2, ""));
    assert!(twice.err.contains("can be read only once"), "{}", twice.err);
    let missing = run(&["scenario", "missing.ndjson", "-"], SCENARIO);
    assert_eq!(missing.code, 1);
    assert!(missing.out.starts_with("FAILED  missing.ndjson\nit cannot be read: "), "{}", missing.out);
    assert!(missing.out.contains("ok      standard input"), "{}", missing.out);
}

#[test]
fn a_scenario_may_begin_with_a_byte_order_mark() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ndjson");
    fs::write(&path, format!("\u{feff}{SCENARIO}")).unwrap();
    done(&["scenario", text(&path)], "");
}
