//! A seed names a run down to the byte, and a run that cannot promise that is refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;
use std::time::Duration;

use sim::det::Hook;
use sim::mesh::mesh;
use sim::run::{Options, RunError, run};
use sim::spawn::Spawn;
use sim::world::World;

fn mesh_hash(seed: u64) -> u64 {
    let outcome = run(seed, Options::default(), mesh).unwrap();
    let outcome = outcome.transpose().unwrap();
    assert!(outcome.trace_lines > 5_000, "too little happened: {outcome:?}");
    assert!(outcome.strays.is_empty(), "tasks past the spawner: {:?}", outcome.strays);
    outcome.trace_hash
}

#[test]
fn same_seed_leaves_the_same_trace_whatever_ran_before() {
    let first = mesh_hash(1);
    assert_eq!(mesh_hash(1), first);
    assert_ne!(mesh_hash(2), first);
    assert_eq!(mesh_hash(1), first);
}

#[test]
fn simulations_on_other_threads_change_nothing() {
    let alone: Vec<u64> = (10..13).map(mesh_hash).collect();
    let together: Vec<_> =
        (10..13).map(|seed| std::thread::spawn(move || mesh_hash(seed))).collect();
    let together: Vec<u64> = together.into_iter().map(|run| run.join().unwrap()).collect();
    assert_eq!(alone, together);
}

#[test]
fn processes_agree_with_each_other_and_with_this_one() {
    let child = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_starling-sim"));
        let output = command.args(["run", "--scenario", "mesh", "--seed", "7"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().next().unwrap().to_owned()
    };
    assert_eq!(child(), child());
    assert_eq!(child(), format!("seed 7 hash {:016x}", mesh_hash(7)));
}

#[test]
fn check_runs_a_seed_twice_and_says_so() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_starling-sim"));
    let output =
        command.args(["run", "--scenario", "mesh", "--seed", "3", "--check"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(text.contains("a second run left the same trace"), "{text}");
}

#[test]
fn random_choices_of_the_runtime_come_from_the_seed() {
    let choices = |seed: u64| {
        let scenario = |_| async {
            let mut choices = 0_u64;
            for _ in 0..64 {
                tokio::select! {
                    () = std::future::ready(()) => choices <<= 1,
                    () = std::future::ready(()) => choices = choices << 1 | 1,
                }
            }
            choices
        };
        run(seed, Options::default(), scenario).unwrap().value
    };
    assert_eq!(choices(1), choices(1));
    assert_ne!(choices(1), choices(2));
}

#[test]
fn the_mesh_lives_through_its_faults() {
    let outcome = run(5, Options::default(), mesh).unwrap().transpose().unwrap();
    let report = &outcome.value;
    assert_eq!(report.heard.len(), 6, "somebody never heard of somebody: {report:?}");
    for (pair, recovered) in &report.recovered {
        assert!(*recovered > 20, "the store lost what it had synced: {report:?}");
        assert!(report.heard[pair] > *recovered, "no new numbers after the crash: {report:?}");
    }
    assert!(report.echoes.values().all(|echoes| *echoes > 50), "{report:?}");
    assert!(outcome.net.datagrams_dropped > 20, "no faults happened: {:?}", outcome.net);
}

#[test]
fn a_run_is_refused_while_a_hook_is_dead() {
    for hook in [Hook::GetRandom, Hook::SysGetRandom, Hook::Clock] {
        let options = Options { without: Some(hook), ..Options::default() };
        let refused = run(1, options, |_| async {});
        assert!(matches!(refused, Err(RunError::DeadHook { seed: 1, .. })), "{hook:?}");
    }
}

#[test]
fn a_panic_in_a_task_fails_the_run_with_its_seed() {
    let scenario = |world: World| async move {
        let life = world.node(1).boot();
        life.spawner().spawn("faulty", Box::pin(async { panic!("a planted panic") }));
        world.sleep(Duration::from_secs(60)).await;
    };
    let error = run(42, Options::default(), scenario).unwrap_err();
    let RunError::Panicked { seed: 42, first } = &error else { panic!("{error}") };
    assert!(first.message.contains("a planted panic"), "{}", first.message);
    assert!(error.to_string().contains("seed 42"));
}

#[test]
fn a_livelock_is_found_at_the_virtual_time_where_it_began() {
    let spin = |world: World| async move {
        world.sleep(Duration::from_secs(3)).await;
        let spinning = async {
            while std::hint::black_box(true) {
                tokio::task::yield_now().await;
            }
        };
        world.node(1).boot().spawner().spawn("spinning", Box::pin(spinning));
        world.sleep(Duration::from_secs(60)).await;
    };
    let Err(RunError::Livelock { seed: 8, at_ns }) = run(8, Options::default(), spin) else {
        panic!("no livelock was found");
    };
    assert!((3_000_000_000..4_000_000_000).contains(&at_ns), "found at {at_ns} ns");
    let options = Options { real_limit: Duration::from_millis(50), ..Options::default() };
    let Err(RunError::OutOfRealTime { seed: 8, .. }) = run(8, options, spin) else {
        panic!("the watchdog slept");
    };
}

#[test]
fn a_scenario_that_wakes_itself_for_ever_is_found_too() {
    let spin = |_| async {
        while std::hint::black_box(true) {
            tokio::task::yield_now().await;
        }
    };
    let error = run(8, Options::default(), spin).unwrap_err();
    assert!(matches!(error, RunError::Livelock { seed: 8, .. }), "{error}");
}

#[test]
fn a_scenario_that_does_not_end_is_ended() {
    let options = Options { virtual_limit: Duration::from_secs(30), ..Options::default() };
    let error = run(1, options, |_| std::future::pending::<()>()).unwrap_err();
    assert!(matches!(error, RunError::OutOfVirtualTime { seed: 1, .. }), "{error}");
}
