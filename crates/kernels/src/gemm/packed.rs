//! Weights packed once into the panels that the kernels read.

use half::bf16;
use rayon::prelude::*;
use simd::{Kernel, Level, dispatch, level};
use std::sync::Arc;

use super::product::{Bf16Pairs, F32, Product};
use super::source::Source;
use crate::scratch::Lined;
use crate::tile::{PANEL, Tiles};

/// An `f32` weight `[N, K]` in the order that the kernels read: panels `[K, 16]` of 16 outputs.
#[derive(Clone)]
pub struct PackedF32 {
    n: usize,
    k: usize,
    panels: Panels<f32>,
}

/// A bf16 weight `[N, K]` in the order that the kernels read: panels `[K/2, 16]` of pairs along K, for 16 outputs.
#[derive(Clone)]
pub struct PackedBf16 {
    n: usize,
    k: usize,
    panels: Panels<u32>,
}

/// Bytes that somebody else owns: a mapped file.
pub type SharedBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// Where the panels lie.
#[derive(Clone)]
pub(super) enum Panels<T: bytemuck::Pod> {
    Own(Lined<T>),
    Shared(SharedBytes),
}

impl<T: bytemuck::Pod> Panels<T> {
    /// Panels of `len` elements in bytes of the caller's.
    pub(super) fn shared(bytes: SharedBytes, len: usize) -> Result<Self, NotPanels> {
        if cfg!(target_endian = "big") {
            return Err(NotPanels::Order);
        }
        let found = (*bytes).as_ref();
        let expected = len * size_of::<T>();
        if found.len() != expected {
            return Err(NotPanels::Length { expected, found: found.len() });
        }
        match bytemuck::try_cast_slice::<u8, T>(found) {
            Ok(_) => Ok(Self::Shared(bytes)),
            Err(_) => Err(NotPanels::Alignment),
        }
    }
}

impl<T: bytemuck::Pod> std::ops::Deref for Panels<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Own(panels) => panels,
            // Length and alignment were looked at when they came.
            Self::Shared(bytes) => bytemuck::cast_slice((**bytes).as_ref()),
        }
    }
}

/// Why bytes aren't a packed weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotPanels {
    /// Not as many as the panels take.
    Length {
        /// What the panels take.
        expected: usize,
        /// What came.
        found: usize,
    },
    /// They don't begin at a multiple of four.
    Alignment,
    /// The machine's bytes are in another order than the panels'.
    Order,
}

impl std::fmt::Display for NotPanels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Length { expected, found } => {
                write!(f, "a packed weight takes {expected} bytes, {found} came")
            }
            Self::Alignment => write!(f, "a packed weight must begin at a multiple of four bytes"),
            Self::Order => write!(f, "packed weights are for machines whose low byte comes first"),
        }
    }
}

impl std::error::Error for NotPanels {}

/// The elements of a packed `[n, k]`.
fn elements<P: Product>(n: usize, k: usize) -> usize {
    n.div_ceil(PANEL) * P::units(k) * PANEL
}

/// Packs one panel.
struct PackPanel<'a, P: Product> {
    product: P,
    source: Source<'a>,
    panel: usize,
    k: usize,
    dst: &'a mut [P::T],
}

impl<S: Tiles, P: Product> Kernel<S> for PackPanel<'_, P> {
    #[inline(always)]
    fn run(self, s: S) {
        self.product.fill(s, &self.source, self.panel, 0, self.k, self.dst);
    }
}

/// Fills `dst` with a panel of a source of `k` steps.
pub(crate) fn fill_panel<P: Product>(
    level: Level,
    product: P,
    source: Source<'_>,
    panel: usize,
    k: usize,
    dst: &mut [P::T],
) {
    dispatch(level, PackPanel { product, source, panel, k, dst });
}

fn pack<P: Product>(product: P, source: Source<'_>, n: usize, k: usize) -> Lined<P::T> {
    let size = P::units(k) * PANEL;
    let mut panels = Lined::zeros(elements::<P>(n, k));
    if size > 0 {
        let level = level();
        panels
            .par_chunks_mut(size)
            .enumerate()
            .for_each(|(panel, dst)| fill_panel(level, product, source, panel, k, dst));
    }
    panels
}

impl PackedF32 {
    /// Packs a row-major `[n, k]`.
    ///
    /// # Panics
    /// If `w` has another length.
    #[must_use]
    pub fn new(w: &[f32], n: usize, k: usize) -> Self {
        assert_eq!(w.len(), n * k, "the weight isn't [{n}, {k}]");
        Self { n, k, panels: Panels::Own(pack(F32, Source::Rows { w, n, k }, n, k)) }
    }
}

impl PackedBf16 {
    /// Packs a row-major `[n, k]`.
    ///
    /// # Panics
    /// If `w` has another length.
    #[must_use]
    pub fn new(w: &[bf16], n: usize, k: usize) -> Self {
        assert_eq!(w.len(), n * k, "the weight isn't [{n}, {k}]");
        Self { n, k, panels: Panels::Own(pack(Bf16Pairs, Source::RowsBf16 { w, n, k }, n, k)) }
    }
}

/// What packed weights have in common, whatever their factors are.
macro_rules! packed {
    ($packed:ident, $product:ty) => {
        impl $packed {
            /// `[N, K]`.
            #[must_use]
            pub fn shape(&self) -> [usize; 2] {
                [self.n, self.k]
            }

            pub(crate) fn panels(&self) -> &[<$product as Product>::T] {
                &self.panels
            }

            /// Takes panels that lie in memory already, as `bytes` gave them: a file that is mapped is multiplied by where it lies.
            /// They should begin at a cache line (64 bytes); elsewhere products are slower.
            ///
            /// # Errors
            /// When they have another length, don't begin at a multiple of four bytes, or the machine's low byte comes last.
            pub fn shared(bytes: SharedBytes, n: usize, k: usize) -> Result<Self, NotPanels> {
                Ok(Self { n, k, panels: Panels::shared(bytes, elements::<$product>(n, k))? })
            }

            /// The panels' bytes, the same at every instruction set.
            #[must_use]
            pub fn bytes(&self) -> &[u8] {
                bytemuck::cast_slice(self.panels())
            }

            /// How many bytes a packed `[n, k]` takes.
            #[must_use]
            pub fn byte_len(n: usize, k: usize) -> usize {
                elements::<$product>(n, k) * size_of::<<$product as Product>::T>()
            }
        }

        impl std::fmt::Debug for $packed {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let name = stringify!($packed);
                f.debug_struct(name).field("n", &self.n).field("k", &self.k).finish_non_exhaustive()
            }
        }
    };
}

packed!(PackedF32, F32);
packed!(PackedBf16, Bf16Pairs);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_come_back_from_their_bytes() {
        let w: Vec<f32> = (0..35 * 7).map(|i| i as f32).collect();
        let packed = PackedF32::new(&w, 35, 7);
        assert_eq!(packed.bytes().len(), PackedF32::byte_len(35, 7));
        let bytes: SharedBytes = Arc::new(Aligned(bytemuck::pod_collect_to_vec(packed.bytes())));
        let shared = PackedF32::shared(bytes.clone(), 35, 7).unwrap();
        assert_eq!(shared.panels(), packed.panels());
        let length = PackedF32::shared(bytes, 35, 8).unwrap_err();
        assert!(matches!(length, NotPanels::Length { .. }), "{length}");

        let half: Vec<bf16> = w.iter().map(|x| bf16::from_f32(*x)).collect();
        let packed = PackedBf16::new(&half, 35, 7);
        assert_eq!(packed.bytes().len(), PackedBf16::byte_len(35, 7));
        let bytes: SharedBytes = Arc::new(Aligned(bytemuck::pod_collect_to_vec(packed.bytes())));
        assert_eq!(PackedBf16::shared(bytes, 35, 7).unwrap().panels(), packed.panels());
    }

    #[test]
    fn odd_addresses_are_refused() {
        struct Odd(Vec<u32>);
        impl AsRef<[u8]> for Odd {
            fn as_ref(&self) -> &[u8] {
                &bytemuck::cast_slice(&self.0)[1..][..PackedF32::byte_len(1, 1)]
            }
        }
        let refused = PackedF32::shared(Arc::new(Odd(vec![0; PANEL + 1])), 1, 1).unwrap_err();
        assert_eq!(refused, NotPanels::Alignment);
    }

    /// Bytes that begin where a `u32` may.
    struct Aligned(Vec<u32>);

    impl AsRef<[u8]> for Aligned {
        fn as_ref(&self) -> &[u8] {
            bytemuck::cast_slice(&self.0)
        }
    }
}
