//! Smooth fields over the surface: what is known at some vertices, spread to all.

use crate::surface::Table;

/// A wish for the value of one vertex.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<const K: usize> {
    /// How strongly, against one unit for each edge.
    pub(crate) weight: f32,
    pub(crate) value: [f32; K],
}

impl<const K: usize> Wish<K> {
    #[cfg(test)]
    pub(crate) const NONE: Self = Self { weight: 0.0, value: [0.0; K] };

    /// Adds another wish for the same vertex.
    pub(crate) fn add(&mut self, weight: f32, value: [f32; K]) {
        let sum = self.weight + weight;
        if sum > 0.0 {
            let share = weight / sum;
            self.value = std::array::from_fn(|k| self.value[k] + share * (value[k] - self.value[k]));
            self.weight = sum;
        }
    }
}

/// Over-relaxation: near the best factor for patches some twenty vertices wide.
const RELAX: f32 = 1.7;

/// Minimises `Σ wish.weight · |x − wish.value|² + Σ over edges |x_a − x_b|²` by successive over-relaxation, from `x` on,
/// which is overwritten. Vertices without neighbours and wishes keep their value.
pub(crate) fn spread<const K: usize>(graph: &Table, wishes: &[Wish<K>], x: &mut [[f32; K]], sweeps: usize) {
    for sweep in 0..sweeps {
        // Forwards and backwards in turn, so that values travel both ways along the order of vertices.
        for i in 0..x.len() {
            let v = if sweep % 2 == 0 { i } else { x.len() - 1 - i };
            let (wish, neighbours) = (&wishes[v], graph.of(v));
            let total = wish.weight + neighbours.len() as f32;
            if total == 0.0 {
                continue;
            }
            let mut sum = wish.value.map(|c| c * wish.weight);
            for n in neighbours {
                for (s, c) in sum.iter_mut().zip(x[*n as usize]) {
                    *s += c;
                }
            }
            for (c, s) in x[v].iter_mut().zip(sum) {
                *c += RELAX * (s / total - *c);
            }
        }
    }
}

/// Gives every vertex the value of the nearest one (in edges) that has a wish of at least `least`; a start for
/// [`spread`]. Vertices that no wish reaches get the mean of all wishes.
pub(crate) fn nearest<const K: usize>(graph: &Table, wishes: &[Wish<K>], least: f32) -> Vec<[f32; K]> {
    let mut x = vec![[0.0; K]; wishes.len()];
    let mut reached = vec![false; wishes.len()];
    let mut ring: Vec<u32> = Vec::new();
    let (mut mean, mut sum) = ([0.0_f64; K], 0.0);
    for (v, wish) in wishes.iter().enumerate() {
        if wish.weight >= least {
            (x[v], reached[v]) = (wish.value, true);
            ring.push(v as u32);
        }
        sum += f64::from(wish.weight);
        for (m, c) in mean.iter_mut().zip(wish.value) {
            *m += f64::from(wish.weight * c);
        }
    }
    while !ring.is_empty() {
        let mut next = Vec::new();
        for v in ring {
            for n in graph.of(v as usize) {
                if !std::mem::replace(&mut reached[*n as usize], true) {
                    x[*n as usize] = x[v as usize];
                    next.push(*n);
                }
            }
        }
        ring = next;
    }
    let mean = mean.map(|m| if sum > 0.0 { (m / sum) as f32 } else { 0.0 });
    for (x, _) in x.iter_mut().zip(&reached).filter(|(_, r)| !**r) {
        *x = mean;
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::surface::strip_graph;

    #[test]
    fn a_field_is_linear_between_two_wishes() {
        let graph = strip_graph(11);
        let mut wishes = vec![Wish::NONE; 11];
        wishes[0] = Wish { weight: 1e6, value: [1.0] };
        wishes[10] = Wish { weight: 1e6, value: [2.0] };
        let mut x = nearest(&graph, &wishes, 0.5);
        assert_eq!((x[2], x[8]), ([1.0], [2.0]));
        spread(&graph, &wishes, &mut x, 200);
        for (i, x) in x.iter().enumerate() {
            assert!((x[0] - (1.0 + 0.1 * i as f32)).abs() < 1e-3, "{i}: {x:?}");
        }
    }

    #[test]
    fn wishes_add_by_weight() {
        let mut wish = Wish { weight: 1.0, value: [0.0] };
        wish.add(3.0, [1.0]);
        assert_eq!((wish.weight, wish.value), (4.0, [0.75]));
        wish.add(0.0, [9.0]);
        assert_eq!(wish.value, [0.75]);
    }
}
