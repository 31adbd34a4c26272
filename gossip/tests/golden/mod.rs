//! Golden dialogues: each file of a folder is a list of cases: commands, a line `----`, what they caused, a blank
//! line. `UPDATE=1` writes them anew, to be read before they are believed.

use std::fs;
use std::path::{Path, PathBuf};

/// A folder beside these tests.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// A dialogue as it was written down.
pub fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(file(folder, name)).unwrap()
}

/// The commands of each case, and of these the lines that are no remarks.
pub fn cases(golden: &str) -> impl Iterator<Item = (&str, impl Iterator<Item = &str>)> {
    let cases = golden.split("\n\n").filter(|case| !case.trim().is_empty());
    cases.map(|case| {
        let commands = case.split("----").next().unwrap_or_default().trim();
        (commands, commands.lines().filter(|line| !line.starts_with('#')))
    })
}

/// Asserts that what was replayed is what was written down, or writes it down.
pub fn check(folder: &Path, name: &str, golden: &str, replayed: &str) {
    let replayed = replayed.trim_end().to_owned() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        fs::write(file(folder, name), replayed).unwrap();
        return;
    }
    let differs = golden.lines().zip(replayed.lines()).position(|(old, new)| old != new);
    let line = differs.unwrap_or(golden.lines().count().min(replayed.lines().count())) + 1;
    assert!(golden == replayed, "{name}.txt differs from line {line}; it is now:\n{replayed}");
}

/// Asserts that these are all dialogues of a folder.
pub fn check_all(folder: &Path, names: &[&str]) {
    let files = fs::read_dir(folder).unwrap();
    let mut found: Vec<String> = files
        .map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into())
        .collect();
    found.sort();
    assert_eq!(found, names);
}

fn file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.txt"))
}
