//! `starling-sim growth`.

use std::num::NonZero;
use std::path::PathBuf;

use plotters::prelude::*;
use serde_json::{Value, json};

use super::live::Bar;
use super::{Failed, say, write_out};
use crate::message::{Growth, grow};

/// Width and height of the plot.
const PLOT: (u32, u32) = (1_080, 560);
const BLUE: RGBColor = RGBColor(31, 96, 196);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Sizes of the cluster, 1 to 100; each plays with the first number of players.
    #[arg(long, value_delimiter = ',', default_value = "3,10,30,100",
          value_parser = clap::value_parser!(u8).range(1..=100))]
    nodes: Vec<u8>,
    /// Sizes of the audience; each plays on the first number of nodes. Ten million take some 15 GB.
    #[arg(long, value_delimiter = ',', default_value = "1000,10000,100000,1000000")]
    players: Vec<NonZero<u32>>,
    /// Write what was measured as JSON to a file, or to standard output for `-`.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw it into this file, as SVG.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

pub(super) fn main(arguments: &Arguments) -> Result<(), Failed> {
    let (nodes, players) = (&arguments.nodes, &arguments.players);
    let of_nodes = nodes.iter().map(|count| (*count, players[0].get()));
    let of_players = players.iter().skip(1).map(|count| (nodes[0], count.get()));
    let sizes: Vec<(u8, u32)> = of_nodes.chain(of_players).collect();
    let is_out = arguments.json.as_ref().is_some_and(|path| path.as_os_str() == "-");
    let tell = |line: &str| if is_out { eprintln!("{line}") } else { say(line) };
    tell("nodes  players   converged (half)  bytes/node  messages/phase  virtual  real");
    let bar = Bar::new("clusters", Some(sizes.len() as u64));
    let mut all = Vec::new();
    for (nodes, players) in sizes {
        bar.step(format!("{nodes} nodes, {players} players"));
        let grown = grow(nodes, players).map_err(Failed::Found)?;
        tell(&line(&grown));
        all.push(grown);
    }
    drop(bar);
    if let Some(path) = &arguments.json {
        let list: Vec<Value> = all.iter().map(to_json).collect();
        write_out(path, &format!("{:#}", Value::from(list)))?;
    }
    if let Some(path) = &arguments.plot {
        let drawn = draw(&all, nodes.len()).map_err(|why| Failed::file(path, why))?;
        write_out(path, &drawn)?;
    }
    Ok(())
}

fn line(grown: &Growth) -> String {
    let Growth { nodes, players, convergence_ms, converged_half_ms, bytes_per_node, .. } = grown;
    format!(
        "{nodes:5}  {players:8}  {convergence_ms:5} ms ({converged_half_ms} ms)  {bytes_per_node:10}  \
         {:14.1}  {:5.1} s  {:.1} s",
        grown.messages_per_phase,
        grown.virtual_time.as_secs_f64(),
        grown.real_time.as_secs_f64(),
    )
}

fn to_json(grown: &Growth) -> Value {
    json!({
        "nodes": grown.nodes,
        "players": grown.players,
        "convergence_ms": grown.convergence_ms,
        "converged_half_ms": grown.converged_half_ms,
        "bytes_per_node": grown.bytes_per_node,
        "messages_per_phase": grown.messages_per_phase,
        "virtual_s": grown.virtual_time.as_secs_f64(),
        "real_s": grown.real_time.as_secs_f64(),
    })
}

/// Three quantities over the first `by_nodes`, which differ in nodes, and over the rest, which differ in
/// players.
fn draw(all: &[Growth], by_nodes: usize) -> Result<String, String> {
    type Quantity = (&'static str, fn(&Growth) -> f64);
    let quantities: [Quantity; 3] = [
        ("until the last node has the slowest entry, ms", |grown| grown.convergence_ms as f64),
        ("bytes sent by a node", |grown| grown.bytes_per_node as f64),
        ("messages per phase change", |grown| grown.messages_per_phase),
    ];
    let (of_nodes, of_players) = all.split_at(by_nodes);
    let of_players: Vec<Growth> = all.iter().take(1).chain(of_players).copied().collect();
    let mut drawn = String::new();
    {
        let root = SVGBackend::with_string(&mut drawn, PLOT).into_drawing_area();
        root.fill(&WHITE).map_err(|why| why.to_string())?;
        let panels = root.split_evenly((2, quantities.len()));
        for (index, (what, quantity)) in quantities.into_iter().enumerate() {
            let points = |all: &[Growth], over: fn(&Growth) -> f64| -> Vec<(f64, f64)> {
                all.iter().map(|grown| (over(grown), quantity(grown))).collect()
            };
            let nodes = points(of_nodes, |grown| f64::from(grown.nodes));
            let players = points(&of_players, |grown| f64::from(grown.players));
            panel(&panels[index], what, "nodes", &nodes)?;
            panel(&panels[index + quantities.len()], what, "players", &players)?;
        }
        root.present().map_err(|why| why.to_string())?;
    }
    Ok(drawn)
}

/// One quantity over a size, whose axis is logarithmic.
fn panel<B: DrawingBackend>(
    area: &DrawingArea<B, plotters::coord::Shift>,
    what: &str,
    over: &str,
    points: &[(f64, f64)],
) -> Result<(), String> {
    let least = points.iter().map(|point| point.0).fold(f64::INFINITY, f64::min);
    let most = points.iter().map(|point| point.0).fold(0.0, f64::max).max(least * 2.0);
    let top = points.iter().map(|point| point.1).fold(0.0, f64::max).max(1.0) * 1.1;
    let draw = || -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let mut chart = ChartBuilder::on(area)
            .caption(what, ("sans-serif", 14))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(64)
            .build_cartesian_2d((least..most).log_scale(), 0.0..top)?;
        chart
            .configure_mesh()
            .x_desc(over)
            .x_labels(6)
            .y_labels(6)
            .x_label_formatter(&|x| short(*x))
            .y_label_formatter(&|y| short(*y))
            .draw()?;
        chart.draw_series(LineSeries::new(points.iter().copied(), BLUE.stroke_width(2)))?;
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, BLUE.filled())))?;
        Ok(())
    };
    draw().map_err(|why| why.to_string())
}

/// 1500000 as 1.5M.
fn short(number: f64) -> String {
    let (unit, of) = match number {
        number if number >= 1e9 => (1e9, "G"),
        number if number >= 1e6 => (1e6, "M"),
        number if number >= 1e3 => (1e3, "k"),
        _ => (1.0, ""),
    };
    let number = (number / unit * 10.0).round() / 10.0;
    format!("{number}{of}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let all = [0.0, 3.0, 999.0, 1_000.0, 1_540_000.0, 2e9].map(short);
        assert_eq!(all, ["0", "3", "999", "1k", "1.5M", "2G"]);
    }
}
