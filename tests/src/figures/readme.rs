//! The tables of figures in the README, each between its own markers.

use std::fs;
use std::path::Path;
use std::thread;

/// Renews the table of `name`.
///
/// # Errors
/// If the README cannot be read or written, or has no place for it.
pub fn write(name: &str, table: &str) -> Result<(), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let failed = |error| format!("{}: {error}", path.display());
    let text = fs::read_to_string(&path).map_err(failed)?;
    fs::write(&path, replaced(&text, name, table)?).map_err(failed)
}

/// What the numbers were measured on.
pub(super) fn machine() -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    match model {
        Some((_, model)) => format!("{cores} cores ({})", model.trim()),
        None => format!("{cores} cores"),
    }
}

fn replaced(text: &str, name: &str, table: &str) -> Result<String, String> {
    let begin = format!("<!-- figures:{name} -->\n");
    let missing = || format!("the README has no place {begin:?} that ends with {END:?}");
    let (before, rest) = text.split_once(&begin).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    Ok(format!("{before}{begin}{}\n{END}{after}", table.trim_end()))
}

const END: &str = "<!-- /figures -->";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_takes_the_place_of_its_former_self_only() {
        let text = "a\n<!-- figures:x -->\nold\n<!-- /figures -->\nb\n\
            <!-- figures:y -->\n<!-- /figures -->\n";
        let x = replaced(text, "x", "new\n").unwrap();
        assert_eq!(x, text.replace("old", "new"));
        assert_eq!(replaced(&x, "x", "old").unwrap(), text);
        let y = replaced(text, "y", "first").unwrap();
        assert!(y.ends_with(
            "old\n<!-- /figures -->\nb\n<!-- figures:y -->\nfirst\n<!-- /figures -->\n"
        ));
        assert!(replaced(text, "z", "new").unwrap_err().contains("figures:z"));
    }

    #[test]
    fn every_figure_has_its_place() {
        let readme = include_str!("../../../README.md");
        for figure in crate::figures::FIGURES {
            assert!(replaced(readme, figure.name, "new").is_ok(), "{}", figure.name);
        }
    }
}
