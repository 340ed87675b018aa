//! How exact the products of a kernel are.

/// How exact the products of a kernel are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Factors are used as `f32`.
    F32,
    /// Factors may be rounded to bf16 where the CPU multiplies bf16 faster ([`crate::bf16_is_faster`]); sums stay `f32`.
    /// Elsewhere the same as [`Precision::F32`].
    #[default]
    Bf16,
    /// Products by quantised weights are integers: activations are rounded to 8 bits, each row in groups of 32 with a scale
    /// of their own ([`crate::Linear::precision`] says more); by weights that were packed in 8 bits each row has one scale. Only of those
    /// the default. Other weights and Q6_K, which would gain nothing, keep
    /// their own precision, attention is computed in `f32`.
    Int8,
}
