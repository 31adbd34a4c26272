//! The processes of clients, and what they tell together.

use super::worker::{NAME, Order, Plan, Report};
use crate::figures::again::Again;
use crate::lab::say;
use crate::single::Single;

/// All clients. Their processes end with it.
pub(super) struct Crowd {
    workers: Vec<Worker>,
}

struct Worker {
    process: Again,
    clients: usize,
}

/// What all of them tell.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) connected: usize,
    /// From writing an answer to its acknowledgement, in microseconds.
    pub(super) latencies_us: Vec<u32>,
    /// The clients whose receipt is firm.
    pub(super) firm: Vec<usize>,
    /// Answers that were written and not acknowledged.
    pub(super) unanswered: usize,
    pub(super) refused: usize,
    pub(super) failures: Vec<String>,
}

impl Crowd {
    /// Lets clients come, as many to each node; returns when all have joined.
    pub(super) fn come(nodes: &[Single], pin: &str, clients: usize) -> Result<Self, String> {
        let mut workers = Vec::new();
        for (at, node) in nodes.iter().enumerate() {
            let share = |to: usize| clients * to / nodes.len();
            let plan = Plan {
                server: node.bound.mqtt,
                pin: pin.to_owned(),
                first: share(at),
                clients: share(at + 1) - share(at),
                from: 10 + at as u8,
            };
            workers.push(Worker::start(&plan)?);
        }
        let mut crowd = Crowd { workers };
        for worker in &mut crowd.workers {
            let report = worker.report()?;
            if report.joined < worker.clients {
                return Err(format!("{} joined: {:?}", report.joined, report.failures));
            }
            say(&format!("{} joined at one of the nodes", report.joined));
        }
        Ok(crowd)
    }

    /// Sends away all but so many.
    pub(super) fn stay(&mut self, clients: usize) -> Result<(), String> {
        let count = self.workers.len();
        for (at, worker) in self.workers.iter_mut().enumerate() {
            let share = clients * (at + 1) / count - clients * at / count;
            worker.order(&Order::Stay(share))?;
        }
        self.workers.iter_mut().try_for_each(|worker| worker.report().map(drop))
    }

    /// What there is to be told now.
    pub(super) fn tell(&mut self) -> Result<Told, String> {
        self.workers.iter_mut().try_for_each(|worker| worker.order(&Order::Tell))?;
        let mut told = Told::default();
        for worker in &mut self.workers {
            let report = worker.report()?;
            told.connected += report.connected;
            told.unanswered += report.unanswered;
            told.refused += report.refused;
            told.latencies_us.extend(report.latencies_us);
            told.firm.extend(report.firm);
            told.failures.extend(report.failures);
        }
        Ok(told)
    }
}

impl Worker {
    fn start(plan: &Plan) -> Result<Self, String> {
        let mut process = Again::start(NAME)?;
        process.order(plan)?;
        Ok(Worker { process, clients: plan.clients })
    }

    fn order(&mut self, order: &Order) -> Result<(), String> {
        self.process.order(order)
    }

    fn report(&mut self) -> Result<Report, String> {
        self.process.report()
    }
}
