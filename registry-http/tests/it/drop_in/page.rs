//! The page itself: that its rows and their proofs go together, and that no key is missing.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Below this heading the names are those of steps of `cargo xtask integration`.
const TURNS: &str = "### In turns with distribution";

struct Row {
    name: String,
    /// What it is about, and what becomes of it.
    cells: [String; 2],
}

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::read_to_string(root.join(path)).unwrap()
}

/// Of the tests, and of the steps.
fn rows() -> [Vec<Row>; 2] {
    let page = read("docs/drop-in.md");
    let (tests, steps) = page.split_once(TURNS).unwrap();
    [tests, steps].map(|part| {
        let lines = part.lines().filter(|line| line.starts_with('|'));
        let rows = lines.filter(|line| !line.starts_with("|---") && !line.starts_with("| Name |"));
        rows.map(row).collect()
    })
}

fn row(line: &str) -> Row {
    let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
    let [name, about, here] = cells[..] else {
        panic!("not three cells: {line}");
    };
    let name = name
        .strip_prefix('`')
        .and_then(|name| name.strip_suffix('`'));
    Row {
        name: name.unwrap_or_else(|| panic!("no name: {line}")).to_owned(),
        cells: [about.to_owned(), here.to_owned()],
    }
}

/// Every name once.
fn names(rows: &[Row]) -> BTreeSet<String> {
    let names: BTreeSet<String> = rows.iter().map(|row| row.name.clone()).collect();
    assert_eq!(names.len(), rows.len(), "a name is there twice: {names:?}");
    names
}

#[test]
fn every_row_has_a_test_of_its_name_and_every_test_a_row() {
    // What the harness would run is what there is.
    let itself = std::env::current_exe().unwrap();
    let list = Command::new(itself).arg("--list").output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    let tests = list.lines().filter_map(|line| {
        let path = line.strip_suffix(": test")?.strip_prefix("drop_in::")?;
        let (file, name) = path.split_once("::").unwrap();
        (file != "page").then(|| name.to_owned())
    });
    let tests: Vec<String> = tests.collect();
    let tested: BTreeSet<String> = tests.iter().cloned().collect();
    assert_eq!(tested.len(), tests.len(), "a name is there twice");
    let told = names(&rows()[0]);
    let without_test: Vec<_> = told.difference(&tested).collect();
    let without_row: Vec<_> = tested.difference(&told).collect();
    assert!(
        without_test.is_empty() && without_row.is_empty(),
        "rows of docs/drop-in.md without a test: {without_test:?}; \
         tests of drop_in without a row: {without_row:?}"
    );
}

#[test]
fn what_needs_distribution_is_a_step_of_the_integration() {
    let sources = ["swap.rs", "acme/swap.rs"];
    let sources = sources.map(|file| read(&format!("xtask/src/integration/{file}")));
    let steps = sources
        .iter()
        .flat_map(|source| source.split("step(\"").skip(1));
    let steps: BTreeSet<String> = steps
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect();
    assert_eq!(names(&rows()[1]), steps);
}

#[test]
fn every_row_says_whether_it_is_the_same() {
    for row in rows().iter().flatten() {
        let [about, here] = &row.cells;
        let verdict = ["same", "better: ", "different: "];
        let said = verdict.iter().any(|verdict| here.starts_with(verdict));
        assert!(said && !about.is_empty(), "{}: {here}", row.name);
    }
}

/// What stands within backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn every_key_is_in_a_row() {
    let rows = rows();
    let told: Vec<&str> = rows
        .iter()
        .flatten()
        .flat_map(|row| quoted(&row.cells[0]))
        .collect();
    let covers = |told: &&str, key: &str| {
        let below = told.strip_suffix('*').filter(|below| below.ends_with('.'));
        *told == key || below.is_some_and(|below| key.starts_with(below))
    };
    let keys = read("docs/configuration.md");
    let keys = keys
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let keys: Vec<&str> = keys.collect();
    assert!(keys.len() > 100, "{keys:?}");
    let missing: Vec<_> = keys
        .into_iter()
        .filter(|key| *key != "version" && !told.iter().any(|told| covers(told, key)))
        .collect();
    assert!(
        missing.is_empty(),
        "no row of docs/drop-in.md names {missing:?}"
    );
}
