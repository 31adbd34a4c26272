//! Writing to a place that somebody named. A file appears there when it is whole, and what is no file stays what it is.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::Builder;

/// What any new file may be before the umask takes its part.
const MODE: u32 = 0o666;

/// Writes to a place: a file that is there is replaced where it really is, as readable as it was, and a link to it stays.
///
/// # Errors
/// If it cannot be made or written; then a file is as it was.
pub(super) fn write_whole(
    place: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let known = fs::metadata(place);
    let is_nowhere = || fs::symlink_metadata(place).is_err();
    match known {
        Ok(known) if known.is_file() && !is_of_system(place) => {
            replace(&fs::canonicalize(place)?, known.permissions(), write)
        }
        Err(error) if error.kind() == ErrorKind::NotFound && is_nowhere() => {
            replace(place, Permissions::from_mode(MODE), write)
        }
        // A pipe, a terminal, a link that leads nowhere yet: nobody wants a file in its place.
        _ => write(&mut File::create(place)?),
    }
}

/// Whether the system made the place: `/dev/stdout` may lead to a file, which others have open.
fn is_of_system(place: &Path) -> bool {
    let folder = fs::canonicalize(folder_of(place)).unwrap_or_default();
    ["/dev", "/proc"].iter().any(|system| folder.starts_with(system))
}

fn replace(
    file: &Path,
    mode: Permissions,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let mut part = Builder::new().permissions(mode.clone()).tempfile_in(folder_of(file))?;
    if file.exists() {
        // The umask is for new files.
        part.as_file().set_permissions(mode)?;
    }
    write(part.as_file_mut())?;
    part.as_file().sync_all()?;
    part.persist(file)?;
    Ok(())
}

fn folder_of(file: &Path) -> &Path {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::{FileTypeExt, symlink};
    use std::process::Command;
    use std::thread;

    fn say(place: &Path, words: &str) -> io::Result<()> {
        write_whole(place, |file| file.write_all(words.as_bytes()))
    }

    fn mode_of(place: &Path) -> u32 {
        fs::metadata(place).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_file_is_as_readable_as_any_other() {
        let folder = tempfile::tempdir().unwrap();
        let (new, other) = (folder.path().join("new"), folder.path().join("other"));
        say(&new, "whole").unwrap();
        File::create(&other).unwrap();
        assert_eq!(fs::read_to_string(&new).unwrap(), "whole");
        assert_eq!(mode_of(&new), mode_of(&other));
    }

    #[test]
    fn a_file_is_replaced_where_it_is_and_stays_as_it_was_if_that_fails() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        symlink("file", &link).unwrap();
        let fails = |part: &mut File| {
            part.write_all(b"half")?;
            Err(io::Error::other("it broke off"))
        };
        assert!(write_whole(&link, fails).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "old");
        say(&link, "new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!((fs::read_to_string(&file).unwrap().as_str(), mode_of(&file)), ("new", 0o640));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "nothing is left lying about");
    }

    #[test]
    fn a_link_that_leads_nowhere_makes_what_it_leads_to() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        symlink("later", &link).unwrap();
        say(&link, "here").unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("later")).unwrap(), "here");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn what_is_no_file_is_written_into_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let reader = thread::spawn({
            let pipe = pipe.clone();
            move || fs::read_to_string(pipe).unwrap()
        });
        say(&pipe, "through it").unwrap();
        assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
        assert_eq!(reader.join().unwrap(), "through it");
        assert!(say(folder.path(), "no").is_err(), "nor does a folder become a file");
        assert!(folder.path().is_dir());
    }
}
