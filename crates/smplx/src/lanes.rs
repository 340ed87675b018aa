//! A cache line of sixteen floats: the unit in which the model's tables are stored and worked on.

/// Sixteen floats on one cache line.
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub(crate) struct Lane(pub [f32; LANES]);

/// Floats in a [`Lane`], and vertices in a block.
pub(crate) const LANES: usize = 16;

impl Lane {
    pub(crate) const ZERO: Self = Self([0.0; LANES]);
}

/// The three lanes of a block of 16 vertices: 48 floats, `x0 y0 z0 x1 y1 z1 …`.
pub(crate) type Block = [Lane; 3];

/// Blocks needed for `n` vertices.
pub(crate) fn n_blocks(n_vertices: usize) -> usize {
    n_vertices.div_ceil(LANES)
}

/// A table of displacement directions `[V, 3, K]`, stored as one run of `K` blocks for each 16 vertices.
///
/// Both products need only contiguous reads of it: one frame streams it once and multiplies each block by one
/// coefficient; a batch broadcasts its elements against a lane of sixteen frames.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directions {
    /// K.
    pub(crate) n_columns: usize,
    /// `[block][column]`.
    blocks: Vec<Block>,
}

impl Directions {
    /// A table of zeros.
    pub(crate) fn zeros(n_vertices: usize, n_columns: usize) -> Self {
        Self { n_columns, blocks: vec![[Lane::ZERO; 3]; n_blocks(n_vertices) * n_columns] }
    }

    /// The K blocks of sixteen vertices.
    pub(crate) fn of_block(&self, block: usize) -> &[Block] {
        &self.blocks[block * self.n_columns..(block + 1) * self.n_columns]
    }

    pub(crate) fn of_block_mut(&mut self, block: usize) -> &mut [Block] {
        &mut self.blocks[block * self.n_columns..(block + 1) * self.n_columns]
    }

    /// One element: vertex, axis, column.
    pub(crate) fn get(&self, vertex: usize, axis: usize, column: usize) -> f32 {
        let block = &self.of_block(vertex / LANES)[column];
        let at = (vertex % LANES) * 3 + axis;
        block[at / LANES].0[at % LANES]
    }

    pub(crate) fn set(&mut self, vertex: usize, axis: usize, column: usize, value: f32) {
        let at = (vertex % LANES) * 3 + axis;
        self.of_block_mut(vertex / LANES)[column][at / LANES].0[at % LANES] = value;
    }

    /// Fills the table from rows of K values in the order of `[V, 3, K]`, as files hold them.
    ///
    /// `row` is called once for each (vertex, axis) with the K values to fill in.
    pub(crate) fn fill_rows(&mut self, n_vertices: usize, mut row: impl FnMut(usize, &mut [f32])) {
        let mut values = vec![0.0; self.n_columns];
        for vertex in 0..n_vertices {
            for axis in 0..3 {
                row(vertex * 3 + axis, &mut values);
                for (column, value) in values.iter().enumerate() {
                    self.set(vertex, axis, column, *value);
                }
            }
        }
    }

    /// The same table without the columns that are zero everywhere, and the numbers of those kept.
    pub(crate) fn without_zero_columns(self) -> (Self, Vec<u32>) {
        let mut used = vec![false; self.n_columns];
        for run in self.blocks.chunks_exact(self.n_columns.max(1)) {
            for (used, block) in used.iter_mut().zip(run) {
                *used = *used || block.iter().any(|lane| lane.0.iter().any(|x| *x != 0.0));
            }
        }
        let kept: Vec<u32> = (0..self.n_columns as u32).filter(|c| used[*c as usize]).collect();
        if kept.len() == self.n_columns {
            return (self, kept);
        }
        let mut blocks = Vec::with_capacity(self.blocks.len() / self.n_columns.max(1) * kept.len());
        for run in self.blocks.chunks_exact(self.n_columns.max(1)) {
            blocks.extend(kept.iter().map(|c| run[*c as usize]));
        }
        (Self { n_columns: kept.len(), blocks }, kept)
    }

    /// Bytes of the table.
    pub(crate) fn n_bytes(&self) -> usize {
        size_of_val(self.blocks.as_slice())
    }
}
