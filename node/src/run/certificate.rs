//! The certificate that a node made for itself, as a file: so that clients can be told to trust it, and it alone.

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use tempfile::{Builder, NamedTempFile};

/// Its name in the data folder.
const NAME: &str = "self-signed.pem";

/// A certificate in a file. Without a data folder the file is a temporary one and goes with this value.
#[derive(Debug)]
pub(super) enum CertificateFile {
    Kept(PathBuf),
    Temporary(NamedTempFile),
}

impl CertificateFile {
    /// Writes a certificate in PEM into the data folder, in place of that of an earlier start, or else
    /// where the system keeps temporary files.
    ///
    /// # Errors
    /// When it cannot be written there.
    pub(super) fn write(pem: &str, data: Option<&Path>) -> io::Result<Self> {
        let temporary = env::temp_dir();
        let folder = data.unwrap_or(&temporary);
        let mut file = Builder::new().prefix("starling-").suffix(".pem").tempfile_in(folder)?;
        file.write_all(pem.as_bytes())?;
        file.flush()?;
        make_readable(file.path())?;
        let Some(data) = data else { return Ok(CertificateFile::Temporary(file)) };
        let kept = data.join(NAME);
        file.persist(&kept)?;
        Ok(CertificateFile::Kept(kept))
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            CertificateFile::Kept(path) => path,
            CertificateFile::Temporary(file) => file.path(),
        }
    }
}

/// It is everybody's: only its key, which is in no file, is a secret.
#[cfg(unix)]
fn make_readable(file: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(file, fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(file: &Path) -> io::Result<()> {
    fs::metadata(file).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_the_place_of_the_one_before_or_goes_with_the_node() {
        let folder = tempfile::tempdir().unwrap();
        for pem in ["one", "two"] {
            let file = CertificateFile::write(pem, Some(folder.path())).unwrap();
            assert_eq!(file.path(), folder.path().join(NAME));
            let path = file.path().to_owned();
            drop(file);
            assert_eq!(fs::read_to_string(path).unwrap(), pem);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        let file = CertificateFile::write("three", None).unwrap();
        let path = file.path().to_owned();
        assert_eq!(fs::read_to_string(&path).unwrap(), "three");
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(CertificateFile::write("one", Some(&folder.path().join("missing"))).is_err());
    }
}
