//! Eight lanes in plain Rust.

use super::Lanes;

#[derive(Clone, Copy)]
#[repr(align(32))]
pub(in crate::splat) struct Portable([f32; 8]);

impl Portable {
    #[inline(always)]
    fn zip(self, o: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let mut out = [0.0; 8];
        for i in 0..8 {
            out[i] = f(self.0[i], o.0[i]);
        }
        Self(out)
    }

    #[inline(always)]
    fn compare(self, o: Self, f: impl Fn(f32, f32) -> bool) -> [u32; 8] {
        let mut out = [0; 8];
        for i in 0..8 {
            out[i] = if f(self.0[i], o.0[i]) { u32::MAX } else { 0 };
        }
        out
    }

    #[inline(always)]
    fn map_bits(self, mask: [u32; 8], f: impl Fn(u32, u32) -> u32) -> Self {
        let mut out = [0.0; 8];
        for i in 0..8 {
            out[i] = f32::from_bits(f(self.0[i].to_bits(), mask[i]));
        }
        Self(out)
    }
}

impl Lanes for Portable {
    const N: usize = 8;
    /// All ones or all zeros in each lane.
    type Mask = [u32; 8];

    #[inline(always)]
    fn splat(x: f32) -> Self {
        Self([x; 8])
    }
    #[inline(always)]
    fn iota() -> Self {
        Self([0., 1., 2., 3., 4., 5., 6., 7.])
    }
    #[inline(always)]
    fn store(self, to: &mut [f32]) {
        to[..8].copy_from_slice(&self.0);
    }
    #[inline(always)]
    fn add(self, o: Self) -> Self {
        self.zip(o, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, o: Self) -> Self {
        self.zip(o, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, o: Self) -> Self {
        self.zip(o, |a, b| a * b)
    }
    #[inline(always)]
    fn mul_add(self, m: Self, a: Self) -> Self {
        // Not `f32::mul_add`, which is a library call where the CPU has no fused instruction.
        self.mul(m).add(a)
    }
    #[inline(always)]
    fn min(self, o: Self) -> Self {
        self.zip(o, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn max(self, o: Self) -> Self {
        self.zip(o, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn ge(self, o: Self) -> Self::Mask {
        self.compare(o, |a, b| a >= b)
    }
    #[inline(always)]
    #[expect(clippy::neg_cmp_op_on_partial_ord, reason = "a NaN has to give true")]
    fn not_lt(self, o: Self) -> Self::Mask {
        self.compare(o, |a, b| !(a < b))
    }
    #[inline(always)]
    fn and(a: Self::Mask, b: Self::Mask) -> Self::Mask {
        let mut out = a;
        for i in 0..8 {
            out[i] &= b[i];
        }
        out
    }
    #[inline(always)]
    fn bits(mask: Self::Mask) -> u32 {
        let mut bits = 0;
        for (i, lane) in mask.into_iter().enumerate() {
            bits |= (lane & 1) << i;
        }
        bits
    }
    #[inline(always)]
    fn keep(self, mask: Self::Mask) -> Self {
        self.map_bits(mask, |x, m| x & m)
    }
    #[inline(always)]
    fn select(self, o: Self, mask: Self::Mask) -> Self {
        let mut out = [0.0; 8];
        for i in 0..8 {
            out[i] = if mask[i] != 0 { self.0[i] } else { o.0[i] };
        }
        Self(out)
    }
    #[inline(always)]
    fn negative(self) -> Self {
        Self(self.0.map(|x| -x.abs()))
    }
    #[inline(always)]
    fn signs(self) -> u32 {
        let mut bits = 0;
        for (i, lane) in self.0.into_iter().enumerate() {
            bits |= (lane.to_bits() >> 31) << i;
        }
        bits
    }
    #[inline(always)]
    fn scale_by_power(self, shifted: Self) -> Self {
        self.map_bits(shifted.0.map(f32::to_bits), |x, s| x.wrapping_add(s << 23))
    }
}
