//! Skinning weights: for each vertex or point the joints that move it, zeros left out.

use crate::skeleton::N_JOINTS;

/// One joint's share in one vertex.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VertexWeight {
    /// The joint, below 55.
    pub joint: u16,
    /// Its share; the shares of a vertex sum to one.
    pub weight: f32,
}

/// The weights of many vertices or points, in one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SparseWeights {
    starts: Vec<u32>,
    entries: Vec<VertexWeight>,
}

impl SparseWeights {
    /// No vertices yet.
    #[must_use]
    pub fn new() -> Self {
        Self { starts: vec![0], entries: Vec::new() }
    }

    /// Appends a vertex; zero weights are left out.
    ///
    /// # Panics
    /// When a joint isn't below 55, or there are more than 2³² entries.
    pub fn push(&mut self, weights: impl IntoIterator<Item = VertexWeight>) {
        if self.starts.is_empty() {
            self.starts.push(0);
        }
        for w in weights {
            assert!(usize::from(w.joint) < N_JOINTS, "joint {} of 55", w.joint);
            if w.weight != 0.0 {
                self.entries.push(w);
            }
        }
        self.starts.push(u32::try_from(self.entries.len()).expect("fewer than 2^32 weights"));
    }

    /// From a dense row-major `[n, 55]`.
    #[must_use]
    pub fn from_dense(dense: &[f32]) -> Self {
        let mut weights = Self::new();
        for row in dense.as_chunks::<N_JOINTS>().0 {
            weights.push((0..).zip(row).map(|(joint, weight)| VertexWeight { joint, weight: *weight }));
        }
        weights
    }

    /// Number of vertices or points.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Are there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The weights of vertex `i`.
    #[must_use]
    pub fn get(&self, i: usize) -> &[VertexWeight] {
        &self.entries[self.starts[i] as usize..self.starts[i + 1] as usize]
    }

    /// Number of non-zero weights.
    #[must_use]
    pub fn n_entries(&self) -> usize {
        self.entries.len()
    }

    /// Dense row-major `[n, 55]`.
    #[must_use]
    pub fn to_dense(&self) -> Vec<f32> {
        let mut dense = vec![0.0; self.len() * N_JOINTS];
        for (i, row) in dense.chunks_exact_mut(N_JOINTS).enumerate() {
            for w in self.get(i) {
                row[usize::from(w.joint)] += w.weight;
            }
        }
        dense
    }

    /// The joint with the largest weight of vertex `i`; the first of equals.
    #[must_use]
    pub fn dominant_joint(&self, i: usize) -> usize {
        let mut best = VertexWeight { joint: 0, weight: f32::NEG_INFINITY };
        for w in self.get(i) {
            if w.weight > best.weight {
                best = *w;
            }
        }
        usize::from(best.joint)
    }
}
