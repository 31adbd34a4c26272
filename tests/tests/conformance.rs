//! The table of both standards' statements is whole, and every test that it names exists.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A row: the statement, and what stands in its last column.
type Row = (String, String);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn rows(section: &str) -> Vec<Row> {
    let page = fs::read_to_string(root().join("node/docs/conformance.md")).unwrap();
    let (_, rest) = page.split_once(&format!("\n## {section}\n")).expect("the section is there");
    let section = rest.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| MQTT-"));
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 3, "{line}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{line}");
        (cells[0].to_owned(), cells[2].to_owned())
    })
    .collect()
}

/// Every function that is a test.
fn tests_below(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            tests_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let mut is_test = false;
            for line in fs::read_to_string(&path).unwrap().lines().map(str::trim) {
                let name = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
                if let Some(name) = name.filter(|_| is_test) {
                    found.insert(name.split('(').next().unwrap().to_owned());
                }
                is_test = line == "#[test]" || line.starts_with("#[tokio::test");
            }
        }
    }
}

/// The numbers of a statement: chapter, section, subsection, place.
fn numbers(statement: &str) -> Vec<u32> {
    let digits = statement.trim_start_matches("MQTT-").split(['.', '-']);
    digits.map(|part| part.parse().unwrap_or_else(|_| panic!("{statement}"))).collect()
}

#[test]
fn every_statement_has_its_row_and_every_named_test_exists() {
    let mut tests = BTreeSet::new();
    for folder in ["node/src", "node/tests", "tests/tests"] {
        tests_below(&root().join(folder), &mut tests);
    }
    assert!(tests.contains("reserved_flags_are_refused"), "tests are found at all");
    for (section, count) in [("MQTT 3.1.1", 141), ("MQTT 5.0", 251)] {
        let rows = rows(section);
        assert_eq!(rows.len(), count, "{section}");
        assert!(rows.is_sorted_by_key(|(statement, _)| numbers(statement)), "{section}");
        let unique: BTreeMap<_, _> = rows.iter().cloned().collect();
        assert_eq!(unique.len(), count, "{section}");
        let named = |(statement, cell): &Row| {
            let names = cell.split('`').skip(1).step_by(2).map(str::to_owned);
            let names = names.filter(|name| name.contains('_')).collect::<Vec<_>>();
            names.into_iter().map(|name| (statement.clone(), name)).collect::<Vec<_>>()
        };
        let named: Vec<_> = rows.iter().flat_map(named).collect();
        assert!(named.len() > count / 2, "most statements are shown by tests");
        for (statement, name) in named {
            assert!(tests.contains(&name), "{statement} names {name}, which is no test");
        }
    }
}

/// The summary at the page's beginning is what its tables come to.
#[test]
fn the_summary_is_what_the_tables_come_to() {
    let page = fs::read_to_string(root().join("node/docs/conformance.md")).unwrap();
    for section in ["MQTT 3.1.1", "MQTT 5.0"] {
        let rows = rows(section);
        let names_a_test =
            |cell: &str| cell.split('`').skip(1).step_by(2).any(|it| it.contains('_'));
        let shown = rows.iter().filter(|(_, cell)| names_a_test(cell)).count();
        let clients = rows.iter().filter(|(_, cell)| cell == "the client's part").count();
        let (all, rest) = (rows.len(), rows.len() - shown - clients);
        let line = format!("| {section} | {all} | {shown} | {clients} | {rest} |");
        assert!(page.lines().any(|it| it == line), "the summary lacks {line}");
    }
}
