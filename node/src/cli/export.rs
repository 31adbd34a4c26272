//! `starling export`: an event's results as files.

use super::client::{Client, NodeArgs};
use super::file::write_whole;
use super::out::say;
use super::{Exit, Failure};
use crate::export::{self, Format, LINES, MANIFEST, Manifest, Proof};
use clap::{Args, ValueEnum};
use crdt_state::EventId;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The event
    #[arg(long, value_name = "ID")]
    event: EventId,
    /// Write JSON lines here instead of to stdout; a file appears when it is whole, a pipe or a device is written into
    #[arg(long, short, value_name = "FILE", conflicts_with = "out")]
    output: Option<PathBuf>,
    /// Write files, their manifest and the state to prove them into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The formats of the files [default: all]
    #[arg(long, value_enum, value_delimiter = ',', requires = "out")]
    format: Vec<Format>,
    #[command(flatten)]
    node: NodeArgs,
    /// Accepted for uniformity: without --out an export is JSON lines in any case
    #[arg(long)]
    json: bool,
}

/// Writes an event out.
pub(super) fn export(args: &ExportArgs) -> Result<Exit, Failure> {
    if let Some(folder) = &args.out {
        return export_folder(args, folder);
    }
    let path = format!("/api/v1/events/{}/export", args.event);
    let mut lines = Client::new(&args.node).download(&path)?;
    match &args.output {
        Some(file) => write_file(&mut lines, file)?,
        None => write_stdout(&mut lines)?,
    }
    Ok(Exit::Done)
}

fn export_folder(args: &ExportArgs, folder: &Path) -> Result<Exit, Failure> {
    let path = format!("/api/v1/events/{}/proof", args.event);
    let mut text = String::new();
    let mut body = Client::new(&args.node).download(&path)?;
    body.read_to_string(&mut text).map_err(Failure::of(Exit::Failed, "the export broke off"))?;
    let proof =
        Proof::decode(&text).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let formats = if args.format.is_empty() { Format::value_variants() } else { &args.format };
    let manifest = write_folder(&proof, formats, folder)?;
    say(&describe(&manifest, folder))?;
    Ok(Exit::Done)
}

/// Writes the lines, the state and every wanted format; the manifest comes last.
///
/// # Errors
/// If a file cannot be made or written.
pub fn write_folder(proof: &Proof, formats: &[Format], folder: &Path) -> Result<Manifest, Failure> {
    let (manifest, all) = export::folder(proof, formats)
        .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    fs::create_dir_all(folder)
        .map_err(Failure::of(Exit::Failed, format!("cannot make {}", folder.display())))?;
    for (name, content) in &all {
        write_file(&mut &content[..], &folder.join(name))?;
    }
    Ok(manifest)
}

fn describe(manifest: &Manifest, folder: &Path) -> String {
    let Manifest { title, status, files, .. } = manifest;
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    let (folder, names) = (folder.display(), names.join(", "));
    format!("{title:?} ({status}): {names} and {MANIFEST} of {LINES} are in {folder}")
}

fn write_stdout(lines: &mut impl Read) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match io::copy(lines, &mut stdout).and_then(|_| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::of(Exit::Failed, "the export broke off")(error))
        }
        _ => Ok(()),
    }
}

fn write_file(lines: &mut impl Read, file: &Path) -> Result<(), Failure> {
    let failed = format!("cannot write the export to {}", file.display());
    write_whole(file, |part| io::copy(lines, part).map(drop))
        .map_err(Failure::of(Exit::Failed, failed))
}
