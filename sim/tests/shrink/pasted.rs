/// ranks: PlayerLine { player: 775c4d9f852840d1ed5c910a00000003, points: 0, rank: 3, correct_ms: 0
#[test]
fn ranks_of_seed_1() {
    let schedule = r##"{
  "seed": 1,
  "nodes": 1,
  "players": 3,
  "questions": [
    {
      "options": 3,
      "correct": 2,
      "open_ms": 2500
    }
  ],
  "weather": {
    "delay_us": 500,
    "jitter_us": 1500,
    "loss": 0.0,
    "duplication": 0.0,
    "reordering": 0.0,
    "corruption": 0.0,
    "mtu": 1500,
    "bandwidth": 0
  },
  "skews_ms": [],
  "habits": {
    "roaming": 0.0,
    "twice": 0.0,
    "lying": 0.0,
    "flooding": 0.0,
    "hosts": 1,
    "hasty": false,
    "vanishes": null,
    "ruling": false
  },
  "knobs": {
    "tail_bytes_max": 67108864,
    "snapshot_above_bytes": 1048576
  },
  "faults": []
}"##;
    sim::simulation::Simulation::of_json(schedule)
        .fidelity(sim::verdict::Fidelity::Message)
        .run();
}
