//! Golden dialogues: each file of a folder is a list of cases: commands, a line `----`, what they caused, a blank
//! line. `UPDATE=1` writes them anew, to be read before they are believed.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Asserts that every dialogue of a folder of this package, each replayed from the start, reads as it was written
/// down, or writes it down; there are so many at least.
pub fn check_all<Desk>(
    folder: &str,
    at_least: usize,
    desk: impl Fn() -> Desk,
    run: impl Fn(&mut Desk, &str) -> String,
) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= at_least, "they are all there");
    for file in files {
        let golden = fs::read_to_string(&file).unwrap();
        let mut desk = desk();
        let replayed = replay(&golden, |line| run(&mut desk, line));
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&file, replayed).unwrap();
        } else {
            assert!(golden == replayed, "{} is now:\n{replayed}", file.display());
        }
    }
}

fn replay(golden: &str, mut run: impl FnMut(&str) -> String) -> String {
    let mut replayed = String::new();
    for case in golden.split("\n\n").filter(|case| !case.trim().is_empty()) {
        let commands = case.split("----").next().unwrap_or_default().trim();
        let lines = commands.lines().filter(|line| !line.starts_with('#'));
        let caused: String = lines.map(&mut run).collect();
        writeln!(replayed, "{commands}\n----\n{caused}").unwrap();
    }
    replayed.trim_end().to_string() + "\n"
}
