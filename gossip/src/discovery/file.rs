//! `file`: a list of addresses in a file that somebody else keeps.
//!
//! The file is looked at once a second instead of having the kernel tell of changes: that also sees
//! files on network mounts and those that are replaced by a link, as Kubernetes does, and costs one
//! `stat`. A file that is missing or empty changes nothing for whoever was found before. Names in it are
//! looked up again and again, as those of `static` are: what they lead to changes without the file.

use super::list::{LIST_BYTES_MAX, read_list};
use super::{Discovery, DiscoveryError, Found};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

/// See the module.
const REST: Duration = Duration::from_secs(1);

/// How long what was found counts while the file does not change: 5 s, as often as all other names are looked up.
const FRESH: Duration = Duration::from_secs(5);

/// A watched file.
pub(super) struct Watched {
    path: PathBuf,
    /// The version of the file that was read last, and its text.
    text: Option<(Version, String)>,
    /// When its names were looked up last, and all that was found then.
    last: Option<(Instant, Found)>,
}

/// Tells one version of a file from the next: device, inode, length, time of change.
type Version = (u64, u64, u64, i64, i64);

impl Watched {
    pub(super) fn new(path: PathBuf) -> Self {
        Watched { path, text: None, last: None }
    }

    /// What was found lately, if the file has not changed since.
    fn fresh(&self) -> Option<&Found> {
        self.last.as_ref().filter(|(at, _)| at.elapsed() < FRESH).map(|(_, found)| found)
    }

    fn failed(&self, source: io::Error) -> DiscoveryError {
        DiscoveryError::Path { path: self.path.clone(), source }
    }
}

#[async_trait::async_trait]
impl Discovery for Watched {
    fn name(&self) -> String {
        format!("file:{}", self.path.display())
    }

    async fn look(&mut self, found: &mut Found) -> Result<(), DiscoveryError> {
        let (path, known) = (self.path.clone(), self.text.as_ref().map(|(version, _)| *version));
        let read = spawn_blocking(move || read_if_new(&path, known)).await;
        let read = read.map_err(|error| DiscoveryError::Panicked(error.to_string()))?;
        if let Some((version, text)) = read.map_err(|error| self.failed(error))? {
            if text.len() > LIST_BYTES_MAX {
                return Err(DiscoveryError::TooLong { bytes_max: LIST_BYTES_MAX });
            }
            self.text = Some((version, String::from_utf8_lossy(&text).into_owned()));
            self.last = None;
        }
        if let Some(fresh) = self.fresh() {
            *found = fresh.clone();
        } else if let Some((_, text)) = &self.text {
            read_list(text, found).await?;
            self.last = Some((Instant::now(), found.clone()));
        }
        Ok(())
    }

    fn rest(&self) -> Duration {
        REST
    }
}

/// What the file says, unless its version is known already.
fn read_if_new(
    path: &std::path::Path,
    known: Option<Version>,
) -> io::Result<Option<(Version, Vec<u8>)>> {
    let version = version(&fs::metadata(path)?);
    if known == Some(version) {
        return Ok(None);
    }
    let mut text = Vec::new();
    File::open(path)?.take(LIST_BYTES_MAX as u64 + 1).read_to_end(&mut text)?;
    Ok(Some((version, text)))
}

fn version(file: &Metadata) -> Version {
    (file.dev(), file.ino(), file.len(), file.mtime(), file.mtime_nsec())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn look(file: &mut Watched) -> Result<Vec<String>, String> {
        let mut found = Found::default();
        let outcome = file.look(&mut found).await;
        let found = found.iter().map(|address| address.to_string()).collect();
        outcome.map(|()| found).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_file_is_read_again_when_it_changed_and_may_be_missing_in_between() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nodes");
        let mut file = Watched::new(path.clone());
        assert!(look(&mut file).await.unwrap_err().contains("nodes cannot be used"));
        fs::write(&path, "127.0.0.1:1\n").unwrap();
        assert_eq!(look(&mut file).await.unwrap(), ["127.0.0.1:1"]);
        assert_eq!(look(&mut file).await.unwrap(), ["127.0.0.1:1"], "still named");
        // Replaced as a whole, as editors and Kubernetes do.
        fs::write(folder.path().join("new"), "127.0.0.1:1\n127.0.0.1:2\n").unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        assert_eq!(look(&mut file).await.unwrap(), ["127.0.0.1:1", "127.0.0.1:2"]);
        fs::write(&path, "127.0.0.1:3\nwhat?\n").unwrap();
        assert!(look(&mut file).await.unwrap_err().contains("line 2"));
        assert!(look(&mut file).await.unwrap_err().contains("line 2"), "it has not changed");
        fs::write(&path, "x".repeat(LIST_BYTES_MAX + 1)).unwrap();
        assert!(look(&mut file).await.unwrap_err().contains("longer than"));
        fs::remove_file(&path).unwrap();
        assert!(look(&mut file).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn names_in_a_file_that_does_not_change_are_looked_up_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nodes");
        fs::write(&path, "localhost:1\n").unwrap();
        let mut file = Watched::new(path);
        assert!(!look(&mut file).await.unwrap().is_empty());
        let looked_up = |file: &Watched| file.last.as_ref().map(|(at, _)| *at);
        let first = looked_up(&file);
        look(&mut file).await.unwrap();
        assert_eq!(looked_up(&file), first, "not at every look");
        tokio::time::advance(FRESH).await;
        assert!(!look(&mut file).await.unwrap().is_empty());
        assert!(looked_up(&file) > first);
    }
}
