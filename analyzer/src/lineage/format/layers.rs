//! Positions of nodes in a drawing: in columns from left to right, with the data.

use crate::lineage::answer::Answer;

/// Times that the order within columns is improved.
const ROUNDS: usize = 6;

/// Column and row of each node.
pub(super) fn positions(answer: &Answer) -> Vec<(usize, usize)> {
    let columns = columns(answer);
    let mut layers: Vec<Vec<usize>> = vec![Vec::new(); columns.iter().max().map_or(0, |most| most + 1)];
    for (node, column) in columns.iter().enumerate() {
        layers[*column].push(node);
    }
    let mut rows = vec![0; answer.nodes.len()];
    let number = |layer: &[usize], rows: &mut [usize]| {
        layer.iter().enumerate().for_each(|(row, node)| rows[*node] = row);
    };
    layers.iter().for_each(|layer| number(layer, &mut rows));
    for round in 0..ROUNDS {
        let is_down = round % 2 == 0;
        let order: Vec<usize> =
            if is_down { (0..layers.len()).collect() } else { (0..layers.len()).rev().collect() };
        for index in order {
            // A node goes where its neighbours are on average, so that fewer edges cross.
            let weight = |node: usize| {
                let near =
                    answer.edges.iter().filter_map(|edge| match (edge.from == node, edge.to == node) {
                        (false, true) if is_down => Some(rows[edge.from]),
                        (true, false) if !is_down => Some(rows[edge.to]),
                        _ => None,
                    });
                let (sum, count) = near.fold((0, 0), |(sum, count), row| (sum + row, count + 1));
                if count == 0 { rows[node] as f64 } else { sum as f64 / f64::from(count) }
            };
            let mut weighted: Vec<(f64, usize)> =
                layers[index].iter().map(|node| (weight(*node), *node)).collect();
            weighted.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
            layers[index] = weighted.into_iter().map(|(_, node)| node).collect();
            number(&layers[index], &mut rows);
        }
    }
    columns.into_iter().zip(rows).collect()
}

/// Returns the column of each node: one more than those from which data came to it, as far as nodes are in the order of the answer.
fn columns(answer: &Answer) -> Vec<usize> {
    let mut columns = vec![0; answer.nodes.len()];
    // Nodes are in order of arrival, so most edges go from a smaller index to a larger one; of a circle, one edge goes back.
    let mut edges: Vec<(usize, usize)> = answer.edges.iter().map(|edge| (edge.from, edge.to)).collect();
    edges.sort_unstable();
    for (from, to) in edges {
        if from < to {
            columns[to] = columns[to].max(columns[from] + 1);
        }
    }
    columns
}
