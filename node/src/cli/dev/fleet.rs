//! The nodes of the cluster as processes: started, killed, started again, stopped.

use super::launch::Launcher;
use super::process::Process;
use crate::cli::{Exit, Failure};
use crate::config::Bound;
use futures_util::future::{FutureExt, join_all, pending, select_all};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::time::timeout;

/// How long the death of a process may take to be noticed: 250 ms, many times what it takes.
const REAPING: Duration = Duration::from_millis(250);

/// A place in the cluster, with or without a process.
pub(super) struct Seat {
    /// `n1`, `n2`, ...
    pub(super) name: String,
    /// Where it listens, from its first start on.
    pub(super) bound: Option<Bound>,
    process: Option<Process>,
    /// Of the last process.
    pub(super) pid: u32,
}

/// All nodes.
pub(super) struct Fleet {
    launcher: Launcher,
    seats: Vec<Seat>,
}

impl Fleet {
    pub(super) fn new(launcher: Launcher, nodes: u16) -> Self {
        let seat = |number| Seat { name: format!("n{number}"), bound: None, process: None, pid: 0 };
        Fleet { launcher, seats: (1..=nodes).map(seat).collect() }
    }

    /// Starts every node. The first one goes ahead, because the others are told to look for it.
    pub(super) async fn start(&mut self) -> Result<(), Failure> {
        self.spawn(0)?;
        self.settle(0).await?;
        for index in 1..self.seats.len() {
            self.spawn(index)?;
        }
        for index in 1..self.seats.len() {
            self.settle(index).await?;
        }
        Ok(())
    }

    /// Kills a node as a power cut would.
    pub(super) async fn kill(&mut self, number: usize) -> Result<String, Failure> {
        let seat = self.seat(number)?;
        let Seat { name, pid, .. } = &*seat;
        let (killed, gone) = (
            format!("{name} killed (pid {pid}); `r {number}` starts it again"),
            format!("{name} is not running; `r {number}` starts it again"),
        );
        let Some(mut process) = seat.process.take() else {
            return Err(Failure::new(Exit::Failed, gone));
        };
        process.kill().await;
        Ok(killed)
    }

    /// Starts a node again, on its ports and its data.
    pub(super) async fn restart(&mut self, number: usize) -> Result<String, Failure> {
        let name = self.seat(number)?.name.clone();
        let index = number - 1;
        if self.lives(index).await {
            let message = format!("{name} is running; `k {number}` kills it");
            return Err(Failure::new(Exit::Failed, message));
        }
        self.spawn(index)?;
        self.settle(index).await?;
        let seat = &self.seats[index];
        Ok(format!("{} is back (pid {})", seat.name, seat.pid))
    }

    /// Whether a node runs. One that was killed from outside a moment ago is given time to be noticed.
    async fn lives(&mut self, index: usize) -> bool {
        let Some(process) = self.seats[index].process.as_mut() else { return false };
        if timeout(REAPING, process.ended()).await.is_err() {
            return true;
        }
        self.seats[index].process = None;
        false
    }

    /// Waits until a node ends by itself, and tells of it.
    pub(super) async fn next_death(&mut self) -> String {
        let running = self.seats.iter_mut().enumerate().filter_map(|(index, seat)| {
            let process = seat.process.as_mut()?;
            Some(async move { (index, process.ended().await) }.boxed())
        });
        let running: Vec<_> = running.collect();
        if running.is_empty() {
            return pending().await;
        }
        let ((index, ended), ..) = select_all(running).await;
        self.seats[index].process = None;
        let again = format!("`r {}` starts it again", index + 1);
        format!("{}\n  {again}", self.launcher.obituary(&self.seats[index].name, &ended))
    }

    /// Stops every node that runs, all at once.
    pub(super) async fn stop(&mut self) {
        let running = self.seats.iter_mut().filter_map(|seat| seat.process.as_mut());
        join_all(running.map(Process::stop)).await;
    }

    /// All nodes, in order.
    pub(super) fn seats(&self) -> &[Seat] {
        &self.seats
    }

    /// How many of them have a process.
    pub(super) fn running(&self) -> usize {
        self.seats.iter().filter(|seat| seat.process.is_some()).count()
    }

    /// The cluster's folder.
    pub(super) fn dir(&self) -> &Path {
        self.launcher.dir()
    }

    fn seat(&mut self, number: usize) -> Result<&mut Seat, Failure> {
        let nodes = self.seats.len();
        let index = number.checked_sub(1);
        let seat = index.and_then(|index| self.seats.get_mut(index));
        let message = format!("there is no node {number}: they go from 1 to {nodes}");
        seat.ok_or_else(|| Failure::new(Exit::NotFound, message))
    }

    fn spawn(&mut self, index: usize) -> Result<(), Failure> {
        let others = self.seats.iter().enumerate().filter(|(other, _)| *other != index);
        let join: Vec<SocketAddr> =
            others.filter_map(|(_, seat)| Some(seat.bound.as_ref()?.peer)).collect();
        let seat = &mut self.seats[index];
        let process = self.launcher.spawn(&seat.name, seat.bound.as_ref(), &join)?;
        seat.pid = process.pid();
        seat.process = Some(process);
        Ok(())
    }

    /// Waits until a started node listens; one that does not is not left running.
    async fn settle(&mut self, index: usize) -> Result<(), Failure> {
        let seat = &mut self.seats[index];
        let process = seat.process.as_mut().expect("it was started just before");
        let listening = self.launcher.listening(&seat.name, process).await;
        if listening.is_err() {
            process.kill().await;
            seat.process = None;
        }
        seat.bound = Some(listening?);
        Ok(())
    }
}
