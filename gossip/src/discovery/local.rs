//! `local`: the nodes of one user on one machine find each other by a folder.
//!
//! Every node keeps an empty file there whose name is its address, and touches it; whoever has not
//! touched his for a minute is gone, and his file is removed by whoever looks next. The folder is
//! the user's alone; whoever could write there could only name addresses that fail the handshake.

use super::{Discovery, DiscoveryError, Found};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio::task::spawn_blocking;

/// Between two looks: 1 s.
const REST: Duration = Duration::from_secs(1);

/// Whoever has not touched his file for so long is gone.
const STALE: Duration = Duration::from_secs(60);

/// A folder of addresses.
pub(super) struct Local {
    name: String,
    folder: Option<PathBuf>,
    own: SocketAddr,
}

impl Local {
    pub(super) fn new(name: String, own: SocketAddr) -> Self {
        Local { name, folder: None, own }
    }
}

#[async_trait::async_trait]
impl Discovery for Local {
    fn name(&self) -> String {
        format!("local:{}", self.name)
    }

    async fn look(&mut self, found: &mut Found) -> Result<(), DiscoveryError> {
        let folder = match &self.folder {
            Some(folder) => folder.clone(),
            None => folder_of(&self.name)?,
        };
        self.folder = Some(folder.clone());
        let own = self.own;
        let looked = spawn_blocking(move || look_into(&folder, own)).await;
        found.extend(looked.map_err(|error| DiscoveryError::Panicked(error.to_string()))??);
        Ok(())
    }

    fn rest(&self) -> Duration {
        REST
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            // Should it stay, it is stale in a minute.
            let _ = fs::remove_file(folder.join(self.own.to_string()));
        }
    }
}

/// The user's folder for the nodes called `name`.
fn folder_of(name: &str) -> Result<PathBuf, DiscoveryError> {
    let unusable = |source| DiscoveryError::Path { path: "/proc/self".into(), source };
    let user = fs::metadata("/proc/self").map_err(unusable)?.uid();
    Ok(std::env::temp_dir().join(format!("starling-{user}")).join(name))
}

/// Shows oneself and looks who else is there.
fn look_into(folder: &Path, own: SocketAddr) -> Result<Vec<SocketAddr>, DiscoveryError> {
    let unusable = |source| DiscoveryError::Path { path: folder.to_owned(), source };
    make_private(folder).map_err(unusable)?;
    let mine = File::create(folder.join(own.to_string())).map_err(unusable)?;
    mine.set_modified(SystemTime::now()).map_err(unusable)?;
    let mut others = Vec::new();
    for entry in fs::read_dir(folder).map_err(unusable)? {
        let entry = entry.map_err(unusable)?;
        let Some(address) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        match is_fresh(&entry.path()) {
            true if address != own => others.push(address),
            true => {}
            // Its owner may have removed it this very moment.
            false => drop(fs::remove_file(entry.path())),
        }
    }
    Ok(others)
}

/// Makes the folder, and refuses one that belongs to somebody else.
fn make_private(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let (owner, user) = (fs::metadata(folder)?.uid(), fs::metadata("/proc/self")?.uid());
    if owner != user {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is another user's"));
    }
    Ok(())
}

fn is_fresh(file: &Path) -> bool {
    let touched = fs::metadata(file).and_then(|file| file.modified());
    let age = touched.ok().and_then(|touched| SystemTime::now().duration_since(touched).ok());
    // A time in the future is a clock that was set back: fresh enough.
    age.unwrap_or_default() < STALE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_see_each_other_and_the_stale_are_cleared_away() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two): (SocketAddr, SocketAddr) =
            ("127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap());
        assert_eq!(look_into(folder.path(), one).unwrap(), []);
        assert_eq!(look_into(folder.path(), two).unwrap(), [one]);
        assert_eq!(look_into(folder.path(), one).unwrap(), [two]);
        let old = File::options().write(true).open(folder.path().join("[::1]:2")).unwrap();
        old.set_modified(SystemTime::now() - 2 * STALE).unwrap();
        fs::write(folder.path().join("README"), "not an address").unwrap();
        assert_eq!(look_into(folder.path(), one).unwrap(), []);
        assert!(!folder.path().join("[::1]:2").exists());
        assert!(folder.path().join("README").exists());
    }

    #[tokio::test]
    async fn a_node_that_stops_takes_its_file_along() {
        let name = format!("test-{}", std::process::id());
        let mut local = Local::new(name.clone(), "127.0.0.1:1".parse().unwrap());
        local.look(&mut Found::default()).await.unwrap();
        let file = folder_of(&name).unwrap().join("127.0.0.1:1");
        assert!(file.exists());
        drop(local);
        assert!(!file.exists());
        fs::remove_dir(folder_of(&name).unwrap()).unwrap();
    }
}
