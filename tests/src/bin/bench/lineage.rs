//! Measures lineage: how edge files are made of rows, and questions about made-up flows (`analyzer/src/lineage/made_up.rs`). A question's
//! peak memory is that of the whole process, which maps no edge files: the anonymous memory is less.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tests::workload::succeed;
use tests::{Scratch, Store, binary};

use crate::child::{Cost, measure};
use crate::figure::{Figure, figure, median};
use crate::large;
use crate::storage::command;

/// Rows of which edge files are made, in millions. Four in ten are uses.
const ROWS: u64 = 4_000_000;
/// Edges of a day.
const DAY: u64 = 3_000_000;
/// A file that is read early and by many: a header of the made-up compilers.
const HEADER: &str = "/srv/sdk/include/library-0/header-63.h";
/// A program that each job executes, so that data of it can be in nearly everything.
const MAKE: &str = "/opt/sdk/make";
/// A file that one compiler makes.
const OBJECT: &str = "/srv/build/project-1/object-1";

/// Makes stores and asks them; the large one has so many million edges. Returns the figures, and what was written.
pub(crate) fn take(millions: u64, rounds: usize, folder: Option<&Path>) -> (Vec<Figure>, Vec<Value>) {
    let scratch = Scratch::new();
    let mut figures = Vec::new();
    let mut written = vec![building(&Store::at(scratch.folder("rows")), &mut figures)];
    let day = Store::at(scratch.folder("day"));
    written.push(write(&day, DAY));
    bounded(&day, rounds, &mut figures);
    let made = folder.map_or_else(|| scratch.folder("large"), Path::to_owned);
    let made = Store::at(made);
    if !made.database().exists() {
        written.push(write(&made, millions * 1_000_000));
    }
    full(&made, &mut figures);
    (figures, written)
}

/// Asks a store of rows for the first time, which makes the edge files, and once more.
fn building(store: &Store, figures: &mut Vec<Figure>) -> Value {
    let written = large::write(store, ROWS);
    let ask = command(
        store,
        &["lineage", "--format", "json", "--depth", "0", "/home/builder/project/target/object-1.o"],
    );
    let (first, second) = (measure(&ask), measure(&ask));
    let counted = count(store);
    let edges = counted["edges"].as_f64().expect("no number of edges");
    let bytes = counted["bytes"].as_f64().expect("no number of bytes");
    let rate = edges / (first.seconds - second.seconds) / 1000.0;
    figures.push(figure("edge files of rows: thousand edges a second", rate, 0, "k/s", (300.0, 1000.0)));
    figures.push(figure("edge files of rows: bytes an edge", bytes / edges, 1, "bytes", (16.0, 10.0)));
    written
}

fn bounded(store: &Store, rounds: usize, figures: &mut Vec<Figure>) {
    let questions: [(&str, &[&str]); 3] = [
        ("`--up` of an object, two flows deep", &["--up", "--depth", "2", OBJECT]),
        ("`--down` from a header, the first 500 nodes", &[HEADER]),
        ("`--both` of an object in its hour", &["--both", "--until", "2026-01-01T01:00:00Z", OBJECT]),
    ];
    for (what, words) in questions {
        let command = command(store, &[&["lineage", "--boundary", "none"], words].concat());
        let costs: Vec<Cost> = (0..rounds.clamp(1, 3)).map(|_| measure(&command)).collect();
        let seconds = median(costs.iter().map(|cost| cost.seconds).collect());
        figures.push(figure(format!("3 M edges: {what}"), seconds, 3, "s", (2.0, 0.1)));
    }
}

fn full(store: &Store, figures: &mut Vec<Figure>) {
    let counted = count(store);
    let edges = counted["edges"].as_f64().expect("no number of edges");
    let bytes = counted["bytes"].as_f64().expect("no number of bytes");
    figures.push(figure("made-up edge files: bytes an edge", bytes / edges, 1, "bytes", (16.0, 10.0)));
    let millions = (edges / 1e6).round();
    for direction in ["--down", "--up"] {
        // Nothing is cut: no boundary, no hubs.
        let target = if direction == "--down" { MAKE } else { "/var/log/server.log" };
        let words = ["lineage", direction, "--boundary", "none", "--hub", "0", target];
        let cost = measure(&command(store, &words));
        let what = format!("{millions} M edges, `{direction}`, nothing cut");
        figures.push(figure(format!("{what}: time"), cost.seconds, 1, "s", (60.0, 10.0)));
        figures.push(figure(format!("{what}: peak memory"), cost.peak_mib, 0, "MiB", (1024.0, 512.0)));
    }
}

fn write(store: &Store, edges: u64) -> Value {
    large::make_folder(store);
    example(store, &edges.to_string())
}

fn count(store: &Store) -> Value {
    example(store, "count")
}

fn example(store: &Store, what: &str) -> Value {
    let example = binary::program("examples/large_lineage");
    let output = succeed(Command::new(example).arg(store.workdir()).arg(what));
    serde_json::from_slice(&output.stdout).expect("no figures of made-up flows")
}
