//! Two vectors as one of twice the width.

use crate::{Kernel, Simd};

/// Vectors of two registers, the lower lanes first.
#[derive(Clone, Copy, Debug)]
pub struct Twice<S>(S);

/// A kernel for two registers as one for the single register.
struct Both<K>(K);

impl<S: Simd, K: Kernel<Twice<S>, Out>, Out> Kernel<S, Out> for Both<K> {
    #[inline(always)]
    fn run(self, s: S) -> Out {
        self.0.run(Twice(s))
    }
}

/// Methods that do the same to both halves.
macro_rules! halves {
    ($($name:ident($($arg:ident: $t:ident),*) -> $out:ident;)+) => {$(
        #[inline(always)]
        fn $name(self, $($arg: [S::$t; 2]),*) -> [S::$out; 2] {
            [self.0.$name($($arg[0]),*), self.0.$name($($arg[1]),*)]
        }
    )+};
}

impl<S: Simd> Simd for Twice<S> {
    type V = [S::V; 2];
    type Mask = [S::Mask; 2];
    const LANES: usize = 2 * S::LANES;
    const REGISTERS: usize = S::REGISTERS / 2;

    #[inline(always)]
    fn detect() -> Option<Self> {
        const { assert!(S::LANES < 16, "vectors have at most 16 lanes") };
        S::detect().map(Self)
    }
    #[inline]
    fn enter<K: Kernel<Self, Out>, Out>(self, kernel: K) -> Out {
        self.0.enter(Both(kernel))
    }

    #[inline(always)]
    fn splat(self, x: f32) -> [S::V; 2] {
        [self.0.splat(x); 2]
    }
    #[inline(always)]
    fn iota(self) -> [S::V; 2] {
        let first = self.0.iota();
        [first, self.0.add(first, self.0.splat(S::LANES as f32))]
    }
    #[inline(always)]
    fn load(self, src: &[f32]) -> [S::V; 2] {
        let src = &src[..Self::LANES];
        [self.0.load(src), self.0.load(&src[S::LANES..])]
    }
    #[inline(always)]
    fn store(self, [low, high]: [S::V; 2], dst: &mut [f32]) {
        let dst = &mut dst[..Self::LANES];
        self.0.store(low, dst);
        self.0.store(high, &mut dst[S::LANES..]);
    }
    #[inline(always)]
    fn load_bf16(self, src: &[u16]) -> [S::V; 2] {
        [self.0.load_bf16(src), self.0.load_bf16(&src[S::LANES..])]
    }
    #[inline(always)]
    fn load_dup(self, src: &[f32]) -> [S::V; 2] {
        [self.0.load_dup(src), self.0.load_dup(&src[S::LANES / 2..])]
    }
    #[inline(always)]
    fn split_pairs(self, pairs: &[u32]) -> ([S::V; 2], [S::V; 2]) {
        let (low, high) = (self.0.split_pairs(pairs), self.0.split_pairs(&pairs[S::LANES..]));
        ([low.0, high.0], [low.1, high.1])
    }

    halves! {
        add(a: V, b: V) -> V;
        sub(a: V, b: V) -> V;
        mul(a: V, b: V) -> V;
        div(a: V, b: V) -> V;
        max(a: V, b: V) -> V;
        min(a: V, b: V) -> V;
        fma(a: V, b: V, c: V) -> V;
        copysign(a: V, b: V) -> V;
        shl23(v: V) -> V;
        scale_by_power(v: V, n: V) -> V;
        swap_pairs(v: V) -> V;
        addsub(a: V, b: V) -> V;
        ge(a: V, b: V) -> Mask;
        not_lt(a: V, b: V) -> Mask;
        and(a: Mask, b: Mask) -> Mask;
        keep(mask: Mask, v: V) -> V;
        select(mask: Mask, a: V, b: V) -> V;
    }

    #[inline(always)]
    fn bits(self, [low, high]: [S::Mask; 2]) -> u32 {
        self.0.bits(low) | self.0.bits(high) << S::LANES
    }
    #[inline(always)]
    fn signs(self, [low, high]: [S::V; 2]) -> u32 {
        self.0.signs(low) | self.0.signs(high) << S::LANES
    }
    #[inline(always)]
    fn sum(self, [low, high]: [S::V; 2]) -> f32 {
        self.0.sum(self.0.add(low, high))
    }
}

impl<S> Twice<S> {
    /// The token of one register.
    #[inline(always)]
    #[must_use]
    pub fn half(self) -> S {
        self.0
    }
}
