//! What must stay absent: guards over the sources, the manifests and the binary that ships.
//!
//! Layers are kept by these tests and not by hope: which crate may know which, what the cores without IO
//! may not call, and what the binary may not bring along.

use object::{Object, ObjectSymbol};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Our crates, each with those of ours that it may know.
const ARROWS: [(&str, &[&str]); 5] = [
    ("crdt-state", &[]),
    ("gossip", &["crdt-state"]),
    ("node", &["crdt-state", "gossip"]),
    ("sim", &["crdt-state", "gossip", "node"]),
    ("tests", &["crdt-state", "gossip", "node", "sim"]),
];

/// The folders of cores, which are pure functions of their inputs.
const CORES: [&str; 3] = ["crdt-state/src", "gossip/src/replication", "node/src/engine"];
/// The shells that stand in a core's folder.
const SHELLS: [&str; 1] = ["node/src/engine/owner.rs"];
/// What a core must not do: read a clock or chance, spawn, or iterate in an order that differs by run.
const IMPURE: [&str; 9] = [
    "Instant::now",
    "SystemTime",
    "thread_rng",
    "rand::rng",
    "getrandom",
    "tokio::spawn",
    "std::thread",
    "HashMap",
    "HashSet",
];
/// What no source leaves behind.
const UNFINISHED: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("#[ign", "ore"), concat!("X", "XX")];

#[test]
fn crates_know_only_those_below_them() {
    let known = dependencies();
    let ours: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    assert_eq!(known.keys().map(String::as_str).collect::<BTreeSet<_>>(), ours);
    for (name, may) in ARROWS {
        // A crate's tests may ask for more features of the crate itself.
        let others = known[name].iter().filter(|dependency| dependency.as_str() != name);
        let of_ours = others.filter(|dependency| ours.contains(dependency.as_str()));
        for dependency in of_ours {
            assert!(may.contains(&dependency.as_str()), "{name} must not know {dependency}");
        }
    }
}

#[test]
fn the_commands_of_the_readme_find_their_program() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("a list");
    let binaries = |package: &Value| {
        let targets = package["targets"].as_array().expect("a list");
        targets.iter().filter(|target| target["kind"][0] == "bin").count()
    };
    for name in ["node", "sim"] {
        let package = packages.iter().find(|it| it["name"] == name).expect("it is a member");
        let chosen = package["default_run"].is_string() || binaries(package) == 1;
        assert!(chosen, "`cargo run -p {name}` does not know which program to run");
    }
}

#[test]
fn one_cryptography_library_is_linked() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("it is committed");
    assert!(lock.contains("name = \"ring\""), "the lock file is read");
    assert!(!lock.contains("aws-lc"), "rustls works over ring only");
}

#[test]
fn what_ships_has_no_features_for_tests() {
    let tree = cargo(&["tree", "-p", "node", "-e", "features,no-dev", "--prefix", "none"]);
    assert!(tree.contains("tokio feature \"rt\""), "the tree shows features:\n{tree}");
    let forbidden = |line: &&str| {
        let ours = ARROWS.iter().any(|(name, _)| line.starts_with(&format!("{name} feature")));
        line.contains("test-util") || (ours && !line.contains("\"default\""))
    };
    let found: Vec<&str> = tree.lines().filter(forbidden).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_binary_answers_no_clock_and_no_entropy_itself() {
    let bytes = fs::read(tests::binary::starling_path()).expect("the binary was just built");
    let file = object::File::parse(&*bytes).expect("the binary is an object file");
    let symbols = || file.symbols().chain(file.dynamic_symbols());
    let name = |symbol: &object::Symbol<'_, '_>| symbol.name().unwrap_or_default().to_owned();
    assert!(symbols().any(|s| s.is_definition() && name(&s) == "main"), "symbols are read");
    for forbidden in ["getrandom", "getentropy", "syscall", "clock_gettime"] {
        let defined = symbols().any(|s| s.is_definition() && name(&s) == forbidden);
        assert!(!defined, "the binary defines {forbidden} of its own");
    }
}

#[test]
fn cores_read_no_clock_and_no_chance() {
    let all = CORES.iter().flat_map(|folder| sources(folder, &["rs"]));
    // What tests a core may run it as it likes.
    let is_core = |path: &str| !SHELLS.contains(&path) && !path.ends_with("/tests.rs");
    let cores: Vec<(String, String)> = all.filter(|(path, _)| is_core(path)).collect();
    assert!(cores.len() > 30, "the cores are found");
    for (path, text) in cores {
        let found = mentions(&text, &IMPURE);
        assert!(found.is_empty(), "{path}: {found:?}");
    }
    assert_eq!(mentions("let a = 1;\nInstant::now();", &IMPURE), [(2, "Instant::now")]);
}

#[test]
fn the_top_level_holds_only_what_the_design_allows() {
    let allowed = ["Cargo.toml", "Cargo.lock", "README.md", "target"];
    let entries = fs::read_dir(root()).expect("the workspace can be listed");
    for entry in entries {
        let name = entry.expect("the workspace can be listed").file_name();
        let name = name.to_string_lossy();
        let ours = ARROWS.iter().any(|(crate_name, _)| *crate_name == name);
        assert!(ours || allowed.contains(&&*name) || name.starts_with('.'), "{name} is in the way");
    }
}

#[test]
fn every_source_says_what_it_is_for() {
    for (path, text) in everywhere(&["rs"]) {
        assert!(text.starts_with("//! "), "{path} has no header");
    }
}

/// A kind is added by its folder, its script and its entry in the table: nothing else may ask which one it is.
#[test]
fn no_source_outside_its_own_names_a_kind() {
    let kinds = crdt_state::engagement::KINDS;
    let named = |text: &str| {
        let rust = ["Task::", "TaskView::", "TaskResults::"].into_iter().any(|path| {
            kinds.iter().any(|kind| text.contains(&format!("{path}{}", variant(kind))))
        });
        let compared = ["===", "!=="].into_iter().any(|equals| {
            kinds.iter().any(|kind| text.contains(&format!("kind {equals} \"{kind}\"")))
        });
        rust || compared
    };
    assert!(named("Some(Task::WordCloud(_))") && named("question.kind === \"qa\""));
    let is_own = |path: &str| is_script_of_a_kind(path) || path.ends_with("/tests.rs");
    let folders = ["node/src", "node/web", "crdt-state/src/event"];
    let all: Vec<_> = folders.into_iter().flat_map(|it| sources(it, &["rs", "js"])).collect();
    assert!(all.len() > 100, "the sources are found");
    for (path, text) in all.into_iter().filter(|(path, _)| !is_own(path)) {
        let lines = (1..).zip(text.lines()).filter(|(_, line)| named(line));
        let found: Vec<_> = lines.collect::<Vec<_>>();
        assert!(found.is_empty(), "{path}: {found:?}");
    }
}

/// Pages load a kind's script by the name that a view bears: no other script of theirs has that name in it, be it in
/// a comparison, a list, a table or an import.
#[test]
fn no_script_of_the_pages_but_its_own_knows_a_kind() {
    let kinds = crdt_state::engagement::KINDS;
    let knows = |text: &str| {
        let quoted = |kind: &str| {
            ["\"", "'", "`"].iter().any(|quote| text.contains(&format!("{quote}{kind}{quote}")))
        };
        let loaded = |kind: &str| text.contains(&format!("/{kind}.js"));
        kinds.iter().any(|kind| quoted(kind) || loaded(kind))
    };
    assert!(knows("const SCORED = [\"quiz\"];") && knows("from \"./engagement/quiz.js\""));
    let scripts = sources("node/web", &["js"]).into_iter();
    let others: Vec<_> = scripts.filter(|(path, _)| !is_script_of_a_kind(path)).collect();
    assert!(others.len() > 20, "the scripts are found");
    for (path, text) in others {
        // The audience's applause, which every show has, is called as the kind of that name.
        let shows_it = ["node/web/host-people.js", "node/web/player-view.js"].contains(&&*path);
        let is_applause = |line: &str| shows_it && line.contains("\"reactions\"");
        let lines = (1..).zip(text.lines());
        let found: Vec<_> = lines.filter(|(_, line)| knows(line) && !is_applause(line)).collect();
        assert!(found.is_empty(), "{path}: {found:?}");
    }
}

fn is_script_of_a_kind(path: &str) -> bool {
    let name = path.strip_prefix("node/web/engagement/").and_then(|it| it.strip_suffix(".js"));
    name.is_some_and(|name| crdt_state::engagement::KINDS.contains(&name))
}

/// The name of a kind in the enum of tasks.
fn variant(kind: &str) -> String {
    let word = |word: &str| format!("{}{}", word[..1].to_uppercase(), &word[1..]);
    kind.split('_').map(word).collect()
}

/// The table of what reads others' bytes names every source that does, and tests that there are.
#[test]
fn whatever_reads_the_bytes_of_others_is_in_the_table_with_what_feeds_it() {
    let library = fs::read_to_string(root().join("node/src/lib.rs")).expect("it can be read");
    let rows = library.lines().filter_map(|line| line.strip_prefix("//! | "));
    let rows = rows.filter(|row| row.contains(".rs` | ")).map(|row| row.split(" | "));
    let mut readers = BTreeSet::new();
    for row in rows {
        let [_, reader, fed]: [&str; 3] =
            row.collect::<Vec<_>>().try_into().expect("three columns");
        let reader = reader.trim_matches('`');
        readers.insert(reader.to_owned());
        let named: Vec<&str> = fed.split('`').skip(1).step_by(2).collect();
        let (file, tests) = match named.split_first() {
            Some((file, tests)) if file.ends_with(".rs") => (*file, tests),
            _ => (reader, &named[..]),
        };
        let text = fs::read_to_string(root().join(file)).expect("the file of the tests is there");
        for test in tests {
            assert!(text.contains(&format!("fn {test}(")), "{file} has no test {test}");
        }
        assert!(!tests.is_empty() || fed.starts_with("the above"), "nothing feeds {reader}");
    }
    for (path, text) in everywhere(&["rs"]) {
        let production = text.split("mod tests {").next().unwrap_or_default();
        let reads = ["postcard::from_bytes", "postcard::take_from_bytes"];
        let is_ours = ["crdt-state/src", "gossip/src", "node/src"];
        let is_ours = is_ours.iter().any(|folder| path.starts_with(folder));
        let is_test = path.ends_with("tests.rs") || path.contains("/tests/");
        if is_ours && !is_test && reads.iter().any(|read| production.contains(read)) {
            assert!(readers.contains(&path), "{path} reads bytes and is not in the table");
        }
    }
    assert!(readers.len() > 20, "{readers:?}");
}

#[test]
fn no_source_is_left_unfinished_and_no_test_is_switched_off() {
    let sources = everywhere(&["rs", "js", "html", "css", "toml"]);
    let this = |path: &str| path == "tests/tests/workspace.rs";
    for (path, text) in sources.into_iter().filter(|(path, _)| !this(path)) {
        let found = mentions(&text, &UNFINISHED);
        assert!(found.is_empty(), "{path}: {found:?}");
    }
}

/// The lines that mention any of some words, counted from 1.
fn mentions<'a>(text: &str, words: &[&'a str]) -> Vec<(usize, &'a str)> {
    let in_line = |(line, text): (usize, &str)| {
        let found = words.iter().filter(|word| text.contains(**word));
        found.map(|word| (line, *word)).collect::<Vec<_>>()
    };
    (1..).zip(text.lines()).flat_map(in_line).collect()
}

/// Every source of every crate with one of these extensions; what others wrote is left out.
fn everywhere(extensions: &[&str]) -> Vec<(String, String)> {
    let all: Vec<_> = ARROWS.iter().flat_map(|(name, _)| sources(name, extensions)).collect();
    assert!(all.len() > 100, "the sources are found");
    all
}

/// The files below a folder with one of these extensions, by their paths in the workspace.
fn sources(folder: &str, extensions: &[&str]) -> Vec<(String, String)> {
    let (mut folders, mut files) = (vec![root().join(folder)], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the workspace can be listed") {
            let path = entry.expect("a folder of the workspace can be listed").path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            if path.is_dir() {
                folders.extend(Some(path).filter(|_| name.is_some_and(|name| name != "vendor")));
            } else if path.extension().is_some_and(|e| extensions.iter().any(|x| e == *x)) {
                files.push((shown(&path), fs::read_to_string(&path).expect("sources are text")));
            }
        }
    }
    files
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).to_string_lossy().into_owned()
}

/// Every dependency of every package of the workspace, of whatever kind.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = metadata();
    let name = |value: &Value| value["name"].as_str().expect("everything has a name").to_owned();
    let array = |value: &Value| value.as_array().cloned().expect("a list");
    let package = |package: &Value| {
        (name(package), array(&package["dependencies"]).iter().map(name).collect())
    };
    array(&metadata["packages"]).iter().map(package).collect()
}

fn metadata() -> Value {
    let text = cargo(&["metadata", "--format-version", "1", "--no-deps"]);
    serde_json::from_str(&text).expect("cargo writes JSON")
}

fn cargo(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO"));
    let command = command.args(arguments).arg("--locked").current_dir(root());
    let output = command.output().expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("cargo writes text")
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("a crate lies in its workspace").to_owned()
}
