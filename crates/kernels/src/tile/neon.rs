//! NEON.

use simd::{Neon, Simd};

use super::{Tiles, impl_tile, impl_tile_fours, impl_tile_int8};

impl Tiles for Neon {
    const MR: usize = 6;
    const NP: usize = 1;
    const ATTN_MR: usize = 4;
    const ATTN_NP: usize = 1;

    impl_tile!(4: (1, 1), (2, 1), (4, 1), (6, 1));
    impl_tile_int8!(4, 2: (1, 1, 1), (2, 2, 1), (4, 4, 1), (6, 6, 1));
    impl_tile_fours!(4: (1, 1, 1), (2, 2, 1), (4, 4, 1), (6, 3, 1));
}
