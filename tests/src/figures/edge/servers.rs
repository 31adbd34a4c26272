//! The servers that stand beside ours: Mosquitto, and the bare one. Both end with their holder.

use super::bare;
use crate::lab::{eventually, need};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A server in a process of its own.
pub(in crate::figures) struct Server {
    child: Child,
    pub(in crate::figures) address: SocketAddr,
    _folder: Option<TempDir>,
}

impl Server {
    /// Mosquitto as it comes from Debian, without persistence and without limits on its queues.
    pub(in crate::figures) fn mosquitto() -> Result<Option<Self>, String> {
        let Some(program) = need("mosquitto") else { return Ok(None) };
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.map_err(|error| error.to_string())?;
        let config = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\npersistence false\n\
             set_tcp_nodelay true\nmax_queued_messages 0\nmax_inflight_messages 0\nlog_type none\n",
            address.port()
        );
        let file = folder.path().join("mosquitto.conf");
        std::fs::write(&file, config).map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command.arg("-c").arg(&file).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(Stdio::null()).spawn().map_err(|error| error.to_string())?;
        let server = Server { child, address, _folder: Some(folder) };
        eventually("mosquitto listening", START_MAX, || TcpStream::connect(address).ok());
        Ok(Some(server))
    }

    /// The bare server: this program again, under another name.
    pub(in crate::figures) fn bare() -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command.arg(bare::NAME).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let mut line = String::new();
        let output = child.stdout.take().expect("its output is piped");
        BufReader::new(output).read_line(&mut line).map_err(|error| error.to_string())?;
        let address = line.trim().parse().map_err(|error| format!("{error}: {line:?}"))?;
        Ok(Server { child, address, _folder: None })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const START_MAX: Duration = Duration::from_secs(20);
