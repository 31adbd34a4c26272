//! `file`: a list of addresses in a file that somebody else keeps.
//!
//! The file is looked at once a second instead of having the kernel tell of changes: that also sees
//! files on network mounts and those that are replaced by a link, as Kubernetes does, and costs one
//! `stat`. A file that is missing or empty changes nothing for whoever was found before.

use super::list::{LIST_BYTES_MAX, read_list};
use super::{Discovery, DiscoveryError, Found};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;
use tokio::task::spawn_blocking;

/// See the module.
const REST: Duration = Duration::from_secs(1);

/// A watched file.
pub(super) struct Watched {
    path: PathBuf,
    /// The version of the file that was read last, and what it said.
    last: Option<(Version, Found)>,
}

/// Tells one version of a file from the next: device, inode, length, time of change.
type Version = (u64, u64, u64, i64, i64);

impl Watched {
    pub(super) fn new(path: PathBuf) -> Self {
        Watched { path, last: None }
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
        let (path, known) = (self.path.clone(), self.last.as_ref().map(|(version, _)| *version));
        let read = spawn_blocking(move || read_if_new(&path, known)).await;
        let read = read.map_err(|error| DiscoveryError::Panicked(error.to_string()))?;
        match (read.map_err(|error| self.failed(error))?, &self.last) {
            (None, Some((_, last))) => {
                *found = last.clone();
                Ok(())
            }
            (None, None) => Ok(()),
            (Some((_, text)), _) if text.len() > LIST_BYTES_MAX => {
                Err(DiscoveryError::TooLong { bytes_max: LIST_BYTES_MAX })
            }
            (Some((version, text)), _) => {
                read_list(&String::from_utf8_lossy(&text), found).await?;
                self.last = Some((version, found.clone()));
                Ok(())
            }
        }
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
        fs::write(&path, "x".repeat(LIST_BYTES_MAX + 1)).unwrap();
        assert!(look(&mut file).await.unwrap_err().contains("longer than"));
        fs::remove_file(&path).unwrap();
        assert!(look(&mut file).await.is_err());
    }
}
