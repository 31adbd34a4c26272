//! `starling show`: checking and converting files of questions, without a node.

use super::event::read_file;
use super::file::write_whole;
use super::out::{say, say_json};
use super::parts::describe_problems;
use super::progress::Progress;
use super::{Exit, Failure};
use crate::service::view::Problem;
use crate::show::import::{Format, Import, Source, format_of, import};
use crate::show::to_json;
use clap::{Args, Subcommand};
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub(super) enum ShowCommand {
    /// Check a file of questions and list all of its problems
    Check(CheckArgs),
    /// Write a file of questions as a show in JSON
    Convert(ConvertArgs),
}

/// Which file, and how it is read.
#[derive(Debug, Args)]
pub(super) struct FileArgs {
    /// A show as JSON or TOML, OpenTDB JSON, CSV, Kahoot XLSX, GIFT or Aiken
    pub(super) file: PathBuf,
    /// How the file is read [default: by its extension, else by its content]
    #[arg(long, value_enum)]
    pub(super) format: Option<Format>,
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ConvertArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Write here instead of to stdout; a file appears when it is whole, a pipe or a device is written into
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What `check --json` prints.
#[derive(Serialize)]
struct Checked<'a> {
    valid: bool,
    format: Option<&'static str>,
    encoding: Option<&'static str>,
    title: Option<&'a str>,
    questions: usize,
    problems: &'a [Problem],
}

/// Checks or converts.
pub(super) fn run(command: &ShowCommand) -> Result<Exit, Failure> {
    match command {
        ShowCommand::Check(args) => check(args),
        ShowCommand::Convert(args) => convert(args),
    }
}

fn check(args: &CheckArgs) -> Result<Exit, Failure> {
    let found = read(&args.file)?;
    if args.json {
        say_json(&checked(&found))?;
    } else {
        match &found {
            Ok(import) => say(&describe(&args.file.file, import))?,
            Err(problems) => tell(&args.file, problems)?,
        }
    }
    Ok(if found.is_ok() { Exit::Done } else { Exit::Invalid })
}

fn checked(found: &Result<Import, Vec<Problem>>) -> Checked<'_> {
    let import = found.as_ref().ok();
    Checked {
        valid: import.is_some(),
        format: import.map(|import| import.format.name()),
        encoding: import.map(|import| import.encoding),
        title: import.map(|import| import.script.title.as_str()),
        questions: import.map_or(0, |import| import.script.questions.len()),
        problems: found.as_ref().err().map_or(&[], Vec::as_slice),
    }
}

fn describe(file: &Path, import: &Import) -> String {
    let Import { script, format, encoding } = import;
    let (file, count, format) = (file.display(), script.questions.len(), format.name());
    format!("{file}: {format} ({encoding}), {count} questions, title {:?}", script.title)
}

fn convert(args: &ConvertArgs) -> Result<Exit, Failure> {
    let import = match read(&args.file)? {
        Ok(import) => import,
        Err(problems) => {
            tell(&args.file, &problems)?;
            return Ok(Exit::Invalid);
        }
    };
    let json = to_json(&import.script);
    match &args.output {
        Some(output) => write(output, &json)?,
        None => say(json.trim_end())?,
    }
    eprintln!("{}", describe(&args.file.file, &import));
    Ok(Exit::Done)
}

fn write(output: &Path, json: &str) -> Result<(), Failure> {
    let failed = format!("cannot write {}", output.display());
    write_whole(output, |file| file.write_all(json.as_bytes()))
        .map_err(Failure::of(Exit::Failed, failed))
}

/// Lists the problems of a file, and how it was read if nobody has said how.
pub(super) fn tell(args: &FileArgs, problems: &[Problem]) -> Result<(), Failure> {
    eprintln!("{}", describe_problems(problems, &args.file.display().to_string()));
    if args.format.is_none() {
        let bytes = read_file(&args.file)?;
        let source = Source { bytes: &bytes, name: &args.file, format: None, progress: None };
        eprintln!("read as {}: `--format` says otherwise", format_of(&source).name());
    }
    Ok(())
}

/// Reads a file of questions in whatever format it has.
///
/// # Errors
/// If there is no such file. Problems *in* the file are inside.
pub(super) fn read(args: &FileArgs) -> Result<Result<Import, Vec<Problem>>, Failure> {
    let bytes = read_file(&args.file)?;
    let progress = Progress::bytes("reading", bytes.len() as u64);
    let follow = |done, total| progress.set(done, total);
    let source =
        Source { bytes: &bytes, name: &args.file, format: args.format, progress: Some(&follow) };
    Ok(import(&source))
}

/// Says on stderr how a file was read that is no show in JSON as nodes take it, so that nobody finds out on the big
/// screen.
pub(super) fn tell_converted(file: &Path, import: &Import) {
    if let Some(told) = converted(file, import) {
        eprintln!("{told}");
    }
}

fn converted(file: &Path, import: &Import) -> Option<String> {
    let told = describe(file, import);
    match (import.format, import.encoding) {
        (Format::Json, "UTF-8") => None,
        (_, "UTF-8" | "UTF-16LE" | "UTF-16BE" | "XLSX") => Some(told),
        (_, guessed) => Some(format!(
            "{told}; {guessed} is a guess, since the file is not Unicode: see whether its accented letters are right"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_imports_a_file_is_told_how_it_was_read() {
        let head = "question,option 1,option 2,correct\n";
        let told = |name: &str, bytes: &[u8]| {
            let (name, format, progress) = (Path::new(name), None, None);
            let read = import(&Source { bytes, name, format, progress }).expect("it is a show");
            converted(name, &read)
        };
        let legacy =
            [head.as_bytes(), b"Le caf\xE9 est-il d\xE9j\xE0 pr\xEAt?,oui,non,1\n"].concat();
        let said = told("a.csv", &legacy).expect("it is converted");
        assert!(said.starts_with("a.csv: CSV (windows-1252), 1 questions"), "{said}");
        assert!(said.contains("windows-1252 is a guess"), "{said}");
        let unicode = format!("{head}Le café?,oui,non,1\n");
        let said = told("a.csv", unicode.as_bytes()).expect("it is converted");
        assert!(said.contains("CSV (UTF-8)") && !said.contains("guess"), "{said}");
        let own = r#"{"format": "starling-show/1", "title": "T",
            "questions": [{"text": "?", "options": ["a", "b"], "correct": 0}]}"#;
        assert_eq!(told("a.json", own.as_bytes()), None);
    }
}
